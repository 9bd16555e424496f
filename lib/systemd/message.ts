/**
 * Messages of D-Bus: calls that are made, replies and signals that come.
 *
 * ```
 *   0  endianness: 'l' or 'B'     8  serial number, u32
 *   1  type                      12  header fields: a(yv)
 *   2  flags                      …  padding to 8
 *   3  version: 1                 …  body
 *   4  length of the body, u32
 * ```
 * @module
 * @see https://dbus.freedesktop.org/doc/dbus-specification.html#message-protocol-messages
 */
import { Reader, Writer } from "./marshal.ts";
import { Malformed, type Value, type Variant } from "./signature.ts";

export const MESSAGE = { call: 1, reply: 2, error: 3, signal: 4 } as const;
const FIELD = {
  path: 1,
  interface: 2,
  member: 3,
  errorName: 4,
  replySerial: 5,
  destination: 6,
  sender: 7,
  signature: 8,
};
/** What is before the header fields, and their length. */
export const FIXED_BYTES = 16;
/** Much more than systemd has to say. */
const MAX_BYTES = 1024 * 1024;

export interface Call {
  destination: string;
  path: string;
  interface: string;
  member: string;
  signature: string;
  values: readonly Value[];
}

export interface Message {
  type: number;
  member?: string;
  interface?: string;
  errorName?: string;
  replySerial?: number;
  sender?: string;
  values: Value[];
}

export function callBytes(call: Call, serial: number): Uint8Array {
  const body = new Writer();
  body.values(call.signature, call.values);
  const field = (code: number, signature: string, value: string): Value => [code, { signature, value }];
  const fields = [
    field(FIELD.path, "o", call.path),
    field(FIELD.destination, "s", call.destination),
    field(FIELD.interface, "s", call.interface),
    field(FIELD.member, "s", call.member),
    ...(call.signature === "" ? [] : [field(FIELD.signature, "g", call.signature)]),
  ];
  const header = new Writer();
  header.values("yyyyuua(yv)", ["l".charCodeAt(0), MESSAGE.call, 0, 1, body.length, serial, fields]);
  header.align(8);
  const bytes = new Uint8Array(header.length + body.length);
  bytes.set(header.bytes);
  bytes.set(body.bytes, header.length);
  return bytes;
}

/** How long a message is, by its first 16 bytes. @throws Malformed */
export function messageBytes(begin: Uint8Array): number {
  const little = isLittle(begin);
  const view = new DataView(begin.buffer, begin.byteOffset, FIXED_BYTES);
  const [body, fields] = [view.getUint32(4, little), view.getUint32(12, little)];
  const length = FIXED_BYTES + Math.ceil(fields / 8) * 8 + body;
  if (length > MAX_BYTES) throw new Malformed("it is too long");
  return length;
}

/** @param bytes all of the message, and nothing else @throws Malformed */
export function parseMessage(bytes: Uint8Array): Message {
  const little = isLittle(bytes);
  const header = new Reader(bytes, little);
  const [, type, , version, length, , fields] = header.values("yyyyuua(yv)");
  header.align(8);
  if (version !== 1) throw new Malformed("it is of another version");
  if (header.at + (length as number) !== bytes.length) throw new Malformed("its lengths do not agree");
  const known = new Map((fields as [number, Variant][]).map(([code, { value }]) => [code, value]));
  const text = (code: number): string | undefined => {
    const value = known.get(code);
    return typeof value === "string" ? value : undefined;
  };
  const serial = known.get(FIELD.replySerial);
  const [member, name, errorName, sender] = [FIELD.member, FIELD.interface, FIELD.errorName, FIELD.sender].map(text);
  return {
    type: type as number,
    ...(member === undefined ? {} : { member }),
    ...(name === undefined ? {} : { interface: name }),
    ...(errorName === undefined ? {} : { errorName }),
    ...(typeof serial === "number" ? { replySerial: serial } : {}),
    ...(sender === undefined ? {} : { sender }),
    values: new Reader(bytes.subarray(header.at), little).values(text(FIELD.signature) ?? ""),
  };
}

function isLittle(bytes: Uint8Array): boolean {
  const order = String.fromCharCode(bytes[0] ?? 0);
  if (order !== "l" && order !== "B") throw new Malformed("it begins with neither order of bytes");
  return order === "l";
}
