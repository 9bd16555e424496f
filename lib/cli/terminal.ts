/**
 * `-t`: the command has a terminal of its own, and what it shows goes to stdout; with `-i`, the terminal that somebody
 * sits at is joined to it, and stays raw as long as that lasts.
 * @module
 */
import type { SandboxProcess } from "../index.ts";
import { joinTerminals as join, sizeOfTerminal, type DetachKeys } from "../terminal/index.ts";
import { print } from "./print.ts";
import { UsageError } from "./report.ts";

export { callersSize } from "../terminal/index.ts";

const STDIN = 0;
/** How long a command that ignores a hang-up stays when the terminal that somebody sat at is gone. */
const GRACE_MS = 500;

/** @throws UsageError, as Docker's */
export function checkTerminal(): void {
  if (!sizeOfTerminal(STDIN)) throw new UsageError("the input device is not a TTY", "leave out -t, or -i", 1);
}

/**
 * Until the command has ended, and all that it has shown has been printed.
 * @param keys leave it alone
 * @returns whether it was left alone
 */
export async function joinTerminals(
  sandboxed: SandboxProcess,
  interactive: boolean,
  keys?: DetachKeys,
): Promise<boolean> {
  const { terminal } = sandboxed;
  let left = false;
  if (!terminal) return left;
  const gone = () => void setTimeout(() => sandboxed.kill("SIGKILL"), GRACE_MS).unref();
  const detached = () => void (left = true);
  await join(terminal, { interactive, show: (chunk) => print(chunk), gone, ...(keys && { keys, detached }) });
  return left;
}
