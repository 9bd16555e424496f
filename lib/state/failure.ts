/** What a store cannot do, in one voice: full, read-only, damaged, of a newer version. @module */
import { ERRNO, TsboxError } from "../../syscalls/index.ts";

const ELSEWHERE = "choose another store with TSBOX_ROOT or --root";
const HINTS: Record<number, string> = {
  [ERRNO.ENOSPC]: "the disk is full: tsbox system prune removes what nobody uses",
  [ERRNO.EDQUOT]: "the quota is used up: tsbox system prune removes what nobody uses",
  [ERRNO.EROFS]: `the file system is read-only: ${ELSEWHERE}`,
  [ERRNO.EACCES]: `it is somebody else's: ${ELSEWHERE}`,
  [ERRNO.EPERM]: `it is somebody else's: ${ELSEWHERE}`,
  [ERRNO.EIO]: "the disk has an error: see dmesg",
  [ERRNO.ELOOP]: "there is a symlink where tsbox has put none",
  [ERRNO.ENOTDIR]: "there is something else where tsbox has a directory",
  [ERRNO.EISDIR]: "there is a directory where tsbox has a file",
  [ERRNO.EINVAL]: "there is something else where tsbox has a plain file",
  [ERRNO.EFBIG]: "it is larger than tsbox makes it",
};

export const unavailable = (action: string, why: string, hint?: string, cause?: unknown): TsboxError =>
  new TsboxError(`${action}: ${why}`, {
    code: "store_unavailable",
    ...(hint === undefined ? {} : { hint }),
    ...(cause === undefined ? {} : { cause }),
  });

/** Does what the store's files are needed for. @throws TsboxError `store_unavailable` where they say no */
export function storing<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw asUnavailable(error);
  }
}

/** The same of an error; what is none of the disk's stays as it is. */
export function asUnavailable(error: unknown): unknown {
  if (!(error instanceof TsboxError) || error.code !== "system" || error.errno === undefined) return error;
  const hint = HINTS[error.errno];
  return new TsboxError(error.message, {
    code: "store_unavailable",
    errno: error.errno,
    ...(error.syscall === undefined ? {} : { syscall: error.syscall }),
    ...(hint === undefined ? {} : { hint }),
    cause: error,
  });
}
