/**
 * How fast a device may be: queueing disciplines, at this end of the cable of a container, out of the container's reach.
 *
 * ```
 * to it     tbf at the device
 * from it   clsact at the device ─ u32, mirred ─► ifb, tbf there
 * ```
 * A tbf (token bucket filter) is a queue that is emptied at a rate. Only what leaves a device waits in one, so what comes
 * in is sent through another device first, an ifb (intermediate functional block), which gives it back behind that.
 * @module
 * @see tc-tbf(8), tc-u32(8), tc-mirred(8), linux/pkt_sched.h
 */
import { netlinkAttribute, netlinkBody, netlinkNested, type NetlinkMessage } from "../../syscalls/index.ts";

export const RTM_DELQDISC = 37;
const [RTM_NEWQDISC, RTM_NEWTFILTER] = [36, 44];
const [NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE] = [0x100, 0x200, 0x400];
const [TCA_KIND, TCA_OPTIONS, TCA_STAB, TCA_STAB_BASE] = [1, 2, 8, 1];
const [TC_H_ROOT, TC_H_CLSACT, TC_H_INGRESS] = [0xffffffff, 0xfffffff1, 0xfffffff2];
const [TCA_TBF_PARMS, TCA_TBF_RATE64, TCA_TBF_BURST] = [1, 4, 6];
const [TCA_U32_SEL, TCA_U32_ACT, TCA_ACT_KIND, TCA_ACT_OPTIONS, TCA_MIRRED_PARMS] = [5, 7, 1, 2, 2];
const [TC_ACT_STOLEN, TCA_EGRESS_REDIR] = [4, 1];
const ETHERNET_BYTES = 14;
const U32 = 0xffffffff;

export interface Shape {
  /** Of one second: of IP packets, without the headers of Ethernet. */
  rateBytes: number;
  /** What may go at once after a while of quiet. */
  burstBytes: number;
}

/** So much waits rather than is lost. */
const WAIT_S = 0.1;
const LEAST_WAITING_BYTES = 64 * 1024;
/** A timer is late by less. */
const BURST_S = 0.01;
const LEAST_BURST_BYTES = 32 * 1024;

/** Where none is asked for. */
export const burstFor = (rateBytes: number): number => Math.max(LEAST_BURST_BYTES, Math.round(rateBytes * BURST_S));

export type QueueRequest = Pick<NetlinkMessage, "type" | "flags" | "body">;

/** What leaves the device from now on: instead of what was there before. @param index of the device */
export function shapeRequest(index: number, { rateBytes, burstBytes }: Shape): QueueRequest {
  const limit = Math.min(U32, burstBytes + Math.max(LEAST_WAITING_BYTES, Math.round(rateBytes * WAIT_S)));
  // struct tc_tbf_qopt { tc_ratespec rate, peakrate; u32 limit, buffer, mtu }: the rate is at the end of its 12 bytes
  const parameters = words(0, 0, Math.min(U32, rateBytes), 0, 0, 0, limit, 0, 0);
  const rate64 = rateBytes > U32 ? [netlinkAttribute(TCA_TBF_RATE64, long(rateBytes))] : [];
  const burst = netlinkAttribute(TCA_TBF_BURST, words(Math.min(U32, burstBytes)));
  const options = netlinkNested(TCA_OPTIONS, netlinkAttribute(TCA_TBF_PARMS, parameters), ...rate64, burst);
  // struct tc_sizespec { u8 cell_log, size_log; s16 cell_align; int overhead; u32 linklayer, mpu, mtu, tsize }
  const sizes = netlinkNested(TCA_STAB, netlinkAttribute(TCA_STAB_BASE, words(0, -ETHERNET_BYTES, 0, 0, 0, 0)));
  return {
    type: RTM_NEWQDISC,
    flags: NLM_F_CREATE | NLM_F_REPLACE,
    body: netlinkBody(header(index, 0, TC_H_ROOT), kind("tbf"), options, sizes),
  };
}

/** As fast as can be. It may be so already. */
export const unshapeRequest = (index: number): QueueRequest => ({
  type: RTM_DELQDISC,
  flags: 0,
  body: header(index, 0, TC_H_ROOT),
});

/** What comes in at a device goes through another one first. @param through index of an ifb */
export const divertRequests = (index: number, through: number): QueueRequest[] => [
  {
    type: RTM_NEWQDISC,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    body: netlinkBody(header(index, 0xffff0000, TC_H_CLSACT), kind("clsact")),
  },
  {
    type: RTM_NEWTFILTER,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    body: netlinkBody(header(index, 0, TC_H_INGRESS, FIRST_OF_ALL), kind("u32"), everything(through)),
  },
];

/** Not any more, if it did. */
export const undivertRequest = (index: number): QueueRequest => ({
  type: RTM_DELQDISC,
  flags: 0,
  body: netlinkBody(header(index, 0xffff0000, TC_H_CLSACT), kind("clsact")),
});

/** Priority 1, of all protocols: `ETH_P_ALL`, in the order of the network. */
const FIRST_OF_ALL = (1 << 16) | 0x0300;

function everything(through: number): Uint8Array {
  // struct tc_u32_sel { u8 flags, offshift, nkeys; be16 offmask; u16 off; s16 offoff, hoff; be32 hmask; key }: one key,
  // of which no bit counts
  const selector = words(0x00010001, 0, 0, 0, 0, 0, 0, 0);
  // struct tc_mirred { u32 index, capab; int action, refcnt, bindcnt, eaction; u32 ifindex }
  const mirred = words(0, 0, TC_ACT_STOLEN, 0, 0, TCA_EGRESS_REDIR, through);
  const action = netlinkNested(
    1,
    netlinkAttribute(TCA_ACT_KIND, new TextEncoder().encode("mirred\0")),
    netlinkNested(TCA_ACT_OPTIONS, netlinkAttribute(TCA_MIRRED_PARMS, mirred)),
  );
  return netlinkNested(TCA_OPTIONS, netlinkAttribute(TCA_U32_SEL, selector), netlinkNested(TCA_U32_ACT, action));
}

/** `struct tcmsg { u8 family; s32 ifindex; u32 handle, parent, info }`, each filled up to four bytes. */
const header = (index: number, handle: number, parent: number, info = 0) => words(0, index, handle, parent, info);

const kind = (name: string) => netlinkAttribute(TCA_KIND, new TextEncoder().encode(`${name}\0`));

function words(...values: number[]): Uint8Array {
  const bytes = new Uint8Array(values.length * 4);
  const view = new DataView(bytes.buffer);
  values.forEach((value, index) => view.setUint32(index * 4, value, true));
  return bytes;
}

function long(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true);
  return bytes;
}
