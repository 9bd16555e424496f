/**
 * Where containers of a network ask for names: sockets at the gateway's addresses, which are reached by way of the
 * network's own device only.
 * @module
 * @see socket(7) SO_BINDTODEVICE
 */
import {
  bindSocket,
  close,
  ERRNO,
  IPV6_FREEBIND,
  IPV6_V6ONLY,
  listenSocket,
  localAddress,
  setOption,
  SO_BINDTODEVICE,
  SOL_IPV6,
  SOL_SOCKET,
  systemError,
} from "../../syscalls/index.ts";
import { bytesOfAddress, parseAddress, type Address } from "../ip/index.ts";
import { socketHere } from "../netlink/index.ts";
import { addPorts, removePorts, type PublishedPort } from "./firewall.ts";
import type { NetworkRecord } from "./record.ts";
import type { NameSockets } from "./watcher.ts";

const NAME_PORT = 53;
const BACKLOG = 64;

/**
 * Makes them, for a network that stands. Where another program has the port at all of the machine's addresses, they get
 * another, to which the packet filter leads what is meant for them.
 * @param remember called before the packet filter is told, so that {@link closeNamePorts} is called in the end
 * @throws TsboxError `limit_unavailable`
 */
export function openNameSockets({ name, device, subnets }: NetworkRecord, remember: () => void): NameSockets {
  const made: NameSockets = { udp: [], tcp: [] };
  const elsewhere: PublishedPort[] = [];
  const action = `answer for names in the network ${name}`;
  try {
    for (const address of subnets.map(({ gateway }) => parseAddress(gateway)))
      for (const protocol of ["udp", "tcp"] as const) {
        const { fd, port } = openAt(protocol, address, device, action);
        made[protocol].push(fd);
        if (port !== NAME_PORT) elsewhere.push(leadTo(protocol, address, port));
      }
    if (elsewhere.length > 0) {
      remember();
      // those of a time before lead nowhere
      removePorts(elsewhere);
      addPorts(elsewhere);
    }
  } catch (error) {
    for (const fd of [...made.udp, ...made.tcp]) close(fd);
    throw error;
  }
  return made;
}

export type OpenNameSockets = typeof openNameSockets;

/** Nothing leads to them any more. */
export function closeNamePorts({ subnets }: NetworkRecord): void {
  const addresses = subnets.map(({ gateway }) => parseAddress(gateway));
  removePorts(addresses.flatMap((address) => [leadTo("udp", address, 0), leadTo("tcp", address, 0)]));
}

const leadTo = (protocol: "udp" | "tcp", address: Address, port: number): PublishedPort => ({
  protocol,
  host: address,
  hostPort: NAME_PORT,
  container: address,
  containerPort: port,
});

function openAt(protocol: "udp" | "tcp", address: Address, device: string, action: string) {
  const fd = socketHere(protocol, address.family);
  const check = (call: string, result: number) => {
    if (result < 0) throw systemError(action, call, -result, "limit_unavailable");
  };
  check("socket", fd);
  try {
    check("setsockopt", setOption(fd, SOL_SOCKET, SO_BINDTODEVICE, new TextEncoder().encode(`${device}\0`)));
    if (address.family === 6) for (const option of [IPV6_V6ONLY, IPV6_FREEBIND]) setOption(fd, SOL_IPV6, option, 1);
    const peer = { address: bytesOfAddress(address), port: NAME_PORT };
    const bound = bindSocket(fd, peer);
    const isTaken = bound === -ERRNO.EADDRINUSE;
    check("bind", isTaken ? bindSocket(fd, { ...peer, port: 0 }) : bound);
    if (protocol === "tcp") check("listen", listenSocket(fd, BACKLOG));
    return { fd, port: isTaken ? (localAddress(fd)?.port ?? 0) : NAME_PORT };
  } catch (error) {
    close(fd);
    throw error;
  }
}
