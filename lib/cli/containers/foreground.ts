/** A container that is followed until it ends, or is left alone by its detach keys. @module */
import type { Attachment, Container, Ended } from "../../containers/index.ts";
import { DetachKeys, joinTerminals } from "../../terminal/index.ts";
import { print } from "../print.ts";
import { complain, TIMED_OUT } from "../report.ts";
import { callersSize } from "../terminal.ts";

export interface Foreground {
  /** Those that are joined; stdin only where the container's is open. */
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
  sigProxy: boolean;
  detachKeys?: string;
}

const FORWARDED = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"] as const;
const [HUNG_UP, TERMINATED] = [129, 143];
/** Docker's words. */
export const LEFT_ALONE = "read escape sequence\n";

/**
 * @param start called once its output cannot be missed any more; what it throws is thrown on
 * @returns the exit status: the container's own, 0 where it is left alone
 */
export async function follow(container: Container, how: Foreground, start: () => Promise<void>): Promise<number> {
  const asked = new DetachKeys(how.detachKeys);
  const keys = how.stdin ? asked : undefined;
  const { options } = await container.record();
  const attachment = await container.attach();
  const stop = new AbortController();
  // one that goes when it has ended, or is started again, is waited for from the beginning; where it goes, to the end of that
  const isSeenLater = !options.remove && (options.restart ?? "no") === "no";
  const condition = options.remove ? ("removed" as const) : ("next-exit" as const);
  const early = isSeenLater ? undefined : container.wait({ condition, signal: stop.signal });
  early?.catch(() => {});
  try {
    const started = start();
    proxySignals(container, how.sigProxy, started);
    await started;
    // from now on: somebody may remove it
    const waited = early ?? container.wait({ signal: stop.signal });
    waited.catch(() => {});
    const size = callersSize();
    if (attachment.terminal && size) attachment.resize({ columns: size.cols, rows: size.rows });
    return (await join(attachment, how, keys)) ?? statusOf(await waited);
  } finally {
    stop.abort();
    attachment.close();
  }
}

/** One that runs. */
export async function attachTo(container: Container, how: Foreground): Promise<number> {
  const asked = new DetachKeys(how.detachKeys);
  const keys = how.stdin ? asked : undefined;
  const stop = new AbortController();
  const waited = container.wait({ condition: "next-exit", signal: stop.signal });
  waited.catch(() => {});
  const attachment = await container.attach();
  try {
    proxySignals(container, how.sigProxy);
    const size = callersSize();
    if (attachment.terminal && size) {
      // another size first: then what is shown there is drawn again
      attachment.resize({ columns: size.cols, rows: size.rows + 1 });
      attachment.resize({ columns: size.cols, rows: size.rows });
    }
    return (await join(attachment, how, keys)) ?? statusOf(await waited);
  } finally {
    stop.abort();
    attachment.close();
  }
}

/** As a sandbox that is killed for the same. */
function statusOf({ exitCode, reason, error }: Ended): number {
  if (error !== undefined && reason !== undefined) complain(error);
  return reason === "timeout" ? TIMED_OUT : exitCode;
}

/**
 * A terminal sends its signals by itself.
 * @param started those that come before are for what begins then: nobody sends them again
 */
function proxySignals(container: Container, proxied: boolean, started?: Promise<void>): void {
  const pass = async (signal: (typeof FORWARDED)[number]) => {
    await started;
    await container.kill(signal);
  };
  for (const signal of FORWARDED) {
    // those that end tsbox in an orderly manner: the container is to end, or tsbox just so
    process.removeAllListeners(signal);
    // it has ended, or never began
    if (proxied) process.on(signal, () => void pass(signal).catch(() => {}));
  }
}

/** @returns the status of tsbox where the container goes on: 0 where it is left alone, 128+N where a signal ended this */
async function join(
  attachment: Attachment,
  how: Foreground,
  keys: DetachKeys | undefined,
): Promise<number | undefined> {
  const isShown = { stdout: how.stdout, stderr: how.stderr };
  if (!attachment.terminal) {
    if (how.stdin) void feed(attachment);
    for await (const { stream, bytes } of attachment.output)
      if (isShown[stream]) print(bytes, stream === "stderr" ? 2 : 1);
    return undefined;
  }
  let status: number | undefined;
  const leaveWith = (why: number) => {
    status ??= why;
    attachment.close();
  };
  const terminal = {
    readable: bytesOf(attachment),
    write: async (typed: Uint8Array) => attachment.write?.(typed),
    resize: (columns: number, rows: number) => attachment.resize({ columns, rows }),
    close: () => leaveWith(TERMINATED),
  };
  await joinTerminals(terminal, {
    interactive: how.stdin,
    show: (chunk) => void (how.stdout && print(chunk)),
    gone: () => void (status = HUNG_UP),
    ...(keys && { keys, detached: () => leaveWith(0) }),
  });
  if (status === 0) print(LEFT_ALONE, 2);
  return status;
}

async function* bytesOf({ output }: Attachment): AsyncGenerator<Uint8Array, void, void> {
  for await (const { bytes } of output) yield bytes;
}

/** All of tsbox's own stdin. */
async function feed(attachment: Attachment): Promise<void> {
  try {
    for await (const chunk of process.stdin) await attachment.write?.(chunk as Uint8Array);
  } catch {
    // it does not read any more
  }
  await attachment.end?.().catch(() => {});
}
