/**
 * Keys that are not for the command: they leave it alone. Docker's grammar.
 * @module
 * @see https://docs.docker.com/reference/cli/docker/container/attach/#detach-keys
 */
import { TsboxError } from "../../syscalls/index.ts";

export const DETACH_KEYS = "ctrl-p,ctrl-q";
const CTRL = /^ctrl-([a-zA-Z@[\\\]^_])$/;

export class DetachKeys {
  readonly #keys: Uint8Array;
  #matched = 0;

  /** @param text `"ctrl-p,ctrl-q"`, `"ctrl-a,a"`; `""`: none @throws TsboxError `invalid_option` */
  constructor(text = DETACH_KEYS) {
    this.#keys = Uint8Array.from(text === "" ? [] : text.split(",").map((key) => codeOf(key, text)));
  }

  /**
   * Of what is typed, what is for the command: keys that may be the beginning of these are held back until it is known.
   * @returns undefined once all were typed
   */
  take(typed: Uint8Array): Uint8Array | undefined {
    const keys = this.#keys;
    if (keys.length === 0 || (this.#matched === 0 && !typed.includes(keys[0] as number))) return typed;
    const passed: number[] = [];
    for (const key of typed) {
      if (key === keys[this.#matched]) {
        if (++this.#matched === keys.length) return undefined;
        continue;
      }
      passed.push(...keys.subarray(0, this.#matched));
      this.#matched = key === keys[0] ? 1 : 0;
      if (this.#matched === 0) passed.push(key);
      else if (keys.length === 1) return undefined;
    }
    return Uint8Array.from(passed);
  }
}

function codeOf(key: string, text: string): number {
  const [, letter] = CTRL.exec(key) ?? [];
  if (letter !== undefined) return letter.toUpperCase().charCodeAt(0) & 0x1f;
  const bytes = new TextEncoder().encode(key);
  if (bytes.length === 1) return bytes[0] as number;
  throw new TsboxError(`Invalid detach keys (${text}) provided`, {
    code: "invalid_option",
    hint: 'letters, or "ctrl-" and one of a-z @ [ \\ ] ^ _, with commas between them',
  });
}
