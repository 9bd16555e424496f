/**
 * Messages to and from the kernel about networks: devices, addresses and routes (rtnetlink), packet filters (nf_tables).
 *
 * ```
 * message    { u32 len; u16 type; u16 flags; u32 seq; u32 pid } body
 * attribute  { u16 len; u16 type } value, to the next multiple of 4
 * ```
 * @module
 * @see netlink(7), rtnetlink(7), https://docs.kernel.org/userspace-api/netlink/intro.html
 */
import { close, read } from "./calls.ts";
import { syscall, trySyscall } from "./kernel.ts";
import { scratch } from "./scratch.ts";

const [HEADER_BYTES, ATTRIBUTE_BYTES] = [16, 4];
export const [NLM_F_REQUEST, NLM_F_ACK] = [0x1, 0x4];
const [NLM_F_DUMP, NLM_F_CAPPED, NLM_F_ACK_TLVS] = [0x300, 0x100, 0x200];
const [NLMSG_ERROR, NLMSG_DONE] = [2, 3];
const [SOL_NETLINK, NETLINK_CAP_ACK, NETLINK_EXT_ACK] = [270, 10, 11];
/** Of an extended acknowledgement: a text. */
const NLMSGERR_ATTR_MSG = 1;
const NESTED = 0x8000;
const EPROTO = 71;

/** What a socket is for. */
const PROTOCOLS = { route: 0, netfilter: 12 };

/** `#define NLMSG_ALIGN(len) (((len) + 3) & ~3)` */
const align = (length: number) => (length + 3) & ~3;

/** One after the other, each to the next multiple of 4. */
export function netlinkBody(...parts: Uint8Array[]): Uint8Array {
  let at = 0;
  for (const { length } of parts) at += align(length);
  const bytes = new Uint8Array(at);
  at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += align(part.length);
  }
  return bytes;
}

export function netlinkAttribute(type: number, value: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(ATTRIBUTE_BYTES + value.length);
  // a packet filter is a thousand of these, and a DataView for each takes longer than all the rest (measured)
  [bytes[0], bytes[1], bytes[2], bytes[3]] = [bytes.length & 0xff, bytes.length >> 8, type & 0xff, type >> 8];
  bytes.set(value, ATTRIBUTE_BYTES);
  return bytes;
}

/** One that others are in. */
export const netlinkNested = (type: number, ...attributes: Uint8Array[]): Uint8Array =>
  netlinkAttribute(type | NESTED, netlinkBody(...attributes));

/** Values by their types. */
export const netlinkAttributes = (bytes: Uint8Array): Map<number, Uint8Array> => new Map(netlinkList(bytes));

/** The same, in their order: of lists, which have many of one type. */
export function netlinkList(bytes: Uint8Array): [type: number, value: Uint8Array][] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const found: [number, Uint8Array][] = [];
  for (let at = 0; at + ATTRIBUTE_BYTES <= bytes.length;) {
    const length = view.getUint16(at, true);
    if (length < ATTRIBUTE_BYTES) break;
    // the upper bits tell how it is written
    found.push([view.getUint16(at + 2, true) & 0x3fff, bytes.slice(at + ATTRIBUTE_BYTES, at + length)]);
    at += align(length);
  }
  return found;
}

/** Without its header. */
export interface NetlinkMessage {
  type: number;
  flags: number;
  body: Uint8Array;
}

/** `socket(2)` of one. */
export function netlinkSocket(protocol: keyof typeof PROTOCOLS): [family: number, type: number, protocol: number] {
  const [AF_NETLINK, SOCK_RAW, SOCK_CLOEXEC] = [16, 3, 0o2000000];
  return [AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, PROTOCOLS[protocol]];
}

/** Of the network namespace that its socket was made in. */
export class Netlink implements Disposable {
  readonly #fd: number;
  #sequence = 0;
  #reason = "";

  /** @param fd taken over; made by default, in the namespace that the thread is in */
  constructor(protocol: keyof typeof PROTOCOLS = "route", fd?: number) {
    this.#fd = fd ?? syscall("open a netlink socket", "socket", ...netlinkSocket(protocol));
    scratch.view.setUint32(0, 1, true);
    // older kernels say nothing more than a number
    for (const option of [NETLINK_EXT_ACK, NETLINK_CAP_ACK])
      trySyscall("setsockopt", this.#fd, SOL_NETLINK, option, scratch.address, 4);
  }

  [Symbol.dispose](): void {
    close(this.#fd);
  }

  get descriptor(): number {
    return this.#fd;
  }

  /** What the kernel said of the last failure besides its number; often nothing. */
  get reason(): string {
    return this.#reason;
  }

  /** @returns 0 or -errno */
  request(type: number, flags: number, body: Uint8Array): number {
    return this.#exchange([{ type, flags: NLM_F_REQUEST | NLM_F_ACK | flags, body }], 1, () => {});
  }

  /**
   * In one go.
   * @param acknowledged how many of them are to be answered: those with {@link NLM_F_ACK}, each once
   * @returns 0, or -errno of the first that failed
   */
  send(messages: readonly NetlinkMessage[], acknowledged: number): number {
    return this.#exchange(messages, acknowledged, () => {});
  }

  /** The body of the one answer. @returns -errno where there is none */
  ask(type: number, body: Uint8Array): Uint8Array | number {
    let found: Uint8Array | undefined;
    const message = { type, flags: NLM_F_REQUEST | NLM_F_ACK, body };
    const result = this.#exchange([message], 1, (each) => (found ??= each));
    return result < 0 || !found ? Math.min(result, -1) : found;
  }

  /** The bodies of all that there is. @returns -errno where that cannot be told */
  dump(type: number, body: Uint8Array): Uint8Array[] | number {
    const found: Uint8Array[] = [];
    const message = { type, flags: NLM_F_REQUEST | NLM_F_DUMP, body };
    const result = this.#exchange([message], 1, (each) => void found.push(each));
    return result < 0 ? result : found;
  }

  #exchange(messages: readonly NetlinkMessage[], answers: number, take: (body: Uint8Array) => void): number {
    this.#reason = "";
    const first = this.#sequence + 1;
    const sent = sendToKernel(this.#fd, this.#encode(messages));
    if (sent < 0) return sent;
    let [left, failed] = [answers, 0];
    while (left > 0) {
      const bytes = read(this.#fd);
      if (typeof bytes === "number") return bytes;
      for (const { error, reason } of answersIn(bytes, first, take)) {
        left--;
        if (error === 0 || failed !== 0) continue;
        failed = error;
        this.#reason = reason;
      }
    }
    return failed;
  }

  #encode(messages: readonly NetlinkMessage[]): Uint8Array {
    const bytes = new Uint8Array(messages.reduce((sum, { body }) => sum + HEADER_BYTES + align(body.length), 0));
    const view = new DataView(bytes.buffer);
    let at = 0;
    for (const { type, flags, body } of messages) {
      view.setUint32(at, HEADER_BYTES + body.length, true);
      view.setUint16(at + 4, type, true);
      view.setUint16(at + 6, flags, true);
      view.setUint32(at + 8, ++this.#sequence, true);
      bytes.set(body, at + HEADER_BYTES);
      at += HEADER_BYTES + align(body.length);
    }
    return bytes;
  }
}

/**
 * `ssize_t sendto(int fd, …, (struct sockaddr_nl){ AF_NETLINK })`. With an address, the kernel asks what the sender may
 * do, and not what whoever made the socket may: that is somebody in one user namespace, and a cable may lead into another.
 * @returns -errno where it fails @see netlink(7)
 */
function sendToKernel(fd: number, bytes: Uint8Array): number {
  const [ADDRESS_BYTES, AF_NETLINK, EMSGSIZE] = [12, 16, 90];
  const address = scratch.size - 16;
  if (bytes.length > address) return -EMSGSIZE;
  scratch.bytes.set(bytes);
  scratch.bytes.fill(0, address, address + ADDRESS_BYTES);
  scratch.view.setUint16(address, AF_NETLINK, true);
  return trySyscall("sendto", fd, scratch.address, bytes.length, 0, scratch.address + address, ADDRESS_BYTES);
}

interface Answer {
  /** 0 or -errno */
  error: number;
  reason: string;
}

/** @param first sequence number of what was asked: answers to what was asked before are too late */
function* answersIn(bytes: Uint8Array, first: number, take: (body: Uint8Array) => void): Generator<Answer> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0; at + HEADER_BYTES <= bytes.length;) {
    const [length, type] = [view.getUint32(at, true), view.getUint16(at + 4, true)];
    if (length < HEADER_BYTES || at + length > bytes.length) return yield { error: -EPROTO, reason: "" };
    const body = bytes.slice(at + HEADER_BYTES, at + length);
    if (view.getUint32(at + 8, true) < first) {
      // nobody waits for it any more
    } else if (type === NLMSG_DONE)
      yield { error: Math.min(0, new DataView(body.buffer).getInt32(0, true)), reason: "" };
    else if (type === NLMSG_ERROR) yield answerOf(body, view.getUint16(at + 6, true));
    else take(body);
    at += align(length);
  }
}

/** `struct nlmsgerr { int error; struct nlmsghdr msg; }`, and attributes behind it. */
function answerOf(body: Uint8Array, flags: number): Answer {
  const view = new DataView(body.buffer);
  const error = view.getInt32(0, true);
  const echoed = (flags & NLM_F_CAPPED) === 0 ? view.getUint32(4, true) : HEADER_BYTES;
  const attributes = flags & NLM_F_ACK_TLVS ? netlinkAttributes(body.subarray(4 + align(echoed))) : undefined;
  const text = attributes?.get(NLMSGERR_ATTR_MSG);
  return { error, reason: text ? new TextDecoder().decode(text.subarray(0, text.indexOf(0))) : "" };
}
