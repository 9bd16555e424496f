/** This program's own stdout and stderr, for a command that is to have them. @module */
import { statFile } from "../../syscalls/index.ts";

const [S_IFMT, S_IFIFO, S_IFCHR, FOR_ALL] = [0o170000, 0o010000, 0o020000, 0o002];

/**
 * How a command gets them, if it is to open them again as `/dev/stdout`: as they are where they are pipes, or a device that
 * is everybody's. A terminal or a file may not be the command's user's, and a socket cannot be opened: then by a pipe, which
 * the caller writes on.
 */
export function ownStream(fd: 1 | 2): "inherit" | "pipe" {
  const mode = statFile(`/proc/self/fd/${fd}`)?.mode;
  if (mode === undefined) return "inherit"; // closed
  const kind = mode & S_IFMT;
  return kind === S_IFIFO || (kind === S_IFCHR && (mode & FOR_ALL) !== 0) ? "inherit" : "pipe";
}
