/** What `features` promises is what is understood; what `spec` writes is what is read. @module */
import { describe, expect, test } from "bun:test";
import { parseConfig } from "../lib/oci/config.ts";
import { features } from "../lib/oci/features.ts";
import { OCI_VERSION } from "../lib/oci/oci-version.ts";
import { template } from "../lib/oci/template.ts";
import { MOUNT_OPTIONS, parseMountOptions } from "../lib/plan/index.ts";
import { compileSeccomp, seccompFlags } from "../lib/seccomp/index.ts";
import type { ContainerSpec, SeccompProfile } from "../lib/spec/index.ts";
import { everything } from "./support/bundles.ts";

const { linux, ...told } = features("1.2.3");

type Json = Record<string, unknown>;
const read = (change: (spec: Json, linux: Json) => void): { spec: ContainerSpec; warnings: string[] } => {
  const spec = everything();
  change(spec, spec["linux"] as Json);
  return parseConfig(JSON.stringify(spec));
};

describe("features", () => {
  test("are what Go reads into its struct: texts, lists of them, and flags", () => {
    expect(told.ociVersionMin).toBe("1.0.0");
    expect(told.ociVersionMax).toBe(OCI_VERSION);
    expect(told.annotations).toEqual({
      "org.opencontainers.runc.checkpoint.enabled": "false",
      "tsbox.version": "1.2.3",
    });
    expect(told.potentiallyUnsafeConfigAnnotations).toEqual(["org.systemd.property."]);
    expect(JSON.parse(JSON.stringify(features("1.2.3")))).toEqual(features("1.2.3"));
  });

  test("versions are read", () => {
    for (const ociVersion of [told.ociVersionMin, told.ociVersionMax])
      expect(read((spec) => (spec["ociVersion"] = ociVersion)).spec.ociVersion).toBe(ociVersion);
  });

  test("hooks are read, in the order in which they run", () => {
    expect(told.hooks).toEqual([
      "prestart",
      "createRuntime",
      "createContainer",
      "startContainer",
      "poststart",
      "poststop",
    ]);
    expect(Object.keys(read(() => {}).spec.hooks ?? {})).toEqual(told.hooks);
  });

  test("mount options mean something, and leave nothing for the file system", () => {
    expect(told.mountOptions).toEqual(MOUNT_OPTIONS.toSorted());
    expect(new Set(told.mountOptions).size).toBe(told.mountOptions.length);
    for (const option of told.mountOptions) expect([option, parseMountOptions([option]).data]).toEqual([option, []]);
    const others = ["size=5", "mode=755", "newinstance", "gid=5", "rbin", "rrro", "rsync", "RO"];
    for (const option of others) {
      expect(told.mountOptions).not.toContain(option);
      expect(parseMountOptions([option]).data).toEqual([option]);
    }
    // of the specification's own table
    for (const option of "ro rro nosuid rnosuid rbind rshared runbindable noatime rstrictatime tmpcopyup idmap ridmap sync".split(
      " ",
    ))
      expect(told.mountOptions).toContain(option);
  });

  test("namespaces are read, and no others", () => {
    expect(linux.namespaces).toEqual(["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"]);
    const all = read((_, own) => (own["namespaces"] = linux.namespaces.map((type) => ({ type })))).spec;
    expect(all.linux.namespaces.map(({ type }) => type)).toEqual(linux.namespaces);
    expect(() => read((_, own) => (own["namespaces"] = [{ type: "net" }]))).toThrow('unknown "net"');
  });

  test("capabilities are granted", () => {
    const sets = { bounding: linux.capabilities };
    const { spec, warnings } = read((all) => ((all["process"] as Json)["capabilities"] = sets));
    expect(warnings).toEqual([]);
    expect(spec.process?.capabilities).toEqual(sets);
    expect(linux.capabilities).toHaveLength(41);
  });

  test("words of seccomp compile", () => {
    const { actions, operators, archs, knownFlags, supportedFlags, enabled } = linux.seccomp;
    expect(enabled).toBe(true);
    for (const action of actions)
      for (const op of operators) {
        const rule = { names: ["getcwd"], action, args: [{ index: 0, value: 1, valueTwo: 1, op }] };
        const profile: SeccompProfile = { defaultAction: "SCMP_ACT_ALLOW", architectures: archs, syscalls: [rule] };
        expect(compileSeccomp(profile, "x64").length).toBeGreaterThan(0);
      }
    for (const flag of knownFlags)
      expect(seccompFlags({ defaultAction: "SCMP_ACT_ALLOW", flags: [flag] })).toBeGreaterThanOrEqual(0);
    expect(knownFlags).toEqual(expect.arrayContaining(supportedFlags));
    // since Linux 4.14
    expect(supportedFlags).toContain("SECCOMP_FILTER_FLAG_LOG");
  });

  test("memory policies are read", () => {
    const { modes, flags } = linux.memoryPolicy;
    for (const mode of modes) {
      const nodes = /DEFAULT|LOCAL/.test(mode) ? {} : { nodes: "0" };
      const { spec } = read((_, own) => (own["memoryPolicy"] = { mode, flags, ...nodes }));
      expect(spec.linux.memoryPolicy).toEqual({ mode, flags, ...nodes });
    }
    expect([modes.length, flags.length]).toEqual([7, 3]);
  });
});

describe("the template", () => {
  const user = { uid: 1000, gid: 1001 };
  test.each([
    ["on version 1", { unified: false }],
    ["on version 2", { unified: true }],
    ["of a user, on version 1", { unified: false, rootless: user }],
    ["of a user, on version 2", { unified: true, rootless: user }],
  ])("is read as it is written: %s", (_, facts) => {
    const spec = template(facts);
    expect(parseConfig(JSON.stringify(spec, null, "\t"))).toEqual({ spec, warnings: [] });
  });

  test("has a shell in a terminal, and namespaces of its own", () => {
    const { process, linux: own } = template({ unified: true });
    expect(process).toMatchObject({ terminal: true, args: ["sh"], cwd: "/", noNewPrivileges: true });
    expect(own.namespaces.map(({ type }) => type).toSorted()).toEqual([
      "cgroup",
      "ipc",
      "mount",
      "network",
      "pid",
      "uts",
    ]);
    expect(template({ unified: false }).linux.namespaces.map(({ type }) => type)).not.toContain("cgroup");
  });

  test("of a user asks for nothing that takes root", () => {
    const { linux: own, mounts } = template({ unified: true, rootless: user });
    expect(own.uidMappings).toEqual([{ containerID: 0, hostID: 1000, size: 1 }]);
    expect(own.gidMappings).toEqual([{ containerID: 0, hostID: 1001, size: 1 }]);
    expect(own.resources).toBeUndefined();
    expect(own.namespaces.map(({ type }) => type)).not.toContain("network");
    expect(own.namespaces.map(({ type }) => type)).toContain("user");
    expect(mounts.flatMap(({ options = [] }) => options).filter((option) => /^[ug]id=/.test(option))).toEqual([]);
    expect(mounts.find(({ destination }) => destination === "/sys")).toMatchObject({ source: "/sys", type: "none" });
    // the shared tables are as they were
    expect(template({ unified: true }).mounts.flatMap(({ options = [] }) => options)).toContain("gid=5");
  });
});
