/** What has been read of a file, so that it need not be read again. @module */
import type { Stated } from "../../layer/index.ts";

export interface Recorded {
  /** From the source; of the source itself "". */
  path: string;
  /** In the tree. */
  where: string;
  stated: Stated;
  xattrs?: Map<string, Uint8Array> | undefined;
  /** Of a file. */
  bytes?: Uint8Array | undefined;
}
