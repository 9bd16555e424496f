/** Messages of the domain name system as anybody may write them, the wrong ones as well. @module */
import { CLASS_IN, encodeName, HEADER_BYTES, QR, RA, RD } from "../../lib/dns/index.ts";

const words = (...values: number[]) => values.flatMap((value) => [(value >> 8) & 0xff, value & 0xff]);

export function record(name: string, type: number, data: Uint8Array, ttl: number, of: number = CLASS_IN): Uint8Array {
  const encoded = encodeName(name) as Uint8Array;
  return Uint8Array.from([...encoded, ...words(type, of, ttl >>> 16, ttl & 0xffff, data.length), ...data]);
}

interface Asking {
  id?: number;
  flags?: number;
  questions?: number;
  answers?: number;
  additional?: Uint8Array[];
  /** Records that the header tells of. */
  claimed?: number;
}

export function ask(name: string, type: number, asking: Asking = {}): Uint8Array {
  const { id = 1, flags = RD, questions = 1, answers = 0, additional = [], claimed = additional.length } = asking;
  const encoded = encodeName(name) as Uint8Array;
  const header = words(id, flags, questions, answers, 0, claimed);
  return Uint8Array.from([...header, ...encoded, ...words(type, CLASS_IN), ...additional.flatMap((each) => [...each])]);
}

interface Replying {
  id?: number;
  flags?: number;
  rcode?: number;
  questions?: number;
  answers?: Uint8Array[];
  authorities?: Uint8Array[];
  claimed?: number;
}

/** To a message that has nothing behind its question. */
export function reply(asked: Uint8Array, replying: Replying = {}): Uint8Array {
  const { rcode = 0, flags = QR | RD | RA, questions = 1, answers = [], authorities = [] } = replying;
  const id = replying.id ?? new DataView(asked.buffer, asked.byteOffset).getUint16(0);
  const header = words(id, flags | rcode, questions, replying.claimed ?? answers.length, authorities.length, 0);
  const question = asked.subarray(HEADER_BYTES);
  return Uint8Array.from([...header, ...question, ...[...answers, ...authorities].flatMap((each) => [...each])]);
}
