/** What a RUN writes, as lines that are safe on a terminal. @module */
import { safeWord } from "../safe-text.ts";

/** A line that never ends is cut. */
const LONGEST = 8192;
// colours, movements, titles: what they look like is lost, and what they would do
const SEQUENCE = /\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])/g;

export class OutputLines {
  readonly #decoder = new TextDecoder();
  #rest = "";

  /** @returns lines that have ended */
  add(bytes: Uint8Array): string[] {
    const text = this.#rest + this.#decoder.decode(bytes, { stream: true });
    const lines = text.split("\n");
    this.#rest = lines.pop() as string;
    if (this.#rest.length > LONGEST) {
      lines.push(this.#rest);
      this.#rest = "";
    }
    return lines.map(plainLine);
  }

  /** What has not ended. */
  end(): string[] {
    const rest = this.#rest + this.#decoder.decode();
    this.#rest = "";
    return rest === "" ? [] : [plainLine(rest)];
  }
}

/** Of a line that was written over itself, what is seen at last. */
function plainLine(line: string): string {
  const seen = line.replace(/\r+$/, "").split("\r").at(-1) as string;
  return safeWord(seen.replaceAll(SEQUENCE, "").replaceAll("\t", "    ")).slice(0, LONGEST);
}
