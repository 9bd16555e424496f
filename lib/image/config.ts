/**
 * What an image says of itself: how it is run, and which layers it is made of. In the words of its JSON.
 * @module
 * @see https://github.com/opencontainers/image-spec/blob/main/config.md
 */
import {
  list,
  Mismatch,
  nearest64,
  object,
  otherwise,
  record,
  required,
  text,
  unlessEmpty,
  boolean,
} from "../schema/index.ts";
import type { Reader } from "../schema/index.ts";
import { show } from "../../syscalls/index.ts";
import type { Digest } from "./digest.ts";
import { digestReader, readImageJson } from "./manifest.ts";

/** How its containers are run, unless somebody says otherwise. */
export interface ContainerConfig {
  /** `"1000:1000"`, `"www-data"` */
  User?: string;
  /** `"8080/tcp"` */
  ExposedPorts?: Record<string, object>;
  /** `"NAME=value"` */
  Env?: string[];
  Entrypoint?: string[];
  Cmd?: string[];
  Volumes?: Record<string, object>;
  WorkingDir?: string;
  Labels?: Record<string, string>;
  StopSignal?: string;
  /** Seconds. Docker's. */
  StopTimeout?: number;
  Healthcheck?: Healthcheck;
  /** Of `RUN` and the shell forms of a Dockerfile. */
  Shell?: string[];
  OnBuild?: string[];
  ArgsEscaped?: boolean;
}

/** Docker's; nanoseconds. */
export interface Healthcheck {
  /** `["CMD", …]`, `["CMD-SHELL", line]`, `["NONE"]` */
  Test?: string[];
  Interval?: number;
  Timeout?: number;
  StartPeriod?: number;
  StartInterval?: number;
  Retries?: number;
}

/** A step of how it was made. */
export interface HistoryEntry {
  /** RFC 3339 */
  created?: string;
  created_by?: string;
  author?: string;
  comment?: string;
  /** It made no layer. */
  empty_layer?: boolean;
}

export interface ImageConfig {
  /** RFC 3339 */
  created?: string;
  author?: string;
  architecture: string;
  os: string;
  variant?: string;
  "os.version"?: string;
  "os.features"?: string[];
  config?: ContainerConfig;
  rootfs: { type: "layers"; /** The lowest first. */ diff_ids: Digest[] };
  history?: HistoryEntry[];
}

/** A Dockerfile with thousands of instructions does not come near. */
export const MAX_CONFIG_BYTES = 8 * 2 ** 20;

/** Keys of which only they themselves count. */
const keys: Reader<Record<string, object>> = record((value) => {
  if (typeof value === "object" && value !== null) return {};
  throw new Mismatch(`${show(value)} is not an object`);
});

const healthcheckReader = object<Healthcheck>({
  Test: list(text),
  Interval: nearest64,
  Timeout: nearest64,
  StartPeriod: nearest64,
  StartInterval: nearest64,
  Retries: nearest64,
});

export const containerConfigReader = object<ContainerConfig>({
  User: unlessEmpty(text),
  ExposedPorts: keys,
  Env: list(text),
  Entrypoint: list(text),
  Cmd: list(text),
  Volumes: keys,
  WorkingDir: unlessEmpty(text),
  Labels: record(text),
  StopSignal: unlessEmpty(text),
  StopTimeout: nearest64,
  Healthcheck: healthcheckReader,
  Shell: list(text),
  OnBuild: list(text),
  ArgsEscaped: boolean,
});

const configReader = object<ImageConfig>({
  created: unlessEmpty(text),
  author: unlessEmpty(text),
  architecture: otherwise(text, () => "unknown"),
  os: otherwise(text, () => "linux"),
  variant: unlessEmpty(text),
  "os.version": unlessEmpty(text),
  "os.features": list(text),
  config: containerConfigReader,
  rootfs: required(
    object<ImageConfig["rootfs"]>({
      type: otherwise(
        (): "layers" => "layers",
        () => "layers",
      ),
      diff_ids: required(list(digestReader)),
    }),
  ),
  history: list(
    object<HistoryEntry>({
      created: unlessEmpty(text),
      created_by: unlessEmpty(text),
      author: unlessEmpty(text),
      comment: unlessEmpty(text),
      empty_layer: boolean,
    }),
  ),
});

/** @throws TsboxError `image_invalid` */
export const parseImageConfig = (bytes: Uint8Array, what = "the image config"): ImageConfig =>
  readImageJson(what, bytes, configReader);
