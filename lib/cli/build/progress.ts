/** How a build is told of: a tree that is drawn again in place, plain lines, or JSON; on stderr. @module */
import type { BuildEvent } from "../../build/index.ts";
import { sizeOfTerminal } from "../../terminal/index.ts";
import { print } from "../print.ts";
import { safeWord } from "../safe-text.ts";
import { invalid } from "../invalid.ts";
import { BuildPicture } from "./build-picture.ts";
import { OutputLines } from "./output-lines.ts";

const STDERR = 2;
const INTERVAL_MS = 80;
const USUAL = { cols: 80, rows: 24 };

export interface BuildProgress {
  onEvent(event: BuildEvent): void;
  /** What is shown is final. */
  finish(): void;
}

const PROGRESSES = ["auto", "plain", "tty", "json"];

/** @param kind one of those, or `"quiet"`. @throws TsboxError `invalid_option` */
export function progressOf(kind = "auto"): BuildProgress {
  if (kind === "quiet") return { onEvent() {}, finish() {} };
  if (!PROGRESSES.includes(kind)) throw invalid("--progress", kind, "not known", PROGRESSES.join(", "));
  if (kind === "json") return new Json();
  const hasTerminal = sizeOfTerminal(STDERR) !== undefined;
  if (kind === "tty" && !hasTerminal) throw invalid("--progress", kind, "stderr is no terminal", "plain");
  return hasTerminal && kind !== "plain" ? new Tree() : new Plain();
}

const tell = (line: string) => print(`${line}\n`, STDERR);

/** As BuildKit's: `#3 [2/4] RUN make`, `#3 0.521 cc main.c`, `#3 DONE 1.2s`. */
class Plain implements BuildProgress {
  readonly #titles: string[] = [];
  readonly #outputs = new Map<number, { at: number; lines: OutputLines }>();
  #lastTold = -1;

  onEvent(event: BuildEvent): void {
    if (event.type === "plan") this.#titles.push(...event.steps.map(({ title }) => safeWord(title)));
    else if (event.type === "resolving") tell(`resolving ${safeWord(event.reference)}`);
    else if (event.type === "exporting") tell(`exporting ${safeWord(event.what)}`);
    else if (event.type === "warning") tell(`WARNING: ${safeWord(event.message)}`);
    else this.#step(event);
  }

  #step(event: Extract<BuildEvent, { step: number }>): void {
    const { step } = event;
    // of several that are done at the same time, whose lines follow
    if (this.#lastTold !== step && event.type !== "progress") {
      if (this.#lastTold >= 0) tell("");
      tell(`#${step + 1} ${this.#titles[step] ?? ""}`);
      this.#lastTold = step;
    }
    if (event.type === "started") this.#outputs.set(step, { at: event.at, lines: new OutputLines() });
    const output = this.#outputs.get(step);
    if (event.type === "output") this.#lines(step, output?.lines.add(event.bytes) ?? []);
    if (event.type !== "ended") return;
    this.#lines(step, output?.lines.end() ?? []);
    const took = `${((event.at - (output?.at ?? event.at)) / 1000).toFixed(1)}s`;
    const done = event.cached ? "CACHED" : `DONE ${took}`;
    tell(`#${step + 1} ${event.canceled ? "CANCELED" : event.error === undefined ? done : "ERROR"}`);
    this.#outputs.delete(step);
  }

  #lines(step: number, lines: readonly string[]): void {
    const since = this.#outputs.get(step)?.at ?? Date.now();
    for (const line of lines) tell(`#${step + 1} ${((Date.now() - since) / 1000).toFixed(3)} ${line}`);
  }

  finish(): void {}
}

class Json implements BuildProgress {
  readonly #decoders = new Map<string, TextDecoder>();

  onEvent(event: BuildEvent): void {
    if (event.type !== "output") return tell(JSON.stringify(event));
    const { bytes, ...rest } = event;
    const key = `${event.step} ${event.stream}`;
    const decoder = this.#decoders.get(key) ?? new TextDecoder();
    this.#decoders.set(key, decoder);
    tell(JSON.stringify({ ...rest, text: decoder.decode(bytes, { stream: true }) }));
  }

  finish(): void {}
}

class Tree implements BuildProgress {
  readonly #picture = new BuildPicture(Date.now());
  #drawn = 0;
  #timer: ReturnType<typeof setInterval> | undefined;
  #isChanged = true;

  constructor() {
    this.#timer = setInterval(() => this.#draw(), INTERVAL_MS);
  }

  onEvent(event: BuildEvent): void {
    this.#picture.update(event);
    this.#isChanged = true;
  }

  finish(): void {
    if (this.#timer === undefined) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#picture.end();
    this.#isChanged = true;
    this.#draw(Infinity);
  }

  /** Up to the first line of the last picture, and the new one over it, in one write so that nothing flickers. */
  #draw(most?: number): void {
    const { cols, rows } = sizeOf();
    // time goes on for what is being done, though more slowly
    if (!this.#isChanged && Date.now() % 1000 > INTERVAL_MS) return;
    this.#isChanged = false;
    const lines = this.#picture.lines(Date.now(), cols, most ?? rows - 1);
    const up = Math.min(this.#drawn, rows - 1);
    print(`${up > 0 ? `\x1b[${up}A` : ""}\r${lines.map((line) => `${line}\x1b[K\n`).join("")}\x1b[J`, STDERR);
    this.#drawn = lines.length;
  }
}

function sizeOf(): { cols: number; rows: number } {
  const size = sizeOfTerminal(STDERR);
  return size && size.cols > 0 && size.rows > 1 ? size : USUAL;
}
