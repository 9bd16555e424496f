/** Asks other servers, and remembers what they have said. @module */
import type { Loop } from "../loop/index.ts";
import { Cache } from "./cache.ts";
import { Inquiry } from "./inquiry.ts";
import { CD, HEADER_BYTES, put, RD, type Query } from "./message.ts";
import type { Upstream } from "./resolv-conf.ts";

/** Questions at a time; and askers of each. Whoever comes later gets no answer. */
const [MOST_INQUIRIES, MOST_ASKERS] = [1024, 64];
/** Lists of servers of which it is known who has answered last. */
const MOST_LISTS = 64;

/** A message with the id and letters of the question; undefined where nobody has answered. It may be kept. */
export type Answered = (message: Uint8Array | undefined) => void;

interface Asker {
  asked: Uint8Array;
  query: Query;
  answered: Answered;
}

export class Forwarder implements Disposable {
  readonly #loop: Loop;
  readonly #cache = new Cache();
  readonly #inquiries = new Map<string, { inquiry: Inquiry; askers: Asker[] }>();
  /** Which of a list has answered last. */
  readonly #good = new Map<string, number>();

  constructor(loop: Loop) {
    this.#loop = loop;
  }

  [Symbol.dispose](): void {
    for (const { inquiry } of this.#inquiries.values()) inquiry.cancel();
    this.#inquiries.clear();
  }

  /**
   * The answer may come before this returns.
   * @param asked the message with the question, which is not kept @param upstreams in their order; what one list has
   * said is not told to askers of another
   */
  ask(asked: Uint8Array, query: Query, upstreams: readonly Upstream[], answered: Answered): void {
    const list = upstreams.map(({ address, port, device = "" }) => `${address.join(".")}:${port}%${device}`).join();
    const flags = (query.edns ? 1 : 0) + (query.dnssecOk ? 2 : 0) + (query.flags & CD ? 4 : 0);
    const key = `${list} ${query.type} ${flags} ${query.name}`;
    const known = this.#cache.get(key, performance.now());
    if (known) return answered(addressed(known, asked, query));
    const asker: Asker = { asked: asked.slice(0, query.end), query, answered };
    const running = this.#inquiries.get(key);
    if (running && running.askers.length < MOST_ASKERS) return void running.askers.push(asker);
    if (running || this.#inquiries.size >= MOST_INQUIRIES || upstreams.length === 0) return answered(undefined);
    this.#begin(key, list, asker, upstreams);
  }

  #begin(key: string, list: string, asker: Asker, upstreams: readonly Upstream[]): void {
    const askers = [asker];
    const first = this.#good.get(list) ?? 0;
    const inquiry = new Inquiry(this.#loop, asker.asked, asker.query, upstreams, first, (found) => {
      this.#inquiries.delete(key);
      if (found) {
        this.#cache.put(key, found.message, found.reply, performance.now());
        this.#remember(list, found.from);
      }
      for (const { asked, query, answered } of askers)
        answered(found && addressed(found.message.slice(), asked, query));
    });
    this.#inquiries.set(key, { inquiry, askers });
    inquiry.begin();
  }

  #remember(list: string, index: number): void {
    this.#good.delete(list);
    this.#good.set(list, index);
    for (const oldest of this.#good.keys()) {
      if (this.#good.size <= MOST_LISTS) break;
      this.#good.delete(oldest);
    }
  }
}

/** With the id and the letters that were asked with. */
function addressed(message: Uint8Array, asked: Uint8Array, { id, flags, end }: Query): Uint8Array {
  const view = new DataView(message.buffer, message.byteOffset);
  put(message, 0, id);
  // what is kept was not said by this server itself, and it is nobody's authority
  put(message, 2, (view.getUint16(2) & ~(RD | CD | 0x0400)) | (flags & (RD | CD)) | 0x0080);
  if (view.getUint16(4) === 1) message.set(asked.subarray(HEADER_BYTES, end), HEADER_BYTES);
  return message;
}
