/** Processes that the runtime waits for itself: in the foreground. @module */
import { Descriptors, endedChild, openPidfd, reap, sendSignal, trySyscall } from "../../syscalls/index.ts";

/** Signals may be missed where many come at once. */
const LOOK_AGAIN_MS = 100;
/** What a terminal or a service manager sends to whoever waits is meant for the process. */
const FORWARDED = "SIGHUP SIGINT SIGQUIT SIGTERM SIGUSR1 SIGUSR2 SIGALRM SIGCONT SIGTSTP SIGTTIN SIGTTOU".split(
  " ",
) as NodeJS.Signals[];

/** Takes in orphans of a container that has no pid namespace of its own, and reaps them as long as it waits for it. */
export const adoptOrphans = (): void => void trySyscall("prctl", PR_SET_CHILD_SUBREAPER, 1);

const PR_SET_CHILD_SUBREAPER = 36;

/**
 * Waits until a child has ended, and passes signals on to it meanwhile.
 * @returns its exit status, or 128 and the number of the signal that ended it
 */
export async function waitForChild(pid: number): Promise<number> {
  using opened = new Descriptors();
  const pidfd = opened.add(openPidfd(pid));
  const { signals } = process.getBuiltinModule("node:os").constants;
  const forward = (name: NodeJS.Signals) => void sendSignal(pidfd, signals[name]);
  for (const name of FORWARDED) process.on(name, forward);
  const { promise, resolve } = Promise.withResolvers<number>();
  const look = () => {
    for (let ended = endedChild(); ended !== undefined; ended = endedChild()) {
      const status = reap(ended) ?? 0;
      if (ended === pid) resolve(status);
    }
  };
  process.on("SIGCHLD", look);
  const timer = setInterval(look, LOOK_AGAIN_MS);
  look();
  try {
    return exitStatus(await promise);
  } finally {
    clearInterval(timer);
    process.off("SIGCHLD", look);
    for (const name of FORWARDED) process.off(name, forward);
  }
}

/** @see wait(2) */
const exitStatus = (status: number): number => ((status & 0x7f) === 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f));
