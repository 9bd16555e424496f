/** What other servers answer: read without believing any of it. Pure. @module @see RFC 1035 §4, RFC 2308 */
import { HEADER_BYTES, QR, RCODE, readRecord, TC, TYPE, type ResourceRecord } from "./message.ts";
import { readName } from "./name.ts";

export interface Reply {
  rcode: number;
  /** There is more, by TCP. */
  isCut: boolean;
  /** So long it may be kept, in seconds; 0: not at all. */
  ttl: number;
  /** Where the message says how long. */
  ttlsAt: readonly number[];
}

/** `"another"`: one to another question, or only to letters of another size, which are the sender's secret. */
export type ReadReply = Reply | "broken" | "another";

const [ID_BYTES, FLAGS_BYTES] = [2, 2];
const OPCODE = 0x7800;
/** Nobody is believed for longer. */
const LONGEST = 86_400;
/** What is not there may be tomorrow. @see RFC 2308 §5 */
const LONGEST_NEGATIVE = 900;

/**
 * @param asked the message that it is to be an answer to
 * @param anyLetters of either size: whoever answers by TCP cannot have guessed
 */
export function readReply(message: Uint8Array, asked: Uint8Array, questionEnd: number, anyLetters = false): ReadReply {
  if (message.length < HEADER_BYTES) return "broken";
  const view = new DataView(message.buffer, message.byteOffset, message.length);
  const flags = view.getUint16(ID_BYTES);
  if ((flags & QR) === 0 || (flags & OPCODE) !== 0) return "another";
  for (let at = 0; at < ID_BYTES; at++) if (message[at] !== asked[at]) return "another";
  const rcode = flags & 0xf;
  // some say that they have not understood without saying what
  if (view.getUint16(4) === 0 && rcode !== RCODE.NOERROR && rcode !== RCODE.NXDOMAIN && message.length === HEADER_BYTES)
    return { rcode, isCut: false, ttl: 0, ttlsAt: [] };
  if (view.getUint16(4) !== 1 || message.length < questionEnd) return "another";
  for (let at = HEADER_BYTES; at < questionEnd; at++)
    if (message[at] !== asked[at] && !(anyLetters && isSameLetter(message[at] as number, asked[at] as number)))
      return "another";
  const isCut = (flags & TC) !== 0;
  return readSections(message, view, questionEnd, { rcode, isCut, ttl: 0, ttlsAt: [] });
}

const CASE = 0x20;

/** But for its size. */
export function isSameLetter(a: number, b: number): boolean {
  const small = a | CASE;
  return small === (b | CASE) && small >= 0x61 && small <= 0x7a;
}

function readSections(message: Uint8Array, view: DataView, begin: number, reply: Reply): Reply | "broken" {
  const counts = [6, 8, 10].map((at) => view.getUint16(at)) as [number, number, number];
  const ttlsAt: number[] = [];
  let [at, least, negative] = [begin, LONGEST, 0];
  for (const [section, count] of counts.entries()) {
    for (let index = 0; index < count; index++) {
      const record = readRecord(message, at, message.length);
      // what was cut off may end anywhere
      if (!record) return reply.isCut ? reply : "broken";
      at = record.end;
      if (record.type === TYPE.OPT) {
        if (record.ttl >>> 24 !== 0) reply.rcode |= (record.ttl >>> 24) << 4;
        continue;
      }
      ttlsAt.push(record.ttlAt);
      // RFC 2181 §8: with the first bit set, it is none
      least = Math.min(least, record.ttl > 0x7fffffff ? 0 : record.ttl);
      if (section === 1 && record.type === TYPE.SOA) negative = negativeTtl(message, record);
    }
  }
  const isPositive = reply.rcode === RCODE.NOERROR && counts[0] > 0;
  const isNegative = reply.rcode === RCODE.NXDOMAIN || (reply.rcode === RCODE.NOERROR && counts[0] === 0);
  const ttl = isPositive ? least : isNegative ? Math.min(negative, least, LONGEST_NEGATIVE) : 0;
  return { ...reply, ttl: reply.isCut ? 0 : ttl, ttlsAt };
}

/** `name · name · u32 serial · refresh · retry · expire · minimum` */
function negativeTtl(message: Uint8Array, { begin, end, ttl }: ResourceRecord): number {
  if (end - begin < 4) return 0;
  const view = new DataView(message.buffer, message.byteOffset, message.length);
  return Math.min(ttl, view.getUint32(end - 4));
}

export interface AnsweredAddress {
  /** 4 or 16 bytes. */
  address: Uint8Array;
  /** Seconds. */
  ttl: number;
}

/** More names than these in a row lead nowhere. */
const MOST_ALIASES = 16;

/**
 * The addresses that an answer gives to the name in its question, also by way of other names of it; what else it tells is
 * nobody's. `name` is the one that was asked for.
 */
export function answeredAddresses(message: Uint8Array): { name: string; addresses: AnsweredAddress[] } | undefined {
  if (message.length < HEADER_BYTES) return undefined;
  const view = new DataView(message.buffer, message.byteOffset, message.length);
  if ((view.getUint16(ID_BYTES) & QR) === 0 || view.getUint16(4) !== 1) return undefined;
  const question = readName(message, HEADER_BYTES, message.length, false);
  if (!question) return undefined;
  const records: ResourceRecord[] = [];
  let at = question.end + ID_BYTES + FLAGS_BYTES;
  for (let left = view.getUint16(6); left > 0; left--) {
    const record = readRecord(message, at, message.length);
    if (!record) break;
    records.push(record);
    at = record.end;
  }
  const names = new Set([question.name]);
  let ttl = LONGEST;
  for (let turn = 0, name: string | undefined = question.name; name !== undefined && turn < MOST_ALIASES; turn++) {
    const alias = records.find((record) => record.type === TYPE.CNAME && record.name === name);
    name = alias && readName(message, alias.begin, message.length)?.name;
    if (alias) ttl = Math.min(ttl, alias.ttl);
    if (name !== undefined) names.add(name);
  }
  const addresses = records
    .filter(({ type, name, begin, end }) => names.has(name) && end - begin === SIZES[type])
    .map((record) => ({ address: message.slice(record.begin, record.end), ttl: Math.min(ttl, record.ttl) }));
  return { name: question.name, addresses };
}

const SIZES: Partial<Record<number, number>> = { [TYPE.A]: 4, [TYPE.AAAA]: 16 };
