/**
 * Network devices and their addresses, over a socket of the kernel's.
 *
 * ```
 * message    { u32 len; u16 type; u16 flags; u32 seq; u32 pid } body
 * attribute  { u16 len; u16 type } value, to the next multiple of 4
 * ```
 * @module
 * @see netlink(7), rtnetlink(7)
 */
import { close, read, write } from "./calls.ts";
import { syscall } from "./kernel.ts";

const [HEADER_BYTES, ATTRIBUTE_BYTES] = [16, 4];
const [NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP] = [0x1, 0x4, 0x300];
const [NLMSG_ERROR, NLMSG_DONE] = [2, 3];
const EPROTO = 71;

/** `#define NLMSG_ALIGN(len) (((len) + 3) & ~3)` */
const align = (length: number) => (length + 3) & ~3;

/** One after the other, each to the next multiple of 4. */
export function netlinkBody(...parts: Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + align(length), 0));
  parts.reduce((at, part) => (bytes.set(part, at), at + align(part.length)), 0);
  return bytes;
}

export function netlinkAttribute(type: number, value: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(ATTRIBUTE_BYTES + value.length);
  new DataView(bytes.buffer).setUint16(0, bytes.length, true);
  new DataView(bytes.buffer).setUint16(2, type, true);
  bytes.set(value, ATTRIBUTE_BYTES);
  return bytes;
}

/** Values by their types. */
export function netlinkAttributes(bytes: Uint8Array): Map<number, Uint8Array> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const found = new Map<number, Uint8Array>();
  for (let at = 0; at + ATTRIBUTE_BYTES <= bytes.length;) {
    const length = view.getUint16(at, true);
    if (length < ATTRIBUTE_BYTES) break;
    // the upper bits tell how it is written
    found.set(view.getUint16(at + 2, true) & 0x3fff, bytes.slice(at + ATTRIBUTE_BYTES, at + length));
    at += align(length);
  }
  return found;
}

/** Of the network namespace that the thread is in when it is made. */
export class Netlink implements Disposable {
  readonly #fd: number;
  #sequence = 0;

  constructor() {
    const [AF_NETLINK, SOCK_RAW, SOCK_CLOEXEC, NETLINK_ROUTE] = [16, 3, 0o2000000, 0];
    this.#fd = syscall("open a netlink socket", "socket", AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  }

  [Symbol.dispose](): void {
    close(this.#fd);
  }

  /** @returns 0 or -errno */
  request(type: number, flags: number, body: Uint8Array): number {
    return this.#exchange(type, NLM_F_REQUEST | NLM_F_ACK | flags, body, () => undefined);
  }

  /** The bodies of all that there is. @returns -errno where that cannot be told */
  dump(type: number, body: Uint8Array): Uint8Array[] | number {
    const found: Uint8Array[] = [];
    const result = this.#exchange(type, NLM_F_REQUEST | NLM_F_DUMP, body, (each) => void found.push(each));
    return result < 0 ? result : found;
  }

  #exchange(type: number, flags: number, body: Uint8Array, take: (body: Uint8Array) => void): number {
    const message = new Uint8Array(HEADER_BYTES + body.length);
    const header = new DataView(message.buffer);
    header.setUint32(0, message.length, true);
    header.setUint16(4, type, true);
    header.setUint16(6, flags, true);
    header.setUint32(8, ++this.#sequence, true);
    message.set(body, HEADER_BYTES);
    const sent = write(this.#fd, message);
    if (sent < 0) return sent;
    for (;;) {
      const bytes = read(this.#fd);
      if (typeof bytes === "number") return bytes;
      const result = takeAll(bytes, take);
      if (result !== undefined) return result;
    }
  }
}

/** @returns how it ended: 0 or -errno; undefined where more is to come */
function takeAll(bytes: Uint8Array, take: (body: Uint8Array) => void): number | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0; at + HEADER_BYTES <= bytes.length;) {
    const [length, type] = [view.getUint32(at, true), view.getUint16(at + 4, true)];
    if (length < HEADER_BYTES || at + length > bytes.length) return -EPROTO;
    if (type === NLMSG_DONE) return 0;
    if (type === NLMSG_ERROR) return view.getInt32(at + HEADER_BYTES, true);
    take(bytes.slice(at + HEADER_BYTES, at + length));
    at += align(length);
  }
  return undefined;
}
