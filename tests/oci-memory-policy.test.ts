/** NUMA memory policies of containers: as the kernel shows them. @module */
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import type { MemoryPolicy } from "../lib/spec/index.ts";
import { bundleIn, ociAs, ociIn, runtimeIn } from "./support/oci.ts";
import { noSandbox } from "./support/machine.ts";
import { Folder, makeRootfs } from "./support/rootfs.ts";

const folder = new Folder();
const rootfs = makeRootfs();
afterAll(() => {
  folder.remove();
  rootfs.remove();
});
const runtime = runtimeIn(folder);
const oci = ociIn(runtime);
const LOOK = ["head", "-n", "1", "/proc/self/numa_maps"];
const bundle = (memoryPolicy: unknown, args = LOOK) => {
  const path = bundleIn(folder, rootfs.path, args);
  const file = `${path}/config.json`;
  return Bun.file(file)
    .json()
    .then((config) => Bun.write(file, JSON.stringify({ ...config, linux: { ...config.linux, memoryPolicy } })))
    .then(() => path);
};

describe.skipIf(noSandbox !== undefined || !existsSync("/proc/self/numa_maps"))("a memory policy", () => {
  test.each<[MemoryPolicy, string]>([
    [{ mode: "MPOL_INTERLEAVE", nodes: "0" }, "interleave:0"],
    [{ mode: "MPOL_BIND", nodes: "0", flags: ["MPOL_F_STATIC_NODES"] }, "bind=static:0"],
    [{ mode: "MPOL_PREFERRED", nodes: "0", flags: ["MPOL_F_RELATIVE_NODES"] }, "prefer=relative:0"],
    [{ mode: "MPOL_LOCAL" }, "local"],
    [{ mode: "MPOL_DEFAULT" }, "default"],
  ])("%j", async (policy, expected) => {
    const { stdout, stderr, status } = oci("run", "--bundle", await bundle(policy), "policy");
    expect(status, stderr).toBe(0);
    expect(stdout.split(" ")[1]).toBe(expected);
  });

  test.each<[MemoryPolicy, string]>([
    [{ mode: "MPOL_BIND", nodes: "63" }, "the machine has none of these nodes"],
    [{ mode: "MPOL_PREFERRED", flags: ["MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"] }, "invalid argument"],
  ])("%j, which the kernel refuses", async (policy, why) => {
    const { stdout, stderr, status } = oci("run", "--bundle", await bundle(policy), "policy");
    expect([status, stdout]).toEqual([1, ""]);
    expect(stderr).toContain(why);
    expect(oci("list", "--quiet").stdout).toBe("");
  });

  test("is that of what joins, too", async () => {
    const path = await bundle({ mode: "MPOL_INTERLEAVE", nodes: "0" }, ["sh", "-c", "while :; do sleep 1; done"]);
    const made = ociAs({ leaves: true }, "--root", runtime.root, "run", "--detach", "--bundle", path, "joined");
    try {
      expect(made.status, made.stderr).toBe(0);
      expect(oci("exec", "joined", ...LOOK).stdout.split(" ")[1]).toBe("interleave:0");
    } finally {
      oci("delete", "--force", "joined");
    }
  });
});
