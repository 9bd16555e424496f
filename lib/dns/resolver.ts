/** A message in, a message out: what is known here, and else what others say. @module */
import type { Forwarder } from "./forwarder.ts";
import { RCODE, readQuery, writeResponse, type Response } from "./message.ts";
import type { Upstream } from "./resolv-conf.ts";
import { answerFrom, type Zone } from "./zone.ts";

/** Of one asker; the same object for all that it asks. */
export interface Asker {
  /** The first that knows a name counts. */
  zones: readonly Zone[];
  /** Who is asked for all else. Where there is none, nobody is: what is asked may be a message to the outside (CVE-2024-29018). */
  upstreams: readonly Upstream[];
}

/** Of one asker at a time, so that it leaves something for others. */
const MOST_WAITING = 64;
const STREAM_BYTES = 65_535;

/** Answers, at once or later; false: it does not. */
export interface Resolving {
  resolve(message: Uint8Array, asker: Asker, by: "udp" | "tcp", answer: (bytes: Uint8Array) => void): boolean;
}

export class Resolver implements Resolving {
  readonly #forwarder: Forwarder;
  readonly #out = new Uint8Array(STREAM_BYTES);
  readonly #waiting = new WeakMap<Asker, number>();

  constructor(forwarder: Forwarder) {
    this.#forwarder = forwarder;
  }

  /**
   * Answers, at once or later.
   * @param message not kept @param answer gets bytes that are overwritten by the next answer
   * @returns false where it is no question, and is not answered
   */
  resolve(message: Uint8Array, asker: Asker, by: "udp" | "tcp", answer: (bytes: Uint8Array) => void): boolean {
    const read = readQuery(message);
    if (!read) return false;
    const isRefused = "rcode" in read;
    const query = isRefused ? read.query : read;
    const limitBytes = by === "tcp" ? STREAM_BYTES : query.sizeBytes;
    const respond = (asked: Uint8Array, response: Response): true => {
      answer(this.#out.subarray(0, writeResponse(this.#out, 0, asked, query, response, limitBytes)));
      return true;
    };
    const own = isRefused ? { rcode: read.rcode } : answerFrom(asker.zones, query);
    if (own) return respond(message, own);
    const waiting = this.#waiting.get(asker) ?? 0;
    if (asker.upstreams.length === 0 || waiting >= MOST_WAITING) return respond(message, { rcode: RCODE.SERVFAIL });
    this.#waiting.set(asker, waiting + 1);
    const asked = message.slice(0, query.end);
    this.#forwarder.ask(message, query, asker.upstreams, (reply) => {
      this.#waiting.set(asker, (this.#waiting.get(asker) ?? 1) - 1);
      if (!reply) respond(asked, { rcode: RCODE.SERVFAIL });
      else if (reply.length > limitBytes) respond(asked, { rcode: rcodeOf(reply), isCut: true });
      else answer(reply);
    });
    return true;
  }
}

const rcodeOf = (reply: Uint8Array) => (reply[3] as number) & 0xf;
