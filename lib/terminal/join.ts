/**
 * The terminal that somebody sits at, and a command's: what is typed at the one goes to the other, which shows what it
 * has to say.
 * @module
 */
import { makeRaw, sizeOfTerminal } from "./raw-mode.ts";
import type { Terminal } from "./terminal.ts";

const [STDIN, STDOUT, STDERR] = [0, 1, 2];

/** Undefined where nobody sits at one. */
export function callersSize(): { cols: number; rows: number } | undefined {
  const size = [STDOUT, STDIN, STDERR].map(sizeOfTerminal).find((found) => found !== undefined);
  // a serial line does not know its size
  return size && size.cols > 0 && size.rows > 0 ? size : undefined;
}

export interface Joining {
  /** What is typed is passed on: the caller's terminal is raw until the command has ended. */
  interactive: boolean;
  show(chunk: Uint8Array): void;
  /** The terminal that somebody sat at is gone. */
  gone(): void;
}

/** Until the command has ended, and all that it has shown has been told. */
export async function joinTerminals(terminal: Terminal, { interactive, show, gone }: Joining): Promise<void> {
  const restore = interactive ? makeRaw(STDIN) : undefined;
  // however this program ends
  if (restore) process.on("exit", restore);
  process.on("SIGWINCH", () => {
    const size = callersSize();
    if (size) terminal.resize(size.cols, size.rows);
  });
  // without a hang-up, a shell that ignores SIGTERM would stay
  process.on("SIGTERM", () => terminal.close());
  const hangUp = () => {
    terminal.close();
    gone();
  };
  process.on("SIGHUP", hangUp);
  if (interactive) {
    process.stdin.on("end", hangUp).on("error", hangUp);
    process.stdin.on("data", (typed: Uint8Array) => {
      process.stdin.pause();
      const again = () => process.stdin.resume();
      terminal.write(typed).then(again, () => {}); // it has ended
    });
  }
  try {
    for await (const shown of terminal.readable) show(shown);
  } finally {
    restore?.();
  }
}
