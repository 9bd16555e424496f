/**
 * Compiles an OCI runtime specification into the plan that makes the sandbox. Pure: what has to be known about the
 * machine comes in as facts, so a plan can be printed and tested without root.
 *
 * A plan is walked by the owner's thread and by two processes. The owner clones the first into new namespaces. The first
 * opens what is to be mounted and changes the root, clones the second, and becomes init. The second mounts the rest, and
 * becomes the command.
 * @module
 */
import { cstring, named, ref, stringArray, structure, words } from "../../syscalls/index.ts";
import type { Arch, Data, Named, Op, Plan, Step } from "../../syscalls/index.ts";
import type { DeviceNode, NamespaceType, Spec } from "../spec/index.ts";
import { affinityStep } from "./attributes.ts";
import { agentSteps } from "./agent.ts";
import type { CgroupHierarchies } from "./cgroup-mount.ts";
import { byte, cloneStep, F_DUPFD_CLOEXEC, NEW, SESSION } from "./clone.ts";
import { aloneStep, commandSteps, waitForInit, restrictsEarly } from "./command.ts";
import { executeStep } from "./execute.ts";
import { flags } from "./constants.ts";
import { betweenSteps, filesystemSteps, hostSteps } from "./filesystem.ts";
import type { SecurityModules } from "./labels.ts";
import { checkMountIds } from "./mount-ids.ts";
import { checkMount } from "./mount-options.ts";
import { CONTROL_FD, initSteps, PIDFD, type InitKind } from "./init.ts";
import { checkTime, timeSteps } from "./time.ts";
import { checkSupported } from "./supported.ts";
import { LIFELINE, ownProcess } from "./supervised.ts";
import { checkSysctl, isOfDevice, sysctlSteps } from "./sysctl.ts";
import type { IdMapper } from "./id-maps.ts";
import { NETWORK_SOCKETS, networkSocketSteps, ONE_SOCKET, untilNetworkAnswered } from "./network-sockets.ts";
import { checkNamespaces, intermediateSteps, isApart, isJoined, isOwn, isWatched, oomStep } from "./intermediate.ts";
import { readyOp, tellOfNetwork, untilNetworked } from "./reach.ts";
import { joinedTerminalSteps, terminalSteps } from "./terminal.ts";
import { firstClone, inOwnersThread, LATER, ownerPart, type OwnerPart } from "./owner.ts";

/** What the specification cannot say. */
export interface Beside {
  root: Root;
  /** No command: init waits for processes that join. */
  idle: boolean;
  /** The id maps are to be of a range that no other sandbox has: those in the specification are an example. */
  ownIds?: boolean;
  /** Sources of bind mounts that are made, as directories, where they do not exist. */
  created?: readonly string[];
  /** Directories in the sources of bind mounts that are mounted rather than all of those, by mount points. */
  subpaths?: Readonly<Record<string, string>>;
  /** Images that are mounted, by mount points. */
  images?: Readonly<Record<string, ImageTree>>;
  /** What is in files that are mounted, by mount points; of any type in the specification. */
  files?: Readonly<Record<string, MountedFile>>;
  /** Mount points of bind mounts whose trees come from other sandboxes, each bound as {@link volumeSlot}. */
  volumes?: readonly string[];
  /** Nodes that the owner makes, as the container's processes may not. */
  nodes?: readonly DeviceNode[];
  /** The owner is a process of its own that becomes a supervisor, and keeps what is bound as these. */
  supervised?: readonly string[];
  /** It waits until its network is made ready by somebody else. */
  networked?: boolean;
  /** Sockets of its network are passed to the owner, and it waits until that has made the network ready: all, or one. */
  sockets?: "all" | "one";
}

/**
 * `directory`: the root path itself. `overlay`: the root path under a writable layer in memory. `tmpfs`: an empty
 * root that the mounts fill, with these directories, links and files.
 */
export type Root =
  | { kind: "directory" }
  /** The root path with all that it holds, devices and owners as they are: what a container of a bundle has. */
  | { kind: "bundle" }
  | OverlayRoot
  | {
      kind: "tmpfs";
      entries: RootEntry[];
      limit?: DiskLimit;
      /** Directories that can be written even where the rest cannot. */
      writable?: readonly string[];
    };

/** A file of the sandbox's own, which nobody can write. */
export interface MountedFile {
  content: Uint8Array;
  /** Of the sandbox's users; default root, and 0o644. */
  mode?: number;
  uid?: number;
  gid?: number;
}

export interface OverlayRoot {
  kind: "overlay";
  limit?: DiskLimit;
  /** A directory of the host that what is written is kept in, rather than memory. */
  layer?: string;
  /** Directories of the root path, top first, that lie on each other instead of it: the layers of an image. */
  layers?: readonly string[];
  /** Directories that can be written even where the rest cannot; made where they do not exist. */
  writable?: readonly string[];
  /** The directory of what is written is passed to the owner. */
  passed?: boolean;
}

/** Layers that lie on each other. */
export interface ImageTree {
  /** Absolute; that the layers are in. */
  directory: string;
  /** Paths below it, top first. */
  layers: readonly string[];
  /** A directory in them that is mounted rather than all. */
  subpath?: string;
}

/** Of what can be written in memory: without one, it is half of the machine's. */
export interface DiskLimit {
  sizeBytes: number;
  inodes: number;
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
  /** The owner is root: it opens the sources of mounts itself, rather than a process in the user namespace. */
  privileged: boolean;
  /** The kind of each bind mount's source. */
  sources: ReadonlyMap<string, "file" | "directory">;
  /** The kind of those masked and read-only paths that this kernel has. */
  kernelPaths: ReadonlyMap<string, "file" | "directory">;
  /**
   * How the cgroup is joined: so many v1 `tasks` files are bound as `cgroup0`, `cgroup1`, …, and the clone goes into a
   * v2 directory, bound as `cgroup`. In a crowded one, others may use up the memory.
   */
  cgroup: { tasks: number; into: boolean; crowded?: boolean };
  /** Where the specification mounts cgroups. */
  hierarchies?: CgroupHierarchies;
  /** Where the id maps are for its programs to write. */
  idMapper?: IdMapper;
  /** Major and minor version, where the specification asks for something that older ones have not. */
  kernel?: readonly [major: number, minor: number];
  /** Where the specification has labels for them. */
  modules?: SecurityModules;
}

/** A command, one that nobody waits for, or what makes calls for its owner. */
export type JoinKind = "command" | "detached" | "agent";

/** A plan that begins in the owner's thread. */
export interface OwnedPlan {
  plan: Plan;
  owner: Omit<OwnerPart, "steps">;
  /** Words that the kernel clears when the processes no longer use the memory of the plan. */
  inUse: Data;
}

export interface SandboxPlan extends OwnedPlan {
  /** The kind of init whose image is bound as `init`. */
  init: Exclude<InitKind, "outside">;
  /** It tells whether the root filesystem was full. */
  sized: boolean;
}

export const isSized = (root: Root): boolean => "limit" in root && root.limit !== undefined;

/** @throws TsboxError `invalid_option`, `unsupported` */
export function compile(spec: Spec, beside: Beside, facts: Facts): SandboxPlan {
  checkSupported(spec);
  checkNamespaces(spec);
  checkMountIds(spec, facts);
  spec.mounts.forEach(checkMount);
  checkSysctl(spec);
  checkTime(spec, facts);
  const owns = (type: NamespaceType) => isOwn(spec, type);
  const inUse = words("in use", 0, 0);
  const { steps, ...owner } = ownerPart(spec, beside, facts, inUse);
  const { supervised } = beside;
  const second = flags("CLONE_VM", "CLONE_CHILD_CLEARTID", "CLONE_PIDFD");
  const dropped = owns("mount") ? words("the host's root is dropped", 0) : undefined;
  const alone = waitForInit(inUse, dropped);
  const filesystem = dropped && filesystemSteps(spec, beside, facts, dropped, alone);
  // it is made from outside meanwhile; which devices there are when settings are made is not left to chance
  const isSet = Object.keys(spec.linux.sysctl ?? {}).some(isOfDevice);
  const networked = (isSet && "first") || ((beside.idle || restrictsEarly(spec)) && "soon") || "late";
  const whenNetworked = (when: typeof networked): Plan =>
    beside.networked && networked === when ? [untilNetworked()] : [];
  const plan: Plan = [
    ...(supervised ? ownProcess(steps, supervised) : steps),
    ...(isApart(spec, facts)
      ? intermediateSteps(spec, firstClone(spec, facts, inUse), betweenSteps(spec, beside, facts))
      : []),
    ...enterSteps(facts, owns),
    leadStep(owns("pid")),
    ...(owns("mount") ? hostSteps(spec, facts) : []),
    ...mappedSteps(spec),
    ...(beside.networked ? [tellOfNetwork()] : []),
    // made ready from outside meanwhile
    ...(beside.sockets === "one" ? networkSocketSteps(ONE_SOCKET) : []),
    ...timeSteps(spec),
    ...(filesystem?.opened ?? []),
    // as soon as there is something for it to do: the kernel takes a while to drop the host's root and to load init,
    // which the first process does while the second goes on (measured)
    cloneStep("clone the second process", { label: "second", flags: second, inUse, pidfd: true }),
    ...(filesystem?.dropped ?? []),
    becomeInit(supervised ? LIFELINE : "control"),
    { action: "begin the second process", ops: [{ call: "label", args: [], label: "second" }] },
    ...whenNetworked("first"),
    ...sysctlSteps(spec),
    ...(filesystem?.attached ?? []),
  ];
  if (spec.hostname !== undefined && owns("uts")) plan.push(hostnameStep(spec.hostname));
  if (spec.domainname !== undefined) plan.push(domainnameStep(spec.domainname));
  plan.push(...whenNetworked("soon"));
  if (owns("network")) plan.push(loopbackUp());
  if (beside.sockets === "all") plan.push(...networkSocketSteps(NETWORK_SOCKETS));
  if (beside.sockets) plan.push(untilNetworkAnswered());
  if (!beside.idle) plan.push(...terminalSteps(spec, alone));
  plan.push(
    ...(beside.idle
      ? [aloneStep(spec, alone), readyStep()]
      : commandSteps(spec, facts, owns("pid"), alone, undefined, beside.networked && networked === "late")),
  );
  const sized = isSized(beside.root);
  return { plan, owner, inUse, sized, init: beside.idle ? "idle" : owns("pid") ? "command" : "group" };
}

/**
 * The program of a process that joins a running sandbox, for the image placement: it must not bring the owner's memory
 * along. Bound are `sandbox` (a pidfd of init), the cgroup, stdio, and all of the command's arguments as `argv`: of those
 * in the specification only the first counts.
 * @param kind what it becomes; with `detached`, how that ended is written to the file that is bound as `record`
 * @throws TsboxError `invalid_option`
 */
export function compileJoin(spec: Spec, facts: Facts, sized = false, kind: JoinKind = "command"): Plan {
  // from inside the cgroup namespace, cgroup v2 clones nothing into a cgroup of it that comes from outside (ENOENT)
  const types = spec.linux.namespaces.map((n) => n.type);
  const joined = types.filter((type) => type !== "cgroup").flatMap((type) => NEW[type] ?? []);
  const enterCgroup: Op[] = types.includes("cgroup")
    ? [{ call: "setns", args: [ref("sandbox"), flags("CLONE_NEWCGROUP")] }]
    : [];
  const { into } = facts.cgroup;
  const { uidMappings, gidMappings } = spec.linux;
  // not CLONE_VM: what happens to the command before its execve must not reach the process that waits for it
  const cloneFlags = flags("CLONE_PIDFD", ...(into ? (["CLONE_INTO_CGROUP"] as const) : []));
  const own = isOwn(spec, "pid");
  const { oomScoreAdj, execCPUAffinity: { initial } = {} } = spec.process;
  return [
    ...(oomScoreAdj === undefined ? [] : [oomStep(oomScoreAdj)]),
    ...(initial === undefined ? [] : [affinityStep(initial)]),
    {
      action: "join the sandbox",
      ops: [
        { call: "prctl", args: [flags("PR_SET_DUMPABLE"), 0] },
        ...(kind === "detached" ? SESSION : leadStep(own)).ops,
        { call: "setns", args: [ref("sandbox"), flags(...joined)] },
      ],
      hint: (errno) => (errno === "ESRCH" ? "the sandbox has ended" : undefined),
    },
    cloneStep("clone the command's process", { label: "second", flags: cloneFlags, pidfd: true, intoCgroup: into }),
    initDescriptors(named("0", 0), kind === "detached" ? "record" : "control"),
    ...initSteps(own ? "outside" : "group", sized, false, kind !== "detached"),
    {
      action: "join the cgroup",
      ops: [{ call: "label", args: [], label: "second" }, ...joinCgroup(facts), ...enterCgroup],
      code: "limit_unavailable",
    },
    {
      action: "keep the socket to the owner from the command",
      // the image was executed with it
      ops: (kind === "detached" ? ["control", "record"] : ["control"]).map((slot): Op => ({
        call: "fcntl",
        args: [ref(slot), named("F_SETFD", 2), named("FD_CLOEXEC", 1)],
      })),
    },
    // not dumpable: whoever is inside already must not look into it
    ...(types.includes("user")
      ? [becomeKnown(uidMappings?.[0]?.containerID ?? 0, gidMappings?.[0]?.containerID ?? 0, 0)]
      : []),
    ...joinedTerminalSteps(spec),
    ...commandSteps(spec, facts, own, undefined, kind === "agent" ? agentSteps() : [executeStep(spec, ref("argv"))]),
  ];
}

/**
 * What is cloned in place to execute the image that {@link compileJoin} is for.
 * Bound are its descriptor as `image`, and those that it knows by number as `kept0`, `kept1`, …
 */
export function compileJoiner(kept: number): OwnedPlan {
  const inUse = words("in use", 0, 0);
  const clone = flags("CLONE_VM", "CLONE_CHILD_CLEARTID", "CLONE_CLEAR_SIGHAND");
  const step = cloneStep("clone a process that joins the sandbox", { label: "first", flags: clone, inUse });
  const { steps, ...owner } = inOwnersThread([step], []);
  const into = [ref("image"), cstring(""), stringArray(["tsbox-join"]), stringArray([]), flags("AT_EMPTY_PATH")];
  const plan: Plan = [
    ...steps,
    {
      action: "execute the image that joins the sandbox",
      ops: [
        { call: "label", args: [], label: "first" },
        ...Array.from({ length: kept }, (_, i): Op => ({
          call: "fcntl",
          args: [ref(`kept${i}`), named("F_SETFD", 2), 0],
        })),
        { call: "execveat", args: into },
      ],
    },
  ];
  return { plan, owner, inUse };
}

export const joinCgroup = ({ cgroup }: Facts): Op[] =>
  Array.from({ length: cgroup.tasks }, (_, i) => ({ call: "write", args: [ref(`cgroup${i}`), cstring("0"), 1] }));

/** The first process, up to where there is a second. */
export function enterSteps(facts: Facts, owns: (type: NamespaceType) => boolean): Plan {
  const begin: Op[] = [
    { call: "label", args: [], label: "first" },
    // or an end of file would never be seen
    { call: "close", args: [ref("owner")] },
  ];
  const steps: Plan = [{ action: "begin the first process, and leave the owner its end of the socket", ops: begin }];
  const join = joinCgroup(facts);
  if (join.length > 0) steps.push({ action: "join the cgroup", ops: join, code: "limit_unavailable" });
  const later = LATER.filter(owns);
  if (later.length > 0) {
    const made = flags(...later.flatMap((type) => NEW[type] ?? []));
    steps.push({ action: `make the ${later.join(" and ")} namespace`, ops: [{ call: "unshare", args: [made] }] });
  }
  return steps;
}

// what a terminal sends to the owner's group is the owner's to forward. In a pid namespace of its own the command leads
// a session by itself; and to each session the kernel gives a scheduling group, which takes a while (measured)
const leadStep = (own: boolean): Step =>
  own ? { action: "lead a process group of its own", ops: [{ call: "setpgid", args: [0, 0] }] } : SESSION;

export function mappedSteps(spec: Spec): Plan {
  const { uidMappings, gidMappings } = spec.linux;
  if (isJoined(spec, "user")) return [becomeKnown(0, 0, 0)];
  if (!uidMappings) return [];
  return [
    {
      action: "wait until the id maps are written",
      ops: [
        // or an end of file would never be seen
        { call: "close", args: [ref("go-write")] },
        { call: "read", args: [ref("go-read"), byte(), 1], out: "go" },
        { call: "jumpIf", args: [ref("go"), 1, named("==", 0)], label: "go" },
        { call: "exit_group", args: [1] },
        { call: "label", args: [], label: "go" },
      ],
    },
    // the change of user clears the flag of the address space, which is still the owner's too
    becomeKnown(uidMappings[0]?.containerID ?? 0, gidMappings?.[0]?.containerID ?? 0, isWatched(spec) ? 0 : 1),
  ];
}

/** No file can be made by an id that the user namespace does not know. */
export function becomeKnown(uid: number, gid: number, dumpable: 0 | 1): Step {
  return {
    action: `become ${uid}:${gid} of the user namespace`,
    ops: [
      { call: "setresgid", args: [gid, gid, gid] },
      { call: "setresuid", args: [uid, uid, uid] },
      { call: "prctl", args: [flags("PR_SET_DUMPABLE"), dumpable] },
    ],
  };
}

export function hostnameStep(hostname: string): Step {
  const name = cstring(hostname);
  return {
    action: `set the hostname "${hostname}"`,
    ops: [{ call: "sethostname", args: [name, name.data.length - 1] }],
    code: "invalid_option",
  };
}

export function domainnameStep(domainname: string): Step {
  const name = cstring(domainname);
  return {
    action: `set the domain name "${domainname}"`,
    ops: [{ call: "setdomainname", args: [name, name.data.length - 1] }],
    code: "invalid_option",
  };
}

/** @see netdevice(7) */
export function loopbackUp(): Step {
  const name = new Uint8Array(16);
  name.set([0x6c, 0x6f]); // "lo"
  const IFF_UP = 1;
  const request = structure('{ifr_name="lo", ifr_flags=IFF_UP}', "ifreq", { ifr_name: name, ifr_flags: IFF_UP });
  return {
    action: "bring the loopback interface up",
    ops: [
      { call: "socket", args: [flags("AF_INET"), flags("SOCK_DGRAM", "SOCK_CLOEXEC"), 0], out: "socket" },
      { call: "ioctl", args: [ref("socket"), flags("SIOCSIFFLAGS"), request] },
      { call: "close", args: [ref("socket")] },
    ],
  };
}

/** Moves what init keeps out of each other's way, to the numbers that it knows. */
function initDescriptors(others: Named, control: string): Step {
  return {
    action: "keep a socket to the owner and a pidfd of the second process",
    ops: [
      { call: "fcntl", args: [ref("pidfd"), F_DUPFD_CLOEXEC, 10], out: "pidfd" },
      { call: "dup3", args: [ref(control), CONTROL_FD, 0], onError: { ignore: "EINVAL" } },
      { call: "fcntl", args: [CONTROL_FD, named("F_SETFD", 2), 0] },
      { call: "dup3", args: [ref("pidfd"), PIDFD, 0] },
      { call: "close_range", args: [0, 2, 0] },
      { call: "close_range", args: [PIDFD + 1, named("~0U", 0xffffffff), others] },
    ],
  };
}

function becomeInit(control: string): Step {
  const [name, environment] = [stringArray(["tsbox-init"]), stringArray([])];
  const { ops } = initDescriptors(flags("CLOSE_RANGE_CLOEXEC"), control);
  ops.push({ call: "execveat", args: [ref("init"), cstring(""), name, environment, flags("AT_EMPTY_PATH")] });
  return { action: "become init", ops };
}

/** Without a command, the second process has nothing more to do. */
function readyStep(): Step {
  return {
    action: "tell the owner that everything stands",
    ops: [readyOp(ref("control")), { call: "exit_group", args: [0] }],
  };
}
