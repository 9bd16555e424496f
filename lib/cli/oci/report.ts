/** How failures of the OCI runtime are told: in one line, and with the words that engines look for. @module */

/** As the C library says it: engines know by these that a command was not found, or may not be executed. */
const WORDS: Record<string, string> = {
  EPERM: "operation not permitted",
  ENOENT: "no such file or directory",
  ESRCH: "no such process",
  EIO: "input/output error",
  ENXIO: "no such device or address",
  E2BIG: "argument list too long",
  ENOEXEC: "exec format error",
  EAGAIN: "resource temporarily unavailable",
  ENOMEM: "cannot allocate memory",
  EACCES: "permission denied",
  EBUSY: "device or resource busy",
  EEXIST: "file exists",
  ENODEV: "no such device",
  ENOTDIR: "not a directory",
  EISDIR: "is a directory",
  EINVAL: "invalid argument",
  EMFILE: "too many open files",
  EFBIG: "file too large",
  ENOSPC: "no space left on device",
  EROFS: "read-only file system",
  ENAMETOOLONG: "file name too long",
  ELOOP: "too many levels of symbolic links",
  ECONNREFUSED: "connection refused",
  EOPNOTSUPP: "operation not supported",
};

interface Details {
  hint?: string;
  code?: string;
  path?: string;
  syscall?: string;
}

/** What went wrong, in one line. */
export function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { name, message, hint, code, path, syscall, stack } = error as Error & Details;
  const isNodes = name !== "TsboxError" && code !== undefined && path !== undefined && syscall !== undefined;
  if (isNodes) return `${syscall} ${JSON.stringify(path)}: ${WORDS[code] ?? code}`;
  if (name !== "TsboxError" && name !== "Error")
    return `internal error, a bug in tsbox: ${(stack ?? message).replaceAll("\n", " ")}`;
  const words = message.replaceAll(/\bE[A-Z0-9]+\b/g, (errno) => WORDS[errno] ?? errno);
  const told = words.replace(/^execute "(.*)": /, "exec $1: ");
  return hint === undefined ? told : `${told} (${hint})`;
}
