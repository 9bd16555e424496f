/**
 * What is known of a container: a row of the database. What the kernel knows better (whether it runs) is looked at
 * again whenever a record is read: `reconcile.ts`.
 * @module
 */
import type { CgroupRecord } from "../cgroup/index.ts";
import type { Digest } from "../image/index.ts";
import type { ContainerMount, ContainerOptions } from "./options.ts";

/**
 * `creating`, `starting` and `removing` stand as long as a command is at it, or until the next one finds what was left of
 * it; what is not whole yet is neither listed nor found.
 * `restarting`: it has ended, and will be started again.
 */
export type ContainerStatus =
  "creating" | "created" | "starting" | "running" | "paused" | "restarting" | "exited" | "removing" | "dead";

export interface UsedVolume {
  name: string;
  target: string;
  readOnly: boolean;
  /** Of this container alone: goes with it. */
  anonymous: boolean;
  /** It is mounted when it is used, and to be unmounted afterwards. */
  mounted?: boolean;
}

export interface HealthLog {
  /** Milliseconds since 1970, as all times here. */
  start: number;
  end: number;
  exitCode: number;
  /** Its beginning. */
  output: string;
}

export interface HealthRecord {
  status: "starting" | "healthy" | "unhealthy";
  failingStreak: number;
  /** The last five. */
  log: HealthLog[];
}

export interface ContainerRecord {
  version: 1;
  /** 64 hexadecimal digits. */
  id: string;
  name: string;
  created: number;
  /** As asked for, with nothing of the image's in it. */
  options: ContainerOptions;
  /** Where one is named: as it was asked for, and what it then was. */
  image?: { reference: string; id: Digest; digest: Digest };
  /** What is executed, entry point and arguments. */
  command: string[];
  status: ContainerStatus;
  /** Of its init, on the host, while it runs; 0 otherwise. */
  pid: number;
  startedAt?: number;
  finishedAt?: number;
  exitCode?: number;
  oomKilled?: boolean;
  /** Of limits, which it was killed for. */
  reason?: "timeout" | "output" | "network";
  /** Why it could not be started, or was killed. */
  error?: string;
  /** By its restart policy, since somebody started it. */
  restarts: number;
  /** Milliseconds that its policy waited with the last one. */
  restartDelay?: number;
  /** It is paused as long as a commit reads its files, which has the lock of its file `commit`. */
  committing?: true;
  /** Somebody has stopped it: no policy but `always`, at the next boot, starts it again. */
  stopped: boolean;
  /**
   * What whoever is ending it wants then: that it is started again, or only at the next boot. `"decide"`: nobody was
   * there to decide what its restart policy says. Unset when it starts.
   */
  after?: "restart" | "halt" | "decide";
  health?: HealthRecord;
  cgroup?: CgroupRecord;
  volumes: UsedVolume[];
  /** What is mounted, as `resolveMounts` has found it: sources are absolute, and volumes have names. */
  mounts?: ContainerMount[];
  /** Digests of images that are mounted, by the names that they were asked for by: they stay with it. */
  mountedImages?: Record<string, Digest>;
  /** The first id on the host, of one whose ids are its own. */
  hostID?: number;
  hostname: string;
}

/** How a run of it has ended. */
export interface Ended {
  exitCode: number;
  oomKilled: boolean;
  /** Which limit it was killed for. */
  reason?: "timeout" | "output" | "network";
  error?: string;
}

export interface ContainerEvent {
  /** Milliseconds since 1970. */
  time: number;
  /** In which they came. */
  sequence: number;
  type: "container" | "image" | "volume" | "network";
  /** `"create"`, `"start"`, `"die"`, `"health_status: healthy"`, …, as Docker's. */
  action: string;
  /** The id of a container, the name of a volume. */
  id: string;
  attributes: Record<string, string>;
}
