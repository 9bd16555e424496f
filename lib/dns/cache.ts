/** Answers of other servers, for as long as they say, and no more than there is room for. @module */
import type { Reply } from "./reply.ts";

const [MOST_ENTRIES, MOST_BYTES] = [4096, 2 * 2 ** 20];
const SECOND_MS = 1000;

interface Entry {
  message: Uint8Array;
  ttlsAt: readonly number[];
  /** In milliseconds of the clock that the caller has. */
  since: number;
  until: number;
}

export class Cache {
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;

  /** A copy that says how long it holds from now on. */
  get(key: string, now: number): Uint8Array | undefined {
    const entry = this.#entries.get(key);
    if (!entry) return undefined;
    this.#forget(key, entry);
    if (now >= entry.until) return undefined;
    // who is asked for comes last, so that others go first
    this.#keep(key, entry);
    const passed = Math.floor((now - entry.since) / SECOND_MS);
    const message = entry.message.slice();
    if (passed === 0) return message;
    const view = new DataView(message.buffer);
    for (const at of entry.ttlsAt) view.setUint32(at, Math.max(0, view.getUint32(at) - passed));
    return message;
  }

  put(key: string, message: Uint8Array, { ttl, ttlsAt }: Reply, now: number): void {
    const before = this.#entries.get(key);
    if (before) this.#forget(key, before);
    if (ttl <= 0 || message.length > MOST_BYTES / 16) return;
    this.#keep(key, { message: message.slice(), ttlsAt, since: now, until: now + ttl * SECOND_MS });
    for (const [oldest, entry] of this.#entries) {
      if (this.#entries.size <= MOST_ENTRIES && this.#bytes <= MOST_BYTES) break;
      this.#forget(oldest, entry);
    }
  }

  get sizeBytes(): number {
    return this.#bytes;
  }

  #keep(key: string, entry: Entry): void {
    this.#entries.set(key, entry);
    this.#bytes += key.length + entry.message.length;
  }

  #forget(key: string, entry: Entry): void {
    this.#entries.delete(key);
    this.#bytes -= key.length + entry.message.length;
  }
}
