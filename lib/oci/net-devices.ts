/**
 * Network devices of the host that a container gets: they leave the host, with the addresses that they have for good.
 * Those that are made of hardware come back when the container's network namespace ends.
 * @module
 * @see https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#network-devices, rtnetlink(7)
 */
import * as sys from "../../syscalls/index.ts";
import { Descriptors, show, TsboxError } from "../../syscalls/index.ts";
import { inNetwork, Links, type LinkAddress } from "../netlink/index.ts";
import type { NetDevice } from "../spec/index.ts";

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
  using links = new Links();
  const namespace = opened.add(sys.open(`/proc/${pid}/ns/net`, sys.O_RDONLY));
  const found = Object.entries(devices).map(([name, { name: inside = name }]) => {
    const index = links.indexOf(name);
    return { name, inside, index, addresses: links.addresses(index).filter(isKept) };
  });
  // the kernel moves first, and looks at the new name then
  inNetwork(namespace, () => found.forEach(({ inside }) => checkFree(inside)));
  for (const { name, inside, index } of found)
    links.change(index, { name: inside, namespace }, `move the network device ${show(name)} to ${show(inside)}`);
  inNetwork(namespace, () => found.forEach(({ inside, addresses }) => bringUp(inside, addresses)));
}

/** Those of a scope beyond the link that somebody has set; others come by themselves. */
const isKept = ({ permanent, scope }: LinkAddress): boolean => permanent && scope === 0;

function checkFree(name: string): void {
  using links = new Links();
  if (!links.find(name)) return;
  throw new TsboxError(`move a network device to ${show(name)}: the container has one of this name`, {
    code: "limit_unavailable",
  });
}

function bringUp(name: string, addresses: LinkAddress[]): void {
  using links = new Links();
  const index = links.indexOf(name);
  for (const each of addresses)
    links.setAddress(index, each, `give the network device ${show(name)} its addresses again`);
  links.change(index, { up: true }, `bring the network device ${show(name)} up`);
}
