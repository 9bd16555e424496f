/** Which names a sandbox was answered an address for, as much as it cannot fill memory with. @module */

/** Programs keep what they have looked up for longer than they should. */
const GRACE_MS = 300_000;
const MAX_ADDRESSES = 4096;
const MAX_NAMES = 32;

export class Pins {
  /** The latest last. */
  readonly #names = new Map<string, Map<string, number>>();

  add(name: string, ip: string, ttlSeconds: number, now = Date.now()): void {
    const names = this.#names.get(ip) ?? new Map<string, number>();
    this.#names.delete(ip);
    this.#names.set(ip, names);
    names.delete(name);
    names.set(name, now + ttlSeconds * 1000 + GRACE_MS);
    forgetOldest(names, MAX_NAMES);
    forgetOldest(this.#names, MAX_ADDRESSES);
  }

  /** The latest first. */
  namesOf(ip: string, now = Date.now()): string[] {
    const found = [...(this.#names.get(ip) ?? [])].filter(([, until]) => until > now);
    return found.map(([name]) => name).toReversed();
  }
}

function forgetOldest(map: Map<string, unknown>, most: number): void {
  for (const oldest of map.keys()) {
    if (map.size <= most) return;
    map.delete(oldest);
  }
}
