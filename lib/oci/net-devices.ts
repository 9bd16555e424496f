/**
 * Network devices of the host that a container gets: they leave the host, with the addresses that they have for good.
 * Those that are made of hardware come back when the container's network namespace ends.
 * @module
 * @see https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#network-devices, rtnetlink(7)
 */
import * as sys from "../../syscalls/index.ts";
import { Descriptors, Netlink, netlinkAttribute, netlinkAttributes, netlinkBody } from "../../syscalls/index.ts";
import { show, systemError, TsboxError } from "../../syscalls/index.ts";
import type { NetDevice } from "../spec/index.ts";

const [RTM_NEWLINK, RTM_GETLINK, RTM_SETLINK, RTM_NEWADDR, RTM_GETADDR] = [16, 18, 19, 20, 22];
const [NLM_F_REPLACE, NLM_F_CREATE] = [0x100, 0x400];
const [IFLA_IFNAME, IFLA_NET_NS_FD] = [3, 28];
const [IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST, IFA_FLAGS] = [1, 2, 4, 8];
const KEPT = [IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST, IFA_FLAGS];
const IFA_F_PERMANENT = 0x80;
const RT_SCOPE_UNIVERSE = 0;
const IFF_UP = 1;
const CLONE_NEWNET = 0x40000000;
const [IFINFO_BYTES, IFADDR_BYTES] = [16, 8];

/** Without its first bytes, which tell the device: `{ u8 family; u8 prefixlen; u8 flags; u8 scope; u32 index }`. */
interface Address {
  header: Uint8Array;
  attributes: Uint8Array[];
}

/**
 * Into the network namespace of a process.
 *
 * @throws TsboxError `permission_denied`, `limit_unavailable`
 */
export function moveNetDevices(devices: Record<string, NetDevice>, pid: number): void {
  if (sys.effectiveUid() !== 0) {
    throw new TsboxError("move network devices: network devices are not supported for rootless containers", {
      code: "permission_denied",
    });
  }
  using opened = new Descriptors();
  using netlink = new Netlink();
  const namespace = opened.add(sys.open(`/proc/${pid}/ns/net`, sys.O_RDONLY));
  const found = Object.entries(devices).map(([name, { name: inside = name }]) => {
    const index = indexOf(netlink, name);
    return { name, inside, index, addresses: addressesOf(netlink, index) };
  });
  // the kernel moves first, and looks at the new name then
  inNamespace(namespace, () => found.forEach(({ inside }) => checkFree(inside)));
  for (const { name, inside, index } of found) {
    const target = netlinkAttribute(IFLA_NET_NS_FD, word(namespace));
    const body = netlinkBody(linkInfo(index), target, netlinkAttribute(IFLA_IFNAME, cstring(inside)));
    check(netlink.request(RTM_SETLINK, 0, body), `move the network device ${show(name)} to ${show(inside)}`);
  }
  inNamespace(namespace, () => found.forEach(({ inside, addresses }) => bringUp(inside, addresses)));
}

function checkFree(name: string): void {
  using netlink = new Netlink();
  if (findIndex(netlink, name) === undefined) return;
  throw new TsboxError(`move a network device to ${show(name)}: the container has one of this name`, {
    code: "limit_unavailable",
  });
}

function bringUp(name: string, addresses: Address[]): void {
  using netlink = new Netlink();
  const index = indexOf(netlink, name);
  for (const { header, attributes } of addresses) {
    const own = header.slice();
    new DataView(own.buffer).setUint32(4, index, true);
    const result = netlink.request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, netlinkBody(own, ...attributes));
    check(result, `give the network device ${show(name)} its addresses again`);
  }
  check(netlink.request(RTM_NEWLINK, 0, linkInfo(index, IFF_UP)), `bring the network device ${show(name)} up`);
}

function check(result: number, action: string): void {
  if (result < 0) throw systemError(action, "sendto", -result, "limit_unavailable");
}

/** `struct ifinfomsg { u8 family; u16 type; s32 index; u32 flags; u32 change }` */
function linkInfo(index: number, flags = 0): Uint8Array {
  const bytes = new Uint8Array(IFINFO_BYTES);
  const view = new DataView(bytes.buffer);
  view.setInt32(4, index, true);
  view.setUint32(8, flags, true);
  view.setUint32(12, flags, true);
  return bytes;
}

function indexOf(netlink: Netlink, name: string): number {
  const index = findIndex(netlink, name);
  if (index !== undefined) return index;
  throw new TsboxError(`find the network device ${show(name)}: there is none`, { code: "limit_unavailable" });
}

function findIndex(netlink: Netlink, name: string): number | undefined {
  const links = netlink.dump(RTM_GETLINK, linkInfo(0));
  if (typeof links === "number") throw systemError("list network devices", "recvfrom", -links);
  const found = links.find((link) => textOf(netlinkAttributes(link.subarray(IFINFO_BYTES)).get(IFLA_IFNAME)) === name);
  return found && new DataView(found.buffer).getInt32(4, true);
}

/** Those of a scope beyond the link that somebody has set; others come by themselves. */
function addressesOf(netlink: Netlink, index: number): Address[] {
  const all = netlink.dump(RTM_GETADDR, new Uint8Array(IFADDR_BYTES));
  if (typeof all === "number") throw systemError("list the addresses of network devices", "recvfrom", -all);
  return all.flatMap((bytes) => {
    const view = new DataView(bytes.buffer);
    const attributes = netlinkAttributes(bytes.subarray(IFADDR_BYTES));
    const flags = attributes.get(IFA_FLAGS)?.[0] ?? view.getUint8(2);
    const kept = (flags & IFA_F_PERMANENT) !== 0 && view.getUint8(3) === RT_SCOPE_UNIVERSE;
    if (view.getUint32(4, true) !== index || !kept) return [];
    const own = [...attributes].filter(([type]) => KEPT.includes(type));
    return [
      {
        header: bytes.slice(0, IFADDR_BYTES),
        attributes: own.map(([type, value]) => netlinkAttribute(type, value)),
      },
    ];
  });
}

/** This thread is in it meanwhile; no other code runs on it. */
function inNamespace(namespace: number, act: () => void): void {
  using opened = new Descriptors();
  const own = opened.add(sys.open("/proc/thread-self/ns/net", sys.O_RDONLY));
  sys.syscall("enter the network namespace of the container", "setns", namespace, CLONE_NEWNET);
  try {
    act();
  } finally {
    sys.syscall("leave the network namespace of the container", "setns", own, CLONE_NEWNET);
  }
}

const cstring = (text: string) => new TextEncoder().encode(`${text}\0`);
const textOf = (bytes: Uint8Array | undefined) =>
  bytes && new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));

function word(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}
