/**
 * A listening Unix socket that nobody but this process can connect to: its name is gone as soon as it has been made, and
 * what is left is a descriptor. An abstract one would be there for everybody in the host's network namespace.
 * @module
 * @see unix(7), proc(5) /proc/self/fd
 */
import { close, O_PATH, open, TsboxError } from "../../syscalls/index.ts";

/** In `/proc/self/fd`, as long as it is open. */
export interface HiddenSocket {
  path: string;
  close(): void;
}

const MAX_PATH_BYTES = 107;

/** @param listen makes the socket at a path */
export function hide(listen: (path: string) => void): HiddenSocket {
  const { mkdtempSync, rmSync } = process.getBuiltinModule("node:fs");
  const { tmpdir } = process.getBuiltinModule("node:os");
  const parent = tmpdir().length < MAX_PATH_BYTES - 20 ? tmpdir() : "/tmp";
  let directory: string;
  try {
    directory = mkdtempSync(`${parent}/tsbox-`);
  } catch (cause) {
    const hint = "set TMPDIR to a directory that can be written";
    throw new TsboxError(`make a socket in "${parent}"`, { code: "system", path: parent, hint, cause });
  }
  try {
    listen(`${directory}/socket`);
    const fd = open(`${directory}/socket`, O_PATH);
    return { path: `/proc/self/fd/${fd}`, close: () => close(fd) };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
