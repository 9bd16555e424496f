/**
 * How fast a sandbox may send and receive, and how much: token buckets. A bucket fills at a rate, up to what may go at
 * once, and whatever goes is taken out of it; who finds it empty waits.
 * @module
 */
import { burstFor } from "../netlink/index.ts";
import type { WayLimits } from "./messages.ts";

export type Direction = "in" | "out";

/** Who waits looks again after this. */
export const PACE_MS = 4;
/** What waits for less than this is not worth a call. */
const LEAST_BYTES = 4096;

export class Bucket {
  readonly #bytesPerMs: number;
  readonly #burstBytes: number;
  #level: number;
  #filledAt: number;

  constructor(rateBytes: number, burstBytes: number, now = performance.now()) {
    this.#bytesPerMs = rateBytes / 1000;
    // what comes in while who waits does not look is not lost
    this.#burstBytes = Math.max(burstBytes, this.#bytesPerMs * PACE_MS * 2);
    this.#level = this.#burstBytes;
    this.#filledAt = now;
  }

  #fill(now: number): void {
    this.#level = Math.min(this.#burstBytes, this.#level + (now - this.#filledAt) * this.#bytesPerMs);
    this.#filledAt = now;
  }

  /** Whether all of it may go now: a datagram, which does not wait for more. */
  fits(bytes: number, now = performance.now()): boolean {
    this.#fill(now);
    return this.#level >= bytes;
  }

  /** What may go now: nothing, or a little at least. */
  left(now = performance.now()): number {
    this.#fill(now);
    return this.#level < Math.min(LEAST_BYTES, this.#burstBytes) ? 0 : Math.floor(this.#level);
  }

  take(bytes: number): void {
    this.#level -= bytes;
  }
}

/** Of one sandbox, all its connections together. */
export class Pace {
  readonly #buckets: Partial<Record<Direction, Bucket>> = {};
  readonly #most: number;
  #used = 0;

  /** @param used before, of what there is altogether */
  constructor({ downBytes, upBytes, burstBytes, trafficBytes = Infinity }: WayLimits = {}, used = 0) {
    const bucket = (rate: number) => new Bucket(rate, burstBytes ?? burstFor(rate));
    if (downBytes !== undefined) this.#buckets.in = bucket(downBytes);
    if (upBytes !== undefined) this.#buckets.out = bucket(upBytes);
    this.#most = trafficBytes;
    this.#used = used;
  }

  /** What may go this way now. */
  left(direction: Direction): number {
    return Math.min(this.rest, this.#buckets[direction]?.left() ?? Infinity);
  }

  fits(direction: Direction, bytes: number): boolean {
    return this.rest >= bytes && (this.#buckets[direction]?.fits(bytes) ?? true);
  }

  take(direction: Direction, bytes: number): void {
    this.#used += bytes;
    this.#buckets[direction]?.take(bytes);
  }

  /** What is left of what there is altogether. */
  get rest(): number {
    return Math.max(0, this.#most - this.#used);
  }

  /** Nothing is left of what there is altogether. */
  get isSpent(): boolean {
    return this.rest === 0;
  }
}
