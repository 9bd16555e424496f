/** How many descriptors there may be: those of the whole program are one number. @see RLIMIT_NOFILE in getrlimit(2) @module */

/**
 * Half of them is for connections. Whoever has as many as are left gets no more: so, however many one takes, others have
 * the same, and the next one some.
 */
export class Budget {
  readonly #most: number;
  #used = 0;

  /** @param limit of the program's descriptors */
  constructor(limit: number) {
    this.#most = Math.floor(limit / 2);
  }

  /** @param own what whoever asks has already */
  take(count: number, own: number): boolean {
    if (own + count > this.#most - this.#used) return false;
    this.#used += count;
    return true;
  }

  give(count: number): void {
    this.#used -= count;
  }
}
