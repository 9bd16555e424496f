/**
 * Packet filters: nf_tables in batches, of which the kernel does all or nothing, in the network namespace that the thread
 * is in. What is needed of them here: tables, chains, sets and maps, rules of a few expressions.
 * @module
 * @see nft(8), https://wiki.nftables.org, linux/netfilter/nf_tables.h
 */
import {
  errnoName,
  netlinkAttribute,
  netlinkAttributes,
  netlinkBody,
  netlinkList,
  netlinkNested,
  NLM_F_ACK,
  NLM_F_REQUEST,
  TsboxError,
  type NetlinkMessage,
} from "../../syscalls/index.ts";
import { netlinkHere } from "./namespace.ts";

const NFNL_SUBSYS_NFTABLES = 10;
const [BATCH_BEGIN, BATCH_END] = [16, 17];
const [NLM_F_EXCL, NLM_F_CREATE, NLM_F_APPEND] = [0x200, 0x400, 0x800];
const MESSAGE = {
  newTable: 0,
  getTable: 1,
  deleteTable: 2,
  newChain: 3,
  getChain: 4,
  newRule: 6,
  newSet: 9,
  newElement: 12,
  getElement: 13,
  deleteElement: 14,
  getGeneration: 16,
};
const NFPROTO_INET = 1;
/** The first four bytes of every register of 16 are one of 4 as well. */
const [REG_VERDICT, REG_1, REG32_00] = [0, 1, 8];
const FINE = { ENOENT: 2, EEXIST: 17, ERESTART: 85 };
const BATCH_GENERATION = 1;
const GENERIC_BYTES = 4;

/** One expression of a rule. @see linux/netfilter/nf_tables.h */
export type Expression = Uint8Array;
export type Rule = Expression[];

export interface BaseChain {
  type: "filter" | "nat";
  hook: keyof typeof HOOKS;
  /** The lower, the earlier. */
  priority: number;
}
const HOOKS = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4 };

/** What a part of a key is, for who lists it: nft's numbers, and how many bytes it takes. */
const TYPES = {
  ipv4_addr: [7, 4],
  ipv6_addr: [8, 16],
  inet_proto: [12, 4],
  inet_service: [13, 4],
  ifname: [41, 16],
} as const;
export type ElementType = keyof typeof TYPES;
/** Of several parts next to each other, six bits each. */
const typeOf = (parts: readonly ElementType[]) => parts.reduce((type, part) => (type << 6) | TYPES[part][0], 0);
const bytesOf = (parts: readonly ElementType[]) => parts.reduce((bytes, part) => bytes + TYPES[part][1], 0);

export interface SetShape {
  /** Each part is filled up to a multiple of four bytes. */
  key: readonly ElementType[];
  /** It is a map, to these. */
  data?: readonly ElementType[];
  /** Of ranges: each element is the first of one, or the first behind one. */
  interval?: boolean;
}

export interface Element {
  key: Uint8Array;
  data?: Uint8Array;
  /** The first behind a range. */
  end?: boolean;
}

/** What one table is to be told. */
export class TableBatch {
  readonly #table: string;
  readonly #messages: NetlinkMessage[] = [];
  #generation: number | undefined;

  constructor(table: string) {
    this.#table = table;
  }

  /** It may be there. */
  addTable(): this {
    return this.#push(MESSAGE.newTable, NLM_F_CREATE, text(TABLE_NAME, this.#table));
  }

  /** With all that is in it. */
  deleteTable(): this {
    return this.#push(MESSAGE.deleteTable, 0, text(TABLE_NAME, this.#table));
  }

  /** Is done only as long as all of the packet filter is as it was then: {@link generation}. */
  onlyIn(generation: number): this {
    this.#generation = generation;
    return this;
  }

  addChain(name: string, base?: BaseChain): this {
    const attributes = [text(CHAIN_TABLE, this.#table), text(CHAIN_NAME, name)];
    if (base) {
      const hook = netlinkNested(
        CHAIN_HOOK,
        number(HOOK_NUMBER, HOOKS[base.hook]),
        number(HOOK_PRIORITY, base.priority),
      );
      attributes.push(hook, text(CHAIN_TYPE, base.type));
    }
    return this.#push(MESSAGE.newChain, NLM_F_CREATE | NLM_F_EXCL, ...attributes);
  }

  /** At the end of a chain. */
  addRule(chain: string, rule: Rule): this {
    const list = netlinkNested(RULE_EXPRESSIONS, ...rule.map((each) => netlinkNested(LIST_ELEMENT, each)));
    const place = [text(RULE_TABLE, this.#table), text(RULE_CHAIN, chain)];
    return this.#push(MESSAGE.newRule, NLM_F_CREATE | NLM_F_APPEND, ...place, list);
  }

  addSet(name: string, { key, data, interval }: SetShape): this {
    const [INTERVAL, MAP] = [4, 8];
    const flags = (interval ? INTERVAL : 0) | (data ? MAP : 0);
    const attributes = [
      text(SET_TABLE, this.#table),
      text(SET_NAME, name),
      number(SET_FLAGS, flags),
      number(SET_KEY_TYPE, typeOf(key)),
      number(SET_KEY_LENGTH, bytesOf(key)),
      // which of a batch's; the kernel wants one
      number(SET_ID, this.#messages.length + 1),
    ];
    if (key.length === 1 && key[0] === "ifname") attributes.push(netlinkAttribute(SET_USERDATA, HOST_ORDER));
    if (data) attributes.push(number(SET_DATA_TYPE, typeOf(data)), number(SET_DATA_LENGTH, bytesOf(data)));
    return this.#push(MESSAGE.newSet, NLM_F_CREATE | NLM_F_EXCL, ...attributes);
  }

  addElements(set: string, elements: readonly Element[]): this {
    return this.#elements(MESSAGE.newElement, NLM_F_CREATE | NLM_F_EXCL, set, elements);
  }

  deleteElements(set: string, elements: readonly Element[]): this {
    return this.#elements(MESSAGE.deleteElement, 0, set, elements);
  }

  #elements(message: number, flags: number, set: string, elements: readonly Element[]): this {
    if (elements.length === 0) return this;
    const list = elements.map(({ key, data, end }) =>
      netlinkNested(
        LIST_ELEMENT,
        ...(end ? [number(ELEMENT_FLAGS, ELEMENT_IS_END)] : []),
        netlinkNested(ELEMENT_KEY, netlinkAttribute(DATA_VALUE, key)),
        ...(data ? [netlinkNested(ELEMENT_DATA, netlinkAttribute(DATA_VALUE, data))] : []),
      ),
    );
    const place = [text(ELEMENTS_TABLE, this.#table), text(ELEMENTS_SET, set)];
    return this.#push(message, flags, ...place, netlinkNested(ELEMENTS, ...list));
  }

  #push(message: number, flags: number, ...attributes: Uint8Array[]): this {
    const body = netlinkBody(generic(NFPROTO_INET, 0), ...attributes);
    this.#messages.push({
      type: (NFNL_SUBSYS_NFTABLES << 8) | message,
      flags: NLM_F_REQUEST | NLM_F_ACK | flags,
      body,
    });
    return this;
  }

  /**
   * Does all of it, or nothing.
   * @param fine errors that are none: then nothing is done
   * @throws TsboxError `unsupported`, `permission_denied`, `limit_unavailable`
   */
  commit(action: string, ...fine: ("ENOENT" | "EEXIST" | "ERESTART")[]): boolean {
    using netlink = netlinkHere("netfilter");
    const around = (type: number, ...more: Uint8Array[]) => ({
      type,
      flags: NLM_F_REQUEST,
      body: netlinkBody(generic(0, NFNL_SUBSYS_NFTABLES), ...more),
    });
    const generation = this.#generation === undefined ? [] : [number(BATCH_GENERATION, this.#generation)];
    const messages = [around(BATCH_BEGIN, ...generation), ...this.#messages, around(BATCH_END)];
    const result = netlink.send(messages, this.#messages.length);
    if (result === 0) return true;
    if (fine.some((name) => FINE[name] === -result)) return false;
    const name = errnoName(-result);
    const isMissing = ["EPROTONOSUPPORT", "EOPNOTSUPP", "EAFNOSUPPORT", "EINVAL"].includes(name);
    throw new TsboxError(`${action}: ${name}${netlink.reason ? `: ${netlink.reason}` : ""}`, {
      code: name === "EPERM" ? "permission_denied" : isMissing ? "unsupported" : "limit_unavailable",
      errno: -result,
      syscall: "sendto",
      ...(isMissing
        ? { hint: "the kernel needs nf_tables (CONFIG_NF_TABLES_INET, CONFIG_NFT_NAT), since Linux 5.2" }
        : {}),
    });
  }
}

/** Of the packet filter: another number with each change. */
export function generation(): number {
  using netlink = netlinkHere("netfilter");
  const answer = netlink.ask((NFNL_SUBSYS_NFTABLES << 8) | MESSAGE.getGeneration, generic(NFPROTO_INET, 0));
  const id = typeof answer === "number" ? undefined : netlinkAttributes(answer.subarray(GENERIC_BYTES)).get(1);
  return id ? new DataView(id.buffer).getUint32(0) : 0;
}

/** The names of a table's chains; none where there is no table. */
export function chainsOf(table: string): string[] {
  return listed(MESSAGE.getChain, text(CHAIN_TABLE, table)).flatMap((body) => {
    const attributes = netlinkAttributes(body.subarray(GENERIC_BYTES));
    const [own, name] = [CHAIN_TABLE, CHAIN_NAME].map((type) => textOf(attributes.get(type)));
    // older kernels list those of all tables
    return own === table && name !== undefined && body[0] === NFPROTO_INET ? [name] : [];
  });
}

/** What is in a set; nothing where there is none. */
export function keysOf(table: string, set: string): Uint8Array[] {
  const place = [text(ELEMENTS_TABLE, table), text(ELEMENTS_SET, set)];
  return listed(MESSAGE.getElement, ...place).flatMap((body) => {
    const elements = netlinkAttributes(body.subarray(GENERIC_BYTES)).get(ELEMENTS);
    return (elements ? netlinkList(elements) : []).flatMap(([, element]) => {
      const key = netlinkAttributes(element).get(ELEMENT_KEY);
      return (key && netlinkAttributes(key).get(DATA_VALUE)) ?? [];
    });
  });
}

function listed(message: number, ...attributes: Uint8Array[]): Uint8Array[] {
  using netlink = netlinkHere("netfilter");
  const found = netlink.dump(
    (NFNL_SUBSYS_NFTABLES << 8) | message,
    netlinkBody(generic(NFPROTO_INET, 0), ...attributes),
  );
  return typeof found === "number" ? [] : found;
}

const textOf = (bytes: Uint8Array | undefined) =>
  bytes && new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));

/** Whether there is a table of this name. */
export function hasTable(name: string): boolean {
  using netlink = netlinkHere("netfilter");
  const type = (NFNL_SUBSYS_NFTABLES << 8) | MESSAGE.getTable;
  // what it answers comes before the acknowledgement, and tells no more than that
  return netlink.request(type, 0, netlinkBody(generic(NFPROTO_INET, 0), text(TABLE_NAME, name))) === 0;
}

const TABLE_NAME = 1;
const [CHAIN_TABLE, CHAIN_NAME, CHAIN_HOOK, CHAIN_TYPE] = [1, 3, 4, 7];
const [HOOK_NUMBER, HOOK_PRIORITY] = [1, 2];
const [RULE_TABLE, RULE_CHAIN, RULE_EXPRESSIONS] = [1, 2, 4];
const [SET_TABLE, SET_NAME, SET_FLAGS, SET_KEY_TYPE, SET_KEY_LENGTH, SET_DATA_TYPE, SET_DATA_LENGTH, SET_ID] = [
  1, 2, 3, 4, 5, 6, 7, 10,
];
const SET_USERDATA = 13;
/** For nft(8), which lists names wrongly without: `NFTNL_UDATA_SET_KEYBYTEORDER`, 4 bytes, host. */
const HOST_ORDER = Uint8Array.of(0, 4, 1, 0, 0, 0);
const [ELEMENTS_TABLE, ELEMENTS_SET, ELEMENTS] = [1, 2, 3];
const [ELEMENT_KEY, ELEMENT_DATA, ELEMENT_FLAGS, ELEMENT_IS_END] = [1, 2, 3, 1];
const LIST_ELEMENT = 1;
const [DATA_VALUE, DATA_VERDICT, VERDICT_CODE, VERDICT_CHAIN] = [1, 2, 1, 2];

/** `struct nfgenmsg { u8 family; u8 version; be16 res_id }` */
const generic = (family: number, resource: number) => Uint8Array.of(family, 0, resource >> 8, resource & 0xff);
const encoder = new TextEncoder();
const text = (type: number, value: string) => netlinkAttribute(type, encoder.encode(`${value}\0`));

/** In the order of the network, as all numbers of nf_tables. */
function number(type: number, value: number): Uint8Array {
  return netlinkAttribute(type, Uint8Array.of(value >> 24, value >> 16, value >> 8, value));
}

const [EXPRESSION_NAME, EXPRESSION_DATA] = [1, 2];
const expression = (name: string, ...attributes: Uint8Array[]): Expression =>
  netlinkBody(text(EXPRESSION_NAME, name), netlinkNested(EXPRESSION_DATA, ...attributes));

/** `register` counts words of four bytes. */
const register = (word: number) => REG32_00 + word;

const META = { mark: 3, nfproto: 15, l4proto: 16, iifname: 6, oifname: 7 };
/** What the kernel knows of a packet. */
export const meta = (key: keyof typeof META, word = 0): Expression =>
  expression("meta", number(1, register(word)), number(2, META[key]));

const BASE = { network: 1, transport: 2 };
/** Bytes of a header. */
export const payload = (base: keyof typeof BASE, offset: number, length: number, word = 0): Expression =>
  expression("payload", number(1, register(word)), number(2, BASE[base]), number(3, offset), number(4, length));

/** Goes on only where the first bytes of the registers are these. */
export const equal = (value: Uint8Array, not = false): Expression =>
  expression("cmp", number(1, REG_1), number(2, not ? 1 : 0), netlinkNested(3, netlinkAttribute(DATA_VALUE, value)));

/** Leaves these bits of the first bytes. */
export const masked = (mask: Uint8Array): Expression =>
  expression(
    "bitwise",
    number(1, REG_1),
    number(2, REG_1),
    number(3, mask.length),
    netlinkNested(4, netlinkAttribute(DATA_VALUE, mask)),
    netlinkNested(5, netlinkAttribute(DATA_VALUE, new Uint8Array(mask.length))),
  );

/** Goes on only where the connection is in one of these: in the order of the machine. */
function conntrack(key: number, bits: number): Expression[] {
  const mask = new Uint8Array(4);
  new DataView(mask.buffer).setUint32(0, bits, true);
  return [expression("ct", number(1, REG_1), number(2, key)), masked(mask), equal(new Uint8Array(4), true)];
}
/** It is known already. */
export const established = (): Expression[] => conntrack(0, 2 | 4);
/** Its destination was replaced. */
export const translated = (): Expression[] => conntrack(2, 1 << 5);

/** Goes on only where the registers are in a set, or are not. */
export const inSet = (set: string, not = false): Expression =>
  expression("lookup", text(1, set), number(2, REG_1), ...(not ? [number(5, 1)] : []));
/** Replaces the registers by what a map has for them. */
export const mapped = (map: string): Expression =>
  expression("lookup", text(1, map), number(2, REG_1), number(3, REG_1));

/** Goes on only where the packet is for this machine. */
export function toLocal(): Expression[] {
  const [RESULT_TYPE, OF_DESTINATION, LOCAL] = [3, 2, 2];
  const type = new Uint8Array(4);
  new DataView(type.buffer).setUint32(0, LOCAL, true);
  return [expression("fib", number(1, REG_1), number(2, RESULT_TYPE), number(3, OF_DESTINATION)), equal(type)];
}

const FAMILY = { 4: 2, 6: 10 };
/** Of the address that the registers begin with, and of the port behind it. */
export const destinationNat = (family: 4 | 6): Expression =>
  expression(
    "nat",
    number(1, 1),
    number(2, FAMILY[family]),
    number(3, REG_1),
    number(5, register(family === 4 ? 1 : 4)),
  );
export const masquerade = (): Expression => expression("masq");

/** Marks the packet. */
export function setMark(mark: number): Expression[] {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, mark, true);
  return [immediate(bytes), expression("meta", number(2, META.mark), number(3, register(0)))];
}

/** Puts bytes into the registers. */
export const immediate = (value: Uint8Array, word = 0): Expression =>
  expression("immediate", number(1, register(word)), netlinkNested(2, netlinkAttribute(DATA_VALUE, value)));

/**
 * Gives the packet to a transparent socket: a connection that it is of, or one that listens at the address of the first
 * registers and the port of the fifth. It goes on where there is none. @see nft(8) "tproxy statement"
 */
export const toSocket = (family: 4 | 6): Expression =>
  expression("tproxy", number(1, FAMILY[family]), number(2, register(0)), number(3, register(4)));

/** Whoever has sent the packet is told that it may not be. */
export function rejected(): Expression {
  const [ICMPX_UNREACH, ADMIN_PROHIBITED] = [2, 3];
  return expression("reject", number(1, ICMPX_UNREACH), netlinkAttribute(2, Uint8Array.of(ADMIN_PROHIBITED)));
}

const VERDICTS = { accept: 1, drop: 0, jump: -3 };
export const verdict = (code: keyof typeof VERDICTS, chain?: string): Expression =>
  expression(
    "immediate",
    number(1, REG_VERDICT),
    netlinkNested(
      2,
      netlinkNested(DATA_VERDICT, number(VERDICT_CODE, VERDICTS[code]), ...(chain ? [text(VERDICT_CHAIN, chain)] : [])),
    ),
  );

/** The name of a device, as registers have it. */
export function nameKey(name: string): Uint8Array {
  const bytes = new Uint8Array(16);
  bytes.set(new TextEncoder().encode(name));
  return bytes;
}
