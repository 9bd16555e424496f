/**
 * The OCI runtime specification (1.3, Linux). `Spec` is the part of it that sandboxes are compiled from: the contract
 * between whoever asks for one and the plan that makes it. `ContainerSpec` is all of it: what a bundle says.
 * @module
 * @see https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md
 */
import type { Hooks } from "./hooks.ts";

/** Of a bundle. What it leaves out and the specification has a default for is there. */
export interface ContainerSpec extends Omit<Spec, "process" | "linux"> {
  /** Without one, the container can be created, but not started. */
  process?: ContainerProcess;
  hooks?: Hooks;
  linux: ContainerLinux;
}

export interface Spec {
  ociVersion: string;
  process: Process;
  root: { path: string; readonly?: boolean };
  hostname?: string;
  domainname?: string;
  mounts: Mount[];
  annotations?: Record<string, string>;
  linux: Linux;
}

export interface Process {
  terminal?: boolean;
  /** In characters. */
  consoleSize?: { width: number; height: number };
  user: { uid: number; gid: number; umask?: number; additionalGids?: number[] };
  args: string[];
  env: string[];
  cwd: string;
  capabilities?: CapabilitySets;
  rlimits?: Rlimit[];
  noNewPrivileges?: boolean;
  scheduler?: Scheduler;
  ioPriority?: { class: IoClass; priority: number };
  /** -1000 to 1000. */
  oomScoreAdj?: number;
  execCPUAffinity?: {
    /** Of a process that joins, until it is in the sandbox's cgroup: `"0-1,3"`. */
    initial?: string;
    /** Of the command. */
    final?: string;
  };
}

export interface ContainerProcess extends Process {
  apparmorProfile?: string;
  selinuxLabel?: string;
}

/** @see sched_setattr(2) */
export interface Scheduler {
  policy: SchedulerPolicy;
  nice?: number;
  /** Of `SCHED_FIFO` and `SCHED_RR`: 1 to 99. */
  priority?: number;
  flags?: readonly SchedulerFlag[];
  /** Of `SCHED_DEADLINE`, like the two below: nanoseconds. */
  runtime?: number | bigint;
  deadline?: number | bigint;
  period?: number | bigint;
}

export type SchedulerPolicy =
  "SCHED_OTHER" | "SCHED_FIFO" | "SCHED_RR" | "SCHED_BATCH" | "SCHED_ISO" | "SCHED_IDLE" | "SCHED_DEADLINE";
export type SchedulerFlag =
  | "SCHED_FLAG_RESET_ON_FORK"
  | "SCHED_FLAG_RECLAIM"
  | "SCHED_FLAG_DL_OVERRUN"
  | "SCHED_FLAG_KEEP_POLICY"
  | "SCHED_FLAG_KEEP_PARAMS"
  | "SCHED_FLAG_UTIL_CLAMP_MIN"
  | "SCHED_FLAG_UTIL_CLAMP_MAX";
export type IoClass = "IOPRIO_CLASS_RT" | "IOPRIO_CLASS_BE" | "IOPRIO_CLASS_IDLE";

/** Capability names as the specification writes them: `"CAP_CHOWN"`. */
export interface CapabilitySets {
  bounding?: readonly string[];
  effective?: readonly string[];
  permitted?: readonly string[];
  inheritable?: readonly string[];
  ambient?: readonly string[];
}

export interface Rlimit {
  /** `"RLIMIT_NOFILE"` */
  type: string;
  /** Unsigned 64-bit numbers; those above 2^53 as bigint. Infinity is unlimited, as 2^64 - 1 is. */
  soft: number | bigint;
  hard: number | bigint;
}

export interface Mount {
  destination: string;
  type?: string;
  source?: string;
  options?: string[];
  /** Of ids on the file system (`containerID`) to those of the host; both or none. */
  uidMappings?: IdMapping[];
  gidMappings?: IdMapping[];
}

export type NamespaceType = "pid" | "network" | "mount" | "ipc" | "uts" | "user" | "cgroup" | "time";

export interface IdMapping {
  containerID: number;
  hostID: number;
  size: number;
}

export interface TimeOffset {
  secs: number;
  nanosecs?: number;
}

export interface Linux {
  namespaces: { type: NamespaceType; path?: string }[];
  uidMappings?: IdMapping[];
  gidMappings?: IdMapping[];
  resources?: Resources;
  /**
   * Of the sandbox's control group, from the mount of each hierarchy: it begins with a slash. Where it ends with one,
   * the last name is tsbox's own choice. Absent: a name of tsbox's own below the owner's group.
   */
  cgroupsPath?: string;
  /** `"private"`, `"shared"`, `"slave"`, `"unbindable"`, or one of them with an `r` before it. */
  rootfsPropagation?: string;
  maskedPaths?: readonly string[];
  readonlyPaths?: readonly string[];
  seccomp?: SeccompProfile;
  /** By name, `"net.ipv4.ip_forward"`; only those of namespaces that are the sandbox's own. */
  sysctl?: Readonly<Record<string, string>>;
  /** Of the clocks of a time namespace that is new. */
  timeOffsets?: Partial<Record<"monotonic" | "boottime", TimeOffset>>;
  personality?: { domain: "LINUX" | "LINUX32" };
  /** Not of the specification: a runtime that does not know it passes over it. */
  landlock?: Landlock;
}

export interface ContainerLinux extends Linux {
  /** Nodes that are made, besides those that every container has. */
  devices?: DeviceNode[];
  /** Of the host, by name: moved into the container's network namespace. */
  netDevices?: Record<string, NetDevice>;
  /** The SELinux context of files that have none of their own. */
  mountLabel?: string;
  intelRdt?: IntelRdt;
  memoryPolicy?: MemoryPolicy;
  personality?: NonNullable<Linux["personality"]> & { flags?: string[] };
}

/** @see mknod(2) */
export interface DeviceNode {
  /** In the container, absolute. */
  path: string;
  /** Block, character (`u`: the same) or pipe. */
  type: "b" | "c" | "u" | "p";
  /** 0 where a pipe has none. */
  major: number;
  minor: number;
  /** Permission bits; absent: 0666. */
  fileMode?: number;
  /** In the container; absent: 0. */
  uid?: number;
  gid?: number;
}

export interface NetDevice {
  /** In the container; absent: as on the host. */
  name?: string;
}

/** @see https://docs.kernel.org/filesystems/resctrl.html */
export interface IntelRdt {
  /** A directory in resctrl; `"/"` is resctrl's own, and absent means the container's id. */
  closID?: string;
  /** Lines, as they are written to the group's `schemata` after the two below. */
  schemata?: string[];
  /** `"L3:0=7f0;1=1f"` */
  l3CacheSchema?: string;
  /** `"MB:0=20;1=70"` */
  memBwSchema?: string;
  /** The container gets a monitoring group of its own. */
  enableMonitoring?: boolean;
}

/** @see set_mempolicy(2) */
export interface MemoryPolicy {
  mode: MemoryPolicyMode;
  /** As in cpuset(7): `"0-3,7"`. */
  nodes?: string;
  flags?: readonly MemoryPolicyFlag[];
}

export type MemoryPolicyMode =
  | "MPOL_DEFAULT"
  | "MPOL_PREFERRED"
  | "MPOL_BIND"
  | "MPOL_INTERLEAVE"
  | "MPOL_LOCAL"
  | "MPOL_PREFERRED_MANY"
  | "MPOL_WEIGHTED_INTERLEAVE";
export type MemoryPolicyFlag = "MPOL_F_STATIC_NODES" | "MPOL_F_RELATIVE_NODES" | "MPOL_F_NUMA_BALANCING";

/** What may be done to files, whatever mounts and modes say: to read and execute all; to write below some paths. */
export interface Landlock {
  /** The kernel's. */
  abi: number;
  /** Directories. */
  writable: readonly string[];
  writableFiles: readonly string[];
}

/** Numbers of -1 are unlimited. Of a bundle, those of 0 say nothing, but for a burst, a swappiness and a limit of processes. */
export interface Resources {
  /** Bytes; `swap` is memory and swap together. */
  memory?: {
    limit?: number;
    reservation?: number;
    swap?: number;
    /** Deprecated, like the one below: the kernel limits it no longer. */
    kernel?: number;
    kernelTCP?: number;
    swappiness?: number;
    disableOOMKiller?: boolean;
    useHierarchy?: boolean;
    /** An update that sets a limit below what is in use is refused. */
    checkBeforeUpdate?: boolean;
  };
  /** Microseconds; lists as `"0-2,5"`. */
  cpu?: {
    shares?: number;
    quota?: number;
    burst?: number;
    period?: number;
    realtimeRuntime?: number;
    realtimePeriod?: number;
    idle?: 0 | 1;
    cpus?: string;
    mems?: string;
  };
  pids?: { limit: number };
  blockIO?: BlockIO;
  hugepageLimits?: { pageSize: string; limit: number }[];
  /** Of version 1: a class for traffic control, and priorities by network interface. */
  network?: { classID?: number; priorities?: { name: string; priority: number }[] };
  /** By the name of a device: `"mlx5_1"`. */
  rdma?: Record<string, { hcaHandles?: number; hcaObjects?: number }>;
  devices?: DeviceRule[];
  /** Files of cgroup v2, and what is written to them. */
  unified?: Record<string, string>;
}

/** Weights from 10 to 1000; bytes and operations per second. */
export interface BlockIO {
  weight?: number;
  /** Against groups below this one. */
  leafWeight?: number;
  weightDevice?: { major: number; minor: number; weight?: number; leafWeight?: number }[];
  throttleReadBpsDevice?: Throttle[];
  throttleWriteBpsDevice?: Throttle[];
  throttleReadIOPSDevice?: Throttle[];
  throttleWriteIOPSDevice?: Throttle[];
}

export interface Throttle {
  major: number;
  minor: number;
  rate: number;
}

/** The last one that applies decides; without a number, any. */
export interface DeviceRule {
  allow: boolean;
  /** All, block or character devices. */
  type?: "a" | "b" | "c";
  major?: number;
  minor?: number;
  /** Of `"rwm"`: read, write, mknod; all where nothing is said. */
  access?: string;
}

export type SeccompAction =
  | "SCMP_ACT_KILL"
  | "SCMP_ACT_KILL_THREAD"
  | "SCMP_ACT_KILL_PROCESS"
  | "SCMP_ACT_TRAP"
  | "SCMP_ACT_ERRNO"
  | "SCMP_ACT_TRACE"
  | "SCMP_ACT_ALLOW"
  | "SCMP_ACT_LOG"
  | "SCMP_ACT_NOTIFY";

export type SeccompOperator =
  "SCMP_CMP_NE" | "SCMP_CMP_LT" | "SCMP_CMP_LE" | "SCMP_CMP_EQ" | "SCMP_CMP_GE" | "SCMP_CMP_GT" | "SCMP_CMP_MASKED_EQ";

/** Unsigned 64-bit numbers; those above 2^53 as bigint. `SCMP_CMP_MASKED_EQ`: `(argument & value) == valueTwo`. */
export interface SeccompArgument {
  index: number;
  value: number | bigint;
  valueTwo?: number | bigint;
  op: SeccompOperator;
}

export interface SeccompRule {
  names: string[];
  action: SeccompAction;
  errnoRet?: number;
  /** All must hold; but conditions on the same argument are alternatives, as in runc. */
  args?: SeccompArgument[];
}

export interface SeccompProfile {
  defaultAction: SeccompAction;
  defaultErrnoRet?: number;
  architectures?: string[];
  flags?: string[];
  /** A socket of the host's that gets the listener of `SCMP_ACT_NOTIFY`, and the container process state. */
  listenerPath?: string;
  listenerMetadata?: string;
  syscalls?: SeccompRule[];
}
