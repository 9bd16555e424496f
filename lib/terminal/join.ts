/**
 * The terminal that somebody sits at, and a command's: what is typed at the one goes to the other, which shows what it
 * has to say.
 * @module
 */
import type { DetachKeys } from "./detach-keys.ts";
import { makeRaw, sizeOfTerminal } from "./raw-mode.ts";

const [STDIN, STDOUT, STDERR] = [0, 1, 2];

/** Undefined where nobody sits at one. */
export function callersSize(): { cols: number; rows: number } | undefined {
  const size = [STDOUT, STDIN, STDERR].map(sizeOfTerminal).find((found) => found !== undefined);
  // a serial line does not know its size
  return size && size.cols > 0 && size.rows > 0 ? size : undefined;
}

/** The command's: a `Terminal`, or what stands for one. */
export interface Joined {
  readonly readable: AsyncIterable<Uint8Array>;
  /** Resolves when it can take more. */
  write(typed: Uint8Array): Promise<unknown>;
  resize(cols: number, rows: number): void;
  /** Ends `readable`. */
  close(): void;
}

export interface Joining {
  /** What is typed is passed on: the caller's terminal is raw until the command has ended. */
  interactive: boolean;
  show(chunk: Uint8Array): void;
  /** The terminal that somebody sat at is gone. */
  gone(): void;
  /** What is not passed on, and leaves the command alone: then this is called, and `readable` is read no more. */
  keys?: DetachKeys;
  detached?(): void;
}

/** Until the command has ended and all that it has shown has been told, or it is left alone. */
export async function joinTerminals(terminal: Joined, joining: Joining): Promise<void> {
  const { interactive, show, gone, keys } = joining;
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
  const left = Promise.withResolvers<"left">();
  const leave = () => {
    joining.detached?.();
    left.resolve("left");
  };
  if (interactive) {
    process.stdin.on("end", hangUp).on("error", hangUp);
    process.stdin.on("data", (typed: Uint8Array) => {
      const passed = keys ? keys.take(typed) : typed;
      if (!passed) return leave();
      if (passed.length === 0) return;
      process.stdin.pause();
      const again = () => process.stdin.resume();
      terminal.write(passed).then(again, () => {}); // it has ended
    });
  }
  const shown = terminal.readable[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await Promise.race([shown.next(), left.promise]);
      if (next === "left" || next.done) break;
      show(next.value);
    }
  } finally {
    restore?.();
  }
}
