/** Descriptors that the caller passes through to a container's process: those right behind stdio. @module */
import { trySyscall, TsboxError } from "../../syscalls/index.ts";

/**
 * Keeps them open in what is executed: the JavaScript runtime has marked all that it was started with.
 *
 * @throws TsboxError `invalid_option` where one is not open
 */
export function keepOpen(count: number): void {
  const F_SETFD = 2;
  for (let fd = 3; fd < 3 + count; fd++) {
    if (trySyscall("fcntl", fd, F_SETFD, 0) === 0) continue;
    throw new TsboxError(`preserve descriptor ${fd}: it is not open`, {
      code: "invalid_option",
      hint: "--preserve-fds counts those behind stdio and those of LISTEN_FDS",
    });
  }
}
