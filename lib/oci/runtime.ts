/**
 * What the verbs of the OCI runtime are given: the global flags, and the flags of those that make processes.
 * @module
 * @see https://github.com/opencontainers/runtime-spec/blob/v1.2.0/runtime.md
 */
import type { Logger } from "./log.ts";

/** The global flags. */
export interface Runtime {
  /** Absolute: containers' state directories are below it. */
  root: string;
  /** Nobody said where: that it is not there yet is no mistake. */
  rootIsDefault: boolean;
  systemdCgroup: boolean;
  /** Containers stay in the caller's cgroup: they have no limits, and use whatever device they can open. */
  noCgroup?: boolean;
  /** Cgroups that may not be made or written are left out: the owner is not root, or does not own its cgroup. */
  rootless: boolean;
  log: Logger;
}

/** What a process that is made is given besides its spec: of `create`, `run` and `exec`. */
export interface ProcessOptions {
  /** A Unix socket that gets the terminal's master. */
  consoleSocket?: string;
  /** A Unix socket that gets a pidfd of the process. */
  pidfdSocket?: string;
  /** Absolute. */
  pidFile?: string;
  /** Descriptors from 3 + `listenFds` on that the process keeps. */
  preserveFds: number;
}

export interface StartOptions {
  /** systemd's socket: `NOTIFY_SOCKET`. */
  notifySocket?: string;
}

export interface CreateOptions extends ProcessOptions, StartOptions {
  /** Absolute. */
  bundle: string;
  pivot: boolean;
  newKeyring: boolean;
  /** Descriptors from 3 on that are passed as systemd passes sockets: `LISTEN_FDS`. */
  listenFds: number;
}

export interface RunOptions extends CreateOptions {
  detach: boolean;
  /** The container stays when its process has ended. */
  keep: boolean;
  subreaper: boolean;
}

export interface ExecOptions extends ProcessOptions {
  detach: boolean;
  /** A file with a `process` of the specification; without it, the container's own with what follows. */
  process?: string;
  args: string[];
  cwd?: string;
  env: string[];
  terminal: boolean;
  user?: { uid: number; gid?: number };
  additionalGids: number[];
  capabilities: string[];
  /** Absent: as the container's. */
  noNewPrivileges?: boolean;
  selinuxLabel?: string;
  apparmorProfile?: string;
  /** Below the container's own: by controller; `""` for version 2, or for all of version 1. */
  subCgroups: Record<string, string>;
  ignorePaused: boolean;
}
