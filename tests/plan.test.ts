/** Specification to plan, as tables and as rules that every plan keeps. Pure: nothing runs, no root is needed. @module */
import { describe, expect, test } from "bun:test";
import {
  compile,
  compileJoin,
  compileTake,
  initSteps,
  SUPERVISED,
  type Beside,
  type Facts,
  type OverlayRoot,
  type Root,
} from "../lib/plan/index.ts";
import type { NamespaceType, Resources, Spec } from "../lib/spec/index.ts";
import { IMAGE, printPlan, Program, SYSCALLS, type Arch, type Op, type Plan } from "../syscalls/index.ts";

const ALL: NamespaceType[] = ["pid", "network", "mount", "ipc", "uts", "user", "cgroup"];
const MAP = [{ containerID: 0, hostID: 100_000, size: 65536 }];

/** A specification as the library makes it, in short. */
function specWith({
  process,
  linux,
  ...rest
}: Partial<Omit<Spec, "process" | "linux">> & {
  process?: Partial<Spec["process"]>;
  linux?: Partial<Spec["linux"]>;
} = {}): Spec {
  return {
    ociVersion: "1.2.0",
    process: { user: { uid: 0, gid: 0 }, args: ["/bin/true"], env: [], cwd: "/", noNewPrivileges: true, ...process },
    root: { path: "/srv/root", readonly: false },
    hostname: "box",
    mounts: [
      { destination: "/proc", type: "proc", source: "proc", options: ["nosuid"] },
      { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["mode=755"] },
      { destination: "/sys", type: "sysfs", source: "sysfs", options: ["ro", "nosuid"] },
    ],
    ...rest,
    linux: {
      namespaces: ALL.map((type) => ({ type })),
      uidMappings: MAP,
      gidMappings: MAP,
      maskedPaths: ["/proc/keys", "/sys/firmware", "/proc/not-here"],
      readonlyPaths: ["/proc/sys", "/proc/not-here"],
      seccomp: { defaultAction: "SCMP_ACT_ALLOW" },
      ...linux,
    },
  };
}
const without = (...types: NamespaceType[]): Partial<Spec["linux"]> => ({
  namespaces: ALL.filter((t) => !types.includes(t)).map((type) => ({ type })),
  ...(types.includes("user") ? NO_MAPS : {}),
});
const NO_MAPS = { uidMappings: undefined, gidMappings: undefined } as unknown as Partial<Spec["linux"]>;
/** With these namespaces joined by their paths, and no others of the host's. */
const joining = (...types: NamespaceType[]): Partial<Spec["linux"]> => ({
  namespaces: ALL.map((type) => (types.includes(type) ? { type, path: `/ns/${type}` } : { type })),
  ...(types.includes("user") ? NO_MAPS : {}),
});

const facts = (changes: Partial<Facts> = {}): Facts => ({
  arch: "x64",
  privileged: true,
  sources: new Map([
    ["/src/dir", "directory"],
    ["/src/file", "file"],
  ]),
  kernelPaths: new Map([
    ["/proc/keys", "file"],
    ["/sys/firmware", "directory"],
    ["/proc/sys", "directory"],
  ]),
  cgroup: { tasks: 0, into: false },
  ...changes,
});

const ROOTS: Record<string, Root> = {
  directory: { kind: "directory" },
  overlay: { kind: "overlay" },
  tmpfs: {
    kind: "tmpfs",
    entries: [
      { path: "/etc", directory: 0o755 },
      { path: "/bin", symlink: "usr/bin" },
      { path: "/etc/passwd", file: new Uint8Array(3) },
    ],
  },
};
const beside = (root = "overlay", idle = false): Beside => ({ root: ROOTS[root] as Root, idle });

const planOf = (spec: Spec, at = facts(), how = beside()): Plan => compile(spec, how, at).plan;
const linesOf = (plan: Plan): string[] =>
  printPlan(plan)
    .split("\n")
    .map((line) => line.trim());
const textOf = (changes: Parameters<typeof specWith>[0] = {}, at = facts(), how = beside()) =>
  printPlan(planOf(specWith(changes), at, how));
const callsOf = (plan: Plan): Op[] => plan.flatMap(({ ops }) => ops).filter(({ call }) => call !== "label");
/** Where the first line is that begins so, after the name of a result; and the last. */
const starts = (text: string) => (line: string) => line.replace(/^[^ ]+( [^ ]+)? = /, "").startsWith(text);
function position(lines: string[], text: string): number {
  const found = lines.findIndex(starts(text));
  if (found < 0) throw new Error(`no line begins with ${text}`);
  return found;
}
const lastPosition = (lines: string[], text: string): number => lines.findLastIndex(starts(text));

/** Not toContain: a failure would print the plan. */
const has = (text: string, part: string): boolean => text.includes(part);

/** Kinds of plans, for rules that hold for all of them. */
const PLANS: [name: string, make: (arch: Arch) => Plan][] = [];
for (const root of Object.keys(ROOTS)) {
  for (const privileged of [true, false]) {
    const name = `${root}, ${privileged ? "root" : "user"}`;
    PLANS.push([name, (arch) => planOf(fullSpec(), facts({ arch, privileged }), beside(root))]);
    PLANS.push([`${name}, idle`, (arch) => planOf(fullSpec(), facts({ arch, privileged }), beside(root, true))]);
  }
}
for (const type of ALL)
  PLANS.push([
    `host's ${type} namespace`,
    (arch) =>
      planOf(specWith({ linux: without(type), mounts: type === "mount" ? [] : specWith().mounts }), facts({ arch })),
  ]);
for (const types of [["network"], ["pid", "user", "network"], ["uts", "ipc", "cgroup"]] as NamespaceType[][])
  PLANS.push([
    `the ${types.join(", ")} namespace of others`,
    (arch) => planOf(specWith({ linux: joining(...types) }), facts({ arch })),
  ]);
PLANS.push([
  "an OOM score and a time namespace",
  (arch) => {
    const namespaces = [...ALL, "time" as const].map((type) => ({ type }));
    const linux = { namespaces, timeOffsets: { monotonic: { secs: 5 } } };
    return planOf(specWith({ process: { oomScoreAdj: 500 }, linux }), facts({ arch, kernel: [6, 1] }));
  },
]);
PLANS.push(["cgroup v1", (arch) => planOf(fullSpec(), facts({ arch, cgroup: { tasks: 3, into: false } }))]);
PLANS.push(["cgroup v2", (arch) => planOf(fullSpec(), facts({ arch, cgroup: { tasks: 0, into: true } }))]);
const withTerminal = (spec: Spec): Spec => ({
  ...spec,
  mounts: [...spec.mounts, { destination: "/dev/pts", type: "devpts", source: "devpts", options: ["newinstance"] }],
  process: { ...spec.process, terminal: true, consoleSize: { width: 100, height: 30 } },
});
PLANS.push(["terminal", (arch) => planOf(withTerminal(fullSpec()), facts({ arch }))]);
PLANS.push(["joins with a terminal", (arch) => compileJoin(withTerminal(fullSpec()), facts({ arch }))]);
PLANS.push(["joins", (arch) => compileJoin(fullSpec(), facts({ arch }))]);
PLANS.push([
  "joins, cgroup v1 and v2",
  (arch) => compileJoin(fullSpec(), facts({ arch, cgroup: { tasks: 1, into: true } })),
]);
PLANS.push([
  "joins in the host's pid namespace",
  (arch) => compileJoin(specWith({ linux: without("pid") }), facts({ arch })),
]);

/** Everything a plan can have at once. */
function fullSpec(): Spec {
  return specWith({
    root: { path: "/srv/root", readonly: true },
    process: {
      args: ["true", "x"],
      env: ["PATH=/bin:/sbin"],
      user: { uid: 5, gid: 6, additionalGids: [7, 8], umask: 0o27 },
      rlimits: [{ type: "RLIMIT_NOFILE", soft: 5, hard: Infinity }],
      capabilities: {
        bounding: ["CAP_CHOWN"],
        effective: ["CAP_CHOWN"],
        permitted: ["CAP_CHOWN"],
        inheritable: ["CAP_CHOWN"],
        ambient: ["CAP_CHOWN"],
      },
    },
    mounts: [
      ...specWith().mounts,
      { destination: "/in", type: "bind", source: "/src/dir", options: ["rbind", "ro"] },
      { destination: "/etc/file", type: "bind", source: "/src/file", options: ["bind"] },
    ],
  });
}

describe("every plan", () => {
  test.each(PLANS)(
    "consists of system calls that both architectures have, with at most six arguments: %s",
    (_, make) => {
      const control = ["jump", "store", "load", "jumpIf", "spawn", "fail", "end", "print"];
      for (const { call, args } of callsOf(make("x64"))) {
        expect(args.length).toBeLessThanOrEqual(6);
        if (control.includes(call)) continue;
        const numbers = SYSCALLS[call as keyof typeof SYSCALLS];
        expect([call, numbers?.[0], numbers?.[1]]).toEqual([call, expect.any(Number), expect.any(Number)]);
        expect([call, Math.min(...numbers) >= 0]).toEqual([call, true]);
      }
    },
  );

  test.each(PLANS)("can be laid out on both architectures: %s", (_, make) => {
    for (const arch of ["x64", "arm64"] as const) {
      for (const part of ["in place", "image"] as const) {
        const program = new Program(make(arch), arch, part);
        const bytes = new Uint8Array(program.size);
        program.write(bytes, new DataView(bytes.buffer), 0x1000_0000, {}, -1);
        expect(bytes.some((byte) => byte !== 0)).toBe(true);
      }
    }
  });

  test.each(PLANS)("gives a reason for each of its steps, and prints a line for each call: %s", (_, make) => {
    const plan = make("x64");
    for (const { action } of plan) expect(action).toMatch(/^[a-z].*[^.]$/);
    const lines = linesOf(plan).filter((line) => line !== "" && !line.startsWith("#") && !/^[^(]*:$/.test(line));
    expect(lines).toHaveLength(callsOf(plan).length);
  });

  test.each(PLANS)("never calls chroot, mount or vfork: %s", (_, make) => {
    const calls = new Set(callsOf(make("x64")).map(({ call }) => call as string));
    for (const never of ["chroot", "mount", "umount", "clone", "fork", "vfork", "mknod"])
      expect(calls).not.toContain(never);
  });
});

/** Those that end in the command of the caller. */
const COMMANDS = PLANS.filter(([name]) => !name.endsWith("idle"));

describe("every plan that executes a command", () => {
  const commandOf = (make: (arch: Arch) => Plan): string[] => {
    const lines = linesOf(make("x64"));
    return lines.slice(position(lines, "# connect stdin, stdout and stderr"));
  };

  test.each(COMMANDS)("gives everything up in this order: %s", (_, make) => {
    const lines = commandOf(make);
    const order = [
      "close_range(3, control-1, 0)",
      lines.includes("image:") ? "close_range(control+2, ~0U, 0)" : "close_range(control+1, ~0U, 0)",
      "prctl(PR_CAPBSET_DROP",
      "setgroups(",
      "setresgid(",
      "setresuid(",
      "capset(",
      "fchdir(cwd)",
      "rt_sigaction(SIGPIPE, {SIG_DFL}",
      "rt_sigprocmask(SIG_SETMASK, no signals",
      "prctl(PR_SET_NO_NEW_PRIVS, 1",
      "seccomp(SECCOMP_SET_MODE_FILTER",
      "execve(",
    ];
    const positions = order.map((text) => position(lines, text));
    expect(positions).toEqual(positions.toSorted((a, b) => a - b));
  });

  test.each(COMMANDS)(
    "does so in memory that is not the owner's, where nothing but the socket is open: %s",
    (name, make) => {
      const lines = commandOf(make);
      // what joins is an image as a whole
      if (name.startsWith("joins")) return expect(lines).not.toContain("image:");
      const start = lines.indexOf("image:");
      expect(lines.slice(0, start).findLast((line) => line.includes("("))).toStartWith("execveat(control+1, ");
      const calls = lines.slice(start).flatMap((line) => /^(?:.* = )?(\w+)\(/.exec(line)?.[1] ?? []);
      const allowed =
        "fcntl rt_sigaction rt_sigprocmask prctl seccomp openat2 close execve jump jumpIf fail landlock_create_ruleset landlock_add_rule landlock_restrict_self store".split(
          " ",
        );
      for (const call of calls) expect(allowed).toContain(call);
      expect(calls.filter((call) => call === "fcntl")).toHaveLength(1);
    },
  );

  test.each(COMMANDS)("needs nothing but openat2, close and execve of its own filter: %s", (_, make) => {
    const lines = commandOf(make);
    const after = lines.slice(lastPosition(lines, "seccomp(") + 1).filter((line) => /^[^#].*\(/.test(line));
    const names = after.map((line) => /(\w+)\(/.exec(line)?.[1]);
    for (const name of names) expect(["openat2", "close", "execve", "jumpIf", "fail"]).toContain(name as string);
    expect(names).toContain("execve");
  });

  test.each(COMMANDS)("follows no magic link of /proc to its working directory or its command: %s", (_, make) => {
    const lines = commandOf(make).filter((line) => line.includes("openat2("));
    expect(lines.length).toBeGreaterThan(1);
    for (const line of lines) expect(line).toMatch(/RESOLVE_NO_(MAGICLINKS|SYMLINKS)/);
  });
});

/** Those that make a root filesystem. */
const MOUNTING = PLANS.filter(([name]) => !name.startsWith("joins") && name !== "host's mount namespace");

describe("every plan that makes a root filesystem", () => {
  test.each(MOUNTING)(
    "keeps mounts private, then opens the host's files, pivots once, and only then mounts: %s",
    (_, make) => {
      const lines = linesOf(make("x64"));
      const pivot = position(lines, "pivot_root(");
      expect(lastPosition(lines, "pivot_root(")).toBe(pivot);
      expect(lines[pivot + 1]).toBe('chdir("/")');
      const isPrivate = position(lines, 'mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, {propagation=MS_PRIVATE}');
      expect(isPrivate).toBeLessThan(position(lines, "move_mount("));
      const sources = lines.flatMap((line, at) => (/open_tree\(AT_FDCWD|fsopen\(/.test(line) ? [at] : []));
      expect(sources.length).toBeGreaterThan(8);
      for (const at of sources) expect(at).toBeLessThan(pivot);
      expect(position(lines, "# mount on ")).toBeGreaterThan(pivot);
    },
  );

  test.each(MOUNTING)("drops the host's root, and runs nothing untrusted before: %s", (_, make) => {
    const lines = linesOf(make("x64"));
    const drop = position(lines, "# drop the host's root");
    expect(drop).toBeGreaterThan(position(lines, "pivot_root("));
    // the layers of an overlay lie on the host's root
    const umounts = lines.some((line) => line.includes('fsopen("overlay"')) ? 2 : 1;
    expect(lines.slice(drop + 1, drop + 1 + umounts)).toEqual(Array(umounts).fill('umount2(".", MNT_DETACH)'));
    // a step of the first process that fails is one behind which nothing is told
    const told = position(lines, "store(the host's root is dropped, 1, 8)");
    expect(told).toBeGreaterThan(drop);
    expect(lines.slice(told + 1).find((line) => line.startsWith("# "))).toBe("# become init");
    // the second process goes on at the same time
    const waits = lines.slice(
      position(lines, "# wait until init is by itself and a hard target, and the host's root is gone"),
    );
    const looks = position(waits, "load(the host's root is dropped, 4)");
    expect(waits.slice(looks + 1, looks + 3)).toEqual(["jumpIf(dropped, 1, ==, → dropped: command)", "exit_group(1)"]);
    // in a user namespace of others, init may have no right to send it
    const hears = !lines.some((line) => line.startsWith("# join the user namespace"));
    const listens = waits.findIndex((line) => line.includes("rt_sigtimedwait({SIGURG}, "));
    expect(listens >= 0).toBe(hears);
    // one that fails before takes its pid namespace along; in that of others, nobody would send it
    const owns = lines.some((line) => line.includes("spawn(") && line.includes("CLONE_NEWPID"));
    if (hears) expect(listens < looks).toBe(owns);
    for (const [at, line] of lines.entries()) {
      if (/^execve\(|^write\(control, ready frame/.test(line))
        expect(at).toBeGreaterThan(lines.length - waits.length + looks);
    }
  });

  test.each(MOUNTING)("follows no symlink of the new root as long as the host's may lie on it: %s", (_, make) => {
    const lines = linesOf(make("x64"));
    const steps = lines.slice(lines.indexOf("# begin the second process")).join("\n").split(/^# /m);
    const following = steps.filter(
      (step) => step.includes("openat2(") && step.includes("RESOLVE_IN_ROOT|RESOLVE_NO_M"),
    );
    expect(following.length).toBeGreaterThan(2);
    const byFirst = lines.slice(position(lines, "pivot_root("), lines.indexOf("# begin the second process"));
    for (const line of byFirst.filter((each) => each.includes("openat2(")))
      expect(line).toContain("RESOLVE_IN_ROOT|RESOLVE_NO_SYMLINKS");
    for (const step of following) {
      const [, waited = ""] = step.split(/^dropped: .*:$/m);
      expect(waited).toContain("RESOLVE_NO_MAGICLINKS");
      expect(step.slice(0, step.length - waited.length)).not.toContain("RESOLVE_NO_MAGICLINKS");
    }
  });

  test.each(MOUNTING)("resolves every path of the new root inside it: %s", (_, make) => {
    const lines = linesOf(make("x64"));
    const after = lines.slice(lastPosition(lines, "pivot_root("));
    const command = after.findIndex((line) => line.startsWith("# connect stdin"));
    const setup = command < 0 ? after : after.slice(0, command);
    for (const line of setup.filter((each) => each.includes("openat2("))) expect(line).toContain("RESOLVE_IN_ROOT");
    // what takes a path and follows symlinks gets a descriptor instead
    for (const line of setup.filter((each) => /(move_mount|open_tree|mkdirat|mknodat|symlinkat)\(/.test(each))) {
      expect(line).not.toContain("AT_FDCWD");
      expect(line).not.toMatch(/"[^"]*\/[^"]*", \d+\)/);
    }
  });

  test.each(MOUNTING)(
    "covers masked paths and makes others read-only after they are mounted, where the kernel has them: %s",
    (_, make) => {
      const lines = linesOf(make("x64"));
      const proc = position(lines, '# mount on "/proc"');
      // by the first process, where nothing else is mounted there, or by the second
      expect(lines.lastIndexOf('# mount on "/proc"')).toBe(proc);
      const last = (below: string) => lines.findLastIndex((line) => line.startsWith(`# mount on "${below}`));
      for (const action of ['# mask "/proc/keys"', '# mask "/sys/firmware"', '# make "/proc/sys" read-only']) {
        expect(lines.indexOf(action)).toBeGreaterThan(last(action.includes('"/sys') ? "/sys" : "/proc"));
        // a name in the file system itself, or a path with no symlink in it
        const safe = /RESOLVE_NO_SYMLINKS|move_mount\([\w:/-]+, "", mount\d+, "\w+", MOVE_MOUNT_F_EMPTY_PATH\)/;
        expect(lines.slice(lines.indexOf(action), lines.indexOf(action) + 8).join("\n")).toMatch(safe);
      }
      expect(lines.join("\n")).not.toContain("not-here");
    },
  );

  test.each([
    [["/proc/sys/kernel"], ["/proc/sys"]],
    [["/proc/sys"], ["/proc/sys"]],
    [["/proc/keys"], ["/proc"]],
    [["/proc/keys"], ["/proc/."]],
    [["/proc/keys", "//proc/keys"], []],
    [["/proc/keys"], ["/"]],
    [["/proc/keys"], ["/x/../proc"]],
    [["/proc/mounts"], ["/proc/net"]],
  ])("covers what lies in each other one after the other: masked %j, read-only %j", (maskedPaths, readonlyPaths) => {
    const coveredByFirst = (linux: Pick<Spec["linux"], "maskedPaths" | "readonlyPaths">) => {
      const paths = [...(linux.maskedPaths ?? []), ...(linux.readonlyPaths ?? [])];
      const kernelPaths = new Map(paths.map((path) => [path, "directory" as const]));
      const lines = linesOf(planOf(specWith({ linux }), facts({ kernelPaths })));
      const covers = lines.flatMap((line, at) => (/^# (?:mask|make) "\/.*(?:"|read-only)$/.test(line) ? [at] : []));
      return covers.map((at) => at < lines.indexOf("# begin the second process"));
    };
    expect(coveredByFirst({ maskedPaths, readonlyPaths })).toEqual([...maskedPaths, ...readonlyPaths].map(() => false));
    // control: side by side
    expect(coveredByFirst({ maskedPaths: ["/proc/acpi"], readonlyPaths: ["/proc/sys"] })).toEqual([true, false]);
  });
});

describe("namespaces", () => {
  const FLAGS: Partial<Record<NamespaceType, string>> = {
    pid: "CLONE_NEWPID",
    network: "CLONE_NEWNET",
    mount: "CLONE_NEWNS",
    ipc: "CLONE_NEWIPC",
    uts: "CLONE_NEWUTS",
    user: "CLONE_NEWUSER",
  };
  /** In which calls namespaces are made. */
  const makes = (spec: Spec, flag: string) =>
    linesOf(planOf(spec)).filter((line) => /(spawn|unshare)\(/.test(line) && new RegExp(`${flag}\\b`).test(line))
      .length;

  test.each(Object.entries(FLAGS))("%s is made once by %s, and not where it is the host's", (type, flag) => {
    expect(makes(specWith(), flag)).toBe(1);
    expect(makes(specWith({ linux: without(type as NamespaceType) }), flag)).toBe(0);
    for (const other of Object.keys(FLAGS).filter((name) => name !== type)) {
      expect(makes(specWith({ linux: without(other as NamespaceType) }), flag)).toBe(1);
    }
  });

  test("the cgroup namespace is made after the cgroup was joined", () => {
    const lines = linesOf(planOf(specWith(), facts({ cgroup: { tasks: 2, into: false } })));
    expect(lines.findIndex((line) => /unshare\(.*CLONE_NEWCGROUP/.test(line))).toBeGreaterThan(
      lastPosition(lines, 'write(cgroup1, "0", 1)'),
    );
    expect(has(textOf({ linux: without("cgroup") }), "CLONE_NEWCGROUP")).toBe(false);
  });

  test("nothing is done for namespaces that are the host's", () => {
    expect(has(textOf(), "SIOCSIFFLAGS")).toBe(true);
    expect(has(textOf({ linux: without("network") }), "SIOCSIFFLAGS")).toBe(false);
    expect(has(textOf(), 'sethostname("box", 3)')).toBe(true);
    expect(has(textOf({ linux: without("uts") }), "sethostname")).toBe(false);
    expect(has(textOf({ hostname: undefined } as Partial<Spec>), "sethostname")).toBe(false);
    expect(textOf({ linux: without("mount"), mounts: [] })).not.toMatch(/pivot_root|fsopen|move_mount/);
    expect(
      has(
        textOf({ linux: { ...without("user"), uidMappings: undefined } as Partial<Spec["linux"]> }),
        "of the user namespace",
      ),
    ).toBe(false);
  });

  const OWN_USER = ["pid", "network", "mount", "ipc", "uts", "cgroup"] as const;
  test.each(OWN_USER.map((type) => [type, type === "mount" ? "CLONE_NEWNS" : (FLAGS[type] ?? "CLONE_NEWCGROUP")]))(
    "%s is joined by its path, before there is a user namespace of its own, and not made",
    (type, flag) => {
      const spec = specWith({ linux: joining(type), mounts: type === "mount" ? [] : specWith().mounts });
      const lines = linesOf(planOf(spec));
      expect(position(lines, `openat(AT_FDCWD, "/ns/${type}"`)).toBeLessThan(position(lines, "spawn("));
      const joins = position(lines, `setns(${type} namespace, ${flag})`);
      expect(joins).toBeGreaterThan(position(lines, "# begin the process between"));
      expect(joins).toBeLessThan(lastPosition(lines, "spawn({flags=CLONE_VM|CLONE_CHILD_CLEARTID|CLONE_CLEAR_SIGHAND"));
      expect(makes(spec, flag)).toBe(0);
      expect(makes(spec, "CLONE_NEWUSER")).toBe(1);
    },
  );

  test("a user namespace is joined after what the owner's rights allow, and before what it gives rights for", () => {
    const spec = specWith({ linux: joining("user", "network", "pid") });
    const lines = linesOf(planOf(spec));
    const calls = lines.filter((line) => line.includes("setns("));
    expect(calls).toEqual([
      "joined pid = setns(pid namespace, CLONE_NEWPID)  [may fail]",
      "joined network = setns(network namespace, CLONE_NEWNET)  [may fail]",
      "setns(user namespace, CLONE_NEWUSER)",
      "setns(pid namespace, CLONE_NEWPID)",
      "setns(network namespace, CLONE_NEWNET)",
    ]);
    expect(lines).toContain("jumpIf(joined network, 0, ==, → in the network namespace)");
    expect(makes(spec, "CLONE_NEWUSER")).toBe(0);
    expect(lines.join("\n")).not.toContain("uid_map");
  });

  test("who joins uses no memory of the owner's, and nobody may look into it", () => {
    for (const type of ["pid", "user"] as const) {
      const lines = linesOf(planOf(specWith({ linux: joining(type) })));
      const clones = lines.filter((line) => line.includes("spawn("));
      expect(clones[0]).toContain("spawn({flags=CLONE_CLEAR_SIGHAND, exit_signal=SIGCHLD}");
      expect(clones[1]).toContain("CLONE_PARENT");
      const hidden = lines.indexOf("prctl(PR_SET_DUMPABLE, 0)");
      expect(hidden).toBeGreaterThan(position(lines, "# begin the process between"));
      expect(hidden).toBeLessThan(position(lines, "setns("));
      expect(lines).not.toContain("prctl(PR_SET_DUMPABLE, 1)");
    }
    expect(textOf()).not.toMatch(/between|CLONE_PARENT|setns/);
  });

  test("where memory may be out while the sandbox is made, no process of it uses the owner's", () => {
    const planWith = (resources: Resources) => textOf(specWith({ linux: { resources } }));
    for (const resources of [{ memory: { limit: 2 ** 20 } }, { unified: { "memory.max": "1048576" } }]) {
      expect(planWith(resources)).toContain("# begin the process between");
      expect(planWith(resources)).toContain("CLONE_PARENT");
    }
    const within = (crowded: boolean) => textOf({}, facts({ cgroup: { tasks: 1, into: false, crowded } }));
    expect(within(true)).toContain("# begin the process between");
    expect(within(false)).not.toContain("between");
    for (const limit of [-1, 2 ** 24]) expect(planWith({ memory: { limit } })).not.toContain("between");
    expect(planWith({ unified: { "memory.max": "max" } })).not.toContain("between");
  });

  test("the OOM score is written by a process that shares its memory with nobody", () => {
    const lines = linesOf(planOf(specWith({ process: { oomScoreAdj: -5 } })));
    expect(lines.find((line) => line.includes("spawn("))).not.toContain("CLONE_VM");
    expect(lines.indexOf('write(oom, "-5", 2)')).toBeGreaterThan(position(lines, "# begin the process between"));
    expect(lines.indexOf('write(oom, "-5", 2)')).toBeLessThan(position(lines, "# tell the owner the first process"));
    expect(has(printPlan(compileJoin(specWith({ process: { oomScoreAdj: 7 } }), facts())), 'write(oom, "7", 1)')).toBe(
      true,
    );
  });

  test("a time namespace is made with its offsets before the second process", () => {
    const namespaces = [...ALL, "time" as const].map((type) => ({ type }));
    const timeOffsets = { monotonic: { secs: -3, nanosecs: 4 }, boottime: { secs: 86400 } };
    const at = facts({ kernel: [6, 18] });
    const lines = linesOf(planOf(specWith({ linux: { namespaces, timeOffsets } }), at));
    expect(lines).toContain("unshare(CLONE_NEWTIME)");
    expect(lines).toContain('write(offsets, "monotonic -3 4\\nboottime 86400 0\\n", 32)');
    expect(position(lines, "write(offsets")).toBeLessThan(position(lines, "# clone the second process"));
    expect(position(lines, "write(offsets")).toBeGreaterThan(position(lines, "# become 0:0 of the user namespace"));
    expect(() => planOf(specWith({ linux: { timeOffsets } }))).toThrow("the time namespace is not the sandbox's own");
    expect(() => planOf(specWith({ linux: { namespaces } }), facts({ kernel: [6, 0] }))).toThrow("too old");
  });

  test.each<[string, Partial<Spec["linux"]>]>([
    ["it is named twice", { namespaces: [{ type: "pid" }, { type: "pid", path: "/x" }] }],
    ['"ns/pid" is not an absolute path', { namespaces: [{ type: "pid", path: "ns/pid" }] }],
    ["id maps are those of a new one", { namespaces: [{ type: "user", path: "/x" }] }],
    ["id maps are those of a new one", { namespaces: [{ type: "pid" }] }],
    ["need a /proc of its own", { ...joining("mount"), sysctl: { "kernel.msgmax": "1" } }],
    ["need a /proc of its own", { ...joining("mount"), timeOffsets: { boottime: { secs: 1 } } }],
  ])("refused: %s", (why, linux) => {
    expect(() => planOf(specWith({ linux }))).toThrow(why);
  });
});

test.each([
  [0, false, [], false],
  [1, false, ['write(cgroup0, "0", 1)'], false],
  [3, false, ['write(cgroup0, "0", 1)', 'write(cgroup1, "0", 1)', 'write(cgroup2, "0", 1)'], false],
  [0, true, [], true],
  [1, true, ['write(cgroup0, "0", 1)'], true],
])("%d cgroups of version 1 are joined by a write, one of version 2 (%p) by the clone", (tasks, into, writes, flag) => {
  const text = textOf({}, facts({ cgroup: { tasks, into } }));
  const joins = [...text.matchAll(/write\(cgroup\d.*?\)/g)].map(([line]) => line);
  expect(joins).toEqual(writes);
  expect(text.includes("CLONE_INTO_CGROUP")).toBe(flag);
});

describe("root filesystem", () => {
  test("a directory: bound, and made the root itself", () => {
    const text = textOf({}, facts(), beside("directory"));
    expect(has(text, 'move_mount(rootfs, "", AT_FDCWD, "/"')).toBe(true);
    expect(has(text, "overlay")).toBe(false);
    expect(textOf({ root: { path: "/srv/root", readonly: true } }, facts(), beside("directory"))).toContain(
      "{attr_set=MOUNT_ATTR_NODEV|MOUNT_ATTR_RDONLY, propagation=MS_PRIVATE}",
    );
  });

  test("a user opens the directory inside the namespaces, where it is still visible", () => {
    const text = textOf({}, facts({ privileged: false }), beside("directory"));
    expect(has(text, 'open_tree(AT_FDCWD, "/srv/root", OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC|AT_RECURSIVE)')).toBe(true);
  });

  test("an overlay: the directory below a layer in memory", () => {
    const lines = linesOf(planOf(specWith()));
    const order = ['move_mount(rootfs, "", AT_FDCWD, "lower"', 'fsopen("overlay"', "pivot_root("];
    const positions = order.map((text) => position(lines, text));
    expect(positions).toEqual(positions.toSorted((a, b) => a - b));
  });

  test("a tmpfs: with the directories, links and files that it is given", () => {
    const text = textOf({}, facts(), beside("tmpfs"));
    expect(has(text, 'mkdirat(AT_FDCWD, "etc", 493)')).toBe(true);
    expect(has(text, 'symlinkat("usr/bin", AT_FDCWD, "bin")')).toBe(true);
    expect(has(text, "write(file, 3 bytes, 3)")).toBe(true);
  });

  test("an overlay whose upper layer is a directory: both of its parts on one mount, with the ids of the sandbox", () => {
    const how: Beside = { root: { kind: "overlay", layer: "/srv/layer" }, idle: false };
    for (const privileged of [true, false]) {
      const text = textOf({}, facts({ privileged }), how);
      const parts = ['mkdirat(AT_FDCWD, "/srv/layer/upper"', 'layer = open_tree(AT_FDCWD, "/srv/layer"'];
      expect(parts.map((part) => has(text, part))).toEqual([true, true]);
      expect(text).toContain('fsconfig(config, FSCONFIG_SET_STRING, "upperdir", "layer/upper", 0)');
      expect(text).toContain('fsconfig(config, FSCONFIG_SET_STRING, "workdir", "layer/work", 0)');
      const ids = /mount_setattr\(layer, "", AT_EMPTY_PATH\|AT_RECURSIVE, \{attr_set=MOUNT_ATTR_IDMAP/;
      expect(ids.test(text)).toBe(privileged);
    }
  });

  const stacked = (count: number, more: Partial<OverlayRoot> = {}): Beside => ({
    root: { kind: "overlay", layers: Array.from({ length: count }, (_, index) => `${index}ab/fs`), ...more },
    idle: false,
  });
  const lowerdirs = (text: string) => [...text.matchAll(/"(lowerdir\+?)", "([^"]*)"/g)].map(([, key, at]) => [key, at]);

  test.each([
    [0, [["lowerdir", "empty"]]],
    [1, [["lowerdir", "0"]]],
    [3, [["lowerdir", "0:1:2"]]],
  ])("%j layers of an image: one tree of them all, and a short name for each, the top one first", (count, expected) => {
    const text = textOf({}, facts(), stacked(count));
    expect(lowerdirs(text)).toEqual(expected);
    expect(has(text, 'mount("overlay"')).toBe(false);
    expect(text.match(/open_tree\(AT_FDCWD, "\/srv\/root"/g)).toHaveLength(1);
    for (let index = 0; index < count; index++)
      expect(has(text, `symlinkat("lower/${index}ab/fs", AT_FDCWD, "${index}")`)).toBe(true);
  });

  test.each([128, 500])("%d layers, whose names fit in no string: one by one, or in one page by mount(2)", (count) => {
    const text = textOf({}, facts(), stacked(count));
    expect(lowerdirs(text)).toEqual(Array.from({ length: count }, (_, index) => ["lowerdir+", String(index)]));
    const [, options = ""] = /mount\("overlay", "merged", "overlay", MS_NODEV, "([^"]*)"\)/.exec(text) ?? [];
    expect(options).toEndWith(`:${count - 1},upperdir=upper,workdir=work,userxattr`);
    expect(options.length).toBeLessThan(4096);
  });

  test("directories of an image that stay writable are made, and before the root is read-only", () => {
    const spec = specWith({ root: { path: "/srv/root", readonly: true } });
    const lines = linesOf(planOf(spec, facts(), stacked(2, { writable: ["/data/a"] })));
    const kept = position(lines, '# keep "/data/a" writable');
    const calls = lines.slice(kept, kept + 20).join("\n");
    expect(has(calls, 'mkdirat(target, "a", 493)')).toBe(true);
    expect(kept).toBeLessThan(position(lines, '# mount on "/dev"'));
    expect(kept).toBeLessThan(position(lines, 'mount_setattr(AT_FDCWD, "/", 0, {attr_set=MOUNT_ATTR_RDONLY}'));
  });

  test("what is written is passed to the owner before nothing leads to it any more, where that is asked for", () => {
    const lines = linesOf(planOf(specWith(), facts(), stacked(2, { passed: true })));
    const order = [
      'fsopen("overlay"',
      'openat(AT_FDCWD, "upper", O_PATH|O_CLOEXEC, 0)',
      "sendmsg(pass-socket",
      "pivot_root(",
    ];
    const positions = order.map((text) => position(lines, text));
    expect(positions).toEqual(positions.toSorted((a, b) => a - b));
    expect(has(textOf({}, facts(), stacked(2)), "sendmsg")).toBe(false);
  });

  test.each(["overlay", "tmpfs"])("%s: read-only at the end, when mount points have been made", (root) => {
    const lines = linesOf(planOf(specWith({ root: { path: "/srv/root", readonly: true } }), facts(), beside(root)));
    const readOnly = position(lines, 'mount_setattr(AT_FDCWD, "/", 0, {attr_set=MOUNT_ATTR_RDONLY}');
    expect(readOnly).toBeGreaterThan(lines.findLastIndex((line) => line.startsWith("# mount on ")));
    expect(has(textOf({}, facts(), beside(root)), '"/", 0, {attr_set=MOUNT_ATTR_RDONLY}')).toBe(false);
  });
});

describe("a terminal", () => {
  test("comes of the devpts itself, and no name of the root filesystem is followed to it", () => {
    const text = printPlan(planOf(withTerminal(specWith())));
    const steps = text.slice(text.indexOf("# make a terminal"), text.indexOf("# pass the other end"));
    expect(steps).toContain('terminal = openat(mount3, "ptmx", O_RDWR|O_NOCTTY|O_CLOEXEC, 0)');
    expect(steps).toContain("peer = ioctl(terminal, TIOCGPTPEER, O_RDWR|O_NOCTTY|O_CLOEXEC)");
    expect(steps).toContain("ioctl(terminal, TIOCSWINSZ, {30 rows, 100 columns})");
    expect(steps).toContain('console = open_tree(peer, "", OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC|AT_EMPTY_PATH)');
    expect(text).toContain("ioctl(0, TIOCSCTTY, 0)");
  });

  test("of a process that joins: nothing but a devpts is opened, and no symlink is followed", () => {
    const text = printPlan(compileJoin(withTerminal(specWith()), facts()));
    const steps = text.slice(text.indexOf("# make a terminal"), text.indexOf("# pass the other end"));
    expect(steps).toContain(
      'devpts = openat2(AT_FDCWD, "/dev/pts", {O_PATH|O_CLOEXEC, RESOLVE_IN_ROOT|RESOLVE_NO_SYMLINKS}',
    );
    expect(steps).toContain("jumpIf(type, DEVPTS_SUPER_MAGIC, ==, → devpts)\n  fail(ENODEV)");
    expect(steps).toContain('terminal = openat(devpts, "ptmx"');
  });

  test("without a devpts is an error, and without being asked for there is none", () => {
    expect(() => planOf({ ...specWith(), process: { ...specWith().process, terminal: true } })).toThrow("no devpts");
    for (const text of [textOf(), printPlan(compileJoin(fullSpec(), facts()))])
      expect(has(text, "terminal") || has(text, "TIOC")).toBe(false);
  });
});

describe("mounts", () => {
  test.each([
    [["ro"], "MOUNT_ATTR_RDONLY", []],
    [["nosuid", "nodev", "noexec"], "MOUNT_ATTR_NOSUID|MOUNT_ATTR_NODEV|MOUNT_ATTR_NOEXEC", []],
    [["mode=700", "size=64k"], "0", ['"mode", "700"', '"size", "64k"']],
    [["rw", "relatime", "private"], "0", []],
    [["ro", "rw", "noexec", "exec", "defaults", "silent"], "0", []],
    [["noatime", "nodiratime", "nosymfollow"], "MOUNT_ATTR_NOATIME|MOUNT_ATTR_NODIRATIME|MOUNT_ATTR_NOSYMFOLLOW", []],
    [["noatime", "strictatime"], "MOUNT_ATTR_STRICTATIME", []],
    [["strictatime", "relatime"], "0", []],
    [["rro", "rnoexec"], "MOUNT_ATTR_RDONLY|MOUNT_ATTR_NOEXEC", []],
  ])("tmpfs with %j", (options, attributes, data) => {
    const text = textOf({ mounts: [{ destination: "/m", type: "tmpfs", source: "tmpfs", options }] });
    expect(has(text, `mount0 = fsmount(config, FSMOUNT_CLOEXEC, ${attributes})`)).toBe(true);
    const made = text.slice(0, text.indexOf("mount0 = fsmount"));
    const strings = [...made.matchAll(/fsconfig\(config, FSCONFIG_SET_STRING, (.*?), 0\)/g)].map(
      ([, string]) => string,
    );
    expect(strings).toEqual(data);
  });

  test.each([
    // what is read-only at the top only, and what all the way down
    [
      ["rbind", "ro"],
      ["AT_EMPTY_PATH|AT_RECURSIVE, {propagation=MS_PRIVATE}", "AT_EMPTY_PATH, {attr_set=MOUNT_ATTR_RDONLY}"],
    ],
    [["rbind", "rro"], ["AT_EMPTY_PATH|AT_RECURSIVE, {attr_set=MOUNT_ATTR_RDONLY, propagation=MS_PRIVATE}"]],
    [["bind", "ro"], ["AT_EMPTY_PATH|AT_RECURSIVE, {attr_set=MOUNT_ATTR_RDONLY, propagation=MS_PRIVATE}"]],
    [["rbind", "rrw"], ["AT_EMPTY_PATH|AT_RECURSIVE, {attr_clr=MOUNT_ATTR_RDONLY, propagation=MS_PRIVATE}"]],
    [
      ["rbind", "rnoatime", "rro"],
      [
        "AT_EMPTY_PATH|AT_RECURSIVE, {attr_set=MOUNT_ATTR_NOATIME|MOUNT_ATTR_RDONLY, attr_clr=MOUNT_ATTR__ATIME, propagation=MS_PRIVATE}",
      ],
    ],
    [["rbind", "rrelatime"], ["AT_EMPTY_PATH|AT_RECURSIVE, {attr_clr=MOUNT_ATTR__ATIME, propagation=MS_PRIVATE}"]],
    [["rbind", "rslave"], ["AT_EMPTY_PATH|AT_RECURSIVE, {propagation=MS_SLAVE}"]],
    // what is below must not stay shared with the host either
    [["rbind", "slave"], ["AT_EMPTY_PATH|AT_RECURSIVE, {propagation=MS_SLAVE}"]],
    [["rbind", "private"], ["AT_EMPTY_PATH|AT_RECURSIVE, {propagation=MS_PRIVATE}"]],
    [
      ["rbind", "unbindable"],
      ["AT_EMPTY_PATH|AT_RECURSIVE, {propagation=MS_PRIVATE}", "AT_EMPTY_PATH, {propagation=MS_UNBINDABLE}"],
    ],
    [
      ["rbind", "rslave", "rshared"],
      ["AT_EMPTY_PATH|AT_RECURSIVE, {propagation=MS_SLAVE}", "AT_EMPTY_PATH|AT_RECURSIVE, {propagation=MS_SHARED}"],
    ],
    [["bind", "shared"], ["AT_EMPTY_PATH|AT_RECURSIVE, {propagation=MS_SHARED}"]],
    [[], ["AT_EMPTY_PATH|AT_RECURSIVE, {propagation=MS_PRIVATE}"]],
  ] as [string[], string[]][])("a bind mount with %j", (options, expected) => {
    const text = textOf({ mounts: [{ destination: "/in", type: "bind", source: "/src/dir", options }] });
    const made = [...text.matchAll(/mount_setattr\(mount0, "", (.*), 32\)/g)].map(([, call]) => call);
    expect(made).toEqual(expected);
  });

  test("an option that is none of a bind mount is an error", () => {
    for (const option of ["size=1", "nosuchthing", "sync", "rsync", "tmpcopyup", "toString"]) {
      const mounts = [{ destination: "/in", type: "bind", source: "/src/dir", options: ["rbind", option] }];
      expect(() => planOf(specWith({ mounts }))).toThrow(`with the option "${option}"`);
    }
  });

  test("a mount that is there is changed, without following symlinks", () => {
    const text = textOf({ mounts: [{ destination: "/in", options: ["remount", "bind", "ro", "rslave"] }] });
    const step = text.slice(text.indexOf('# change the mount on "/in"')).split("\n#")[0];
    expect(step).toContain("RESOLVE_NO_SYMLINKS");
    expect(step).toContain('mount_setattr(target, "", AT_EMPTY_PATH, {attr_set=MOUNT_ATTR_RDONLY}');
    expect(step).toContain('mount_setattr(target, "", AT_EMPTY_PATH|AT_RECURSIVE, {propagation=MS_SLAVE}');
    expect(has(text, "mount0 =")).toBe(false);
  });

  test("rootfsPropagation is set at the end, and one that is none is an error", () => {
    const text = textOf({ linux: { rootfsPropagation: "rslave" } });
    expect(text).toContain('mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, {propagation=MS_SLAVE}, 32)');
    expect(() => planOf(specWith({ linux: { rootfsPropagation: "ro" } }))).toThrow('rootfsPropagation "ro": unknown');
  });

  test.each(["x64", "arm64"] as const)(
    "tmpcopyup: an overlay of the tmpfs, once the host's root is gone: %s",
    (arch) => {
      const options = ["tmpcopyup", "ro", "size=1m"];
      const mounts = [{ destination: "/full", type: "tmpfs", source: "tmpfs", options }];
      const plan = planOf(specWith({ mounts }), facts({ arch }));
      const step = printPlan(plan.filter(({ action }) => action === 'mount on "/full"')).split("\n");
      const parts = step.map((line) => line.trim());
      for (const tree of ["mount0:below", "mount0", "mount0:merged"]) {
        const waits = parts.indexOf(`alone: ${tree} /full:`);
        expect(waits).toBeGreaterThan(parts.indexOf(`make found ${tree} /full:`));
        expect(parts.findIndex((line, at) => at > waits && line.includes("RESOLVE_NO_MAGICLINKS"))).toBeGreaterThan(
          waits,
        );
      }
      const order = [
        "mount0:below = open_tree(target",
        "move_mount(mount0, ",
        "move_mount(mount0:below, ",
        "mount0:merged = fsmount(config, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY)",
        "move_mount(mount0:merged, ",
      ];
      const found = order.map((line) => parts.findLastIndex((part) => part.startsWith(line)));
      expect(found).toEqual(found.toSorted((x, y) => x - y));
      expect(found).not.toContain(-1);
      expect(() => new Program(plan, arch)).not.toThrow();
    },
  );

  describe("of control groups", () => {
    const mounts = [{ destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["nosuid", "ro"] }];

    test("version 2: one file system", () => {
      const text = textOf({ mounts }, facts({ hierarchies: { v1: [], v2: true } }));
      expect(text).toContain('fsopen("cgroup2"');
      expect(text).toContain("mount0 = fsmount(config, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID|MOUNT_ATTR_RDONLY)");
    });

    test("version 1: one for each hierarchy, links for controllers, and read-only at the end", () => {
      const hierarchies = { v1: [["cpu", "cpuacct"], ["memory"], ["name=systemd"]], v2: true };
      const lines = linesOf(planOf(specWith({ mounts }), facts({ hierarchies })));
      const flag = (name: string) => `fsconfig(config, FSCONFIG_SET_FLAG, "${name}", 0, 0)`;
      for (const name of ["cpu", "cpuacct", "memory", "none"]) expect(lines).toContain(flag(name));
      expect(lines).toContain('fsconfig(config, FSCONFIG_SET_STRING, "name", "systemd", 0)');
      const fill = lines.slice(position(lines, '# fill "/sys/fs/cgroup"'));
      const order = [
        'mkdirat(mount0, "cpu,cpuacct"',
        'move_mount(mount0:unified, "", mount0, "unified"',
        'symlinkat("cpu,cpuacct", mount0, "cpu")',
        "mount_setattr(mount0",
      ];
      const found = order.map((line) => position(fill, line));
      expect(found).toEqual(found.toSorted((a, b) => a - b));
    });

    test("without a cgroup namespace, or without any, is an error", () => {
      const there = facts({ hierarchies: { v1: [], v2: true } });
      expect(() => planOf(specWith({ mounts, linux: without("cgroup") }), there)).toThrow("they would be the host's");
      expect(() => planOf(specWith({ mounts }), facts())).toThrow("the machine has none");
    });
  });

  test("a tree of another sandbox is used as it was passed, and no path of the host is opened", () => {
    const mounts = [{ destination: "/in", type: "bind", source: "/data", options: ["rbind", "rro"] }];
    for (const privileged of [true, false]) {
      const text = textOf({ mounts }, facts({ privileged }), { ...beside(), volumes: ["/in"] });
      expect(text).toContain("mount0 = fcntl(volume for /in, F_DUPFD_CLOEXEC, 10)");
      expect(has(text, '"/data"')).toBe(false);
    }
    const taken = printPlan(compileTake(specWith(), "/data"));
    expect(taken).toContain('"/data/.", {O_PATH|O_CLOEXEC, RESOLVE_IN_ROOT|RESOLVE_NO_MAGICLINKS}');
    expect(taken.indexOf("PR_SET_DUMPABLE")).toBeLessThan(taken.indexOf("setns(sandbox, "));
  });

  test("a source that is to be made is made by whoever opens it", () => {
    const mounts = [{ destination: "/in", type: "bind", source: "/new/dir", options: ["rbind"] }];
    for (const privileged of [true, false]) {
      const lines = linesOf(
        planOf(specWith({ mounts }), facts({ privileged }), { ...beside(), created: ["/new/dir"] }),
      );
      expect(position(lines, 'mkdirat(AT_FDCWD, "/new/dir"')).toBeLessThan(
        position(lines, 'open_tree(AT_FDCWD, "/new/dir"'),
      );
    }
  });

  test("a bind mount's attributes are set on all that lies below it", () => {
    const mounts = [{ destination: "/in", type: "bind", source: "/src/dir", options: ["rbind", "rro", "rnodev"] }];
    for (const privileged of [true, false]) {
      const text = textOf({ mounts }, facts({ privileged }));
      expect(text).toContain(
        'mount_setattr(mount0, "", AT_EMPTY_PATH|AT_RECURSIVE, {attr_set=MOUNT_ATTR_RDONLY|MOUNT_ATTR_NODEV, propagation=MS_PRIVATE}',
      );
      expect(has(text, 'mount0 = open_tree(AT_FDCWD, "/src/dir"')).toBe(true);
    }
  });

  test.each([
    ["/src/file", 'mknodat(target, "x", S_IFREG|0644, 0)'],
    ["/src/dir", 'mkdirat(target, "x", 493)'],
  ])("a missing mount point of %s is made of the same kind, part by part", (source, make) => {
    const text = textOf({ mounts: [{ destination: "/a/b/x", type: "bind", source, options: [] }] });
    for (const line of ['mkdirat(target, "a", 493)', 'mkdirat(target, "b", 493)', make])
      expect(has(text, line)).toBe(true);
  });

  test("/dev gets the standard nodes and links, and nothing else", () => {
    const text = textOf();
    const nodes = [...text.matchAll(/move_mount\(device:(\w+)/g)].map(([, name]) => name);
    expect(nodes).toEqual(["null", "zero", "full", "random", "urandom", "tty"]);
    const links = [...text.matchAll(/symlinkat\("([^"]+)", mount1, "(\w+)"\)/g)].map(
      ([, target, name]) => `${name} → ${target}`,
    );
    expect(links).toEqual([
      "fd → /proc/self/fd",
      "stdin → /proc/self/fd/0",
      "stdout → /proc/self/fd/1",
      "stderr → /proc/self/fd/2",
      "ptmx → pts/ptmx",
    ]);
    expect(has(textOf({ mounts: [] }), "device:")).toBe(false);
  });

  test("a masked file is covered by /dev/null, a directory by an empty file system", () => {
    const text = textOf();
    expect(has(text, 'mask:/proc/keys = open_tree(AT_FDCWD, "/dev/null"')).toBe(true);
    expect(text).toContain("mask:/sys/firmware = fsmount(config, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY)");
  });
});

describe("process", () => {
  const commandText = (process: Partial<Spec["process"]>, linux: Partial<Spec["linux"]> = {}) =>
    textOf({ process, linux });

  test("capabilities that it may not have are dropped from the bounding set, whatever else it is given", () => {
    const text = commandText({
      capabilities: { bounding: ["CAP_CHOWN", "CAP_KILL"], effective: ["CAP_CHOWN"], permitted: ["CAP_CHOWN"] },
    });
    const dropped = [...text.matchAll(/PR_CAPBSET_DROP, (CAP_\w+)/g)].map(([, name]) => name);
    expect(dropped).toHaveLength(39);
    expect(dropped).not.toContain("CAP_CHOWN");
    expect(dropped).toContain("CAP_SYS_ADMIN");
    expect(has(text, "capset({_LINUX_CAPABILITY_VERSION_3}, {effective=[CAP_CHOWN], permitted=[CAP_CHOWN]})")).toBe(
      true,
    );
    expect(commandText({}).match(/PR_CAPBSET_DROP/g)).toHaveLength(41);
  });

  test("ambient capabilities are cleared, then raised", () => {
    const lines = commandText({
      capabilities: {
        bounding: ["CAP_KILL"],
        inheritable: ["CAP_KILL"],
        permitted: ["CAP_KILL"],
        ambient: ["CAP_KILL"],
      },
    })
      .split("\n")
      .map((l) => l.trim());
    expect(position(lines, "prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL")).toBeLessThan(position(lines, "capset("));
    expect(position(lines, "capset(")).toBeLessThan(
      position(lines, "prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL"),
    );
  });

  test("user, groups and umask", () => {
    const text = commandText({ user: { uid: 7, gid: 8, additionalGids: [9, 10], umask: 0o77 } });
    for (const line of ["setgroups(2, [9, 10])", "setresgid(8, 8, 8)", "setresuid(7, 7, 7)", "umask(63)"])
      expect(has(text, line)).toBe(true);
    expect(has(commandText({}), "umask(18)")).toBe(true);
  });

  test("groups that are asked for must be had; none at all may be refused", () => {
    expect(has(commandText({ user: { uid: 7, gid: 8, additionalGids: [9] } }), "setgroups(1, [9])\n")).toBe(true);
    expect(has(commandText({}), "setgroups(0, [])  [EPERM is fine]")).toBe(true);
  });

  test("resource limits", () => {
    const rlimits = [{ type: "RLIMIT_NOFILE", soft: 5, hard: Infinity }];
    expect(has(commandText({ rlimits }), "prlimit64(0, RLIMIT_NOFILE, {5, Infinity}, 0)")).toBe(true);
    expect(() => commandText({ rlimits: [{ type: "RLIMIT_FILES", soft: 1, hard: 1 }] })).toThrow(
      'set the limit "RLIMIT_FILES": unknown',
    );
  });

  test.each<[Partial<Spec["process"]>, string]>([
    [{ execCPUAffinity: { final: "0-1,64" } }, "sched_setaffinity(0, 16, [0-1,64])"],
    [{ ioPriority: { class: "IOPRIO_CLASS_BE", priority: 7 } }, "ioprio_set(IOPRIO_WHO_PROCESS, 0, IOPRIO_CLASS_BE:7)"],
    [{ scheduler: { policy: "SCHED_BATCH", nice: 5 } }, "sched_setattr(0, {policy=SCHED_BATCH, nice=5}, 0)"],
  ])("%j", (process, line) => {
    const lines = linesOf(planOf(specWith({ process })));
    // as long as there are capabilities, and before the filter
    expect(lines.indexOf(line)).toBeGreaterThan(position(lines, "# connect stdin"));
    expect(lines.indexOf(line)).toBeLessThan(lines.indexOf("# set capabilities"));
    expect(has(textOf(), line.slice(0, line.indexOf("(")))).toBe(false);
  });

  test("a scheduler, a CPU list and an I/O priority as the kernel reads them", () => {
    const dataOf = (process: Partial<Spec["process"]>, call: string): number[] => {
      const op = callsOf(planOf(specWith({ process }))).find((each) => each.call === call);
      const data = op?.args.find((arg) => typeof arg === "object" && "data" in arg) as { data: Uint8Array };
      return [...data.data];
    };
    const scheduler = { policy: "SCHED_DEADLINE", runtime: 1, deadline: 2, period: 3 } as const;
    const flagged = { ...scheduler, flags: ["SCHED_FLAG_RECLAIM", "SCHED_FLAG_RESET_ON_FORK"] as const };
    const words32 = new Uint32Array(Uint8Array.from(dataOf({ scheduler: flagged }, "sched_setattr")).buffer);
    // size, policy, flags (2), nice, priority, runtime (2), deadline (2), period (2), util_min, util_max
    expect([...words32]).toEqual([56, 6, 3, 0, 0, 0, 1, 0, 2, 0, 3, 0, 0, 0]);
    expect(dataOf({ execCPUAffinity: { final: "1,3-4" } }, "sched_setaffinity")).toEqual([0x1a, 0, 0, 0, 0, 0, 0, 0]);
  });

  test("personality and domain name", () => {
    expect(has(commandText({}, { personality: { domain: "LINUX32" } }), "personality(PER_LINUX32)")).toBe(true);
    expect(has(textOf({ domainname: "nis" }), 'setdomainname("nis", 3)')).toBe(true);
    expect(textOf()).not.toMatch(/personality|setdomainname/);
    expect(() => textOf({ domainname: "nis", linux: without("uts") })).toThrow("a domain name is that of a new one");
  });

  test("sysctls are written to the mounted proc before anything covers it", () => {
    const sysctl = { "net.ipv4.ip_forward": "1", "net/ipv4/conf/eth0.1/forwarding": "0" };
    const lines = linesOf(planOf(specWith({ linux: { sysctl } })));
    const opened = lines.filter((line) => line.startsWith("sysctl = openat2("));
    expect(opened).toEqual([
      'sysctl = openat2(mount0, "sys/net/ipv4/ip_forward", {O_WRONLY|O_CLOEXEC, RESOLVE_NO_SYMLINKS}, sizeof)',
      'sysctl = openat2(mount0, "sys/net/ipv4/conf/eth0.1/forwarding", {O_WRONLY|O_CLOEXEC, RESOLVE_NO_SYMLINKS}, sizeof)',
    ]);
    expect(lines.indexOf(opened[0] as string)).toBeLessThan(position(lines, "# mount on "));
    expect(lines).toContain('write(sysctl, "1", 1)');
  });

  test("the second process writes them while the first covers the rest of proc: where they are is left to the second", () => {
    const paths = { maskedPaths: ["/proc/keys"], readonlyPaths: ["/proc/sys"] };
    const steps = [
      '# mask "/proc/keys"',
      '# make "/proc/sys" read-only',
      "# begin the second process",
      "# set the sysctl",
    ];
    const [keys = "", sys = "", begin = "", set = ""] = steps;
    const orderOf = (linux: Partial<Spec["linux"]>) =>
      linesOf(planOf(specWith({ linux: { ...paths, ...linux } }))).flatMap(
        (line) => steps.find((step) => line.startsWith(step)) ?? [],
      );
    expect(orderOf({})).toEqual([keys, sys, begin]);
    expect(orderOf({ sysctl: { "kernel.msgmax": "1" } })).toEqual([keys, begin, set, sys]);
  });

  test.each([
    ["net.ipv4.ip_unprivileged_port_start", "before"],
    ["net.ipv6.conf.eth0.accept_ra", "after"],
    ["net/ipv4/neigh/default/gc_thresh1", "after"],
    ["kernel.msgmax", "before"],
  ])("%s is set %s somebody else has made the network ready: only some are of its devices", (name, when) => {
    const how = { ...beside(), networked: true, supervised: ["record"] };
    const lines = linesOf(planOf(specWith({ linux: { sysctl: { [name]: "1" } } }), facts(), how));
    const [set, wait] = [position(lines, "# set the sysctl"), position(lines, "# wait until the network")];
    expect(set < wait ? "before" : "after").toBe(when);
  });

  test.each<[string, Partial<Spec["linux"]>, string]>([
    ["kernel.core_pattern", {}, "it is the whole machine's"],
    ["vm.overcommit_memory", {}, "it is the whole machine's"],
    ["kernel.hostname", {}, "it conflicts with the hostname"],
    ["kernel/hostname", {}, "it conflicts with the hostname"],
    ["net.ipv4.ip_forward", without("network"), "the network namespace is not the sandbox's own"],
    ["kernel.shmmax", without("ipc"), "the ipc namespace is not the sandbox's own"],
    ["fs.mqueue.msg_max", without("ipc"), "the ipc namespace"],
    ["kernel.domainname", without("uts"), "the uts namespace"],
    ["user.max_user_namespaces", without("user"), "the user namespace"],
    ["net/../kernel/core_pattern", {}, "not a name"],
    ["net..ipv4", {}, "not a name"],
    ["net/./x", {}, "not a name"],
    ["/net/x", {}, "not a name"],
  ])("the sysctl %s is refused with %j", (name, linux, why) => {
    expect(() => textOf({ linux: { ...linux, sysctl: { [name]: "1" } } })).toThrow(why);
  });

  test("sysctls need a proc", () => {
    expect(() => textOf({ mounts: [], linux: { sysctl: { "kernel.sem": "1" } } })).toThrow(
      "nothing is mounted on /proc",
    );
  });

  test("an unknown capability is refused", () => {
    expect(() => commandText({ capabilities: { bounding: ["CAP_FLY"] } })).toThrow(
      'use the capability "CAP_FLY": unknown',
    );
  });

  test("no_new_privs and seccomp only where they are asked for", () => {
    const off = commandText({ noNewPrivileges: false }, { seccomp: undefined } as Partial<Spec["linux"]>);
    const command = off.slice(off.indexOf("# connect stdin"));
    expect(command).not.toMatch(/NO_NEW_PRIVS|SECCOMP/);
  });

  test("a command with a slash is executed as it is, one without is looked for in PATH", () => {
    const executed = (process: Partial<Spec["process"]>) => [
      ...new Set([...commandText(process).matchAll(/execve\("([^"]*)"/g)].map(([, path]) => path)),
    ];
    expect(executed({ args: ["bin/x"] })).toEqual(["bin/x"]);
    expect(executed({ args: ["x"], env: ["PATH=/a:/b"] })).toEqual(["/a/x", "/b/x"]);
    expect(executed({ args: ["x"], env: ["PATH=:/b"] })).toEqual(["./x", "/b/x"]);
    expect(executed({ args: ["x"], env: [] })).toContain("/usr/bin/x");
  });
});

describe("joining a sandbox", () => {
  const text = (spec: Spec, at = facts()) => printPlan(compileJoin(spec, at));

  test("makes no namespace, mounts nothing, and shares no memory with the owner", () => {
    const plan = text(fullSpec());
    expect(plan).not.toMatch(/CLONE_VM|CLONE_NEW\w+\|.*exit_signal|fsopen|move_mount|pivot_root|unshare|sethostname/);
    expect(plan.indexOf("prctl(PR_SET_DUMPABLE, 0)")).toBeLessThan(plan.indexOf("setns("));
  });

  test("enters exactly the namespaces that are the sandbox's own, that of the cgroup when it is in it", () => {
    const entered = (spec: Spec) =>
      [...text(spec).matchAll(/setns\(sandbox, ([\w|]+)\)/g)].map(([, names]) => names!.split("|").toSorted());
    const all = ["CLONE_NEWIPC", "CLONE_NEWNET", "CLONE_NEWNS", "CLONE_NEWPID", "CLONE_NEWUSER", "CLONE_NEWUTS"];
    expect(entered(specWith())).toEqual([all, ["CLONE_NEWCGROUP"]]);
    expect(entered(specWith({ linux: without("network", "cgroup") }))).toEqual([
      all.filter((name) => name !== "CLONE_NEWNET"),
    ]);
  });

  test("is in the cgroup before anything of the caller's runs", () => {
    const plan = text(fullSpec(), facts({ cgroup: { tasks: 1, into: false } }));
    expect(plan.indexOf('write(cgroup0, "0", 1)')).toBeGreaterThan(plan.indexOf("setns("));
    expect(plan.indexOf('write(cgroup0, "0", 1)')).toBeLessThan(plan.indexOf("close_range(3, control-1"));
    expect(text(fullSpec(), facts({ cgroup: { tasks: 0, into: true } }))).toContain("CLONE_PIDFD|CLONE_INTO_CGROUP");
  });
});

describe("init", () => {
  test.each(["command", "idle", "group"] as const)(
    "%s: hardened before it listens, and never executes anything",
    (kind) => {
      for (const arch of ["x64", "arm64"] as const) {
        const lines = linesOf(initSteps(kind));
        const order = ["prctl(PR_SET_DUMPABLE, 0)", "prctl(PR_SET_NO_NEW_PRIVS, 1", "ppoll("];
        const positions = order.map((text) => position(lines, text));
        expect(positions).toEqual(positions.toSorted((a, b) => a - b));
        expect(lines.join("\n")).not.toMatch(/exec|open|clone|mount|socket/);
        expect(() => new Program(initSteps(kind), arch)).not.toThrow();
      }
    },
  );

  test("only where there is no pid namespace it takes its process group along", () => {
    const kills = (kind: "command" | "idle" | "group") =>
      printPlan(initSteps(kind)).includes("kill(own process group, SIGKILL)");
    expect([kills("command"), kills("idle"), kills("group")]).toEqual([false, false, true]);
  });
});

test.each<[string, object]>([
  ["hooks", { hooks: { prestart: [] } }],
  ["process.apparmorProfile", { process: { apparmorProfile: "x" } }],
  ["process.selinuxLabel", { process: { selinuxLabel: "x" } }],
  ["process.user.username", { process: { user: { uid: 0, gid: 0, username: "x" } } }],
  ["linux.intelRdt", { linux: { intelRdt: {} } }],
  ["linux.devices", { linux: { devices: [] } }],
  ["linux.personality.flags", { linux: { personality: { domain: "LINUX", flags: [] } } }],
  ["linux.resources.vtpms", { linux: { resources: { vtpms: {} } } }],
  ["mounts[].label", { mounts: [{ destination: "/x", type: "tmpfs", label: "x" }] }],
])("a specification with %s is refused rather than compiled without it", (field, changes) => {
  expect(() => planOf(specWith(changes as Parameters<typeof specWith>[0]))).toThrow(
    `use "${field}" of the specification: not supported`,
  );
});

describe("ids of files in mounts", () => {
  const bind = (options: string[], more: object = {}) => ({
    mounts: [{ destination: "/in", type: "bind", source: "/src/dir", options, ...more }],
  });
  const own = { uidMappings: MAP, gidMappings: MAP };
  const calls = (changes: Parameters<typeof specWith>[0]) =>
    linesOf(planOf(specWith(changes))).filter((line) => /^mount_setattr\(mount0.*IDMAP/.test(line));

  test.each<[string[], string | undefined]>([
    [["rbind"], undefined],
    [["rbind", "idmap"], "AT_EMPTY_PATH"],
    [["rbind", "ridmap"], "AT_EMPTY_PATH|AT_RECURSIVE"],
  ])("%j: mapped with %s", (options, how) => {
    const attr = "{attr_set=MOUNT_ATTR_IDMAP, userns_fd=ids}, 32)";
    const lines = how === undefined ? [] : [`mount_setattr(mount0, "", ${how}, ${attr}`];
    expect(calls(bind(options))).toEqual(lines);
    expect(calls(bind(options, own))).toEqual(
      how === undefined ? [`mount_setattr(mount0, "", AT_EMPTY_PATH, ${attr}`] : lines,
    );
  });

  test("a map of its own is that of a user namespace that is made, and never entered", () => {
    const lines = linesOf(planOf(specWith(bind(["ridmap"], own))));
    const step = lines.slice(position(lines, '# map the ids of files in the mount on "/in"'));
    expect(step.find((line) => line.includes("spawn("))).toContain("CLONE_NEWUSER, exit_signal");
    expect(position(step, "wait4(mapped, 0, 0, 0)")).toBeLessThan(position(step, "mount_setattr(mount0"));
    expect(position(step, "mount_setattr(mount0")).toBeLessThan(position(step, "# clone the sandbox's first process"));
    expect(lines.join("\n")).not.toContain("setns(");
  });

  test.each<[string, Parameters<typeof specWith>[0], Partial<Facts>]>([
    ["only root may", bind(["idmap"]), { privileged: false }],
    ["only root may", bind([], own), { privileged: false }],
    ["a map of users needs one of groups", bind([], { uidMappings: MAP }), {}],
    ["there is no user namespace", { ...bind(["idmap"]), linux: without("user") }, {}],
    ["only a new bind mount", { mounts: [{ destination: "/t", type: "tmpfs", options: ["idmap"] }] }, {}],
  ])("refused: %s", (why, changes, at) => {
    expect(() => planOf(specWith(changes), facts(at))).toThrow(why);
  });
});

describe("maps of subordinate ids", () => {
  const maps = [
    { containerID: 0, hostID: 1000, size: 1 },
    { containerID: 1, hostID: 100_000, size: 65536 },
  ];
  const idMapper = { newuidmap: "/usr/bin/newuidmap", newgidmap: "/usr/bin/newgidmap" };
  const lines = () =>
    linesOf(planOf(specWith({ linux: { uidMappings: maps } }), facts({ privileged: false, idMapper })));

  test("are written by the two programs, without a shell, before the first process goes on", () => {
    const [uid, gid, go] = [
      position(lines(), "# have /usr/bin/newuidmap write an id map"),
      position(lines(), "# have /usr/bin/newgidmap write an id map"),
      position(lines(), "# tell the first process to go on"),
    ];
    expect([uid, gid, go]).toEqual([uid, gid, go].toSorted((a, b) => a - b));
    expect(uid).toBeGreaterThan(position(lines(), "# clone the sandbox's first process"));
    expect(lines()).toContain(
      'execve("/usr/bin/newuidmap", ["newuidmap", "PID", "0", "1000", "1", "1", "100000", "65536"], [])',
    );
    expect(lines().join("\n")).not.toMatch(/openat\(process|"setgroups"|"uid_map"/);
  });

  test("a program that fails fails the plan", () => {
    const step = lines().slice(position(lines(), "# have /usr/bin/newuidmap"));
    const waits = step.findIndex((line) => line.startsWith("wait4(newuidmap"));
    expect(step.slice(waits + 1, waits + 4)).toEqual([
      "status = load(wait status, 4)",
      "jumpIf(status, 0, ==, → newuidmap has written)",
      "fail(EPERM)",
    ]);
  });
});

describe("what the owner's thread walks", () => {
  const binds = [{ destination: "/a", type: "bind", source: "/src/dir", options: ["rbind", "idmap"] }];
  const owned = ([spec, changes]: [Spec, Partial<Facts>]) => {
    const { plan, owner } = compile(spec, { root: { kind: "overlay" }, idle: false }, facts(changes));
    const ops = plan.flatMap((step) => step.ops);
    return { ops: ops.slice(0, ops.findIndex((op) => op.call === "end") + 1), owner };
  };
  const WAYS: [string, [Spec, Partial<Facts>]][] = [
    ["root", [specWith({ mounts: binds }), {}]],
    [
      "an ordinary user",
      [specWith({ mounts: binds.map((bind) => ({ ...bind, options: ["rbind"] })) }), { privileged: false }],
    ],
    ["root in its own user namespace", [specWith({ linux: { ...without("user"), uidMappings: undefined } }), {}]],
  ];

  test.each(WAYS)("clones with signals held back, and lets them go: %s", (_, way) => {
    const { ops } = owned(way);
    const calls = ops.map((op) => op.call);
    expect(calls[0]).toBe("rt_sigprocmask");
    expect(calls.slice(-2)).toEqual(["rt_sigprocmask", "end"]);
    expect(calls.filter((call) => call === "spawn")).toEqual(["spawn"]);
    expect(ops.some((op) => op.label === "first" && op.call === "label")).toBe(false);
  });

  test.each(WAYS)("closes what it has opened, also where a step fails: %s", (_, way) => {
    const { ops, owner } = owned(way);
    const opened = ops.flatMap((op) => (["openat", "open_tree"].includes(op.call) ? [op.out as string] : []));
    if (ops.some((op) => op.call === "pipe2")) opened.push("go-read", "go-write");
    const closed = ops.flatMap(({ call, args: [fd] }) => (call === "close" ? [(fd as { ref: string }).ref] : []));
    expect(new Set(closed)).toEqual(new Set(opened));
    expect(owner.opened).toEqual(expect.arrayContaining([...new Set(opened)]));
  });
});

test("what becomes a supervisor shares no result with the processes that walk the same memory at that time", () => {
  for (const spec of [fullSpec(), withTerminal(fullSpec())]) {
    const plan = planOf(spec, facts(), { ...beside(), supervised: SUPERVISED });
    const at = plan.findIndex(({ action }) => action === "become the supervisor");
    const image = plan.findIndex(({ ops }) => ops.some(({ label }) => label === IMAGE));
    expect([at > 0, image > at]).toEqual([true, true]);
    const own = plan[at]?.ops ?? [];
    const slots = new Set([
      ...own.flatMap(({ out = "" }) => out),
      ...own.flatMap(({ args }) => args.map((argument) => (argument as { ref?: string }).ref ?? "")),
    ]);
    slots.delete("");
    const others = plan.slice(at + 1, image).flatMap(({ ops }) => ops.flatMap(({ out }) => out ?? []));
    expect(others.filter((slot) => slots.has(slot))).toEqual([]);
    expect(others).toContain("null");
  }
});
