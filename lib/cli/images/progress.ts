/**
 * What is told while images come and go: on a terminal a line a layer, redrawn in place; elsewhere a line whenever
 * something has happened.
 * @module
 */
import type { ImageEvent } from "../../images/index.ts";
import { sizeOfTerminal } from "../../terminal/index.ts";
import { print } from "../print.ts";
import { safeWord } from "../safe-text.ts";
import { LayerLines } from "./layer-lines.ts";

/** Between two pictures. */
const INTERVAL_MS = 80;
const USUAL = { cols: 80, rows: 24 };

export interface Progress {
  onProgress(event: ImageEvent): void;
  /** A line that stays, above the layers that are being shown. */
  say(line: string): void;
  /** What is shown is final; layers that follow are others. */
  finish(): void;
}

type Direction = "pull" | "push";

export function progressOn(direction: Direction, fd: number): Progress {
  return sizeOfTerminal(fd) ? new Screen(direction, fd) : new Log(direction, fd);
}

class Log implements Progress {
  readonly #direction: Direction;
  readonly #fd: number;
  #layers: LayerLines;

  constructor(direction: Direction, fd: number) {
    this.#direction = direction;
    this.#fd = fd;
    this.#layers = new LayerLines(direction);
  }

  onProgress(event: ImageEvent): void {
    const line = event.type === "layer" ? this.#layers.update(event, performance.now()) : undefined;
    // that bytes begin to come is not worth a line where they are not counted
    if (line !== undefined && event.type === "layer" && !("bytes" in event)) this.say(line);
  }

  say(line: string): void {
    print(`${safeWord(line)}\n`, this.#fd);
  }

  finish(): void {
    this.#layers = new LayerLines(this.#direction);
  }
}

class Screen implements Progress {
  readonly #direction: Direction;
  readonly #fd: number;
  #layers: LayerLines;
  /** Lines of the last picture, which the cursor stands below. */
  #drawn = 0;
  #lastMs = -INTERVAL_MS;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(direction: Direction, fd: number) {
    this.#direction = direction;
    this.#fd = fd;
    this.#layers = new LayerLines(direction);
  }

  onProgress(event: ImageEvent): void {
    if (event.type !== "layer") return;
    const now = performance.now();
    this.#layers.update(event, now);
    if (now - this.#lastMs >= INTERVAL_MS) this.#draw();
    else this.#timer ??= setTimeout(() => this.#draw(), INTERVAL_MS);
  }

  say(line: string): void {
    this.#replace([]);
    print(`${safeWord(line)}\n`, this.#fd);
    this.#draw();
  }

  finish(): void {
    this.#replace(this.#layers.finalLines(this.#size().cols));
    this.#drawn = 0;
    this.#layers = new LayerLines(this.#direction);
  }

  #draw(): void {
    this.#lastMs = performance.now();
    const { cols, rows } = this.#size();
    // the cursor needs a line, too
    this.#replace(this.#layers.lines(cols, rows - 1));
  }

  #size(): { cols: number; rows: number } {
    const size = sizeOfTerminal(this.#fd);
    return size && size.cols > 0 && size.rows > 1 ? size : USUAL;
  }

  /** Up to the first line of the last picture, and the new one over it, in one write so that nothing flickers. */
  #replace(lines: string[]): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    // a terminal that has become lower has scrolled: what is above its top cannot be reached
    const up = Math.min(this.#drawn, this.#size().rows - 1);
    const rest = lines.map((line) => `${line}\x1b[K\n`).join("");
    print(`${up > 0 ? `\x1b[${up}A` : ""}\r${rest}\x1b[J`, this.#fd);
    this.#drawn = lines.length;
  }
}
