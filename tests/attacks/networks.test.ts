/** Containers against their networks, as whoever has all rights in one: by real traffic, each also without the protection. @module */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { udpPacket } from "../../lib/gateway/packet.ts";
import { bytesOfAddress, parseAddress, parsePorts } from "../../lib/ip/index.ts";
import { inNetwork } from "../../lib/netlink/index.ts";
import { bareAddresses, Networks, reservePorts } from "../../lib/network/index.ts";
import type { NetworkRecord } from "../../lib/network/index.ts";
import { networkSocket } from "../../lib/plan/index.ts";
import { State } from "../../lib/state/index.ts";
import * as sys from "../../syscalls/index.ts";
import { noNetworks, notRoot, SLOW } from "../support/machine.ts";
import { deviceNames, runHere, World, type Place } from "../support/network-world.ts";
import { eventually } from "../support/processes.ts";

const ECHO = join(import.meta.dirname, "../support/echo.ts");
const BRIDGE_FILTERS = "/proc/sys/net/bridge/bridge-nf-call-iptables";
const reason = notRoot ?? noNetworks() ?? (Bun.which("nft") === null ? "nft is not installed" : undefined);

describe.skipIf(reason !== undefined)(reason ?? "attacks on networks", () => {
  let root: string;
  let state: State;
  const networks = new Networks(() => state);
  const reserved: Disposable[] = [];
  let world: World;
  let made = 0;
  beforeAll(() => {
    world = new World();
    root = mkdtempSync(join(tmpdir(), "tsbox-attacks-"));
    state = new State(root);
  });
  afterAll(async () => {
    for (const { endpoints } of networks.list()) for (const id of Object.keys(endpoints)) await networks.leave(id);
    reserved.forEach((each) => each[Symbol.dispose]());
    expect(deviceNames()).toEqual(["lo"]);
    world?.[Symbol.dispose]();
    state[Symbol.dispose]();
    rmSync(root, { recursive: true, force: true });
  });

  async function member(
    network: NetworkRecord,
    publish: string[] = [],
  ): Promise<{ place: Place; addresses: string[]; device: string }> {
    const place = world.place();
    const id = (++made).toString(16).padStart(7, "0").padEnd(64, "d");
    const ports = reservePorts(publish.flatMap(parsePorts), [4]);
    reserved.push(ports);
    const claimed = networks.claim(network.id, { container: id, name: `m${made}`, inside: "eth0" }, ports.ports);
    await networks.raise(network.id, id);
    await networks.plugIn(network.id, id, place.namespace, true);
    return { place, addresses: bareAddresses(claimed), device: claimed.device };
  }
  const serve = ({ place }: { place: Place }, port: number, name: string) =>
    place.start(process.execPath, ECHO, "serve", String(port), name).stdout.getReader().read();
  const ask = ({ place }: { place: Place }, address: string, port: number) =>
    place.run(process.execPath, ECHO, "ask", "tcp", address, String(port));
  /** A whole packet, out of its device. */
  function sendRaw({ place }: { place: Place }, family: 4 | 6, packet: Uint8Array, to: string): void {
    const fd = inNetwork(place.namespace, () => sys.syscall("send", "socket", ...networkSocket(`raw${family}`)));
    try {
      sys.setOption(fd, sys.SOL_SOCKET, sys.SO_BINDTODEVICE, new TextEncoder().encode("eth0\0"));
      using sender = new sys.DatagramSender(1, 2048);
      sender.add(packet, { address: bytesOfAddress(parseAddress(to)), port: 0 });
      expect(sender.send(fd)).toBe(1);
    } finally {
      sys.close(fd);
    }
  }
  const without = (rule: RegExp, chain: string) => {
    const listed = runHere("nft", "-a", "list", "chain", "inet", "tsbox", chain).split("\n");
    const handles = listed.flatMap((line) => (rule.test(line) ? (/# handle (\d+)$/.exec(line)?.[1] ?? []) : []));
    expect(handles.length).toBeGreaterThan(0);
    for (const handle of handles) runHere("nft", "delete", "rule", "inet", "tsbox", chain, "handle", handle);
  };

  test(
    "out of an internal network, published ports of another network lead nowhere",
    async () => {
      const web = await member(await networks.create({ name: "web" }), ["8180:80"]);
      const internal = await networks.create({ name: "inner", internal: true });
      const [inner, other] = [await member(internal), await member(internal, ["8181:80"])];
      await serve(web, 80, "web");
      await serve(other, 80, "neighbour");
      const { gateway } = internal.subnets[0]!;
      expect(ask(inner, gateway, 8180)).toBe("nothing");
      // within the network they are of use
      expect(ask(inner, gateway, 8181)).toStartWith("neighbour saw");
      without(/@internal/, "forward");
      expect(ask(inner, gateway, 8180)).toStartWith("web saw");
    },
    30_000 * SLOW,
  );

  test(
    "of a network that keeps them apart, containers reach each other neither by the bridge nor by way of this machine",
    async () => {
      const [open, apart] = [
        await networks.create({ name: "together" }),
        await networks.create({ name: "apart", options: { "com.docker.network.bridge.enable_icc": "false" } }),
      ];
      const [first, second] = [await member(open), await member(open)];
      await serve(second, 80, "neighbour");
      expect(ask(first, second.addresses[0]!, 80)).toStartWith("neighbour saw");
      const [one, other, published] = [await member(apart), await member(apart), await member(apart, ["8182:80"])];
      for (const each of [other, published]) await serve(each, 80, "apart");
      const { gateway } = apart.subnets[0]!;
      ask(one, gateway, 9); // who is it?
      const reached = () => ask(one, other.addresses[0]!, 80);
      expect(reached()).toBe("nothing");
      const mac = /lladdr (\S+)/.exec(one.place.run("ip", "neigh", "show", gateway))?.[1] ?? "";
      // both may be willing: who has all rights inside says that the other is behind the gateway
      const neighbour = (what: "replace" | "del") => {
        const by = what === "replace" ? ["lladdr", mac] : [];
        for (const [{ place }, { addresses }] of [
          [one, other],
          [other, one],
        ] as const)
          place.run("ip", "neigh", what, addresses[0]!, "dev", "eth0", ...by);
      };
      neighbour("replace");
      for (const filters of existsSync(BRIDGE_FILTERS) ? ["1", "0"] : []) {
        writeFileSync(BRIDGE_FILTERS, filters);
        expect([filters, reached()]).toEqual([filters, "nothing"]);
      }
      expect(ask(one, gateway, 8182)).toStartWith("apart saw");
      without(/@apart/, "forward");
      expect(await eventually(() => reached().startsWith("apart saw"), 20_000 * SLOW)).toBe(true);
      neighbour("del");
      expect(reached()).toBe("nothing");
      for (const { device } of [one, other])
        runHere("ip", "link", "set", device, "type", "bridge_slave", "isolated", "off");
      // once they have forgotten that nobody answered
      expect(await eventually(() => reached().startsWith("apart saw"), 20_000 * SLOW)).toBe(true);
    },
    60_000 * SLOW,
  );

  test(
    "what listens here is not told that packets of a container come from this machine's loopback",
    async () => {
      const network = await networks.create({ name: "liars" });
      const liar = await member(network);
      const { gateway } = network.subnets[0]!;
      const heard: string[] = [];
      const socket = await Bun.udpSocket({
        hostname: "0.0.0.0",
        socket: { data: (_, bytes, port, address) => void heard.push(`${String(bytes)} ${address}:${port}`) },
      });
      const say = (source: string, text: string) => {
        const from = { address: bytesOfAddress(parseAddress(source)), port: 7 };
        const to = { address: bytesOfAddress(parseAddress(gateway)), port: socket.port };
        sendRaw(liar, 4, udpPacket(from, to, new TextEncoder().encode(text)), gateway);
      };
      say("127.0.0.2", "first");
      say(liar.addresses[0]!, "second");
      expect(await eventually(() => heard.length === 1)).toBe(true);
      expect(heard).toEqual([`second ${liar.addresses[0]}:7`]);
      without(/saddr/, "guard");
      say("127.0.0.2", "third");
      expect(await eventually(() => heard.length === 2)).toBe(true);
      expect(heard[1]).toBe("third 127.0.0.2:7");
      socket.close();
    },
    30_000 * SLOW,
  );

  test(
    "a neighbour that says it is a router is not believed",
    async () => {
      const network = await networks.create({ name: "six", ipv6: true });
      const [victim, liar] = [await member(network), await member(network)];
      const routes = () => victim.place.run("ip", "-6", "route", "show", "default");
      const before = routes();
      expect(before).toContain(network.subnets[1]!.gateway);
      const own = liar.place.run("ip", "-6", "-o", "addr", "show", "dev", "eth0", "scope", "link");
      const source = /inet6 ([^/]+)/.exec(own)?.[1] ?? "";
      const advertise = () => sendRaw(liar, 6, advertisement(source), "ff02::1");
      advertise();
      await Bun.sleep(200);
      expect(routes()).toBe(before);
      inNetwork(victim.place.namespace, () => writeFileSync("/proc/sys/net/ipv6/conf/eth0/accept_ra", "1"));
      advertise();
      expect(await eventually(() => routes().includes(source))).toBe(true);
    },
    30_000 * SLOW,
  );
});

/** `ICMPv6 134 · hops · flags · lifetime · reachable · retransmit`, in its header. @see RFC 4861 §4.2 */
function advertisement(source: string): Uint8Array {
  const [from, to] = [bytesOfAddress(parseAddress(source)), bytesOfAddress(parseAddress("ff02::1"))];
  const message = Uint8Array.of(134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0);
  const summed = [...from, ...to, 0, 0, 0, message.length, 0, 0, 0, 58, ...message];
  let sum = 0;
  for (let at = 0; at < summed.length; at += 2) sum += (summed[at]! << 8) | summed[at + 1]!;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  message.set([(~sum >> 8) & 0xff, ~sum & 0xff], 2);
  return Uint8Array.of(0x60, 0, 0, 0, 0, message.length, 58, 255, ...from, ...to, ...message);
}
