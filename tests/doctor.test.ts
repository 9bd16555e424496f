/** What a host offers and lacks: hosts that are made up, and this one. @module */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { report } from "../lib/cli/doctor.ts";
import { checksOf, examine, isHealthy, type Check, type HostFacts } from "../lib/doctor/index.ts";
import { isSince } from "../lib/doctor/checks.ts";
import { Folder } from "./support/rootfs.ts";
import { asRoot, noLimits, noSandbox, notRoot, SLOW, testUnless } from "./support/machine.ts";

const root = join(import.meta.dir, "..");

const CALLS =
  "clone3 openat2 open_tree move_mount fsopen fsconfig fsmount mount_setattr pidfd_open pidfd_send_signal close_range faccessat2";

/** A host that has everything, for an ordinary user. */
const PERFECT: HostFacts = {
  arch: "x64",
  release: "6.18.0",
  privileged: false,
  calls: Object.fromEntries(CALLS.split(" ").map((name) => [name, "EINVAL"])),
  clonesIntoCgroup: true,
  namespaces: ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"],
  sysctls: { "user/max_user_namespaces": "1000" },
  landlockAbi: 7,
  seccompActions: ["kill_process", "errno", "user_notif"],
  filtered: false,
  devices: ["null", "zero", "full", "random", "urandom", "tty"].map((name) => `/dev/${name}`),
  cgroups: { v1: [], v2: { controllers: ["cpu", "memory", "pids"], canKill: true }, swapAccounting: true },
  trials: {
    directory: undefined,
    layer: undefined,
    host: undefined,
    terminal: undefined,
    idRange: undefined,
    network: undefined,
    memory: undefined,
    cpus: undefined,
    pids: undefined,
    cpuset: undefined,
  },
  directories: {},
  tellsConnections: true,
};
const refused = {
  code: "permission_denied" as const,
  message: "make the sandbox's namespaces: EPERM",
  hint: "ask root",
};

const lacks = (checks: Check[], name: string) => {
  const check = checks.find((each) => each.name === name);
  return check?.ok === false ? { required: check.required, hint: check.hint } : undefined;
};

test("a host that has everything has nothing to be said about", () => {
  const checks = checksOf(PERFECT);
  expect(checks.filter(({ ok }) => !ok)).toEqual([]);
  expect(isHealthy(checks)).toBe(true);
  expect(checks.filter(({ hint }) => hint !== undefined)).toEqual([]);
});

describe("what is lacking is named, with the remedy", () => {
  test.each<[name: string, change: Partial<HostFacts>, required: boolean, hint: string]>([
    ["processor", { arch: "riscv64" }, true, "x86-64 and aarch64"],
    ["version", { release: "5.10.0-28-amd64" }, true, "Linux 5.12 or newer"],
    ["mount_setattr", { calls: { ...PERFECT.calls, mount_setattr: "ENOSYS" } }, true, "since Linux 5.12"],
    [
      "clone3",
      { calls: { ...PERFECT.calls, clone3: "ENOSYS" }, filtered: true },
      true,
      "--security-opt seccomp=unconfined",
    ],
    ["CLONE_INTO_CGROUP", { clonesIntoCgroup: false }, false, "since Linux 5.7"],
    ["user", { namespaces: ["cgroup", "ipc", "mnt", "net", "pid", "uts"] }, true, "since Linux 3.8"],
    ["time", { namespaces: PERFECT.namespaces.filter((name) => name !== "time") }, false, "CONFIG_TIME_NS"],
    [
      "user.max_user_namespaces",
      { sysctls: { "user/max_user_namespaces": "0" } },
      true,
      "sysctl user.max_user_namespaces=",
    ],
    [
      "kernel.unprivileged_userns_clone",
      {
        sysctls: { "kernel/unprivileged_userns_clone": "0" },
        trials: { ...PERFECT.trials, directory: refused },
      },
      true,
      "sysctl kernel.unprivileged_userns_clone=1",
    ],
    [
      "kernel.apparmor_restrict_unprivileged_userns",
      {
        sysctls: { "kernel/apparmor_restrict_unprivileged_userns": "1" },
        trials: { ...PERFECT.trials, directory: refused },
      },
      true,
      'profile that allows this program "userns"',
    ],
    ["in a read-only directory", { trials: { ...PERFECT.trials, directory: refused } }, true, "ask root"],
    [
      "in a directory, under a writable layer",
      { trials: { ...PERFECT.trials, layer: { code: "mount_failed", message: "mount the overlay: ENODEV" } } },
      false,
      "modprobe overlay",
    ],
    ["with a mount of /srv", { directories: { "/srv": { code: "system", message: "EINVAL" } } }, false, "id-mapped"],
    ["devices", { devices: ["/dev/null"] }, true, "mknod"],
    [
      "firewall",
      { privileged: true, obstacle: { found: "ufw drops what comes from tsbox0", hint: "ufw route allow" } },
      false,
      "ufw route allow",
    ],
    ["connections of an address", { privileged: true, tellsConnections: false }, false, "CONFIG_NF_CT_NETLINK"],
    ["control groups", { cgroups: { v1: [], swapAccounting: false } }, false, "mount -t cgroup2"],
    ["memory", { trials: { ...PERFECT.trials, memory: refused } }, false, "ask root"],
    ["swap", { cgroups: { v1: ["memory"], swapAccounting: false } }, false, "swapaccount=1"],
    [
      "cgroup.kill",
      { cgroups: { v1: [], v2: { controllers: [], canKill: false }, swapAccounting: true } },
      false,
      "5.14",
    ],
    ["seccomp filters", { seccompActions: [""] }, true, "CONFIG_SECCOMP_FILTER"],
    ["seccomp listeners", { seccompActions: ["kill_process", "errno"] }, false, "Linux 5.0"],
    ["Landlock", { landlockAbi: 0 }, false, "lsm="],
    ["Landlock", { landlockAbi: 1 }, false, "Linux 5.19 or newer"],
    [
      "with a range of ids of its own",
      { trials: { ...PERFECT.trials, idRange: { code: "unsupported", message: "newuidmap: ENOENT" } } },
      false,
      "uidmap",
    ],
    ["with a network policy", { trials: { ...PERFECT.trials, network: refused } }, false, "ask root"],
    ["with a terminal", { trials: { ...PERFECT.trials, terminal: refused } }, false, "ask root"],
    ["cpuset", { trials: { ...PERFECT.trials, cpuset: refused } }, false, "ask root"],
  ])("%s", (name, change, required, hint) => {
    const checks = checksOf({ ...PERFECT, ...change });
    expect(lacks(checks, name)).toEqual({ required, hint: expect.stringContaining(hint) });
    expect(isHealthy(checks)).toBe(!required);
    expect(lacks(checksOf(PERFECT), name)).toBeUndefined();
  });
});

test("settings that restrict users do not matter to root, nor where sandboxes can be made in spite of them", () => {
  const sysctls = { "kernel/unprivileged_userns_clone": "0", "kernel/apparmor_restrict_unprivileged_userns": "1" };
  expect(checksOf({ ...PERFECT, sysctls }).filter(({ ok }) => !ok)).toEqual([]);
  const trials = { ...PERFECT.trials, directory: refused };
  const names = checksOf({ ...PERFECT, privileged: true, sysctls, trials }).map(({ name }) => name);
  expect(names.filter((name) => name.includes("unprivileged"))).toEqual([]);
});

test.each<[string, string, boolean]>([
  ["5.12.0", "5.12", true],
  ["5.11.22-generic", "5.12", false],
  ["6.1.0-18-amd64", "5.12", true],
  ["6.18", "6.7", true],
  ["4.19.0", "5.12", false],
])("Linux %s is %s or newer: %j", (release, version, expected) => expect(isSince(release, version)).toBe(expected));

test("the report has a line for each check, under its area, and the remedy below it", () => {
  const hint = "ask root";
  const checks: Check[] = [
    { area: "kernel", name: "clone3", ok: true, required: true, found: "there" },
    { area: "limits", name: "memory", ok: false, required: false, found: "not possible here", hint },
    { area: "limits", name: "pids", ok: false, required: true, found: "none", hint },
  ];
  expect(report(checks).split("\n")).toEqual([
    "kernel",
    "  ok       clone3  there",
    "limits",
    "  absent   memory  not possible here",
    "           hint: ask root",
    "  missing  pids    none",
    "           hint: ask root",
    "",
    "1 missing: sandboxes cannot be made like this; 1 absent, which not every sandbox needs",
    "",
  ]);
});

describe("this host", () => {
  testUnless(noSandbox, "can make sandboxes, and says the same of limits as the other tests", async () => {
    const checks = await examine([root]);
    expect(checks.filter(({ ok, required }) => required && !ok)).toEqual([]);
    for (const name of ["memory", "pids"]) {
      expect([name, lacks(checks, name) === undefined]).toEqual([name, noLimits === undefined]);
    }
    expect(lacks(checks, "with a terminal")).toBeUndefined();
    if (asRoot) expect(lacks(checks, "with a range of ids of its own")).toBeUndefined();
  });

  testUnless(notRoot, "has a file system without id-mapped mounts", async () => {
    const name = "with a mount of /proc/self";
    expect(lacks(await examine(["/proc/self"]), name)?.hint).toContain("id-mapped mounts");
  });

  const tsbox = (...words: string[]) => Bun.spawnSync([process.execPath, join(root, "lib/cli/main.ts"), ...words]);

  testUnless(noSandbox, "tsbox doctor exits with 0, as text and as JSON", () => {
    const [text, json] = [tsbox("doctor"), tsbox("doctor", "--json", "/usr")];
    expect([text.exitCode, json.exitCode]).toEqual([0, 0]);
    expect(text.stdout.toString()).toContain("\nsandboxes can be made");
    const { healthy, checks } = JSON.parse(json.stdout.toString()) as { healthy: boolean; checks: Check[] };
    expect(healthy).toBe(true);
    expect(checks).toContainEqual({
      area: "sandboxes",
      name: "with a mount of /usr",
      ok: true,
      required: false,
      found: "works",
    });
  });

  testUnless(notRoot, "tries sandboxes elsewhere where /tmp is noexec", () => {
    using folder = new Folder();
    const script = 'mount -t tmpfs -o noexec none "$1" && TMPDIR="$1" exec "$2" "$3" doctor';
    const command = ["unshare", "--mount", "sh", "-c", script, "sh", folder.path, process.execPath];
    const { exitCode, stdout } = Bun.spawnSync([...command, join(root, "lib/cli/main.ts")]);
    expect(stdout.toString()).toMatch(/ok +in a read-only directory +works\n/);
    expect(exitCode).toBe(0);
  });

  testUnless(
    noSandbox,
    "in a sandbox nothing can be made: it exits with 1, and names the seccomp filter",
    () => {
      const words = ["--rootfs", "host", "-v", `${root}:${root}:ro`, "-v", `${process.execPath}:/bun:ro`];
      if (asRoot) words.push("--userns", "host"); // the guest's files are on a file system without id-mapped mounts
      const { exitCode, stdout } = tsbox("run", ...words, "/bun", join(root, "lib/cli/main.ts"), "doctor", "/usr");
      expect(stdout.toString()).toContain("  missing  clone3");
      expect(stdout.toString()).toContain("this process is under a seccomp filter");
      expect(stdout.toString()).toMatch(/\d missing: sandboxes cannot be made like this/);
      expect(exitCode).toBe(1);
    },
    30_000 * SLOW,
  );
});
