/**
 * Packets, as they are read from and written to sockets: what wants to begin a connection, and what answers from an
 * address that is nobody's here.
 * @module
 * @see RFC 768 (UDP), RFC 791, RFC 8200 (IP), RFC 792, RFC 4443 (ICMP), RFC 9293 (TCP)
 */

const [IPV4_BYTES, IPV6_BYTES, UDP_BYTES, TCP_BYTES, ICMP_BYTES] = [20, 40, 8, 20, 8];
const [IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMPV6] = [1, 6, 17, 58];
const HOPS = 64;
const [SYN, RST, ACK] = [0x02, 0x04, 0x10];

export interface Endpoint {
  /** 4 or 16 bytes. */
  address: Uint8Array;
  port: number;
}

/** The most that a datagram carries. */
export const MAX_PAYLOAD = { 4: 65535 - IPV4_BYTES - UDP_BYTES, 6: 65535 - UDP_BYTES };

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
const headerBytes = (address: Uint8Array) => (address.length === 4 ? IPV4_BYTES : IPV6_BYTES);

/** A whole packet, for a raw socket. */
export function udpPacket(from: Endpoint, to: Endpoint, payload: Uint8Array): Uint8Array {
  const length = UDP_BYTES + payload.length;
  const packet = ipPacket(from.address, to.address, IPPROTO_UDP, length);
  const [view, at] = [viewOf(packet), headerBytes(to.address)];
  view.setUint16(at, from.port);
  view.setUint16(at + 2, to.port);
  view.setUint16(at + 4, length);
  packet.set(payload, at + UDP_BYTES);
  // 0 would be none, which version 6 does not allow; version 4 does
  if (to.address.length === 16) view.setUint16(at + 6, transportSum(packet, at, IPPROTO_UDP) || 0xffff);
  return packet;
}

/** The first segment of a connection. */
export interface Opening {
  from: Endpoint;
  to: Endpoint;
  sequence: number;
  /** With a checksum: the kernel leaves that out of what never leaves the machine. */
  packet: Uint8Array;
}

/** Undefined for all other packets. */
export function readOpening(bytes: Uint8Array): Opening | undefined {
  const isV4 = (bytes[0] ?? 0) >> 4 === 4;
  const at = isV4 ? ((bytes[0] ?? 0) & 0xf) * 4 : IPV6_BYTES;
  if (at < IPV4_BYTES || bytes.length < at + TCP_BYTES || bytes[isV4 ? 9 : 6] !== IPPROTO_TCP) return undefined;
  const view = viewOf(bytes);
  const length = isV4 ? view.getUint16(2) : IPV6_BYTES + view.getUint16(4);
  if (length > bytes.length || length < at + TCP_BYTES || ((bytes[at + 13] ?? 0) & (SYN | RST | ACK)) !== SYN)
    return undefined;
  const packet = bytes.slice(0, length);
  const [source, destination, size] = isV4 ? [12, 16, 4] : [8, 24, 16];
  viewOf(packet).setUint16(at + 16, 0);
  viewOf(packet).setUint16(at + 16, transportSum(packet, at, IPPROTO_TCP));
  return {
    from: { address: packet.slice(source, source + size), port: view.getUint16(at) },
    to: { address: packet.slice(destination, destination + size), port: view.getUint16(at + 2) },
    sequence: view.getUint32(at + 4),
    packet,
  };
}

/** As nobody listens there: whoever has begun the connection is told so. */
export function refusal({ from, to, sequence, packet }: Opening): Uint8Array {
  const answer = ipPacket(to.address, from.address, IPPROTO_TCP, TCP_BYTES);
  const [view, at] = [viewOf(answer), headerBytes(to.address)];
  view.setUint16(at, to.port);
  view.setUint16(at + 2, from.port);
  view.setUint32(at + 8, (sequence + 1 + dataBytes(packet)) >>> 0);
  view.setUint8(at + 12, (TCP_BYTES / 4) << 4);
  view.setUint8(at + 13, RST | ACK);
  view.setUint16(at + 16, transportSum(answer, at, IPPROTO_TCP));
  return answer;
}

/** Some say something at once. @see RFC 7413 */
function dataBytes(packet: Uint8Array): number {
  const at = (packet[0] as number) >> 4 === 4 ? ((packet[0] as number) & 0xf) * 4 : IPV6_BYTES;
  return Math.max(0, packet.length - at - ((packet[at + 12] as number) >> 4) * 4);
}

/** What an ICMP message tells of a packet that was sent, by version. */
const UNREACHABLE = {
  host: { 4: [3, 1], 6: [1, 3] },
  port: { 4: [3, 3], 6: [1, 4] },
} as const;

/** That a packet has not got to where it was sent to. @param sent its beginning at least */
export function unreachable(what: keyof typeof UNREACHABLE, sent: Uint8Array): Uint8Array {
  const isV4 = (sent[0] as number) >> 4 === 4;
  const [source, destination, size] = isV4 ? [12, 16, 4] : [8, 24, 16];
  const address = (at: number) => sent.slice(at, at + size);
  // enough for the kernel to find whose it was
  const quoted = sent.subarray(0, (isV4 ? ((sent[0] as number) & 0xf) * 4 : IPV6_BYTES) + UDP_BYTES);
  const protocol = isV4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
  const packet = ipPacket(address(destination), address(source), protocol, ICMP_BYTES + quoted.length);
  const at = packet.length - ICMP_BYTES - quoted.length;
  packet.set(UNREACHABLE[what][isV4 ? 4 : 6], at);
  packet.set(quoted, at + ICMP_BYTES);
  const sum = isV4 ? checksum(packet.subarray(at), 0) : transportSum(packet, at, IPPROTO_ICMPV6);
  viewOf(packet).setUint16(at + 2, sum);
  return packet;
}

function ipPacket(from: Uint8Array, to: Uint8Array, protocol: number, length: number): Uint8Array {
  const packet = new Uint8Array(headerBytes(to) + length);
  const view = viewOf(packet);
  if (to.length === 4) {
    // version and length; the kernel fills in the identification and the checksum
    view.setUint8(0, 0x45);
    view.setUint16(2, packet.length);
    view.setUint8(8, HOPS);
    view.setUint8(9, protocol);
    packet.set(from, 12);
    packet.set(to, 16);
  } else {
    view.setUint8(0, 0x60);
    view.setUint16(4, length);
    view.setUint8(6, protocol);
    view.setUint8(7, HOPS);
    packet.set(from, 8);
    packet.set(to, 24);
  }
  return packet;
}

/** Over the pseudo-header, and what is behind the header. @param at where that begins */
function transportSum(packet: Uint8Array, at: number, protocol: number): number {
  const addresses = (packet[0] as number) >> 4 === 4 ? packet.subarray(12, IPV4_BYTES) : packet.subarray(8, IPV6_BYTES);
  return checksum(packet.subarray(at), packet.length - at + protocol + sumOf(addresses));
}

/** @param more what is counted besides the bytes @see RFC 1071 */
function checksum(bytes: Uint8Array, more: number): number {
  let total = sumOf(bytes) + more;
  while (total > 0xffff) total = (total & 0xffff) + Math.floor(total / 0x10000);
  return ~total & 0xffff;
}

function sumOf(bytes: Uint8Array): number {
  const view = viewOf(bytes);
  const even = bytes.length & ~1;
  let total = 0;
  for (let at = 0; at < even; at += 2) total += view.getUint16(at);
  return even < bytes.length ? total + ((bytes[even] as number) << 8) : total;
}
