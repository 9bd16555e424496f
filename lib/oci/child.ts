/** Processes that the runtime waits for itself: in the foreground. @module */
import { openPidfd, reap, sendSignal, Descriptors } from "../../syscalls/index.ts";

/** Signals may be missed where many come at once. */
const LOOK_AGAIN_MS = 100;
/** What a terminal or a service manager sends to whoever waits is meant for the process. */
const FORWARDED = "SIGHUP SIGINT SIGQUIT SIGTERM SIGUSR1 SIGUSR2 SIGALRM SIGCONT SIGWINCH SIGTSTP SIGTTIN SIGTTOU"
  .split(" ")
  .filter((name) => name !== "SIGWINCH") as NodeJS.Signals[];

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
    const status = reap(pid);
    if (status !== undefined) resolve(status);
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
