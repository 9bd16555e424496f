/** The last lines of what a command has written: bounded, whatever it writes. @module */
const MAX_LINES = 12;
const MAX_BYTES = 4096;
// oxlint-disable-next-line no-control-regex
const CONTROL = /\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b.|[\x00-\x08\x0b-\x1f\x7f-\x9f]/g;

export class LastLines {
  #bytes: Uint8Array = new Uint8Array();

  add(bytes: Uint8Array): void {
    const all = Buffer.concat([this.#bytes, bytes.subarray(-MAX_BYTES)]);
    this.#bytes = all.subarray(-MAX_BYTES);
  }

  /** Without what moves a terminal's cursor. */
  get lines(): string[] {
    const text = new TextDecoder().decode(this.#bytes);
    return text
      .split(/[\r\n]+/)
      .map((line) => line.replace(CONTROL, ""))
      .filter((line) => line.trim() !== "")
      .slice(-MAX_LINES);
  }
}
