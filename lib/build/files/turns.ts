/** Long work in pieces, so that others have their turn. @module */

/** So long nobody else gets one. */
const TURN_MS = 20;

/** Gives others a turn from time to time. */
export class Turns {
  #since = performance.now();
  readonly #signal: AbortSignal | undefined;

  constructor(signal?: AbortSignal) {
    this.#signal = signal;
  }

  async next(): Promise<void> {
    this.#signal?.throwIfAborted();
    if (performance.now() - this.#since < TURN_MS) return;
    await new Promise((resolve) => setTimeout(resolve, 0));
    this.#since = performance.now();
    this.#signal?.throwIfAborted();
  }
}
