/**
 * The tree of a build's steps, as lines: what is done, what is being done and since when, and what it writes. Pure: a
 * clock and a size of the terminal go in.
 * @module
 */
import type { BuildEvent, PlannedStep } from "../../build/index.ts";
import { humanSize } from "../images/human.ts";
import { widthOf } from "../images/table.ts";
import { safeWord } from "../safe-text.ts";
import { OutputLines } from "./output-lines.ts";

/** Of what a step that is being done writes. */
const LAST_LINES = 6;

interface Shown {
  planned: PlannedStep;
  state: "waiting" | "doing" | "done" | "cached" | "failed" | "canceled";
  startedAt?: number;
  endedAt?: number;
  output: OutputLines;
  last: string[];
  progress?: string;
}

export class BuildPicture {
  readonly #startedAt: number;
  #steps: Shown[] = [];
  #now = "resolving";
  readonly #warnings: string[] = [];
  #isOver = false;

  /** @param now milliseconds, as of events */
  constructor(now: number) {
    this.#startedAt = now;
  }

  update(event: BuildEvent): void {
    if (event.type === "plan") {
      this.#now = "";
      this.#steps = event.steps.map((planned) => ({ planned, state: "waiting", output: new OutputLines(), last: [] }));
    } else if (event.type === "resolving") this.#now = `resolving ${event.reference}`;
    else if (event.type === "exporting") this.#now = `exporting ${event.what}`;
    else if (event.type === "warning") this.#warnings.push(event.message);
    else {
      const shown = this.#steps[event.step];
      if (shown) updateStep(shown, event);
    }
  }

  /** Nothing is shown of what has been written any more, but for what failed. */
  end(): void {
    this.#isOver = true;
    this.#now = "";
  }

  /** Not more lines than `rows`, none as wide as `columns`. */
  lines(now: number, columns: number, rows: number): string[] {
    const all = this.#steps.filter(({ state }) => state !== "waiting");
    const done = all.filter(({ state }) => state !== "doing").length;
    const isWhole = all.every(({ state }) => state === "done" || state === "cached");
    const verb = !this.#isOver ? "Building" : isWhole ? "Built" : "Failed";
    const title = `[+] ${verb} ${seconds(now - this.#startedAt)} (${done}/${this.#steps.length})`;
    const heads = all.map((shown) => ({ shown, lines: [head(shown, now, columns), ...this.#tail(shown, columns)] }));
    const tail = [
      ...(this.#now === "" ? [] : [cut(` => ${safeWord(this.#now)}`, columns)]),
      ...this.#warnings.map((warning) => cut(` ! ${safeWord(warning)}`, columns)),
    ];
    const room = Math.max(0, rows - 1 - tail.length);
    return [title, ...fitting(heads, room), ...tail].slice(0, Math.max(1, rows));
  }

  #tail({ state, last, progress }: Shown, columns: number): string[] {
    if (state === "failed") return last.map((line) => cut(` => => # ${line}`, columns));
    if (state !== "doing" || this.#isOver) return [];
    return [...(progress === undefined ? [] : [progress]), ...last].map((line) => cut(` => => # ${line}`, columns));
  }
}

function updateStep(shown: Shown, event: Extract<BuildEvent, { step: number }>): void {
  if (event.type === "started") {
    shown.state = "doing";
    shown.startedAt = event.at;
  } else if (event.type === "output") keep(shown, shown.output.add(event.bytes));
  else if (event.type === "progress") shown.progress = safeWord(progressText(event));
  else {
    keep(shown, shown.output.end());
    const done = event.cached ? "cached" : "done";
    shown.state = event.canceled ? "canceled" : event.error === undefined ? done : "failed";
    shown.endedAt = event.at;
    shown.startedAt ??= event.at;
  }
}

function keep(shown: Shown, lines: readonly string[]): void {
  shown.last = [...shown.last, ...lines.filter((line) => line.trim() !== "")].slice(-LAST_LINES);
}

const progressText = ({ what, doneBytes, totalBytes }: Extract<BuildEvent, { type: "progress" }>): string =>
  `${what} ${humanSize(doneBytes)}${totalBytes === undefined ? "" : ` / ${humanSize(totalBytes)}`}`;

const MARKS: Partial<Record<Shown["state"], string>> = { cached: "CACHED ", failed: "ERROR ", canceled: "CANCELED " };

function head({ planned, state, startedAt, endedAt }: Shown, now: number, columns: number): string {
  const mark = MARKS[state] ?? "";
  const time = seconds((endedAt ?? now) - (startedAt ?? now));
  const title = cut(` => ${mark}${safeWord(planned.title)}`, columns - time.length - 1);
  return `${title}${" ".repeat(Math.max(1, columns - 1 - widthOf(title) - time.length))}${time}`;
}

/** Where not all fit: those that are being done or failed with all of theirs, and of the others the last ones. */
function fitting(heads: { shown: Shown; lines: string[] }[], room: number): string[] {
  const isAlive = ({ shown }: { shown: Shown }) => shown.state === "doing" || shown.state === "failed";
  let left = room;
  const chosen = new Map<object, number>();
  for (const each of [...heads.filter(isAlive), ...heads.filter((one) => !isAlive(one)).toReversed()]) {
    const count = Math.min(each.lines.length, left);
    chosen.set(each, count);
    left -= count;
  }
  return heads.flatMap((each) => {
    const count = chosen.get(each) ?? 0;
    // the last that was written is worth more than what was before it
    return count === 0 ? [] : [each.lines[0] as string, ...each.lines.slice(1).slice(-(count - 1) || Infinity)];
  });
}

const seconds = (ms: number) => `${(Math.max(0, ms) / 1000).toFixed(1)}s`;

/** A line as wide as the terminal would go on in the next. */
function cut(line: string, columns: number): string {
  if (widthOf(line) < columns) return line;
  return line.slice(0, Math.max(0, columns - 2 - Math.max(0, widthOf(line) - line.length)));
}
