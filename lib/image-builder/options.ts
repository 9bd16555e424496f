/** What instructions take besides, in the words of their flags. @module */
import type { ImageBuilder } from "./image-builder.ts";

/** Another image that is made on the way, or what `--from` names. */
export type Source = ImageBuilder | string;

export interface MountOptions {
  type?: "bind" | "cache" | "tmpfs" | "secret" | "ssh";
  target?: string;
  source?: string;
  from?: Source;
  readOnly?: boolean;
  id?: string;
  sharing?: "shared" | "private" | "locked";
  /** `"64m"` */
  size?: string;
  required?: boolean;
  /** In octal: `"0400"`. */
  mode?: string;
  uid?: number;
  gid?: number;
  env?: string;
}

export interface RunOptions {
  mounts?: readonly MountOptions[];
  network?: "default" | "none" | "host";
  security?: "sandbox" | "insecure";
}

export interface FileOptions {
  chown?: string;
  chmod?: string;
  link?: boolean;
}

export interface CopyOptions extends FileOptions {
  from?: Source;
  parents?: boolean;
  exclude?: readonly string[];
}

export interface AddOptions extends FileOptions {
  checksum?: string;
  keepGitDir?: boolean;
  unpack?: boolean;
  exclude?: readonly string[];
}

export interface HealthcheckOptions {
  /** Durations as Docker writes them: `"30s"`. */
  interval?: string;
  timeout?: string;
  startPeriod?: string;
  startInterval?: string;
  retries?: number;
}
