/** Signals to a container that runs. @module */
import * as sys from "../../syscalls/index.ts";
import { connectPidfd } from "./supervisor.ts";
import type { Home } from "./home.ts";

/** Init passes on what it gets, but it would stop itself, or reap. */
const [SIGCHLD, SIGCONT, SIGSTOP] = [17, 18, 19];
const NOT_PASSED_ON = [SIGCHLD, SIGCONT, SIGSTOP];
const ESRCH = 3;

/** @returns whether it was running @throws TsboxError `system` */
export function sendToContainer(home: Home, id: string, signal: number): boolean {
  const init = connectPidfd(home, id);
  if (init === undefined) return false;
  try {
    const command = NOT_PASSED_ON.includes(signal) ? openCommand(init) : undefined;
    const result = sys.sendSignal(command ?? init, signal);
    if (command !== undefined) sys.close(command);
    if (result < 0 && result !== -ESRCH)
      throw sys.systemError(`send signal ${signal} to container ${id}`, "pidfd_send_signal", -result);
    return result >= 0;
  } finally {
    sys.close(init);
  }
}

/**
 * A pidfd of init's first child, which is the command: others that it has came later, as orphans.
 * @throws TsboxError `unsupported`
 */
function openCommand(init: number): number | undefined {
  const pid = pidOf(init);
  if (pid === undefined) return undefined;
  const first = firstChild(pid);
  if (first === undefined) return undefined;
  const pidfd = sys.trySyscall("pidfd_open", first, 0);
  if (pidfd < 0) return undefined;
  // it is still the same, and so is init
  if (firstChild(pid) === first && pidOf(init) === pid) return pidfd;
  sys.close(pidfd);
  return undefined;
}

/** Undefined where it has ended. @see pidfd_open(2), proc_pid_fdinfo(5) */
export function pidOf(pidfd: number): number | undefined {
  const pid = Number(/^Pid:\s+(-?\d+)$/m.exec(sys.readKernelFile(`/proc/self/fdinfo/${pidfd}`) ?? "")?.[1]);
  return pid > 0 ? pid : undefined;
}

/** @see proc_pid_task(5) */
function firstChild(pid: number): number | undefined {
  const children = sys.readKernelFile(`/proc/${pid}/task/${pid}/children`);
  const first = Number(children?.trim().split(" ")[0]);
  return first > 0 ? first : undefined;
}
