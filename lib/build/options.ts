/** What a build is asked for, and what it makes. @module */
import type { Dockerfile } from "../dockerfile/index.ts";
import type { Limits, RunOptions, SecurityOptions } from "../sandbox/index.ts";
import type { BuildEvent } from "./events.ts";

/** A directory's path, a tar archive (also compressed), or the URL of a git repository or an archive. */
export type ContextSource = string | ReadableStream<Uint8Array> | Uint8Array;

export interface BuildOptions {
  /** Default: none, in which COPY finds nothing. */
  context?: ContextSource;
  /** Path of the Dockerfile, in the context unless absolute; default `Dockerfile`. Or what stands in it, parsed or not. */
  file?: string;
  dockerfile?: string | Dockerfile;
  /** Names of what is made. */
  tags?: string[];
  /** Other contexts by name, for `--from=NAME` and FROM; `docker-image://NAME` is an image. */
  contexts?: Record<string, ContextSource>;
  args?: Record<string, string>;
  labels?: Record<string, string>;
  /** The stage that is wanted; default the last. */
  target?: string;
  /** Of the stage that a line of the file is in, what is there before it: for a look at why that step fails. */
  before?: number;
  platform?: string;
  pull?: boolean;
  cache?: boolean;
  /** Stages whose cache does not count. */
  noCacheFilter?: string[];
  /** Contents by id. */
  secrets?: Record<string, Uint8Array | { file: string } | { env: string }>;
  /** By id: the socket of an agent, or files of private keys. */
  ssh?: Record<string, string | string[]>;
  /** Default for RUN: `"none"`, `"host"`, or as containers have it. */
  network?: "default" | "none" | "host";
  /** What the file may ask for: RUN --network=host, RUN --security=insecure. */
  allow?: ("network.host" | "security.insecure")[];
  /** Of each RUN. */
  run?: RunSettings;
  /** `"name:address"` */
  addHosts?: string[];
  squash?: boolean;
  outputs?: BuildOutput[];
  cacheFrom?: RemoteCache[];
  cacheTo?: RemoteCache[];
  /** Seconds; of all that has a time. Default: `SOURCE_DATE_EPOCH` of args. */
  sourceDateEpoch?: number;
  /** How many steps at once; default as many as there are CPUs. */
  parallel?: number;
  onEvent?: (event: BuildEvent) => void;
  signal?: AbortSignal;
}

/** What each RUN is limited to, and protected by; as of sandboxes. */
export interface RunSettings extends Pick<RunOptions, "shmSize" | "ulimits" | "cgroupParent"> {
  /** Those that control groups keep. */
  limits?: Limits;
  security?: Pick<SecurityOptions, "seccomp" | "noNewPrivileges" | "landlock">;
}

export type BuildOutput =
  /** In the store; the default. */
  | { type: "image"; names?: string[]; push?: boolean }
  /** The files, in a directory. */
  | { type: "local"; destination: string }
  /** The files, as an archive; `"-"` for standard output is the command line's. */
  | { type: "tar"; destination: string | WritableStream<Uint8Array> }
  /** An OCI or Docker archive of the image. */
  | { type: "oci" | "docker"; destination: string | WritableStream<Uint8Array> };

export type RemoteCache =
  { type: "registry"; reference: string; mode?: "min" | "max" } | { type: "local"; path: string };

export interface BuildResult {
  /** Of the image, in the store or in an archive; undefined where files alone were asked for. */
  id?: string;
  digest?: string;
  /** How many steps were found in the cache, and how many were done. */
  cached: number;
  performed: number;
}
