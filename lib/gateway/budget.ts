/** How many descriptors there may be: those of the whole program are one number. @see RLIMIT_NOFILE in getrlimit(2) @module */

/** Halves: what connections take, and one sandbox's part of it. */
export class Budget {
  readonly #most: number;
  #used = 0;

  /** @param limit of the program's descriptors */
  constructor(limit: number) {
    this.#most = Math.floor(limit / 2);
  }

  take(count: number): boolean {
    if (this.#used + count > this.#most) return false;
    this.#used += count;
    return true;
  }

  give(count: number): void {
    this.#used -= count;
  }
}
