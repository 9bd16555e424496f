/** UDP datagrams as packets: answers that come from the address that was asked, whatever that is. @module */

const [IPV4_BYTES, IPV6_BYTES, UDP_BYTES] = [20, 40, 8];
const IPPROTO_UDP = 17;
const HOPS = 64;

export interface Endpoint {
  /** 4 or 16 bytes. */
  address: Uint8Array;
  port: number;
}

/** The most that one carries. */
export const MAX_PAYLOAD = { 4: 65535 - IPV4_BYTES - UDP_BYTES, 6: 65535 - UDP_BYTES };

/** A whole packet, for a raw socket. @see RFC 768, RFC 791, RFC 8200 */
export function udpPacket(from: Endpoint, to: Endpoint, payload: Uint8Array): Uint8Array {
  return from.address.length === 4 ? packetV4(from, to, payload) : packetV6(from, to, payload);
}

function packetV4(from: Endpoint, to: Endpoint, payload: Uint8Array): Uint8Array {
  const packet = new Uint8Array(IPV4_BYTES + UDP_BYTES + payload.length);
  const view = new DataView(packet.buffer);
  // version and length; the kernel fills in the identification and the checksum
  view.setUint8(0, 0x45);
  view.setUint16(2, packet.length);
  view.setUint8(8, HOPS);
  view.setUint8(9, IPPROTO_UDP);
  packet.set(from.address, 12);
  packet.set(to.address, 16);
  // a checksum of 0 is none, as version 4 allows
  putUdp(view, IPV4_BYTES, from, to, payload);
  return packet;
}

function packetV6(from: Endpoint, to: Endpoint, payload: Uint8Array): Uint8Array {
  const packet = new Uint8Array(IPV6_BYTES + UDP_BYTES + payload.length);
  const view = new DataView(packet.buffer);
  view.setUint8(0, 0x60);
  view.setUint16(4, UDP_BYTES + payload.length);
  view.setUint8(6, IPPROTO_UDP);
  view.setUint8(7, HOPS);
  packet.set(from.address, 8);
  packet.set(to.address, 24);
  putUdp(view, IPV6_BYTES, from, to, payload);
  const sum = onesComplement(packet.subarray(8), UDP_BYTES + payload.length + IPPROTO_UDP);
  // 0 would be none, which version 6 does not allow
  view.setUint16(IPV6_BYTES + 6, sum === 0 ? 0xffff : sum);
  return packet;
}

function putUdp(view: DataView, at: number, from: Endpoint, to: Endpoint, payload: Uint8Array): void {
  view.setUint16(at, from.port);
  view.setUint16(at + 2, to.port);
  view.setUint16(at + 4, UDP_BYTES + payload.length);
  new Uint8Array(view.buffer).set(payload, at + UDP_BYTES);
}

/** @param sum what is counted besides the bytes @see RFC 1071 */
function onesComplement(bytes: Uint8Array, sum: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const even = bytes.length & ~1;
  let total = sum;
  for (let at = 0; at < even; at += 2) total += view.getUint16(at);
  if (even < bytes.length) total += (bytes[even] as number) << 8;
  while (total > 0xffff) total = (total & 0xffff) + Math.floor(total / 0x10000);
  return ~total & 0xffff;
}
