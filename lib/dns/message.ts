/**
 * Messages: what is asked, read without believing any of it, and answers, written.
 *
 * ```
 * u16 id · u16 flags · u16 questions · u16 answers · u16 authorities · u16 additional records
 * question  name · u16 type · u16 class
 * record    name · u16 type · u16 class · u32 ttl · u16 length · data
 * ```
 * @module
 * @see RFC 1035 §4, RFC 6891 (EDNS)
 */
import { readName } from "./name.ts";

export const TYPE = { A: 1, NS: 2, CNAME: 5, SOA: 6, PTR: 12, MX: 15, TXT: 16, AAAA: 28, OPT: 41, AXFR: 252, ANY: 255 };
export const RCODE = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5, BADVERS: 16 };
export const CLASS_IN = 1;
export const [QR, AA, TC, RD, RA, CD] = [0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0010];
export const HEADER_BYTES = 12;
/** What everybody takes by UDP; and at most this is sent, which no network has to cut into pieces. @see RFC 9715 */
export const [PLAIN_BYTES, DATAGRAM_BYTES] = [512, 1232];
const OPCODE = 0x7800;
const DNSSEC_OK = 0x8000;
const [QUESTION_BYTES, RECORD_BYTES] = [4, 10];
/** Who asks says nothing more than how. */
const MOST_ADDITIONAL = 8;

export interface Query {
  id: number;
  flags: number;
  name: string;
  type: number;
  class: number;
  /** Of the first byte behind the question. */
  end: number;
  /** What an answer may have by UDP. */
  sizeBytes: number;
  /** The asker knows EDNS. */
  edns: boolean;
  dnssecOk: boolean;
}

/** What is not answered as it was asked; without `query` not even the question is known. */
export interface Refused {
  rcode: number;
  query: Query;
}

const word = (bytes: Uint8Array, at: number): number => ((bytes[at] as number) << 8) | (bytes[at + 1] as number);

/** Undefined for what is no question at all, and gets no answer: two servers that answer each other would never end. */
export function readQuery(bytes: Uint8Array, begin = 0, limit = bytes.length): Query | Refused | undefined {
  const message = begin === 0 ? bytes : bytes.subarray(begin, limit);
  const length = limit - begin;
  if (length < HEADER_BYTES || (word(message, 2) & QR) !== 0) return undefined;
  const query: Query = {
    id: word(message, 0),
    flags: word(message, 2),
    name: "",
    type: 0,
    class: 0,
    end: HEADER_BYTES,
    sizeBytes: PLAIN_BYTES,
    edns: false,
    dnssecOk: false,
  };
  const rcode = readBody(message, length, query);
  return rcode === RCODE.NOERROR ? query : { rcode, query };
}

function readBody(message: Uint8Array, length: number, query: Query): number {
  if ((query.flags & OPCODE) !== 0) return RCODE.NOTIMP;
  if (word(message, 4) !== 1) return RCODE.FORMERR;
  const found = readName(message, HEADER_BYTES, length, false);
  if (!found || found.end + QUESTION_BYTES > length) return RCODE.FORMERR;
  query.name = found.name;
  query.type = word(message, found.end);
  query.class = word(message, found.end + 2);
  query.end = found.end + QUESTION_BYTES;
  const additional = word(message, 10);
  if (word(message, 6) !== 0 || word(message, 8) !== 0 || additional > MOST_ADDITIONAL) return RCODE.FORMERR;
  return additional === 0 ? RCODE.NOERROR : readAdditional(message, length, query, additional);
}

function readAdditional(message: Uint8Array, length: number, query: Query, count: number): number {
  let at = query.end;
  for (let index = 0; index < count; index++) {
    const record = readRecord(message, at, length);
    if (!record) return RCODE.FORMERR;
    at = record.end;
    if (record.type !== TYPE.OPT) continue;
    if (query.edns || record.name !== "") return RCODE.FORMERR;
    query.edns = true;
    query.sizeBytes = Math.min(Math.max(record.class, PLAIN_BYTES), DATAGRAM_BYTES);
    query.dnssecOk = (record.ttl & DNSSEC_OK) !== 0;
    if (((record.ttl >>> 16) & 0xff) !== 0) return RCODE.BADVERS;
  }
  return RCODE.NOERROR;
}

export interface ResourceRecord {
  name: string;
  type: number;
  class: number;
  /** Seconds; of OPT something else. */
  ttl: number;
  /** Where that is, and where its data begin and end. */
  ttlAt: number;
  begin: number;
  end: number;
}

/** Undefined where there is none that is whole. */
export function readRecord(message: Uint8Array, at: number, length: number): ResourceRecord | undefined {
  const name = readName(message, at, length);
  if (!name || name.end + RECORD_BYTES > length) return undefined;
  const begin = name.end + RECORD_BYTES;
  const end = begin + word(message, name.end + 8);
  if (end > length) return undefined;
  const ttl = ((word(message, name.end + 4) << 16) | word(message, name.end + 6)) >>> 0;
  return {
    name: name.name,
    type: word(message, name.end),
    class: word(message, name.end + 2),
    ttl,
    ttlAt: name.end + 4,
    begin,
    end,
  };
}

/** Of a record whose name is the question's. */
export interface Answer {
  type: number;
  /** Seconds. */
  ttl: number;
  data: Uint8Array;
}

export interface Response {
  rcode: number;
  answers?: readonly Answer[];
  /** From which of them on: they come around. */
  first?: number;
  /** This server knows by itself. */
  authoritative?: boolean;
  /** There is more than this. */
  isCut?: boolean;
}

/** The same name as in the question, which is the first of a message. */
const QUESTION_NAME = 0xc000 | HEADER_BYTES;

/**
 * Writes an answer. What does not fit is left out, and said to be.
 * @param asked the message with the question @param out where it is written, from `at` on
 * @returns its length
 */
export function writeResponse(
  out: Uint8Array,
  at: number,
  asked: Uint8Array,
  query: Query,
  { rcode, answers = [], first = 0, authoritative = false, isCut: isLonger = false }: Response,
  limitBytes: number,
): number {
  const optBytes = query.edns ? OPT_BYTES : 0;
  const hasQuestion = query.end > HEADER_BYTES;
  out.set(hasQuestion ? asked.subarray(0, query.end) : asked.subarray(0, HEADER_BYTES), at);
  let length = query.end;
  let [written, isCut] = [0, isLonger];
  for (let index = 0; index < answers.length; index++) {
    const { type, ttl, data } = answers[(first + index) % answers.length] as Answer;
    if (length + 2 + RECORD_BYTES + data.length + optBytes > limitBytes) {
      isCut = true;
      break;
    }
    put(out, at + length, QUESTION_NAME);
    put(out, at + length + 2, type);
    put(out, at + length + 4, CLASS_IN);
    put(out, at + length + 6, ttl >>> 16);
    put(out, at + length + 8, ttl & 0xffff);
    put(out, at + length + 10, data.length);
    out.set(data, at + length + 12);
    length += 12 + data.length;
    written++;
  }
  const kept = query.flags & (OPCODE | RD | CD);
  put(out, at + 2, QR | RA | kept | (authoritative ? AA : 0) | (isCut ? TC : 0) | (rcode & 0xf));
  put(out, at + 4, hasQuestion ? 1 : 0);
  put(out, at + 6, written);
  put(out, at + 8, 0);
  put(out, at + 10, query.edns ? 1 : 0);
  if (query.edns) writeOpt(out, at + length, rcode >> 4, query.dnssecOk);
  return length + optBytes;
}

export const OPT_BYTES = 11;

/** What this end can do. */
export function writeOpt(out: Uint8Array, at: number, extendedRcode: number, dnssecOk: boolean): void {
  out[at] = 0;
  put(out, at + 1, TYPE.OPT);
  put(out, at + 3, DATAGRAM_BYTES);
  out[at + 5] = extendedRcode;
  out[at + 6] = 0;
  put(out, at + 7, dnssecOk ? DNSSEC_OK : 0);
  put(out, at + 9, 0);
}

/** In the order of the network. */
export function put(out: Uint8Array, at: number, value: number): void {
  out[at] = value >> 8;
  out[at + 1] = value & 0xff;
}
