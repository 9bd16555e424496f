/**
 * The networks of an ordinary user and the world outside: what leaves their namespace is connected to from here, and what
 * comes to published ports is connected to inside.
 * @module
 */
import {
  bindPort,
  close,
  duplicate,
  getOption,
  localAddress,
  setNonBlocking,
  socketArguments,
  SOL_SOCKET,
} from "../../syscalls/index.ts";
import { familiesOfHost, interceptBridges } from "../gateway/index.ts";
import type { Bridged, FromGateway, GatewayThread, WaySettings } from "../gateway/index.ts";
import { bytesOfAddress, findAddress, parseAddress, parseSubnet } from "../ip/index.ts";
import type { Loop } from "../loop/index.ts";
import type { NetworkNamespace } from "../netns/index.ts";
import type { Endpoint, NetworkRecord, Port } from "../network/index.ts";

const WAY = 1;
const MAX_DESCRIPTORS = 65_536;
const LOOPBACK = ["127.0.0.0/8", "::1/128"];
const [SO_TYPE, SOCK_DGRAM] = [3, 2];
const ANY = { 4: "0.0.0.0", 6: "::" };
const AT_ONCE_MS = 0;
/** Most have ended. */
const MAX_WITHDRAWN = 1000;

type Protocol = "tcp" | "udp";

/** A port that is open. */
interface Opened {
  container: string;
  fd: number;
  /** Where it leads, inside. */
  target: Uint8Array;
  protocol: Protocol;
  family: 4 | 6;
}

export class WayOut implements Disposable {
  readonly #loop: Loop;
  readonly #place: NetworkNamespace;
  readonly #bridged: Bridged;
  readonly #gateway: GatewayThread;
  /** By their numbers. */
  readonly #ports = new Map<number, Opened>();
  /** Containers whose ports were closed, as they were in no network. */
  readonly #withdrawn = new Set<string>();
  #last = 0;
  #told = "";

  /** @param place taken over @throws TsboxError `unsupported` */
  constructor(loop: Loop, place: NetworkNamespace, gateway: GatewayThread) {
    this.#loop = loop;
    this.#place = place;
    this.#bridged = interceptBridges(place, familiesOfHost());
    this.#gateway = gateway;
    this.#gateway.take({ kind: "attach", way: WAY, sockets: this.#bridged.sockets, settings: settingsFor([]) });
  }

  [Symbol.dispose](): void {
    for (const port of this.#ports.keys()) this.#gateway.take({ kind: "unpublish", port });
    this.#gateway.take({ kind: "detach", way: WAY });
    this.#place[Symbol.dispose]();
  }

  /** Networks, and who is in them, are these now. */
  update(networks: readonly NetworkRecord[]): void {
    const bridges = networks.filter(({ driver }) => driver === "bridge");
    const subnets = bridges.flatMap((network) => network.subnets.map(({ subnet }) => subnet));
    const devices = bridges.filter(({ internal }) => !internal).map(({ device }) => device);
    const told = JSON.stringify([devices, subnets]);
    if (told !== this.#told) {
      this.#bridged.update(devices, subnets.map(parseSubnet));
      this.#gateway.take({ kind: "update", way: WAY, settings: settingsFor(subnets) });
      this.#told = told;
    }
    for (const [port, { container, fd, target }] of this.#ports) {
      const own = bridges.flatMap(({ endpoints }) => endpoints[container] ?? []);
      const published = own.find(({ ports }) => ports.length > 0);
      const isElsewhere = published && !addressesOf(published).some((each) => String(each) === String(target));
      // it has left the network where its ports led, and is about to have them in another
      if (own.length > 0 && !isElsewhere) continue;
      const kept = isElsewhere ? duplicate(fd) : -1;
      this.#ports.delete(port);
      this.#gateway.take({ kind: "unpublish", port });
      if (published && kept >= 0) this.publish(published, [kept]);
      else if (this.#withdrawn.size < MAX_WITHDRAWN) this.#withdrawn.add(container);
    }
    for (const container of this.#withdrawn) {
      const back = bridges.flatMap(({ endpoints }) => endpoints[container] ?? []);
      if (back.length > 0) this.#withdrawn.delete(container);
      for (const endpoint of back)
        this.publish(
          endpoint,
          endpoint.ports.flatMap((port) => boundFor(endpoint, port)),
        );
    }
  }

  /** @param fds bound, of a container's ports; taken over */
  publish(endpoint: Endpoint, fds: readonly number[]): void {
    for (const fd of fds) if (!this.#open(endpoint, fd)) close(fd);
  }

  /** Ports that another one had, which was killed. */
  publishAgain(networks: readonly NetworkRecord[]): void {
    for (const { endpoints } of networks)
      for (const endpoint of Object.values(endpoints)) {
        const isOpen = [...this.#ports.values()].some(({ container }) => container === endpoint.container);
        if (!isOpen)
          this.publish(
            endpoint,
            endpoint.ports.flatMap((port) => boundFor(endpoint, port)),
          );
      }
  }

  #open(endpoint: Endpoint, fd: number): boolean {
    const at = localAddress(fd);
    if (!at) return false;
    const family = at.address.length === 4 ? 4 : 6;
    const protocol: Protocol = getOption(fd, SOL_SOCKET, SO_TYPE) === SOCK_DGRAM ? "udp" : "tcp";
    const isIt = (port: Port) => port.protocol === protocol && port.hostPort === at.port && isAt(port, at.address);
    const found = endpoint.ports.find(isIt);
    const target = addressesOf(endpoint).find(({ length }) => length === at.address.length);
    if (!found || !target) return false;
    setNonBlocking(fd);
    const port = ++this.#last;
    this.#ports.set(port, { container: endpoint.container, fd, target, protocol, family });
    this.#gateway.take({
      kind: "publish",
      port,
      protocol,
      listener: fd,
      target: { address: target, port: found.containerPort },
    });
    return true;
  }

  /** What the gateway tells. */
  take(message: FromGateway): void {
    if (message.kind !== "wanted") return;
    // whoever asks is not known yet
    this.#loop.after(AT_ONCE_MS, () => {
      const { port, count } = message;
      const opened = this.#ports.get(port);
      if (!opened) return;
      const make = () => this.#place.socket(...socketArguments(opened.protocol, opened.family));
      const fds = Array.from({ length: count }, make).filter((fd) => fd >= 0);
      this.#gateway.take({ kind: "sockets", port, fds });
    });
  }
}

const settingsFor = (subnets: readonly string[]): WaySettings => ({
  rules: undefined,
  handlers: {},
  answersNames: false,
  near: [...LOOPBACK, ...subnets],
  maxDescriptors: MAX_DESCRIPTORS,
});

const addressesOf = ({ addresses }: Endpoint): Uint8Array[] =>
  addresses.map((text) => bytesOfAddress(parseSubnet(text)));

/** Whether a socket at this address is for a port. */
function isAt({ host }: Port, address: Uint8Array): boolean {
  const wanted = host === undefined ? ANY[address.length === 4 ? 4 : 6] : host;
  const found = findAddress(wanted);
  return found !== undefined && String(bytesOfAddress(found)) === String(address);
}

/** Those that can be had. */
function boundFor({ addresses }: Endpoint, { protocol, host, hostPort }: Port): number[] {
  const families = addresses.map((text) => parseSubnet(text).family);
  const all = host === undefined ? families.map((family) => ANY[family]) : [host];
  return all.map((at) => bindPort(protocol, bytesOfAddress(parseAddress(at)), hostPort, true)).filter((fd) => fd >= 0);
}
