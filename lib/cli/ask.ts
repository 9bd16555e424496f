/** Questions to whoever sits at the terminal, or to what is on stdin. @module */
import { print } from "./print.ts";

const [STDIN, STDERR] = [0, 2];
const [LF, CR] = [10, 13];
/** Nobody types longer ones. */
const MAX_LINE = 64 * 1024;

const SIGNALS = ["SIGHUP", "SIGINT", "SIGTERM"] as const;

/**
 * A line without its end; undefined where there is none any more. Signals end tsbox meanwhile: while it waits in the
 * kernel, nobody would hear of them.
 */
function readLineOrEnd(): string | undefined {
  const heard = SIGNALS.map((name) => [name, process.listeners(name)] as const);
  for (const name of SIGNALS) process.removeAllListeners(name);
  try {
    return readLine();
  } finally {
    for (const [name, listeners] of heard) for (const each of listeners) process.on(name, each);
  }
}

function readLine(): string | undefined {
  const { readSync } = process.getBuiltinModule("node:fs");
  const line: number[] = [];
  const byte = new Uint8Array(1);
  for (;;) {
    let count: number;
    try {
      count = readSync(STDIN, byte, 0, 1, null);
    } catch (error) {
      const { code } = error as { code?: string };
      if (code !== "EAGAIN" && code !== "EOF") throw error;
      if (code === "EAGAIN") Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
      count = code === "EOF" ? 0 : -1;
    }
    if (count < 0) continue;
    const [last = LF] = byte;
    if (count === 0 && line.length === 0) return undefined;
    if (count === 0 || last === LF || line.length >= MAX_LINE) break;
    line.push(last);
  }
  if (line.at(-1) === CR) line.pop();
  return new TextDecoder().decode(Uint8Array.from(line));
}

/** @returns whether it was answered with "y" or "yes" */
export function confirm(warning: string): boolean {
  print(`${warning}\nAre you sure you want to continue? [y/N] `);
  return /^\s*y(?:es)?\s*$/i.test(readLineOrEnd() ?? "");
}

/**
 * On stderr, so that what is on stdout can be a result.
 * @param isHidden what is typed is not shown: the terminal has to be as it was before this program ends
 */
export function ask(question: string, isHidden = false): string | undefined {
  print(question, STDERR);
  return isHidden ? readLine() : readLineOrEnd();
}
