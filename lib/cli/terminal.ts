/**
 * `-t`: the command has a terminal of its own, and what it shows goes to stdout; with `-i`, the terminal that somebody
 * sits at is joined to it, and stays raw as long as that lasts.
 * @module
 */
import type { SandboxProcess } from "../index.ts";
import { makeRaw, sizeOfTerminal } from "../terminal/index.ts";
import { print } from "./print.ts";
import { UsageError } from "./report.ts";

const [STDIN, STDOUT, STDERR] = [0, 1, 2];
/** How long a command that ignores a hang-up stays when the terminal that somebody sat at is gone. */
const GRACE_MS = 500;

/** Undefined where nobody sits at one. */
export function callersSize(): { cols: number; rows: number } | undefined {
  const size = [STDOUT, STDIN, STDERR].map(sizeOfTerminal).find((found) => found !== undefined);
  // a serial line does not know its size
  return size && size.cols > 0 && size.rows > 0 ? size : undefined;
}

/** @throws UsageError, as Docker's */
export function checkTerminal(): void {
  if (!sizeOfTerminal(STDIN)) throw new UsageError("the input device is not a TTY", "leave out -t, or -i");
}

/** Until the command has ended, and all that it has shown has been printed. */
export async function joinTerminals(sandboxed: SandboxProcess, interactive: boolean): Promise<void> {
  const { terminal } = sandboxed;
  if (!terminal) return;
  const restore = interactive ? makeRaw(STDIN) : undefined;
  // however tsbox ends
  if (restore) process.on("exit", restore);
  process.on("SIGWINCH", () => {
    const size = callersSize();
    if (size) terminal.resize(size.cols, size.rows);
  });
  // without a hang-up, a shell that ignores SIGTERM would stay
  process.on("SIGTERM", () => terminal.close());
  const gone = () => {
    terminal.close();
    setTimeout(() => sandboxed.kill("SIGKILL"), GRACE_MS).unref();
  };
  process.on("SIGHUP", gone);
  if (interactive) {
    process.stdin.on("end", gone).on("error", gone);
    process.stdin.on("data", (typed: Uint8Array) => {
      process.stdin.pause();
      const again = () => process.stdin.resume();
      terminal.write(typed).then(again, () => {}); // it has ended
    });
  }
  try {
    for await (const shown of terminal.readable) print(shown);
  } finally {
    restore?.();
  }
}
