/**
 * Many datagrams at once: memory for so many, where they came from, and to which of this machine's addresses.
 * @module
 * @see recvmmsg(2), sendmmsg(2), cmsg(3)
 */
import { mapArena, trySyscall, unmapArena, type Arena } from "./kernel.ts";
import { getAddress, putAddress, SOCKADDR_BYTES, SOL_IP, SOL_IPV6, type Peer } from "./sockets.ts";
import { IP_PKTINFO, IP_RECVORIGDSTADDR, IPV6_PKTINFO, IPV6_RECVORIGDSTADDR } from "./sockets.ts";
import { fillStruct, offsetOf, STRUCTS } from "./structs.ts";

const [MSG_DONTWAIT, MSG_NOSIGNAL, MSG_TRUNC] = [0x40, 0x4000, 0x20];
const HEADER = STRUCTS.mmsghdr.size;
const CMSG = STRUCTS.cmsghdr.size;
/** A record: `mmsghdr`, `iovec`, address, control messages; then, apart from all records, the payload. */
const [IOVEC, NAME, CONTROL, CONTROL_BYTES] = [HEADER, HEADER + 16, HEADER + 48, 128];
const RECORD = CONTROL + CONTROL_BYTES;
const NAMELEN = offsetOf("msghdr", "msg_namelen");
const CONTROLLEN = offsetOf("msghdr", "msg_controllen");
const FLAGS = offsetOf("msghdr", "msg_flags");
const IOV_LEN = offsetOf("iovec", "iov_len");
const LENGTH = offsetOf("mmsghdr", "msg_len");
const LEVEL = offsetOf("cmsghdr", "cmsg_level");
const TYPE = offsetOf("cmsghdr", "cmsg_type");

/** One that has arrived. */
export interface Datagram {
  /** A view that the next {@link DatagramReceiver.receive} overwrites. */
  bytes: Uint8Array;
  from: Peer;
  /**
   * Where it was sent to: with `IP_RECVORIGDSTADDR` address and port, with `IP_PKTINFO` the address, and port 0;
   * undefined where the socket has neither option.
   */
  to: Peer | undefined;
  /** It was longer. */
  truncated: boolean;
}

class Records implements Disposable {
  readonly arena: Arena;
  readonly count: number;
  readonly bytes: number;

  constructor(count: number, bytes: number) {
    this.count = count;
    this.bytes = bytes;
    // mmsghdr is an array of its own: the kernel steps from one to the next
    this.arena = mapArena(count * (RECORD + bytes));
    this.#layOut();
  }

  [Symbol.dispose](): void {
    unmapArena(this.arena);
  }

  header = (index: number): number => index * HEADER;
  rest = (index: number): number => this.count * HEADER + index * (RECORD - HEADER) - HEADER;
  payload = (index: number): number => this.count * RECORD + index * this.bytes;

  /** Points each header to its parts: where they are stays. */
  #layOut(): void {
    const { address, view } = this.arena;
    for (let index = 0; index < this.count; index++) {
      const rest = this.rest(index);
      fillStruct(view, this.header(index), "msghdr", {
        msg_name: address + rest + NAME,
        msg_iov: address + rest + IOVEC,
        msg_iovlen: 1,
        msg_control: address + rest + CONTROL,
      });
      fillStruct(view, rest + IOVEC, "iovec", { iov_base: address + this.payload(index), iov_len: this.bytes });
    }
  }

  /** What has no length is not looked at. */
  setLengths(index: number, nameBytes: number, controlBytes: number, bytes: number): void {
    const { view } = this.arena;
    view.setUint32(this.header(index) + NAMELEN, nameBytes, true);
    view.setUint32(this.header(index) + CONTROLLEN, controlBytes, true);
    view.setUint32(this.rest(index) + IOVEC + IOV_LEN, bytes, true);
  }
}

/** Reads from any number of sockets, one after another. */
export class DatagramReceiver implements Disposable {
  readonly #records: Records;
  /** By the last call; before it, all lengths are to be set. */
  #used: number;

  /** @param count at a time @param bytes of the longest */
  constructor(count = 32, bytes = 65536) {
    this.#records = new Records(count, bytes);
    this.#used = count;
  }

  [Symbol.dispose](): void {
    this.#records[Symbol.dispose]();
  }

  /** `int recvmmsg(int fd, struct mmsghdr *vec, …, MSG_DONTWAIT, NULL)`: what is there; or -errno. @see recvmmsg(2) */
  receive(fd: number): Datagram[] | number {
    const { arena, count } = this.#records;
    // the others are as they were
    for (let index = 0; index < this.#used; index++)
      this.#records.setLengths(index, SOCKADDR_BYTES, CONTROL_BYTES, this.#records.bytes);
    const found = trySyscall("recvmmsg", fd, arena.address, count, MSG_DONTWAIT, 0);
    this.#used = Math.max(1, found);
    if (found < 0) return found;
    return Array.from({ length: found }, (_, index) => this.#read(index));
  }

  #read(index: number): Datagram {
    const { bytes, view } = this.#records.arena;
    const [header, rest, payload] = [
      this.#records.header(index),
      this.#records.rest(index),
      this.#records.payload(index),
    ];
    const length = Math.min(view.getUint32(header + LENGTH, true), this.#records.bytes);
    return {
      bytes: bytes.subarray(payload, payload + length),
      from: getAddress(view, rest + NAME),
      to: destinationOf(view, rest + CONTROL, view.getUint32(header + CONTROLLEN, true)),
      truncated: (view.getUint32(header + FLAGS, true) & MSG_TRUNC) !== 0,
    };
  }
}

function destinationOf(view: DataView, start: number, length: number): Peer | undefined {
  let found: Peer | undefined;
  const slice = (at: number, bytes: number) => new Uint8Array(view.buffer, view.byteOffset + at, bytes).slice();
  for (let at = start; at + CMSG <= start + length;) {
    const size = view.getUint32(at, true);
    if (size < CMSG) break;
    const [level, type, data] = [view.getUint32(at + LEVEL, true), view.getUint32(at + TYPE, true), at + CMSG];
    const isOriginal =
      (level === SOL_IP && type === IP_RECVORIGDSTADDR) || (level === SOL_IPV6 && type === IPV6_RECVORIGDSTADDR);
    if (isOriginal) return getAddress(view, data);
    // ipi_addr is where it was sent to, ipi_spec_dst the address to answer from
    if (level === SOL_IP && type === IP_PKTINFO) found = { address: slice(data + 4, 4), port: 0 };
    if (level === SOL_IPV6 && type === IPV6_PKTINFO) {
      const scope = view.getUint32(data + 16, true);
      found = { address: slice(data, 16), port: 0, scope };
    }
    at += (size + 7) & ~7;
  }
  return found;
}

/** Collects datagrams for one socket, and sends them together. */
export class DatagramSender implements Disposable {
  readonly #records: Records;
  #waiting = 0;

  constructor(count = 32, bytes = 65536) {
    this.#records = new Records(count, bytes);
  }

  [Symbol.dispose](): void {
    this.#records[Symbol.dispose]();
  }

  get isFull(): boolean {
    return this.#waiting === this.#records.count;
  }

  /**
   * @param to undefined where the socket is connected
   * @param from the address of this machine that it is sent from; of its socket where there is none
   * @throws RangeError where it is too long, or too many wait
   */
  add(bytes: Uint8Array, to?: Peer, from?: Uint8Array): void {
    const { arena } = this.#records;
    if (this.isFull || bytes.length > this.#records.bytes) throw new RangeError("send a datagram: no place for it");
    const index = this.#waiting++;
    const rest = this.#records.rest(index);
    const name = to ? putAddress(arena.view, rest + NAME, to) : 0;
    this.#records.setLengths(index, name, from ? putSource(arena.view, rest + CONTROL, from) : 0, bytes.length);
    arena.bytes.set(bytes, this.#records.payload(index));
  }

  /**
   * `int sendmmsg(int fd, struct mmsghdr *vec, …, MSG_DONTWAIT | MSG_NOSIGNAL)`: what cannot be sent now, or at all, is
   * lost, as datagrams may be.
   * @returns how many were sent @see sendmmsg(2)
   */
  send(fd: number): number {
    const { arena } = this.#records;
    let [at, sent] = [0, 0];
    while (at < this.#waiting) {
      const address = arena.address + this.#records.header(at);
      const result = trySyscall("sendmmsg", fd, address, this.#waiting - at, MSG_DONTWAIT | MSG_NOSIGNAL);
      // the first of them is refused: the others need not be
      if (result <= 0) at++;
      else [at, sent] = [at + result, sent + result];
    }
    this.#waiting = 0;
    return sent;
  }
}

function putSource(view: DataView, at: number, address: Uint8Array): number {
  const isV6 = address.length === 16;
  const data = isV6 ? STRUCTS.in6_pktinfo.size : STRUCTS.in_pktinfo.size;
  const bytes = new Uint8Array(view.buffer, view.byteOffset + at, CONTROL_BYTES).fill(0);
  fillStruct(view, at, "cmsghdr", {
    cmsg_len: CMSG + data,
    cmsg_level: isV6 ? SOL_IPV6 : SOL_IP,
    cmsg_type: isV6 ? IPV6_PKTINFO : IP_PKTINFO,
  });
  bytes.set(address, CMSG + (isV6 ? 0 : offsetOf("in_pktinfo", "ipi_spec_dst")));
  return CMSG + ((data + 7) & ~7);
}
