/**
 * The part of the OCI runtime specification (1.2, Linux) that tsbox compiles: the internal contract between
 * whoever asks for a sandbox and the plan that makes it.
 * @module
 * @see https://github.com/opencontainers/runtime-spec/blob/v1.2.0/config-linux.md
 */

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

/** @see sched_setattr(2) */
export interface Scheduler {
  policy: SchedulerPolicy;
  nice?: number;
  /** Of `SCHED_FIFO` and `SCHED_RR`: 1 to 99. */
  priority?: number;
  flags?: readonly SchedulerFlag[];
  /** Of `SCHED_DEADLINE`, like the two below: nanoseconds. */
  runtime?: number;
  deadline?: number;
  period?: number;
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
  soft: number;
  hard: number;
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

/** What may be done to files, whatever mounts and modes say: to read and execute all; to write below some paths. */
export interface Landlock {
  /** The kernel's. */
  abi: number;
  /** Directories. */
  writable: readonly string[];
  writableFiles: readonly string[];
}

/** Numbers of -1 are unlimited. */
export interface Resources {
  /** Bytes; `swap` is memory and swap together. */
  memory?: {
    limit?: number;
    reservation?: number;
    swap?: number;
    swappiness?: number;
    disableOOMKiller?: boolean;
  };
  /** Microseconds; lists as `"0-2,5"`. */
  cpu?: {
    shares?: number;
    quota?: number;
    burst?: number;
    period?: number;
    idle?: 0 | 1;
    cpus?: string;
    mems?: string;
  };
  pids?: { limit: number };
  blockIO?: BlockIO;
  hugepageLimits?: { pageSize: string; limit: number }[];
  devices?: DeviceRule[];
  /** Files of cgroup v2, and what is written to them. */
  unified?: Record<string, string>;
}

/** Weights from 10 to 1000; bytes and operations per second. */
export interface BlockIO {
  weight?: number;
  weightDevice?: { major: number; minor: number; weight: number }[];
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
