/**
 * Compiles an OCI runtime specification into the plan that makes the sandbox. Pure: what has to be known about the
 * machine comes in as facts, so a plan can be printed and tested without root.
 * @module
 */
import { buffer, cstring, named, ref, stringArray, TsboxError, words } from "../../syscalls/index.ts";
import type { Arch, Data, Op, Plan, Step } from "../../syscalls/index.ts";
import type { Mount, NamespaceType, Spec } from "../spec/index.ts";
import { commandSteps } from "./command.ts";
import { flags } from "./constants.ts";
import { attach, configuredMount, openSource, setAttributes } from "./mounts.ts";

/** What the specification cannot say. */
export interface Beside {
  /**
   * `directory`: the root path itself. `overlay`: the root path under a writable layer in memory. `tmpfs`: an empty
   * root that the mounts fill, with these directories, links and files.
   */
  root: { kind: "directory" | "overlay" } | { kind: "tmpfs"; entries: RootEntry[] };
  /** No command: init waits for its owner. */
  idle: boolean;
}

export interface RootEntry {
  path: string;
  directory?: number;
  symlink?: string;
  file?: Uint8Array;
}

/** What the machine is like. */
export interface Facts {
  arch: Arch;
  /** The caller may open mounts itself, before the clone: sources are bound as `source:PATH`. */
  privileged: boolean;
  /** The kind of each bind mount's source. */
  sources: ReadonlyMap<string, "file" | "directory">;
  /** The kind of those masked and read-only paths that this kernel has. */
  kernelPaths: ReadonlyMap<string, "file" | "directory">;
  /** How many cgroup v1 `tasks` descriptors are bound as `cgroup0`, `cgroup1`, … */
  joins: number;
}

export interface SandboxPlan {
  plan: Plan;
  /** `struct clone_args` of the first process. */
  cloneArgs: Data;
  /** Words that the kernel clears when the two processes no longer use the arena. */
  inUse: Data;
}

const STACK_BYTES = 8192;
const NEW: Record<NamespaceType, Parameters<typeof flags>[0] | undefined> = {
  pid: "CLONE_NEWPID",
  network: "CLONE_NEWNET",
  mount: "CLONE_NEWNS",
  ipc: "CLONE_NEWIPC",
  uts: "CLONE_NEWUTS",
  user: "CLONE_NEWUSER",
  cgroup: undefined, // after the cgroup was joined
  time: undefined,
};

/** @throws TsboxError `invalid_option`, `unsupported` */
export function compile(spec: Spec, beside: Beside, facts: Facts): SandboxPlan {
  const inUse = words("in use", 1, beside.idle ? 0 : 1);
  const has = (type: NamespaceType) => spec.linux.namespaces.some((n) => n.type === type);
  const setup: Plan = [...enterSteps(spec, facts, has), ...filesystemSteps(spec, beside, facts, has)];
  if (spec.hostname !== undefined && has("uts")) {
    const name = cstring(spec.hostname);
    setup.push({
      action: `set the hostname "${spec.hostname}"`,
      ops: [{ call: "sethostname", args: [name, name.data.length - 1] }],
    });
  }
  if (has("network")) setup.push(loopbackUp());
  setup.push(...startSteps(beside, inUse));
  if (!beside.idle) setup.push(...commandSteps(spec, facts, inUse));
  const cloneFlags = flags(
    "CLONE_VM",
    "CLONE_CHILD_CLEARTID",
    "CLONE_CLEAR_SIGHAND",
    ...spec.linux.namespaces.flatMap((n) => NEW[n.type] ?? []),
  );
  const cloneArgs = cloneArguments(cloneFlags, inUse, 0);
  // the owner makes this call itself; the new process goes on behind the label
  setup.unshift({
    action: "clone the sandbox's first process into its namespaces",
    ops: [
      { call: "spawn", args: [cloneArgs, 88], label: "first" },
      { call: "label", args: [], label: "first" },
    ],
  });
  return { plan: setup, cloneArgs, inUse };
}

/** @see clone(2), struct clone_args */
function cloneArguments(cloneFlags: ReturnType<typeof flags>, inUse: Data, word: 0 | 8): Data {
  const stack = buffer("stack", STACK_BYTES, 16);
  const tid: Data = word === 0 ? inUse : { data: new Uint8Array(0), text: "" };
  const args = words(
    `{flags=${cloneFlags.text}, exit_signal=SIGCHLD}`,
    cloneFlags.value,
    0,
    0,
    0,
    17,
    0,
    STACK_BYTES,
    0,
    0,
    0,
    0,
  );
  args.pointers = [{ offset: 40, to: stack }];
  if (tid === inUse) args.pointers.push({ offset: 16, to: inUse });
  return args;
}

function enterSteps(spec: Spec, facts: Facts, has: (type: NamespaceType) => boolean): Plan {
  const steps: Plan = [];
  const byte = buffer("byte", 8);
  if (facts.joins > 0) {
    const zero = cstring("0");
    steps.push({
      action: "join the cgroup",
      ops: Array.from({ length: facts.joins }, (_, i) => ({
        call: "write" as const,
        args: [ref(`cgroup${i}`), zero, 1],
      })),
    });
  }
  if (has("cgroup")) {
    steps.push({
      action: "make a cgroup namespace, rooted where this process now is",
      ops: [{ call: "unshare", args: [flags("CLONE_NEWCGROUP")] }],
    });
  }
  steps.push({
    action: "wait until the owner has written the id maps",
    ops: [
      { call: "read", args: [ref("control"), byte, 1], out: "go" },
      { call: "jumpIf", args: [ref("go"), 1, 0], label: "go" },
      { call: "exit_group", args: [1] },
      { call: "label", args: [], label: "go" },
      { call: "setsid", args: [], onError: "ignore" },
    ],
  });
  if (has("user")) {
    const uid = spec.linux.uidMappings?.[0]?.containerID ?? 0;
    const gid = spec.linux.gidMappings?.[0]?.containerID ?? 0;
    steps.push({
      action: `become ${uid}:${gid} of the user namespace`,
      ops: [
        { call: "setresgid", args: [gid, gid, gid] },
        { call: "setresuid", args: [uid, uid, uid] },
        // the change of user cleared the flag of the address space, which is still the parent's too
        { call: "prctl", args: [flags("PR_SET_DUMPABLE"), 1] },
      ],
    });
  }
  return steps;
}

function filesystemSteps(spec: Spec, beside: Beside, facts: Facts, has: (t: NamespaceType) => boolean): Plan {
  const steps: Plan = [
    {
      action: "keep mounts of this namespace to itself",
      ops: [
        {
          call: "mount_setattr",
          args: [
            flags("AT_FDCWD"),
            cstring("/"),
            flags("AT_RECURSIVE"),
            words("{propagation=MS_PRIVATE}", 0, 0, 0x40000, 0),
            32,
          ],
        },
      ],
    },
  ];
  // sources and new file systems are opened while the host is still visible: a kernel lets a user namespace mount
  // proc and sysfs only then
  const mounts = spec.mounts.map((mount, index) => ({ mount, tree: `tree${index}` }));
  const open = mounts.map(({ mount, tree }) => openMount(mount, tree, facts, has("network") || !has("user")));
  const devices = deviceSources(spec);
  open.push(...devices.map((path) => openSource(path, `device:${path}`, false)));
  const masks = (spec.linux.maskedPaths ?? []).filter((path) => facts.kernelPaths.get(path) === "directory");
  open.push(
    ...masks.map((path) =>
      configuredMount("tmpfs", `mask:${path}`, [], ["MOUNT_ATTR_RDONLY"], `a cover for "${path}"`),
    ),
  );
  steps.push(...rootSteps(spec, beside, facts, open));
  for (const { mount, tree } of mounts) {
    steps.push(...attach(mount.destination, tree, facts.sources.get(mount.source ?? "") ?? "directory"));
    if (mount.destination === "/dev") steps.push(...deviceSteps(devices));
  }
  steps.push(...protectSteps(spec, facts));
  if (spec.root.readonly) {
    steps.push({
      action: "make the root filesystem read-only",
      ops: [setAttributes("/", ["MOUNT_ATTR_RDONLY"], false)],
    });
  }
  return steps;
}

const DEVICES = ["null", "zero", "full", "random", "urandom", "tty"];

function deviceSources(spec: Spec): string[] {
  return spec.mounts.some((m) => m.destination === "/dev" && m.type === "tmpfs") ? DEVICES.map((d) => `/dev/${d}`) : [];
}

/** Device nodes are the host's, bound one by one: a user namespace may not make any. */
function deviceSteps(devices: string[]): Plan {
  if (devices.length === 0) return [];
  const link = (target: string, path: string): Op => ({
    call: "symlinkat",
    args: [cstring(target), flags("AT_FDCWD"), cstring(path)],
  });
  return [
    ...devices.flatMap((path) => attach(path, `device:${path}`, "file")),
    {
      action: "link the standard names in /dev",
      ops: [
        link("/proc/self/fd", "/dev/fd"),
        link("/proc/self/fd/0", "/dev/stdin"),
        link("/proc/self/fd/1", "/dev/stdout"),
        link("/proc/self/fd/2", "/dev/stderr"),
        link("pts/ptmx", "/dev/ptmx"),
      ],
    },
  ];
}

function openMount(mount: Mount, tree: string, facts: Facts, ownSysfs: boolean): Step {
  const options = mount.options ?? [];
  if (mount.type === "bind" || options.includes("bind") || options.includes("rbind")) {
    return openSource(mount.source ?? "", tree, options.includes("rbind"), options, facts.privileged);
  }
  if (mount.type === "sysfs" && !ownSysfs) {
    // sysfs shows a network namespace: one of the host's cannot be mounted from a user namespace
    return openSource("/sys", tree, true, options, false);
  }
  const attributes = options.flatMap((option) => ATTRIBUTE_OPTIONS[option] ?? []);
  const data = options.filter((option) => !(option in ATTRIBUTE_OPTIONS) && !PROPAGATION.has(option));
  return configuredMount(mount.type ?? "", tree, data, attributes, `"${mount.destination}"`);
}

const PROPAGATION = new Set(["rw", "suid", "dev", "exec", "relatime", "private", "rprivate", "slave", "rslave"]);
export const ATTRIBUTE_OPTIONS: Record<string, Parameters<typeof flags>> = {
  ro: ["MOUNT_ATTR_RDONLY"],
  nosuid: ["MOUNT_ATTR_NOSUID"],
  nodev: ["MOUNT_ATTR_NODEV"],
  noexec: ["MOUNT_ATTR_NOEXEC"],
  strictatime: ["MOUNT_ATTR_STRICTATIME"],
};

/** Puts the root filesystem together over "/", makes it the root, and drops the host's. */
function rootSteps(spec: Spec, beside: Beside, facts: Facts, open: Plan): Plan {
  const here = flags("AT_FDCWD");
  const cover = (tree: string): Op[] => [
    { call: "move_mount", args: [ref(tree), cstring(""), here, cstring("/"), flags("MOVE_MOUNT_F_EMPTY_PATH")] },
    { call: "fchdir", args: [ref(tree)] },
  ];
  const steps: Plan = [...open];
  if (beside.root.kind === "tmpfs") {
    const make = configuredMount(
      "tmpfs",
      "root",
      ["mode=755"],
      ["MOUNT_ATTR_NODEV", "MOUNT_ATTR_NOSUID"],
      "the root filesystem",
    );
    steps.push({ action: make.action, ops: [...make.ops, ...cover("root")] });
    steps.push({ action: "lay out the root filesystem", ops: beside.root.entries.flatMap(entryOps) });
  } else {
    const source = openSource(spec.root.path, "rootfs", true, ["nodev"], facts.privileged);
    steps.push(source);
    if (beside.root.kind === "directory")
      steps.push({ action: "take it as the root", ops: cover("rootfs"), path: spec.root.path });
    else steps.push(...overlaySteps(cover));
  }
  steps.push({
    action: "make it the root and drop the host's",
    ops: [
      { call: "pivot_root", args: [cstring("."), cstring(".")] },
      { call: "umount2", args: [cstring("."), flags("MNT_DETACH")] },
      { call: "chdir", args: [cstring("/")] },
    ],
  });
  return steps;
}

function overlaySteps(cover: (tree: string) => Op[]): Plan {
  const here = flags("AT_FDCWD");
  const scratch = configuredMount("tmpfs", "layers", ["mode=755"], [], "the writable layer");
  const overlay = configuredMount(
    "overlay",
    "merged",
    ["lowerdir=lower", "upperdir=upper", "workdir=work", "userxattr"],
    ["MOUNT_ATTR_NODEV"],
    "the root filesystem",
  );
  const mkdir = (name: string): Op => ({ call: "mkdirat", args: [here, cstring(name), 0o755] });
  const move = (tree: string, to: string): Op => ({
    call: "move_mount",
    args: [ref(tree), cstring(""), here, cstring(to), flags("MOVE_MOUNT_F_EMPTY_PATH")],
  });
  return [
    {
      action: scratch.action,
      ops: [...scratch.ops, ...cover("layers"), ...["lower", "upper", "work", "merged"].map(mkdir)],
    },
    {
      ...overlay,
      ops: [
        move("rootfs", "lower"),
        ...overlay.ops,
        move("merged", "merged"),
        { call: "chdir", args: [cstring("merged")] },
      ],
    },
  ];
}

function entryOps(entry: RootEntry): Op[] {
  const here = flags("AT_FDCWD");
  const path = cstring(entry.path.slice(1));
  if (entry.symlink !== undefined) return [{ call: "symlinkat", args: [cstring(entry.symlink), here, path] }];
  if (entry.directory !== undefined) {
    const ops: Op[] = [{ call: "mkdirat", args: [here, path, entry.directory & 0o777] }];
    if (entry.directory & 0o1000) ops.push({ call: "fchmodat", args: [here, path, entry.directory] });
    return ops;
  }
  const content = entry.file ?? new Uint8Array();
  const [O_WRONLY_CREAT] = [0o101];
  return [
    { call: "openat", args: [here, path, named("O_WRONLY|O_CREAT", O_WRONLY_CREAT), 0o644], out: "file" },
    { call: "write", args: [ref("file"), { data: content, text: `${content.length} bytes` }, content.length] },
    { call: "close", args: [ref("file")] },
  ];
}

function protectSteps(spec: Spec, facts: Facts): Plan {
  const steps: Plan = [];
  for (const path of spec.linux.maskedPaths ?? []) {
    const kind = facts.kernelPaths.get(path);
    if (kind === "directory") steps.push(...attach(path, `mask:${path}`, "directory", false));
    if (kind === "file") {
      const source = openSource("/dev/null", `mask:${path}`, false);
      const [put] = attach(path, `mask:${path}`, "file", false);
      steps.push({ action: `mask "${path}"`, ops: [...source.ops, ...(put as Step).ops], path });
    }
  }
  for (const path of spec.linux.readonlyPaths ?? []) {
    if (!facts.kernelPaths.has(path)) continue;
    const source = openSource(path, `ro:${path}`, true, ["ro", "nosuid", "nodev", "noexec"]);
    const [put] = attach(path, `ro:${path}`, "directory", false);
    steps.push({ action: `make "${path}" read-only`, ops: [...source.ops, ...(put as Step).ops], path });
  }
  return steps;
}

function loopbackUp(): Step {
  const request = buffer('{ifr_name="lo", ifr_flags=IFF_UP}', 40);
  request.data.set([0x6c, 0x6f]);
  request.data[16] = 1;
  return {
    action: "bring the loopback interface up",
    ops: [
      { call: "socket", args: [flags("AF_INET"), flags("SOCK_DGRAM", "SOCK_CLOEXEC"), 0], out: "socket" },
      { call: "ioctl", args: [ref("socket"), flags("SIOCSIFFLAGS"), request] },
      { call: "close", args: [ref("socket")] },
    ],
  };
}

/** Clones the command's process, which waits, and becomes init. */
function startSteps(beside: Beside, inUse: Data): Plan {
  const steps: Plan = [];
  if (!beside.idle) {
    const args = cloneArguments(flags("CLONE_VM", "CLONE_CHILD_CLEARTID"), inUse, 8);
    const address: Op = { call: "store", args: [{ at: args, offset: 16 }, { at: inUse, offset: 8 }, 8] };
    steps.push({
      action: "clone the command's process",
      ops: [address, { call: "spawn", args: [args, 88], label: "command" }],
    });
  }
  steps.push({
    action: "become init",
    ops: [
      { call: "dup3", args: [ref("control"), 3, 0], onError: { ignore: "EINVAL" } },
      { call: "fcntl", args: [3, named("F_SETFD", 2), 0] },
      { call: "close_range", args: [0, 2, 0] },
      { call: "close_range", args: [4, named("~0U", 0xffffffff), flags("CLOSE_RANGE_CLOEXEC")] },
      {
        call: "execveat",
        args: [ref("init"), cstring(""), stringArray(["tsbox-init"]), stringArray([]), flags("AT_EMPTY_PATH")],
      },
    ],
  });
  return steps;
}

/** Refuses what this compiler does not know rather than ignoring it. */
export function checkSupported(spec: Spec): void {
  for (const namespace of spec.linux.namespaces) {
    if (namespace.path !== undefined || namespace.type === "time") {
      throw new TsboxError(
        `use the ${namespace.type} namespace: joining one and time namespaces are not supported yet`,
        {
          code: "unsupported",
        },
      );
    }
  }
}
