/** Which devices a control group may use: the BPF program of version 2, and the lines of version 1, in the kernel. @module */
import { describe, expect, test } from "bun:test";
import { mkdirSync, rmdirSync, writeFileSync } from "node:fs";
import { deviceProgram, v1DeviceLines } from "../lib/cgroup/devices.ts";
import { findHierarchies } from "../lib/cgroup/hierarchy.ts";
import type { DeviceRule } from "../lib/spec/index.ts";
import { attachDeviceProgram, Descriptors, O_DIRECTORY, O_RDONLY, open } from "../syscalls/index.ts";
import { failureOf } from "./support/failure.ts";
import { asRoot, notRoot, testUnless } from "./support/machine.ts";
import { eventually } from "./support/processes.ts";

const { v1, v2 } = findHierarchies();

const DENY_ALL: DeviceRule = { allow: false, access: "rwm" };
const allow = (minor: number | undefined, access = "rwm"): DeviceRule => ({
  allow: true,
  type: "c",
  major: 1,
  ...(minor === undefined ? {} : { minor }),
  access,
});

/** What can be done with /dev/null (1:3) and /dev/zero (1:5): "r", "w", or both. */
const rows: [name: string, rules: DeviceRule[], nul: string, zero: string][] = [
  ["nothing is said", [], "rw", "rw"],
  ["everything is denied", [DENY_ALL], "", ""],
  ["one is allowed", [DENY_ALL, allow(3)], "rw", ""],
  ["one is allowed to be read", [DENY_ALL, allow(3, "r"), allow(5, "w")], "r", "w"],
  ["all of a major number are allowed", [DENY_ALL, allow(undefined)], "rw", "rw"],
  ["a block device of the same number is allowed", [DENY_ALL, { ...allow(3), type: "b" }], "", ""],
  ["a later rule takes back", [DENY_ALL, allow(3), allow(5), { ...allow(5), allow: false }], "rw", ""],
  ["writing is denied, all else is not", [{ ...allow(3, "w"), allow: false }], "r", "rw"],
  ["everything is allowed in the end", [DENY_ALL, { allow: true, type: "a" }], "rw", "rw"],
];

/** Runs a shell in a new group. */
async function usable(parent: string, prepare: (group: string) => void): Promise<[string, string]> {
  const group = `${parent}/tsbox-test-devices-${process.pid}`;
  mkdirSync(group);
  try {
    prepare(group);
    const look = (device: string) => `(: <${device}) 2>&- && printf r; (: >>${device}) 2>&- && printf w; echo`;
    const line = `echo $$ >${group}/cgroup.procs && { ${look("/dev/null")}; ${look("/dev/zero")}; }`;
    const { stdout } = Bun.spawnSync(["sh", "-c", line]);
    const [nul = "", zero = ""] = stdout.toString().split("\n");
    return [nul, zero];
  } finally {
    await eventually(() => {
      try {
        rmdirSync(group);
        return true;
      } catch {
        return false;
      }
    });
  }
}

const noV2 = notRoot ?? (v2 ? undefined : "there is no cgroup v2");
const noV1 = notRoot ?? (v1.has("devices") ? undefined : "there is no devices hierarchy of cgroup v1");

describe.each(rows)("%s", (_, rules, nul, zero) => {
  testUnless(noV2, "version 2: a program", async () => {
    const attach = (group: string) => {
      using opened = new Descriptors();
      attachDeviceProgram(opened.add(open(group, O_RDONLY | O_DIRECTORY)), deviceProgram(rules));
    };
    expect(await usable(v2!.own, attach)).toEqual([nul, zero]);
  });

  testUnless(noV1, "version 1: lines", async () => {
    const write = (group: string) => {
      for (const { file, value } of v1DeviceLines(rules) ?? []) writeFileSync(`${group}/${file}`, value);
    };
    expect(await usable(v1.get("devices")!.own, write)).toEqual([nul, zero]);
  });
});

describe("a later rule takes back a part", () => {
  const rules = [DENY_ALL, allow(undefined), { ...allow(5), allow: false }];
  testUnless(noV2, "version 2: a program", async () => {
    const attach = (group: string) => {
      using opened = new Descriptors();
      attachDeviceProgram(opened.add(open(group, O_RDONLY | O_DIRECTORY)), deviceProgram(rules));
    };
    expect(await usable(v2!.own, attach)).toEqual(["rw", ""]);
  });
  test("version 1 has no words for it", () => expect(v1DeviceLines(rules)).toBeUndefined());
});

test.skipIf(!v2 || asRoot)(
  `an ordinary user may load no program${!v2 ? " (skipped: no cgroup v2)" : asRoot ? " (skipped: needs a user)" : ""}`,
  async () => {
    using opened = new Descriptors();
    const group = opened.add(open(v2!.mount, O_RDONLY | O_DIRECTORY));
    const error = await failureOf(() => attachDeviceProgram(group, deviceProgram([DENY_ALL])));
    expect([error.code, error.syscall]).toEqual(["limit_unavailable", "bpf"]);
    expect(error.message).toEndWith("EPERM");
  },
);
