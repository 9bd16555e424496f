/**
 * Network devices, their addresses and routes: rtnetlink, in the network namespace that is worked in.
 * @module
 * @see rtnetlink(7), veth(4)
 */
import {
  errnoName,
  netlinkAttribute,
  netlinkAttributes,
  netlinkBody,
  netlinkNested,
  show,
  TsboxError,
} from "../../syscalls/index.ts";
import { addressOfBytes, bytesOfAddress, networkOf, type Address, type Subnet } from "../ip/index.ts";
import { netlinkHere } from "./namespace.ts";
import { RTM_DELQDISC, type QueueRequest } from "./queues.ts";

const [RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK] = [16, 17, 18, 19];
const [RTM_NEWADDR, RTM_GETADDR, RTM_NEWROUTE, RTM_GETROUTE] = [20, 22, 24, 26];
const [RTM_NEWNEIGH, RTM_DELNEIGH] = [28, 29];
const [NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE] = [0x100, 0x200, 0x400];
const [IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_MASTER, IFLA_LINKINFO, IFLA_NET_NS_FD] = [
  1, 3, 4, 5, 10, 18, 28,
];
const IFLA_GROUP = 27;
const [IFLA_PROTINFO, IFLA_BRPORT_MODE, IFLA_BRPORT_LEARNING, IFLA_BRPORT_ISOLATED, AF_BRIDGE] = [12, 4, 8, 33, 7];
const [NDA_DST, NDA_LLADDR, NTF_MASTER, NUD_NOARP, NUD_PERMANENT] = [1, 2, 4, 0x40, 0x80];
const [IFLA_INFO_KIND, IFLA_INFO_DATA, VETH_INFO_PEER, IFLA_MACVLAN_MODE] = [1, 2, 1, 1];
const [IFLA_IPVLAN_MODE, IFLA_IPVLAN_FLAGS] = [1, 2];
const [IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST, IFA_FLAGS] = [1, 2, 4, 8];
const KEPT = [IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST, IFA_FLAGS];
const [IFA_F_PERMANENT, IFA_F_NODAD] = [0x80, 0x02];
const [RTA_DST, RTA_OIF, RTA_GATEWAY] = [1, 4, 5];
const RTPROT_KERNEL = 2;
const [RT_TABLE_MAIN, RTPROT_STATIC, RT_SCOPE_UNIVERSE, RT_SCOPE_LINK, RTN_UNICAST] = [254, 4, 0, 253, 1];
const IFF_UP = 1;
const [IFINFO_BYTES, IFADDR_BYTES, ROUTE_BYTES] = [16, 8, 12];
const FAMILY = { 4: 2, 6: 10 };
/** `IFNAMSIZ`, without its NUL. */
const NAME_BYTES = 15;

/** `IPVLAN_MODE_*` of linux/if_link.h, by Docker's words. */
export const IPVLAN_MODES = { l2: 0, l3: 1, l3s: 2 };
/** `IPVLAN_F_*` */
export const IPVLAN_FLAGS = { bridge: 0, private: 1, vepa: 2 };

/** How devices of one are at their parent. */
export interface Ipvlan {
  mode: keyof typeof IPVLAN_MODES;
  flag: keyof typeof IPVLAN_FLAGS;
}

export interface Link {
  index: number;
  name: string;
  /** `"bridge"`, `"veth"`, …; undefined for hardware and the loopback. */
  kind: string | undefined;
  /** Index of the bridge that it is a port of. */
  master: number | undefined;
  mac: string;
  mtu: number;
  up: boolean;
}

export interface LinkChange {
  name?: string;
  up?: boolean;
  /** 0: none any more. */
  master?: number;
  mtu?: number;
  mac?: string;
  /** A descriptor of the network namespace that it goes to. */
  namespace?: number;
}

export interface LocalRoute {
  source?: Address;
  /** The main one where none is said. */
  table?: number;
}

/** Where something leads. */
export interface Route extends Subnet {
  /** A device has an address there. */
  isDirect: boolean;
}

/** An address of a device, with what the kernel keeps of it. */
export interface LinkAddress extends Subnet {
  /** `struct ifaddrmsg` and its attributes, for it to be set again. */
  permanent: boolean;
  scope: number;
  header: Uint8Array;
  attributes: Map<number, Uint8Array>;
}

export class Links implements Disposable {
  readonly #netlink = netlinkHere("route");

  [Symbol.dispose](): void {
    this.#netlink[Symbol.dispose]();
  }

  list(): Link[] {
    return this.#dump("list network devices", RTM_GETLINK, linkInfo(0)).map(linkOf);
  }

  find(name: string): Link | undefined {
    checkDevice(name);
    const body = netlinkBody(linkInfo(0), netlinkAttribute(IFLA_IFNAME, cstring(name)));
    const found = this.#netlink.ask(RTM_GETLINK, body);
    if (typeof found !== "number") return linkOf(found);
    if (found === -ENODEV) return undefined;
    throw this.#failure(`find the network device ${show(name)}`, found);
  }

  /** @throws TsboxError `limit_unavailable` */
  indexOf(name: string): number {
    const link = this.find(name);
    if (link) return link.index;
    throw new TsboxError(`find the network device ${show(name)}: there is none`, { code: "limit_unavailable" });
  }

  /** @param how with an address that is not that of whichever port comes or goes: neighbours would not find it any more */
  addBridge(name: string, how: { mac?: string; mtu?: number } = {}): void {
    this.#add(`make the bridge ${show(name)}`, name, "bridge", changes(how));
  }

  /** Two ends of a cable: one here, one in another network namespace, both down. @param master index of a bridge */
  addVeth(name: string, peer: { name: string; namespace: number; mac?: string; mtu?: number }, master?: number): void {
    const attributes = changes({ ...peer });
    const other = netlinkAttribute(VETH_INFO_PEER | NESTED, netlinkBody(linkInfo(0), ...attributes));
    const { mtu } = peer;
    const more = changes({ ...(mtu === undefined ? {} : { mtu }), ...(master === undefined ? {} : { master }) });
    this.#add(`make the network device ${show(name)}`, name, "veth", more, [other]);
  }

  /** With an address of its own at another device, in bridge mode; in this namespace. @param parent index */
  addMacvlan(name: string, parent: number): void {
    const MACVLAN_MODE_BRIDGE = 4;
    const data = [netlinkAttribute(IFLA_MACVLAN_MODE, word(MACVLAN_MODE_BRIDGE))];
    this.#add(
      `make the network device ${show(name)}`,
      name,
      "macvlan",
      [netlinkAttribute(IFLA_LINK, word(parent))],
      data,
    );
  }

  /** With addresses of its own, and the MAC address of another device; in this namespace. @param parent index */
  addIpvlan(name: string, parent: number, how: Partial<Ipvlan> = {}): void {
    const { mode = "l2", flag = "bridge" } = how;
    const short = (value: number) => new Uint8Array(Uint16Array.of(value).buffer);
    const data = [
      netlinkAttribute(IFLA_IPVLAN_MODE, short(IPVLAN_MODES[mode])),
      netlinkAttribute(IFLA_IPVLAN_FLAGS, short(IPVLAN_FLAGS[flag])),
    ];
    const above = [netlinkAttribute(IFLA_LINK, word(parent))];
    this.#add(`make the network device ${show(name)}`, name, "ipvlan", above, data);
  }

  #add(action: string, name: string, kind: string, attributes: Uint8Array[], data: Uint8Array[] = []): void {
    checkDevice(name);
    const info = [netlinkAttribute(IFLA_INFO_KIND, cstring(kind))];
    if (data.length > 0) info.push(netlinkNested(IFLA_INFO_DATA, ...data));
    const named = netlinkAttribute(IFLA_IFNAME, cstring(name));
    const body = netlinkBody(linkInfo(0), named, ...attributes, netlinkNested(IFLA_LINKINFO, ...info));
    this.#request(action, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body);
  }

  change(index: number, change: LinkChange, action = "change a network device"): void {
    const { up } = change;
    const flags = up === undefined ? linkInfo(index) : linkInfo(index, up ? IFF_UP : 0, IFF_UP);
    this.#request(action, RTM_SETLINK, 0, netlinkBody(flags, ...changes(change)));
  }

  /** What is sent to it, it gives back behind where that came in. */
  addIfb(name: string): void {
    this.#add(`make the network device ${show(name)}`, name, "ifb", []);
  }

  /** What the queues of devices are told: `queues.ts`, one after the other. */
  shape(action: string, requests: readonly QueueRequest[]): void {
    for (const { type, flags, body } of requests) {
      const result = this.#netlink.request(type, flags, body);
      // there is nothing to be removed
      if (type === RTM_DELQDISC && (result === -ENOENT || result === -EINVAL)) continue;
      if (result < 0) throw this.#failure(action, result, QUEUE_HINT);
    }
  }

  bringUp(name: string, action: string): void {
    const named = netlinkAttribute(IFLA_IFNAME, cstring(name));
    this.#request(action, RTM_SETLINK, 0, netlinkBody(linkInfo(0, IFF_UP), named));
  }

  /**
   * What is for an address goes to the port of a bridge, and nobody else there can have it by saying that it is his.
   * @param index of the port @param reflects what comes from there may go back there
   */
  bindPort(index: number, mac: string, reflects: boolean, action: string): void {
    const mode = netlinkAttribute(IFLA_BRPORT_MODE, Uint8Array.of(reflects ? 1 : 0));
    const learns = netlinkAttribute(IFLA_BRPORT_LEARNING, Uint8Array.of(0));
    this.#changePort(index, action, mode, learns);
    const bound = neighbour(AF_BRIDGE, index, NUD_NOARP, NTF_MASTER);
    const own = netlinkAttribute(NDA_LLADDR, macBytes(mac));
    this.#request(action, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, netlinkBody(bound, own));
  }

  /** Between it and other such ports nothing goes; from and to the bridge itself all does. */
  isolatePort(index: number, action: string): void {
    this.#changePort(index, action, netlinkAttribute(IFLA_BRPORT_ISOLATED, Uint8Array.of(1)));
  }

  #changePort(index: number, action: string, ...attributes: Uint8Array[]): void {
    const body = linkInfo(index);
    body[0] = AF_BRIDGE;
    this.#request(action, RTM_SETLINK, 0, netlinkBody(body, netlinkNested(IFLA_PROTINFO, ...attributes)));
  }

  /** Behind a device, an address is that one's, whatever is said there. @see arp(7) */
  setNeighbour(index: number, address: Address, mac: string, action: string): void {
    const body = neighbour(FAMILY[address.family], index, NUD_PERMANENT);
    const both = [netlinkAttribute(NDA_DST, bytesOfAddress(address)), netlinkAttribute(NDA_LLADDR, macBytes(mac))];
    this.#request(action, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, netlinkBody(body, ...both));
  }

  /** Where it is known. */
  removeNeighbour(index: number, address: Address): void {
    const destination = netlinkAttribute(NDA_DST, bytesOfAddress(address));
    const body = netlinkBody(neighbour(FAMILY[address.family], index, 0), destination);
    const result = this.#netlink.request(RTM_DELNEIGH, 0, body);
    if (result < 0 && result !== -ENOENT) throw this.#failure("forget an address", result);
  }

  /** @returns whether it was there */
  remove(index: number): boolean {
    const result = this.#netlink.request(RTM_DELLINK, 0, linkInfo(index));
    if (result === 0) return true;
    if (result === -ENODEV) return false;
    throw this.#failure("remove a network device", result);
  }

  /** All of them at once: what the kernel waits for, it waits for once. Those that are gone are none of an error. */
  removeAll(indexes: readonly number[]): void {
    if (indexes.length <= 1) return void indexes.forEach((index) => this.remove(index));
    const group = netlinkAttribute(IFLA_GROUP, word(randomGroup()));
    for (const index of indexes) {
      const result = this.#netlink.request(RTM_SETLINK, 0, netlinkBody(linkInfo(index), group));
      if (result < 0 && result !== -ENODEV) throw this.#failure("remove network devices", result);
    }
    const result = this.#netlink.request(RTM_DELLINK, 0, netlinkBody(linkInfo(0), group));
    if (result < 0 && result !== -ENODEV) throw this.#failure("remove network devices", result);
  }

  /** Those of a device. */
  addresses(index: number): LinkAddress[] {
    const all = this.#dump("list the addresses of network devices", RTM_GETADDR, new Uint8Array(IFADDR_BYTES));
    return all.flatMap((bytes) => {
      const view = new DataView(bytes.buffer);
      if (view.getUint32(4, true) !== index) return [];
      const attributes = netlinkAttributes(bytes.subarray(IFADDR_BYTES));
      const local = attributes.get(IFA_LOCAL) ?? attributes.get(IFA_ADDRESS);
      if (!local) return [];
      const flags = attributes.get(IFA_FLAGS)?.[0] ?? view.getUint8(2);
      const permanent = (flags & IFA_F_PERMANENT) !== 0;
      const header = bytes.slice(0, IFADDR_BYTES);
      const address = { ...addressOfBytes(local), prefix: view.getUint8(1), scope: view.getUint8(3) };
      return [{ ...address, permanent, header, attributes }];
    });
  }

  /** One that it does not have yet; without a look whether others have it. */
  addAddress(index: number, address: Subnet, action: string): void {
    const bytes = bytesOfAddress(address);
    const header = new Uint8Array(IFADDR_BYTES);
    header.set([FAMILY[address.family], address.prefix, 0, RT_SCOPE_UNIVERSE]);
    new DataView(header.buffer).setUint32(4, index, true);
    const flags = address.family === 6 ? [netlinkAttribute(IFA_FLAGS, word(IFA_F_PERMANENT | IFA_F_NODAD))] : [];
    const both = [netlinkAttribute(IFA_LOCAL, bytes), netlinkAttribute(IFA_ADDRESS, bytes)];
    this.#request(action, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, netlinkBody(header, ...both, ...flags));
  }

  /** An address as another device had it. */
  setAddress(index: number, { header, attributes }: LinkAddress, action: string): void {
    const own = header.slice();
    new DataView(own.buffer).setUint32(4, index, true);
    const all = [...attributes].filter(([type]) => KEPT.includes(type));
    const body = netlinkBody(own, ...all.map(([type, value]) => netlinkAttribute(type, value)));
    this.#request(action, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, body);
  }

  /** To all that no other route is for. */
  addDefaultRoute(index: number, gateway: Address | undefined, family: 4 | 6): void {
    const header = new Uint8Array(ROUTE_BYTES);
    const scope = gateway ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
    header.set([FAMILY[family], 0, 0, 0, RT_TABLE_MAIN, RTPROT_STATIC, scope, RTN_UNICAST]);
    const through = gateway ? [netlinkAttribute(RTA_GATEWAY, bytesOfAddress(gateway))] : [];
    const body = netlinkBody(header, ...through, netlinkAttribute(RTA_OIF, word(index)));
    this.#request("set the default route", RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, body);
  }

  /** All that no other route of a table is for is this machine itself. @param source whom it comes from */
  addLocalRoute(index: number, family: 4 | 6, action: string, { source, table }: LocalRoute = {}): void {
    const [RTN_LOCAL, RT_SCOPE_HOST, RTA_PREFSRC, RTA_TABLE] = [2, 254, 7, 15];
    const header = new Uint8Array(ROUTE_BYTES);
    header.set([FAMILY[family], 0, 0, 0, table ? 0 : RT_TABLE_MAIN, RTPROT_STATIC, RT_SCOPE_HOST, RTN_LOCAL]);
    const more = [
      ...(source ? [netlinkAttribute(RTA_PREFSRC, bytesOfAddress(source))] : []),
      ...(table ? [netlinkAttribute(RTA_TABLE, word(table))] : []),
    ];
    const body = netlinkBody(header, ...more, netlinkAttribute(RTA_OIF, word(index)));
    this.#request(action, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, body);
  }

  /** What is marked goes by a table. @param priority the lower, the earlier; the main table's is 32766 @see ip-rule(8) */
  addMarkRule(family: 4 | 6, mark: number, table: number, priority: number, action: string): void {
    const [RTM_NEWRULE, FR_ACT_TO_TBL, FRA_PRIORITY, FRA_FWMARK, FRA_TABLE] = [32, 1, 6, 10, 15];
    const header = new Uint8Array(ROUTE_BYTES);
    header.set([FAMILY[family], 0, 0, 0, 0, 0, 0, FR_ACT_TO_TBL]);
    const values = [
      [FRA_PRIORITY, priority],
      [FRA_FWMARK, mark],
      [FRA_TABLE, table],
    ] as const;
    const body = netlinkBody(header, ...values.map(([type, value]) => netlinkAttribute(type, word(value))));
    this.#request(action, RTM_NEWRULE, NLM_F_CREATE, body, ROUTING_HINT);
  }

  /** Whether there is a way to everything, of version 4 or 6. */
  hasDefaultRoute(): boolean {
    return ([4, 6] as const).some((family) => {
      const header = new Uint8Array(ROUTE_BYTES);
      header[0] = FAMILY[family];
      const isDefault = ([, prefix, , , table, , , type]: Uint8Array) =>
        prefix === 0 && table === RT_TABLE_MAIN && type === RTN_UNICAST;
      return this.#dump("list routes", RTM_GETROUTE, header).some(isDefault);
    });
  }

  /** Where routes lead to, but for the default ones. */
  routes(): Route[] {
    return ([4, 6] as const).flatMap((family) => {
      const header = new Uint8Array(ROUTE_BYTES);
      header[0] = FAMILY[family];
      return this.#dump("list routes", RTM_GETROUTE, header).flatMap((bytes) => {
        const destination = netlinkAttributes(bytes.subarray(ROUTE_BYTES)).get(RTA_DST);
        const [, prefix = 0, , , , protocol, , type] = bytes;
        if (!destination || prefix === 0 || type !== RTN_UNICAST) return [];
        const subnet = networkOf({ ...addressOfBytes(destination), prefix });
        return [{ ...subnet, isDirect: protocol === RTPROT_KERNEL }];
      });
    });
  }

  #dump(action: string, type: number, body: Uint8Array): Uint8Array[] {
    const found = this.#netlink.dump(type, body);
    if (typeof found === "number") throw this.#failure(action, found);
    return found;
  }

  #request(action: string, type: number, flags: number, body: Uint8Array, missing?: string): void {
    const result = this.#netlink.request(type, flags, body);
    if (result < 0) throw this.#failure(action, result, missing);
  }

  #failure(action: string, result: number, missing?: string): TsboxError {
    const { reason } = this.#netlink;
    const name = errnoName(-result);
    const hint = (["ENOENT", "EINVAL", "EOPNOTSUPP"].includes(name) ? missing : undefined) ?? HINTS[name];
    return new TsboxError(`${action}: ${name}${reason ? `: ${reason}` : ""}`, {
      code: name === "EPERM" ? "permission_denied" : name === "EOPNOTSUPP" ? "unsupported" : "limit_unavailable",
      errno: -result,
      syscall: "sendto",
      ...(hint === undefined ? {} : { hint }),
    });
  }
}

function linkOf(bytes: Uint8Array): Link {
  const view = new DataView(bytes.buffer);
  const attributes = netlinkAttributes(bytes.subarray(IFINFO_BYTES));
  const info = attributes.get(IFLA_LINKINFO);
  const master = attributes.get(IFLA_MASTER);
  return {
    index: view.getInt32(4, true),
    name: textOf(attributes.get(IFLA_IFNAME)) ?? "",
    kind: info && textOf(netlinkAttributes(info).get(IFLA_INFO_KIND)),
    master: master && wordOf(master),
    mac: [...(attributes.get(IFLA_ADDRESS) ?? [])].map((byte) => byte.toString(16).padStart(2, "0")).join(":"),
    mtu: wordOf(attributes.get(IFLA_MTU) ?? word(0)),
    up: (view.getUint32(8, true) & IFF_UP) !== 0,
  };
}

/** Of devices that go together; those that people choose are small. */
const randomGroup = () => ((crypto.getRandomValues(new Uint32Array(1))[0] ?? 0) | 0x40000000) & 0x7fffffff;

const [ENOENT, ENODEV, EINVAL] = [2, 19, 22];
const QUEUE_HINT = "the kernel needs CONFIG_NET_SCH_TBF, _NET_SCH_INGRESS, _NET_CLS_U32, _NET_ACT_MIRRED and _IFB";
const ROUTING_HINT = "the kernel needs routing by rules: CONFIG_IP_MULTIPLE_TABLES, CONFIG_IPV6_MULTIPLE_TABLES";
const NESTED = 0x8000;
const HINTS: Record<string, string | undefined> = {
  EPERM: "networks are made by root",
  EOPNOTSUPP: "the kernel was built without this kind of network device",
  EEXIST: "another one has this name",
};

/** @throws TsboxError `invalid_option` */
export function checkDevice(name: string): void {
  const { length } = new TextEncoder().encode(name);
  if (length > 0 && length <= NAME_BYTES && !/[/\s:]/.test(name) && name !== "." && name !== "..") return;
  throw new TsboxError(`use the name ${show(name)} for a network device: at most ${NAME_BYTES} bytes, without "/"`, {
    code: "invalid_option",
  });
}

function changes({ name, master, mtu, mac, namespace }: LinkChange): Uint8Array[] {
  const attributes: Uint8Array[] = [];
  if (name !== undefined) {
    checkDevice(name);
    attributes.push(netlinkAttribute(IFLA_IFNAME, cstring(name)));
  }
  if (master !== undefined) attributes.push(netlinkAttribute(IFLA_MASTER, word(master)));
  if (mtu !== undefined) attributes.push(netlinkAttribute(IFLA_MTU, word(mtu)));
  if (mac !== undefined) attributes.push(netlinkAttribute(IFLA_ADDRESS, macBytes(mac)));
  if (namespace !== undefined) attributes.push(netlinkAttribute(IFLA_NET_NS_FD, word(namespace)));
  return attributes;
}

const macBytes = (text: string) => Uint8Array.from(text.split(":"), (part) => Number.parseInt(part, 16));

/** `struct ndmsg { u8 family; u8, u16 pad; s32 index; u16 state; u8 flags; u8 type }` */
function neighbour(family: number, index: number, state: number, flags = 0): Uint8Array {
  const bytes = new Uint8Array(12);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, family);
  view.setInt32(4, index, true);
  view.setUint16(8, state, true);
  view.setUint8(10, flags);
  return bytes;
}

/** `struct ifinfomsg { u8 family; u16 type; s32 index; u32 flags; u32 change }` */
function linkInfo(index: number, flags = 0, change = flags): Uint8Array {
  const bytes = new Uint8Array(IFINFO_BYTES);
  const view = new DataView(bytes.buffer);
  view.setInt32(4, index, true);
  view.setUint32(8, flags, true);
  view.setUint32(12, change, true);
  return bytes;
}

const cstring = (text: string) => new TextEncoder().encode(`${text}\0`);
const textOf = (bytes: Uint8Array | undefined) =>
  bytes && new TextDecoder().decode(bytes.subarray(0, bytes.includes(0) ? bytes.indexOf(0) : bytes.length));
const wordOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);

function word(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}
