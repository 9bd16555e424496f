/** What was denied, as much of it as a sandbox cannot fill memory with. @module */

/** Something that was not let through. */
export interface Denial {
  /** `"tcp"` and `"udp"`: a connection. `"dns"`: a name, or an address that it was answered with. */
  protocol: "tcp" | "udp" | "dns";
  /** The name, where one is known. */
  host?: string;
  ip?: string;
  port?: number;
  /** What denied it: `deny: "10.0.0.0/8"`, `allow: nothing of it matches`, `metadata: 169.254.169.254/32`, `connect`. */
  rule: string;
}

/** How often, and when last. */
export interface DeniedEntry extends Denial {
  time: Date;
  count: number;
}

/** Different ones; the oldest are forgotten. */
const MAX_ENTRIES = 1000;

/** The same that happens again is the same entry, which comes last then. */
export class DeniedList {
  readonly #entries = new Map<string, DeniedEntry>();

  add(denial: Denial, count = 1, time = new Date()): void {
    const { protocol, host, ip, port, rule } = denial;
    const key = JSON.stringify([protocol, host, ip, port, rule]);
    const before = this.#entries.get(key)?.count ?? 0;
    this.#entries.delete(key);
    this.#entries.set(key, { ...denial, time, count: before + count });
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= MAX_ENTRIES) break;
      this.#entries.delete(oldest);
    }
  }

  /** The latest last. */
  list(): DeniedEntry[] {
    return Array.from(this.#entries.values(), (entry) => ({ ...entry }));
  }
}
