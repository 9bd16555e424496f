/**
 * What a caller may ask of a sandbox.
 * @module
 */
import type { SyscallHandler } from "./notify.ts";
import type { StackedRoot } from "./stacked-root.ts";
import type { Volume } from "./volume.ts";
import type { DeniedEntry, NetworkPolicy } from "../policy/index.ts";
import type { TerminalOptions } from "../terminal/index.ts";
import type {
  CapabilitySets,
  IdMapping,
  IoClass,
  NamespaceType,
  Scheduler,
  SeccompProfile,
  TimeOffset,
} from "../spec/index.ts";

/** Bytes, or a number with a unit: `"512mb"`, `"1g"`, `"64k"` (powers of 1024, as Docker counts). */
export type Size = number | string;
/** Milliseconds, or a number with a unit: `"500ms"`, `"2s"`, `"1m"`, `"1h"`. */
export type Duration = number | string;

export interface Limits {
  /** Memory of all processes together, page cache included. */
  memory?: Size;
  /** Memory and swap together; `Infinity` for any amount. Default: as `memory`, so that nothing is swapped. */
  memorySwap?: Size;
  /** What the sandbox keeps when memory is short elsewhere: a soft limit with cgroup v1, protection with v2. */
  memoryReservation?: Size;
  /** 0 to 100: how readily its memory is swapped. Cgroup v1 only. */
  memorySwappiness?: number;
  /** `false`: who needs more than `memory` waits for it, and is not killed. Cgroup v1 only. */
  oomKill?: boolean;
  /** CPUs' worth of time: `0.5` is half of one CPU. */
  cpus?: number;
  /** The part of the CPUs among those who want them; 1024 is what everybody has. */
  cpuShares?: number;
  /** Microseconds that the quota is given for; default 100 000. */
  cpuPeriodUs?: number;
  /** The quota of a period; `cpus` says the same in other words. */
  cpuQuotaUs?: number;
  /** How much of it can be saved for later. */
  cpuBurstUs?: number;
  /** Runs only when nobody else wants to. */
  cpuIdle?: boolean;
  /** CPUs that may be used, and memory nodes: `"0-2,5"`. */
  cpusetCpus?: string;
  cpusetMems?: string;
  /** Processes and threads at one time. */
  pids?: number;
  /** Of block devices. */
  io?: IoLimit | IoLimit[];
  /** Huge pages, by their size: `{ "2MB": "64mb" }`. */
  hugepages?: Record<string, Size>;
  /** Files of cgroup v2, and what is written to them: `{ "memory.high": "64M" }`. */
  unified?: Record<string, string>;
  /** Wall-clock time, after which everything inside is killed. */
  time?: Duration;
  /** CPU time of all processes together, those that have ended too, after which everything inside is killed. */
  cpuTime?: Duration;
  /** Bytes of stdout and stderr together, after which the process is killed; what was within the limit is kept. */
  output?: Size;
  /**
   * Bytes of files that can be written, all together: of the layer over a root filesystem, or of the host's private
   * directories (`/tmp`, `/home`, …). Mounts that are asked for and `/dev/shm` have sizes of their own.
   */
  disk?: Size;
  /** Of a network that it is in: to the sandbox, and from it; of each network, where there are several. */
  bandwidth?: BandwidthLimit;
  /** Bytes that may go in and out altogether, by way of a network policy, after which everything inside is killed. */
  traffic?: Size;
  /** Limits that are not possible here are left out, and told in `warnings`, rather than an error. */
  optional?: boolean;
}

/** Bits a second, a thousand to a kilobit: `"10mbit"`. */
export type Rate = number | (string & {});

export interface BandwidthLimit {
  /** To the sandbox. */
  down?: Rate;
  /** From it. */
  up?: Rate;
  /** Bytes that may go at once after a while of quiet; default: as many as in 10 ms, 32k at least. */
  burst?: Size;
}

/** Of one block device: the disk, for a partition. */
export interface IoLimit {
  /** A device node, `"8:0"`, or a path on it; default: what the root filesystem's directory is on. */
  device?: string;
  /** Bytes, and operations, a second. */
  readBps?: Size;
  writeBps?: Size;
  readIops?: number;
  writeIops?: number;
  /** 10 to 1000, of all devices where none is named; where their scheduler has weights (BFQ). */
  weight?: number;
}

export type Propagation = "private" | "rprivate" | "slave" | "rslave" | "shared" | "rshared";

/** A file or directory of the host; without `security.privileged`, never with setuid or devices. */
export interface BindMount {
  type: "bind";
  source: string;
  target: string;
  /** Also what is mounted below the source. */
  readOnly?: boolean;
  noExec?: boolean;
  /**
   * What is mounted below the source comes along (default). `false`: it does not; `"writable"`: it does, and `readOnly`
   * does not count for it.
   */
  recursive?: boolean | "writable";
  /**
   * Whether what is mounted there later is seen on the other side: `rslave` shows the host's mounts inside; `rshared`
   * also the other way round, and needs `namespaces: { user: "host" }`. Default `rprivate`.
   */
  propagation?: Propagation;
  /** A source that does not exist is made, as a directory; default false. */
  create?: boolean;
  /**
   * A directory in the source that is mounted rather than all of it: `"data/a"`. Whoever has filled the source cannot
   * lead it out of there by a symlink.
   */
  subpath?: string;
  /**
   * Who owns the files: ids on the file system (`containerID`) look like those of the host (`hostID`), of which the
   * sandbox sees what its own map says. One of the two is both where it is alone. Root's only; default: as outside.
   */
  uidMappings?: IdMapping[];
  gidMappings?: IdMapping[];
}

export type MountOption =
  | BindMount
  /** What is mounted in another sandbox. */
  | { type: "volume"; source: Volume; target: string; readOnly?: boolean; noExec?: boolean }
  /** The layers of an image, read-only; {@link StackedRoot} is tsbox's own. */
  | { type: "image"; source: StackedRoot; target: string; subpath?: string }
  /** A file in memory that nobody can write: up to 1 MiB; of root with the mode 0o644 unless said otherwise. */
  | { type: "file"; target: string; content: string | Uint8Array; mode?: number; uid?: number; gid?: number }
  /** The sandbox's own control groups, as programs look for their limits there; read-only unless said otherwise. */
  | { type: "cgroup"; target: string; readOnly?: boolean }
  /** An empty file system in memory; `size` defaults to half of the machine's memory, as the kernel does. */
  | {
      type: "tmpfs";
      target: string;
      size?: Size;
      mode?: number;
      uid?: number;
      gid?: number;
      readOnly?: boolean;
      noExec?: boolean;
    };

/** A device of the host. */
export interface DeviceOption {
  /** `"/dev/fuse"` */
  source: string;
  /** Where it is inside; default: there as well. */
  target?: string;
  /** `"r"`, `"w"`, `"rw"`: read, write. Where it is said, the usual devices and those in `devices` are all there are. */
  access?: string;
}

/** A `Sandbox` whose namespaces others can join, for as long as it lives. */
export interface Shareable {
  namespace(type: NamespaceType): string;
  /** Whoever shares the network of one with a policy has it as well. */
  readonly network?: { readonly hasPolicy: boolean };
}

/** `"private"` makes a new namespace, `"host"` shares the caller's, a sandbox its own; or the path of one. */
export type Sharing = "private" | "host" | `ns:${string}` | Shareable;

export interface SecurityOptions {
  /**
   * Exactly these capabilities (`"CAP_CHOWN"` or `"CHOWN"`); default {@link DEFAULT_CAPABILITIES}. Root has them, other
   * users can get them by setuid programs at most; or all five sets, of which one that is not named is empty.
   */
  capabilities?: string[] | CapabilitySets;
  /** `"default"`, `"none"`, or an OCI profile. */
  seccomp?: "default" | "none" | SeccompProfile;
  /**
   * Asked about the calls for which `seccomp` says `SCMP_ACT_NOTIFY`; a process waits for the answer. What an argument
   * points to may change meanwhile, so never allow a call for what lies there. Where it fails, the call fails with EPERM.
   */
  notify?: SyscallHandler;
  /**
   * Only the usual devices, those in `devices`, and these can be used: `"c 10:200 rwm"`, as Docker's. Without any, all
   * that there is a node for, which are the usual ones.
   */
  deviceRules?: string[];
  /**
   * `"default"`: files can be written, and programs executed, only where the sandbox's mounts are for that; nothing can
   * be mounted, and with Linux 6.12 no process outside be signalled, no abstract socket outside be reached. Left out,
   * that is so for the `"host"` root filesystem where the kernel has it, and not with CAP_SYS_ADMIN; asked for, it is
   * an error where it cannot be.
   */
  landlock?: "default" | "none";
  /** The root filesystem cannot be written; default true for `"host"`, false for a directory. */
  readOnly?: boolean;
  /** Default true. */
  noNewPrivileges?: boolean;
  /** `"none"`: nothing of `/proc` and `/sys` is masked, and nothing of `/proc` read-only for all. */
  systemPaths?: "default" | "none";
  /**
   * No protection at all: all capabilities, whatever `capabilities` says; all devices of the host, whatever
   * `deviceRules` say; `/sys` and its control groups can be written; `mounts` of the host's directories are with setuid
   * and devices. Where nothing else is said of these, `seccomp`, `landlock` and `systemPaths` are `"none"`,
   * `noNewPrivileges` is false, and the user namespace is the host's; an ordinary user's stays its own. Default false.
   */
  privileged?: boolean;
}

/** An image of the store. */
export interface ImageOptions {
  /** `"debian:bookworm"`, `"ghcr.io/owner/name@sha256:…"`, or the beginning of an id. */
  reference: string;
  /**
   * `"missing"`: from its registry, where it is not in the store (default); `"always"`: what the registry has now;
   * `"never"`. `Sandbox.spawn` waits for nothing, and so uses what is there.
   */
  pull?: "always" | "missing" | "never";
  /** `"linux/arm64"`; default: the machine's. */
  platform?: string;
  /** Directory of the store; default `TSBOX_ROOT`, `/var/lib/tsbox`, for ordinary users `~/.local/share/tsbox`. */
  root?: string;
}

export interface SandboxOptions {
  /**
   * Its layers are the root filesystem, under a writable one that goes with the sandbox. Of its user, environment, working
   * directory, entry point and command counts what the other options do not say; its volumes are private to the sandbox.
   */
  image?: string | ImageOptions;
  /** Before the command, instead of the image's own, whose command is dropped as well; `""` or `[]`: nothing. */
  entrypoint?: string | string[];
  /**
   * `"host"`: a read-only view of the host's system directories (default). A directory: its files under a writable
   * overlay in memory that goes with the sandbox; the directory itself is never changed.
   */
  rootfs?: string;
  /**
   * A directory that keeps what is written over a root filesystem that is a directory: the next sandbox with both finds
   * it there. One at a time. What it holds lies in `upper`, as overlayfs stores it.
   */
  writableLayer?: string;
  hostname?: string;
  /** NIS domain name, `(none)` where nothing is said. */
  domainname?: string;
  /**
   * Kernel parameters of the sandbox's own namespaces: `{ "net.ipv4.ip_forward": "1" }`. In a network of its own every
   * user has all ports, and may ping, unless they say something else: `net.ipv4.ip_unprivileged_port_start` is `"0"`.
   */
  sysctls?: Record<string, string>;
  /** `"LINUX32"`: uname(2) tells of a 32-bit machine. */
  personality?: "LINUX" | "LINUX32";
  /** How the processes share the CPUs. Real-time policies and negative nice values need rights on the host. */
  scheduler?: Scheduler;
  /** `IOPRIO_CLASS_BE` with a priority from 0, the highest, to 7. */
  ioPriority?: { class: IoClass; priority?: number };
  /** CPUs that the processes run on: `"0-3,7"`. They may choose others; a limit is `limits.cpus`. */
  cpuAffinity?: string;
  /**
   * The whole environment, next to `PATH`, `HOME` and `HOSTNAME` and what the image sets, of which `undefined` takes
   * one away; nothing of the caller's is inherited.
   */
  env?: Record<string, string | undefined>;
  /** `"uid"`, `"uid:gid"`, `"name"` or `"name:group"`, names looked up inside the root filesystem; default `"0:0"`. */
  user?: string;
  /** Groups besides those of the user, by number, or by name inside the root filesystem. */
  groups?: (number | string)[];
  /** Bits that new files do not get; default `0o022`. */
  umask?: number;
  /** Working directory, made where it does not exist; default `"/"`. */
  cwd?: string;
  mounts?: MountOption[];
  /**
   * The JavaScript runtime that this program runs on, read-only, as the command `bun` (or `deno`): behind the other
   * directories of `PATH`. Default: where that is the command, and a view of the host has none.
   */
  runtime?: boolean;
  /** Devices of the host besides `null`, `zero`, `full`, `random`, `urandom` and `tty`: what they can do, a sandbox can. */
  devices?: (string | DeviceOption)[];
  /** Of `/dev/shm`; default 64 MiB. */
  shmSize?: Size;
  limits?: Limits;
  /** A control group that the sandbox's own is made in, such as `"/servers"`; it has to be there. */
  cgroupParent?: string;
  /**
   * `false`: a namespace with only a loopback interface (default); `"host"`: the host's network; or that of another. All
   * other names are those of networks: what leads elsewhere goes by the first. A policy: a way out,
   * for what it allows. `"pasta"`: the way out of that program, for ordinary users who have it installed.
   */
  network?: false | Exclude<Sharing, "private"> | (string & {}) | string[] | NetworkPolicy;
  /**
   * Ports of the host that lead inside: `"8080:80"`, `"127.0.0.1:8000-8010:8000-8010"`, `"53:53/udp"`, `"80"` for one that
   * is free. At the host's 127.0.0.1 where no address is given: `"0.0.0.0:8080:80"` is for everybody.
   */
  ports?: string[];
  /**
   * With the host's mount namespace there is no root filesystem and there are no mounts: the command sees the host's
   * files with what its id map leaves of the caller's rights.
   */
  namespaces?: Partial<Record<"pid" | "mount" | "uts" | "cgroup" | "time", Sharing>> & {
    /** `"none"`: one of its own, without `/dev/shm`. */
    ipc?: Sharing | "none";
    /**
     * `"auto"`: with a range of 65536 ids that no other sandbox of root's has, as long as it lives; for an ordinary user,
     * with its subordinate ids.
     */
    user?: Sharing | "auto";
  };
  /** Who is who: ids of the sandbox and the host's that they stand for. One of the two is both where it is alone. */
  uidMappings?: IdMapping[];
  gidMappings?: IdMapping[];
  /** How far the clocks of a time namespace of its own are ahead of the host's. Since Linux 6.1. */
  timeOffsets?: Partial<Record<"monotonic" | "boottime", TimeOffset>>;
  /**
   * What the kernel adds to how readily it kills the processes for memory, -1000 to 1000; less than the caller's own
   * needs rights on the host. The sandbox starts later by what a copy of the caller's memory maps takes.
   */
  oomScoreAdj?: number;
  security?: SecurityOptions;
  /** Resource limits by name (`"nofile"`), `n` or `[soft, hard]`; `Infinity` is unlimited. */
  ulimits?: Record<string, number | [soft: number, hard: number]>;
  /** Ends the sandbox when it fires. */
  signal?: AbortSignal;
}

/** What a process reads from: nothing, the caller's own stdin, a pipe, or data. */
export type Stdin = "ignore" | "inherit" | "pipe" | string | Uint8Array | Blob | Response | ReadableStream<Uint8Array>;
/** Where a process writes to. */
export type Stdout = "pipe" | "inherit" | "ignore";

export interface SpawnOptions extends WithTerminal {
  stdin?: Stdin;
  stdout?: Stdout;
  stderr?: Stdout;
  /** Added to the sandbox's environment; `undefined` takes one away. */
  env?: Record<string, string | undefined>;
  cwd?: string;
  user?: string;
  /** Kills the process when it fires. */
  signal?: AbortSignal;
}

/** What the command has a terminal for, rather than stdin, stdout and stderr: 80 by 24 where nothing is said. */
export interface WithTerminal {
  terminal?: boolean | TerminalOptions;
}

/** Options of `Sandbox.run`: a sandbox and its one process. Stdout and stderr are collected unless told otherwise. */
export interface RunOptions extends SandboxOptions, WithTerminal {
  stdin?: Stdin;
  stdout?: Stdout;
  stderr?: Stdout;
}

/**
 * Why a process ended:
 * - `exit`, `signal`: by itself, or by a signal, of somebody inside or of `kill()`;
 * - `timeout`, `cpu-time`, `output`: killed for the limit of that name; `network`: for that of `traffic`;
 * - `oom`, `pids`, `disk`: it did not do well, and the kernel had killed for memory, had denied a process, or there
 *   was no place left for files;
 * - `seccomp`: a system call that the filter kills for;
 * - `killed`: an `AbortSignal` fired, it or its sandbox was stopped or disposed of, or somebody killed the sandbox's init.
 */
export type Reason =
  "exit" | "signal" | "oom" | "timeout" | "cpu-time" | "output" | "pids" | "disk" | "network" | "seccomp" | "killed";

export interface Usage {
  /** From the request to when nothing was left. */
  wallMs: number;
  /**
   * User and system time: of the whole sandbox where its control group counts it, else of the process and of those it
   * has waited for.
   */
  cpuMs: number;
  cpuUserMs: number;
  cpuSystemMs: number;
  /**
   * Of the whole sandbox where memory is limited; else of a process spawned in a sandbox that was there already, and
   * undefined for one that came with its sandbox.
   */
  peakMemoryBytes?: number | undefined;
  /**
   * From and to block devices, by the process and those it has waited for; undefined where the kernel does not count.
   * What comes from the page cache is not read, and what stays there is written later.
   */
  readBytes?: number | undefined;
  writeBytes?: number | undefined;
}

/** What a box uses now, and has used since it was made. */
export interface BoxUsage {
  wallMs: number;
  /** Of all processes, those that have ended too. */
  cpuMs: number;
  cpuUserMs: number;
  cpuSystemMs: number;
  /** Processes and threads, init among them. */
  pids: number;
  /** All that is charged to the box where memory is limited; else what its processes have for themselves. */
  memoryBytes: number;
  /** Where memory is limited. */
  peakMemoryBytes?: number | undefined;
  /** Where I/O is limited. */
  readBytes?: number | undefined;
  writeBytes?: number | undefined;
  /** Where it is in a network that has a name, or has a policy; of that, payload alone. */
  networkInBytes?: number | undefined;
  networkOutBytes?: number | undefined;
}

export interface StatsOptions {
  /** Between two looks; default `"1s"`. */
  interval?: Duration;
  /** Ends it. */
  signal?: AbortSignal;
}

/** How a process ended, and what it used. */
export interface ProcessResult {
  /** 0 to 255; null where a signal ended the process. */
  exitCode: number | null;
  /** `"SIGKILL"`; null where it exited. */
  signalCode: string | null;
  reason: Reason;
  usage: Usage;
  /** Limits that were left out, where they are optional. */
  warnings: readonly string[];
  /** What its network policy has denied, of a sandbox of its own that has one; the latest last. */
  denied?: readonly DeniedEntry[];
}

export interface RunResult extends ProcessResult {
  stdout: string;
  stderr: string;
  /** The same as bytes. */
  stdoutBytes: Uint8Array;
  stderrBytes: Uint8Array;
}
