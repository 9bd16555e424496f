/** What a caller may ask of a container. @module */
import type { NetworkPolicy } from "../policy/index.ts";
import type { Duration, RunOptions, Size } from "../sandbox/index.ts";
import type { ContainerMount } from "../volumes/index.ts";

export type { ContainerMount, FileChanges, ImageMount, VolumeMount } from "../volumes/index.ts";

/** After a command has ended: `"on-failure:5"` at most five times, where it did not exit with 0. */
export type RestartPolicy = "no" | "always" | "unless-stopped" | "on-failure" | `on-failure:${number}`;

/** How it is found out whether a container does what it is for. Left out: what its image says. */
export interface HealthOptions {
  /** `["CMD", "curl", "-f", "http://localhost"]`, `["CMD-SHELL", "test -e /ready"]`, or `["NONE"]`; a string is for a shell. */
  test?: string | string[];
  /** Between two checks, and until the first; default `"30s"`. */
  interval?: Duration;
  /** Of one check, which has failed then; default `"30s"`. */
  timeout?: Duration;
  /** Failures one after the other that make it unhealthy; default 3. */
  retries?: number;
  /** So long failures do not count; default 0. */
  startPeriod?: Duration;
  /** Between two checks in that time; default `"5s"`. */
  startInterval?: Duration;
}

/** Of what a container writes. */
export interface LogOptions {
  /** `"none"`: nothing can be read later. Default `"local"`; `"json-file"` is the same. */
  driver?: "local" | "json-file" | "none";
  /** A file is begun anew when it is so large; default: never. */
  maxSize?: Size;
  /** So many files are kept, the one that is written among them; default 1, or 5 where a size is given. */
  maxFiles?: number;
  /** Names of labels, and of variables that were asked for, which `logs --details` shows. */
  labels?: string[];
  env?: string[];
}

type Namespaces = NonNullable<RunOptions["namespaces"]>;

export type ContainerNamespaces = Omit<Namespaces, "pid" | "ipc"> & {
  pid?: Namespaces["pid"] | `container:${string}`;
  ipc?: Namespaces["ipc"] | `container:${string}`;
};

export interface ContainerNetwork {
  name: string;
  /** That it is to have, one of each family; default: what is free. */
  addresses?: string[];
  /** `"02:42:ac:11:00:02"` */
  mac?: string;
  /** What others in the network know it by, besides its name. */
  aliases?: string[];
}

/** Lists alone: a container lasts longer than the functions of a program. */
export type ContainerPolicy = Pick<NetworkPolicy, "allow" | "deny">;

export interface ContainerOptions extends Omit<
  RunOptions,
  "signal" | "stdin" | "stdout" | "stderr" | "writableLayer" | "mounts" | "network" | "namespaces"
> {
  /** Letters, digits, `_`, `.` and `-`; one is made up where there is none. */
  name?: string;
  /** Instead of the image's. */
  command?: string[];
  mounts?: ContainerMount[];
  /** As `-v` has them: `"data:/data:ro"`, `"/srv:/srv"`, `"/only/inside"`. */
  volumes?: string[];
  /** Containers whose volumes it has as well: `"web"`, `"web:ro"`. */
  volumesFrom?: string[];
  /**
   * `false` or `"none"`, `"host"`, `"container:NAME"`, `"ns:PATH"`, or the name of a network; or what it may connect to,
   * with no network but that.
   */
  network?: Exclude<RunOptions["network"], object> | "none" | `container:${string}` | (string & {}) | ContainerPolicy;
  /** Several networks, or one with more to say: instead of `network`. What leads elsewhere goes by the first. */
  networks?: ContainerNetwork[];
  /** Of networks, as `-p` has them: `"8080:80"`, `"127.0.0.1:5353:53/udp"`. */
  ports?: string[];
  /** All that the image, or `expose`, names, at ports that are free. */
  publishAll?: boolean;
  /** As of a sandbox; of processes and of IPC also `"container:NAME"`, for as long as that runs. */
  namespaces?: ContainerNamespaces;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  restart?: RestartPolicy;
  health?: HealthOptions;
  /** Removed, with its own volumes, once it has ended. */
  remove?: boolean;
  /** Its stdin can be written to; `"once"`: until whoever writes first has ended. */
  openStdin?: boolean | "once";
  /** `"SIGTERM"` unless the image or this says otherwise. */
  stopSignal?: string;
  /** After which it is killed; default `"10s"`; a negative one waits for ever. */
  stopTimeout?: Duration;
  log?: LogOptions;
  /** Lines of /etc/hosts: `"db:10.0.0.2"`. */
  addHosts?: string[];
  /** Of /etc/resolv.conf. */
  dns?: string[];
  dnsSearch?: string[];
  dnsOptions?: string[];
  /** Streams that are attached to, for `inspect`. */
  attach?: ("stdin" | "stdout" | "stderr")[];
  /** `"65536"`: ports that the image's are added to, for `inspect`. */
  expose?: string[];
}
