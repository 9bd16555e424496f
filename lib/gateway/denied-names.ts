/**
 * Where the names of a deny list lead, found out here: whoever knows an address needs no name, and whoever has a name of his
 * own can have that lead there. Nothing that a sandbox does is asked about, as questions tell something outside.
 * @module
 */
import type { AnsweredAddress } from "../dns/index.ts";
import { addressOfBytes, findAddress, formatAddress } from "../ip/index.ts";
import type { Loop } from "../loop/index.ts";
import { addressesIn, plainAddress, type Rules } from "../policy/index.ts";

/** Asked again when the answer is over, but not all the time; remembered longer, as servers tell different ones in turn. */
const [LEAST_MS, MOST_MS, GRACE_MS] = [30_000, 3_600_000, 600_000];
const MAX_NAMES = 1000;
const AT_ONCE = 16;

/** Undefined: nobody has answered. */
export type LookUp = (name: string, found: (addresses: AnsweredAddress[] | undefined) => void) => void;

export class DeniedNames {
  readonly #loop: Loop;
  readonly #lookUp: LookUp;
  /** By address: names, and until when. */
  readonly #leading = new Map<string, Map<string, number>>();
  /** Of those that are wanted: which have been asked for. */
  readonly #asked = new Set<string>();
  readonly #queue: string[] = [];
  #wanted = new Set<string>();
  #waiting: (() => void)[] = [];
  /** First questions that are not over. */
  readonly #first = new Set<string>();
  #asking = 0;
  #isClosed = false;

  constructor(loop: Loop, lookUp: LookUp) {
    this.#loop = loop;
    this.#lookUp = lookUp;
  }

  close(): void {
    this.#isClosed = true;
    this.#waiting = [];
  }

  update(rules: Rules | undefined): void {
    this.#wanted = new Set(rules && byAddress(rules) ? namesIn(rules).slice(0, MAX_NAMES) : []);
    for (const name of this.#asked) if (!this.#wanted.has(name)) this.#asked.delete(name);
    for (const name of this.#wanted) {
      if (this.#asked.has(name)) continue;
      this.#asked.add(name);
      this.#first.add(name);
      this.#queue.push(name);
    }
    this.#next();
  }

  /** At once, or when all have been asked for once: nobody is quicker than that. */
  whenKnown(act: () => void): void {
    if (this.#first.size === 0) act();
    else this.#waiting.push(act);
  }

  /** Those that lead to an address, in whatever form. */
  namesOf(ip: string, now = Date.now()): string[] {
    const address = findAddress(ip);
    if (this.#wanted.size === 0 || !address) return [];
    const found = addressesIn(plainAddress(address)).flatMap((each) => [
      ...(this.#leading.get(formatAddress(each)) ?? []),
    ]);
    return found.flatMap(([name, until]) => (until > now && this.#wanted.has(name) ? [name] : []));
  }

  #next(): void {
    while (this.#asking < AT_ONCE && this.#queue.length > 0 && !this.#isClosed) {
      const name = this.#queue.shift() as string;
      this.#asking++;
      this.#lookUp(name, (addresses) => this.#found(name, addresses));
    }
  }

  #found(name: string, addresses: readonly AnsweredAddress[] = []): void {
    if (this.#isClosed) return;
    this.#asking--;
    const now = Date.now();
    let againMs = addresses.length === 0 ? LEAST_MS : MOST_MS;
    for (const { address, ttl } of addresses) {
      const ip = formatAddress(plainAddress(addressOfBytes(address)));
      const names = this.#leading.get(ip) ?? new Map<string, number>();
      againMs = Math.min(againMs, Math.max(LEAST_MS, ttl * 1000));
      this.#leading.set(ip, names.set(name, now + Math.max(LEAST_MS, ttl * 1000) + GRACE_MS));
    }
    this.#forget(now);
    this.#first.delete(name);
    if (this.#first.size === 0) for (const act of this.#waiting.splice(0)) act();
    // delays are few different ones
    this.#loop.after(Math.ceil(againMs / LEAST_MS) * LEAST_MS, () => {
      if (this.#isClosed || !this.#wanted.has(name) || this.#queue.includes(name)) return;
      this.#queue.push(name);
      this.#next();
    });
    this.#next();
  }

  #forget(now: number): void {
    for (const [ip, names] of this.#leading) {
      for (const [name, until] of names) if (until <= now || !this.#wanted.has(name)) names.delete(name);
      if (names.size === 0) this.#leading.delete(ip);
    }
  }
}

/** Whether anything is allowed without a name that is: then names are a matter of addresses. */
const byAddress = ({ allow }: Rules): boolean =>
  allow === undefined || allow.some(({ to }) => "any" in to || "subnet" in to);

const namesIn = ({ deny }: Rules): string[] => deny.flatMap(({ to }) => ("name" in to ? [to.name] : []));
