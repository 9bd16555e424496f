/** Lines on a terminal that are drawn again in place. @module */
import { sizeOfTerminal } from "../../terminal/index.ts";
import { print } from "../print.ts";

const STDOUT = 1;
const [HIDE_CURSOR, SHOW_CURSOR, CLEAR_LINE, CLEAR_BELOW, NO_WRAP, WRAP] = [
  "\x1b[?25l",
  "\x1b[?25h",
  "\x1b[K",
  "\x1b[J",
  "\x1b[?7l",
  "\x1b[?7h",
];

/** What is drawn last stays; the cursor comes back below it. */
export class Redrawn implements Disposable {
  #drawn = 0;

  constructor() {
    print(HIDE_CURSOR + NO_WRAP);
  }

  /** Columns of the terminal as it is now. */
  get width(): number {
    return sizeOfTerminal(STDOUT)?.cols ?? 80;
  }

  /** As many lines as there is room for. */
  draw(lines: readonly string[]): void {
    const rows = sizeOfTerminal(STDOUT)?.rows ?? 24;
    const shown = lines.slice(0, Math.max(1, rows - 1));
    const up = this.#drawn > 0 ? `\x1b[${Math.min(this.#drawn, rows - 1)}A` : "";
    print(`${up}\r${shown.map((line) => `${line}${CLEAR_LINE}\r\n`).join("")}${CLEAR_BELOW}`);
    this.#drawn = shown.length;
  }

  [Symbol.dispose](): void {
    print(WRAP + SHOW_CURSOR);
  }
}
