/** What has gone in and out of a sandbox, told every now and then. @module */
import type { Loop } from "../loop/index.ts";
import { Pace, type Direction } from "./pace.ts";
import type { Traffic, WayLimits } from "./messages.ts";

const EVERY_MS = 50;

export class Meter {
  readonly #loop: Loop;
  readonly #tell: (traffic: Traffic) => void;
  readonly #bytes: Record<Direction, number>;
  #limits: WayLimits | undefined;
  #pace: Pace;
  #isResting = false;
  #isTold = true;

  /** @param before what has gone in and out already, which counts */
  constructor(loop: Loop, limits: WayLimits | undefined, tell: (traffic: Traffic) => void, before?: Traffic) {
    this.#loop = loop;
    this.#tell = tell;
    this.#limits = limits;
    this.#bytes = { in: before?.inBytes ?? 0, out: before?.outBytes ?? 0 };
    this.#pace = new Pace(limits, this.#bytes.in + this.#bytes.out);
  }

  /** From now on; what was used counts. */
  limit(limits: WayLimits | undefined): void {
    if (JSON.stringify(limits) === JSON.stringify(this.#limits)) return;
    this.#limits = limits;
    this.#pace = new Pace(limits, this.#bytes.in + this.#bytes.out);
  }

  left(direction: Direction): number {
    return this.#pace.left(direction);
  }

  /** Whether all of it may go now. Of what would be too much altogether, nothing goes, and that was all. */
  fits(direction: Direction, bytes: number): boolean {
    if (this.#pace.fits(direction, bytes)) return true;
    if (this.#pace.rest < bytes) this.moved(direction, this.#pace.rest);
    return false;
  }

  moved(direction: Direction, bytes: number): void {
    this.#pace.take(direction, bytes);
    this.#bytes[direction] += bytes;
    this.#isTold = false;
    if (this.#pace.isSpent || !this.#isResting) this.flush();
  }

  /** Tells at once. */
  flush(): void {
    if (this.#isTold) return;
    this.#isTold = true;
    this.#tell({ inBytes: this.#bytes.in, outBytes: this.#bytes.out, isSpent: this.#pace.isSpent });
    if (this.#isResting) return;
    this.#isResting = true;
    this.#loop.after(EVERY_MS, () => {
      this.#isResting = false;
      this.flush();
    });
  }
}
