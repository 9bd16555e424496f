/**
 * Network devices that a container gets: out of a network namespace that a test makes and that stands for the host's, so
 * that nothing of the machine's is touched.
 * @module
 */
import { afterAll, describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { NetDevice } from "../lib/spec/index.ts";
import { noSandbox } from "./support/machine.ts";
import { bundleIn, MAIN, runtimeIn } from "./support/oci.ts";
import { Folder, makeRootfs } from "./support/rootfs.ts";

const folder = new Folder();
const rootfs = makeRootfs();
afterAll(() => {
  folder.remove();
  rootfs.remove();
});
const { root } = runtimeIn(folder);

function bundle(command: string, netDevices: Record<string, NetDevice>, linux: object = {}): string {
  const path = bundleIn(folder, rootfs.path, ["busybox", "sh", "-c", command]);
  const file = join(path, "config.json");
  const config = JSON.parse(readFileSync(file, "utf8")) as { linux: { namespaces: object[] } };
  const namespaces = [...config.linux.namespaces, { type: "network" }];
  writeFileSync(file, JSON.stringify({ ...config, linux: { ...config.linux, namespaces, ...linux, netDevices } }));
  return path;
}

/** Lines of shell, where `oci` is the runtime. */
function inHost(...lines: string[]) {
  const call = `oci() { ${[process.execPath, MAIN, "oci", "--root", root].join(" ")} "$@"; }`;
  const { stdout, stderr, exitCode } = Bun.spawnSync(["unshare", "--net", "sh", "-c", [call, ...lines].join("\n")], {
    env: { PATH: process.env["PATH"] },
    stdout: "pipe",
    stderr: "pipe",
  });
  return { stdout: stdout.toString(), stderr: stderr.toString(), status: exitCode };
}

const isRoot = process.getuid?.() === 0;
const canMake = isRoot && inHost("busybox ip link add tsbox0 type veth peer name tsbox1").status === 0;
const MAKE = "busybox ip link add tsbox0 type veth peer name tsbox1";
const SHOW = "busybox ip address show dev";

describe.skipIf(noSandbox !== undefined || !canMake)("a network device", () => {
  test("is the container's, up, and no longer the host's", () => {
    const path = bundle(`${SHOW} tsbox0`, { tsbox0: {} });
    const { stdout, stderr, status } = inHost(MAKE, `oci run --bundle ${path} moved`, "busybox ip link show tsbox0");
    expect(stdout, stderr).toContain("tsbox0");
    expect(stdout).toMatch(/<[A-Z,-]*\bUP\b/);
    // the other end is alone
    expect([status !== 0, stderr.includes("tsbox0")]).toEqual([true, true]);
  });

  test("has another name inside, and the addresses that it has for good", () => {
    const path = bundle(`${SHOW} eth0; ${SHOW} tsbox0`, { tsbox0: { name: "eth0" } });
    const { stdout } = inHost(
      MAKE,
      "busybox ip address add 169.254.169.77/32 dev tsbox0",
      "busybox ip address add 169.254.169.78/24 scope link dev tsbox0",
      "busybox ip -6 address add 2001:db8::77/64 dev tsbox0",
      "busybox ip link set tsbox0 up",
      `oci run --bundle ${path} renamed`,
    );
    expect(stdout).toContain("inet 169.254.169.77/32 scope global eth0");
    expect(stdout).toContain("inet6 2001:db8::77/64 scope global");
    expect(stdout).not.toContain("169.254.169.78");
    expect(stdout).not.toContain("tsbox0");
  });

  test("is there when hooks run", () => {
    const path = bundle("true", { tsbox0: {} });
    const file = join(path, "config.json");
    const config = JSON.parse(readFileSync(file, "utf8")) as object;
    const args = ["sh", "-c", "busybox ip -o link show tsbox0 >&2; false"];
    const hooks = { createRuntime: [{ path: "/bin/sh", args, env: [`PATH=${process.env["PATH"]}`] }] };
    writeFileSync(file, JSON.stringify({ ...config, hooks }));
    const { stderr, status } = inHost(MAKE, `oci run --bundle ${path} hooked`);
    expect(status).toBe(1);
    expect(stderr).toContain("createRuntime hook");
    expect(stderr).toContain("can't find device 'tsbox0'");
  });

  test("goes into a network namespace that is joined, and stays there", () => {
    const path = bundle(
      "true",
      { tsbox0: {} },
      {
        namespaces: [
          ...["pid", "mount", "ipc", "uts"].map((type) => ({ type })),
          { type: "network", path: join(folder.path, "netns") },
        ],
      },
    );
    folder.write("netns");
    const { stdout, stderr, status } = inHost(
      MAKE,
      "busybox unshare -n sleep 60 & other=$!",
      `while [ "$(readlink /proc/$other/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.01; done`,
      `ln -sf /proc/$other/ns/net ${join(folder.path, "netns")}`,
      `oci run --bundle ${path} joined`,
      `nsenter -t $other -n ${SHOW} tsbox0`,
      "status=$?; kill $other; exit $status",
    );
    expect(status, stderr).toBe(0);
    expect(stdout).toContain("tsbox0");
  });

  test.each<[string, Record<string, NetDevice>, string]>([
    ["that is not there", { "tsbox-none": {} }, 'find the network device \\"tsbox-none\\": there is none'],
    [
      "whose name is taken",
      { tsbox0: { name: "lo" } },
      'move a network device to \\"lo\\": the container has one of this name',
    ],
  ])("%s is an error, and nothing is left", (_, devices, why) => {
    const path = bundle("true", devices);
    const { stdout, stderr, status } = inHost(
      MAKE,
      `oci run --bundle ${path} refused; status=$?`,
      "oci list --quiet; busybox ip -o link show tsbox0; exit $status",
    );
    expect(status).toBe(1);
    expect(stderr).toContain(why);
    expect(stdout).toMatch(/^\d+: tsbox0/);
  });
});
