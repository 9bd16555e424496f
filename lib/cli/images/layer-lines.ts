/**
 * Layers that come or go, as lines: `2f0ef4316716: Downloading  [=====>     ]  12.3MB/77.8MB  5.2MB/s`. Pure: a clock and
 * a size of the terminal go in.
 * @module
 */
import type { LayerEvent } from "../../images/index.ts";
import { humanSize } from "./human.ts";
import { widthOf } from "./table.ts";

/** Docker's words for where a layer is. */
type Direction = "pull" | "push";
const WORDS: Record<Direction, Record<LayerEvent["state"], string>> = {
  pull: {
    waiting: "Waiting",
    exists: "Already exists",
    mounted: "Already exists",
    downloading: "Downloading",
    verifying: "Verifying Checksum",
    unpacking: "Extracting",
    compressing: "Compressing",
    uploading: "Uploading",
    complete: "Pull complete",
  },
  push: {
    waiting: "Waiting",
    exists: "Layer already exists",
    mounted: "Mounted from",
    downloading: "Downloading",
    verifying: "Verifying Checksum",
    unpacking: "Extracting",
    compressing: "Compressing",
    uploading: "Pushing",
    complete: "Pushed",
  },
};

interface Layer {
  /** Twelve digits, as Docker names it. */
  id: string;
  event: LayerEvent;
  /** When bytes were counted, and how many: the last seconds. */
  samples: { atMs: number; bytes: number }[];
}

/** Over how long the speed is taken. */
const SPEED_MS = 3000;
const BAR = { least: 10, most: 50 };

export class LayerLines {
  readonly #direction: Direction;
  readonly #layers = new Map<string, Layer>();

  constructor(direction: Direction) {
    this.#direction = direction;
  }

  /** @returns a line that tells of it where nothing can be redrawn; undefined where it only counts on */
  update(event: LayerEvent, nowMs: number): string | undefined {
    const layer = this.#layers.get(event.digest) ?? { id: shortId(event.digest), event, samples: [] };
    const isNew = !this.#layers.has(event.digest) || layer.event.state !== event.state;
    if (isNew) layer.samples = [];
    layer.event = event;
    this.#layers.set(event.digest, layer);
    if ("bytes" in event) {
      layer.samples.push({ atMs: nowMs, bytes: event.bytes });
      while ((layer.samples[1]?.atMs ?? nowMs) < nowMs - SPEED_MS) layer.samples.shift();
    }
    return isNew ? this.#plain(layer) : undefined;
  }

  /** Without what keeps changing. */
  #plain({ id, event }: Layer): string {
    const word = WORDS[this.#direction][event.state];
    return `${id}: ${word}${event.state === "mounted" && this.#direction === "push" ? ` ${event.from}` : ""}`;
  }

  /** Not more lines than `rows`, none as wide as `columns`. What is done makes place first. */
  lines(columns: number, rows: number): string[] {
    const layers = [...this.#layers.values()];
    const fits = layers.length <= rows;
    const shown = fits ? layers : mostAlive(layers, Math.max(0, rows - 1));
    const lines = shown.map((layer) => this.#line(layer, columns));
    if (!fits && rows > 0) {
      const done = layers.filter((layer) => isDone(layer) && !shown.includes(layer)).length;
      lines.push(`${layers.length - shown.length} more layers, ${done} of them complete`.slice(0, columns - 1));
    }
    return lines;
  }

  /** All of them, when nothing is redrawn any more. */
  finalLines(columns: number): string[] {
    return [...this.#layers.values()].map((layer) => this.#line(layer, columns));
  }

  #line(layer: Layer, columns: number): string {
    const { event } = layer;
    const plain = this.#plain(layer);
    if (!("bytes" in event)) return cut(plain, columns);
    const { bytes, totalBytes } = event;
    const counted = `${humanSize(bytes)}${totalBytes > 0 ? `/${humanSize(totalBytes)}` : ""}`;
    const speed = speedOf(layer);
    const figures = `${counted}${speed === undefined ? "" : `  ${humanSize(speed)}/s`}`;
    const free = columns - 1 - widthOf(plain) - figures.length - "  []  ".length;
    const bar = totalBytes > 0 && free >= BAR.least ? `  ${barOf(bytes / totalBytes, Math.min(free, BAR.most))}` : "";
    return cut(`${plain}${bar}  ${figures}`, columns);
  }
}

/** Those that are not done, and of the others the last ones, in their order. */
function mostAlive(layers: readonly Layer[], count: number): Layer[] {
  const first = [...layers].toSorted((a, b) => Number(isWaiting(a)) - Number(isWaiting(b)));
  const chosen = new Set(
    [...first.filter((layer) => !isDone(layer)), ...first.filter(isDone).toReversed()].slice(0, count),
  );
  return layers.filter((layer) => chosen.has(layer));
}

const isDone = ({ event }: Layer) =>
  event.state === "complete" || event.state === "exists" || event.state === "mounted";
const isWaiting = ({ event }: Layer) => event.state === "waiting";

function speedOf({ samples }: Layer): number | undefined {
  const [first, last] = [samples[0], samples.at(-1)];
  if (!first || !last || last.atMs - first.atMs < 200) return undefined;
  return Math.max(0, ((last.bytes - first.bytes) * 1000) / (last.atMs - first.atMs));
}

/** `[====>     ]` */
function barOf(part: number, width: number): string {
  const done = Math.max(0, Math.min(width, Math.round(part * width)));
  const filled = done === width ? "=".repeat(width) : `${"=".repeat(Math.max(0, done - 1))}${done > 0 ? ">" : ""}`;
  return `[${filled.padEnd(width)}]`;
}

/** A line as wide as the terminal would go on in the next. */
const cut = (line: string, columns: number) =>
  widthOf(line) < columns ? line : line.slice(0, Math.max(0, columns - 1));

export const shortId = (digest: string): string => digest.slice(digest.indexOf(":") + 1).slice(0, 12);
