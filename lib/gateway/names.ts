/**
 * Names, for one sandbox: whatever server it asks, this answers, and asks the host's. What it was answered is remembered,
 * because a connection may go to a name only where that name has led.
 * @module
 */
import {
  answeredAddresses,
  encodeName,
  Forwarder,
  RCODE,
  readQuery,
  Resolver,
  StreamAsker,
  TYPE,
  upstreamsIn,
  writeResponse,
  type Answer,
  type AnsweredAddress,
  type Asker,
  type Query,
  type Upstream,
} from "../dns/index.ts";
import { readKernelFile } from "../../syscalls/index.ts";
import { addressOfBytes, bytesOfAddress, formatAddress, parseAddress } from "../ip/index.ts";
import { decideAnswer, decideName, type NameDecision, type Rules, type Verdict } from "../policy/index.ts";
import type { Way } from "./way.ts";

type Send = (answer: Uint8Array) => void;

/** The host's settings are read again when they are so old. */
const FRESH_MS = 5000;
const MAX_STREAMS = 16;
const MAX_MESSAGE = 65_535;
/** Seconds; an address that stands for a handler is of this sandbox alone. */
const HANDLER_TTL = 60;
const TYPES: Record<4 | 6, number> = { 4: TYPE.A, 6: TYPE.AAAA };

export class Names {
  readonly #way: Way;
  readonly #forwarder: Forwarder;
  readonly #resolver: Resolver;
  readonly #streams = new Set<StreamAsker>();
  readonly #known: { zones: []; upstreams: Upstream[] } = { zones: [], upstreams: [] };
  #readAt = -Infinity;

  constructor(way: Way) {
    this.#way = way;
    this.#forwarder = new Forwarder(way.loop);
    this.#resolver = new Resolver(this.#forwarder);
  }

  /** The same object for all that is asked, as the host's servers may change. */
  get #asker(): Asker {
    if (performance.now() - this.#readAt < FRESH_MS) return this.#known;
    this.#readAt = performance.now();
    this.#known.upstreams = upstreamsIn(readKernelFile("/etc/resolv.conf") ?? "");
    return this.#known;
  }

  close(): void {
    for (const stream of this.#streams) stream.end();
    this.#forwarder[Symbol.dispose]();
  }

  /** Takes a connection over. @returns false where there are too many */
  serve(fd: number, ended: () => void): boolean {
    if (this.#streams.size >= MAX_STREAMS) return false;
    const stream: StreamAsker = new StreamAsker(this.#way.loop, fd, this, this.#asker, () => {
      this.#streams.delete(stream);
      ended();
    });
    this.#streams.add(stream);
    return true;
  }

  /** As {@link Resolver.resolve}, for who asks by a connection: what is said there counts as well. */
  resolve(message: Uint8Array, asker: Asker, by: "udp" | "tcp", send: Send): boolean {
    this.#way.moved("out", message.length);
    return this.#resolve(message, asker, by, (answer) => {
      this.#way.moved("in", answer.length);
      send(answer);
    });
  }

  #resolve(message: Uint8Array, asker: Asker, by: "udp" | "tcp", send: Send): boolean {
    const query = readQuery(message);
    if (!query) return false;
    const { rules } = this.#way.settings;
    if ("rcode" in query) return this.#resolver.resolve(message, asker, by, send);
    if (!rules) return this.#forward(message, query, by, send);
    // the root: what kind of thing is asked for tells something as well
    if (query.name === "") {
      this.#respond(message, query, RCODE.NOERROR, [], query.sizeBytes, send);
      return true;
    }
    const asked = message.slice();
    const decided = (decision: NameDecision) => {
      if (decision === "ask") this.#ask(query.name, rules, decided, () => this.#resolve(asked, asker, by, send));
      else if (!decision.allowed) this.#deny(asked, query, decision.rule, send);
      else if ("address" in decision) this.#point(asked, query, decision.address, send);
      else this.#forward(asked, query, by, send);
    };
    decided(decideName(rules, query.name));
    return true;
  }

  ask(message: Uint8Array, send: Send): void {
    this.#resolve(message, this.#asker, "udp", send);
  }

  /** For this program's own use. Both families; undefined where nobody has answered. */
  lookUp(name: string, found: (addresses: AnsweredAddress[] | undefined) => void): void {
    const all: AnsweredAddress[] = [];
    let [left, isAnswered] = [2, false];
    for (const type of [TYPE.A, TYPE.AAAA]) {
      const take = (answer: Uint8Array) => {
        const addresses = answeredAddresses(answer)?.addresses;
        isAnswered ||= addresses !== undefined;
        all.push(...(addresses ?? []));
        if (--left === 0) found(isAnswered ? all : undefined);
      };
      const question = questionFor(name, type);
      // an asker of its own: what the sandbox asks does not keep it waiting
      const asker = { zones: [], upstreams: this.#asker.upstreams };
      if (!question || !this.#resolver.resolve(question, asker, "tcp", take)) take(new Uint8Array());
    }
  }

  /** @param again the rules have been replaced, and the answer was by the old ones */
  #ask(name: string, rules: Rules, decided: (verdict: Verdict) => void, again: () => void): void {
    const answered = (verdict: Verdict) => (this.#way.settings.rules === rules ? decided(verdict) : again());
    this.#way.questions.ask({ protocol: "dns", name }, answered);
  }

  #respond(asked: Uint8Array, query: Query, rcode: number, answers: Answer[], limit: number, send: Send): void {
    const out = new Uint8Array(MAX_MESSAGE);
    send(out.subarray(0, writeResponse(out, 0, asked, query, { rcode, answers }, limit)));
  }

  /** There is no such name here: who hears that does not ask again. */
  #deny(asked: Uint8Array, query: Query, rule: string, send: Send): void {
    this.#way.deniedName(query.name, rule);
    this.#respond(asked, query, RCODE.NXDOMAIN, [], query.sizeBytes, send);
  }

  /** To a handler. */
  #point(asked: Uint8Array, query: Query, ip: string, send: Send): void {
    const address = parseAddress(ip);
    const answers = query.type === TYPES[address.family] ? [bytesOfAddress(address)] : [];
    this.#way.pins.add(query.name, ip, HANDLER_TTL);
    const records = answers.map((data) => ({ type: query.type, ttl: HANDLER_TTL, data }));
    this.#respond(asked, query, RCODE.NOERROR, records, query.sizeBytes, send);
  }

  #forward(message: Uint8Array, query: Query, by: "udp" | "tcp", send: Send): boolean {
    return this.#resolver.resolve(message, this.#asker, by, (answer) => {
      if (!this.#way.isClosed) send(this.#checked(message, query, by, answer));
    });
  }

  /** Without the addresses that nobody may be led to: of whoever owns a name, they are an attack. */
  #checked(asked: Uint8Array, query: Query, by: "udp" | "tcp", answer: Uint8Array): Uint8Array {
    const found = answeredAddresses(answer);
    if (!found || found.addresses.length === 0) return answer;
    const { rules } = this.#way.settings;
    const kept: Answer[] = [];
    for (const { address, ttl } of found.addresses) {
      const ip = formatAddress(addressOfBytes(address));
      const verdict = rules ? decideAnswer(rules, ip, this.#way.isOwn) : { allowed: true, rule: "" };
      if (verdict.allowed) {
        this.#way.pins.add(query.name, ip, ttl);
        kept.push({ type: TYPES[address.length === 4 ? 4 : 6], ttl, data: address });
      } else this.#way.deniedName(query.name, verdict.rule, ip);
    }
    if (kept.length === found.addresses.length) return answer;
    const limit = by === "tcp" ? MAX_MESSAGE : query.sizeBytes;
    let written: Uint8Array = answer;
    const rcode = kept.length === 0 ? RCODE.NXDOMAIN : RCODE.NOERROR;
    this.#respond(asked, query, rcode, kept, limit, (bytes) => (written = bytes));
    return written;
  }
}

/** A message that asks for addresses of a name; undefined for what is none. @see RFC 1035 4.1 */
function questionFor(name: string, type: number): Uint8Array | undefined {
  const encoded = encodeName(name);
  if (!encoded) return undefined;
  const [HEADER_BYTES, RECURSE, INTERNET] = [12, 0x01, 1];
  const message = new Uint8Array(HEADER_BYTES + encoded.length + 4);
  message.set([0, 0, RECURSE, 0, 0, 1]);
  message.set(encoded, HEADER_BYTES);
  message.set([0, type, 0, INTERNET], HEADER_BYTES + encoded.length);
  return message;
}
