/** Networks of containers, in small worlds of network namespaces: by real traffic. @module */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  bareAddresses,
  Networks,
  obstacleOf,
  reservePorts,
  tellsConnections,
  type Joining,
  type NetworkRecord,
} from "../lib/network/index.ts";
import { parsePorts } from "../lib/ip/index.ts";
import { inNetwork } from "../lib/netlink/index.ts";
import { raiseNetwork } from "../lib/network/devices.ts";
import { Netlink, systemError } from "../syscalls/index.ts";
import { hasFirewall } from "../lib/network/firewall.ts";
import { State } from "../lib/state/index.ts";
import { failureOf } from "./support/failure.ts";
import { inGuest, noNetworks, notRoot, SLOW } from "./support/machine.ts";
import { deviceNames, routeThrough, runHere, World, type Place } from "./support/network-world.ts";

const ECHO = join(import.meta.dirname, "support/echo.ts");
const reason = notRoot ?? noNetworks();
const BUN = process.execPath;
const BRIDGE_FILTERS = "/proc/sys/net/bridge/bridge-nf-call-iptables";

const root = mkdtempSync(join(tmpdir(), "tsbox-network-"));
const state = new State(root);
const networks = new Networks(
  () => state,
  (id) => isThere(id),
);
afterAll(() => {
  state[Symbol.dispose]();
  rmSync(root, { recursive: true, force: true });
});

let made = 0;
const newId = () => (++made).toString(16).padStart(4, "0").padEnd(64, "a");
const there = new Set<string>();
const isThere = (id: string) => there.has(id);

interface Member {
  id: string;
  place: Place;
  addresses: string[];
  sockets: Disposable;
}

describe.skipIf(reason !== undefined)(reason === undefined ? "networks" : `networks (${reason})`, () => {
  let world: World;
  let outside: Place;
  const members: Member[] = [];

  beforeAll(() => {
    world = new World();
    outside = world.neighbour(["203.0.113.1/24", "2001:db8:1::1/64"], ["203.0.113.9/24", "2001:db8:1::9/64"]);
  });
  afterAll(() => {
    members.forEach(({ sockets }) => sockets[Symbol.dispose]());
    world?.[Symbol.dispose]();
  });

  async function member(
    network: NetworkRecord,
    name: string,
    more: Partial<Joining> & { publish?: string[] } = {},
  ): Promise<Member> {
    const place = world.place();
    const id = newId();
    there.add(id);
    const families = network.subnets.map(({ subnet }) => (subnet.includes(":") ? 6 : 4) as 4 | 6);
    const reserved = reservePorts((more.publish ?? []).flatMap(parsePorts), families);
    const endpoint = networks.claim(network.id, { container: id, name, inside: "eth0", ...more }, reserved.ports);
    const member = { id, place, addresses: bareAddresses(endpoint), sockets: reserved };
    members.push(member);
    await networks.raise(network.id, id);
    await networks.plugIn(network.id, id, place.namespace, true);
    return member;
  }
  async function serve({ place }: Pick<Member, "place">, port: number, name: string): Promise<void> {
    const child = place.start(BUN, ECHO, "serve", String(port), name);
    await child.stdout.getReader().read();
  }
  const ask = (from: Place | undefined, protocol: string, address: string, port: number) =>
    (from ? from.run : runHere)(BUN, ECHO, "ask", protocol, address, String(port));
  async function leave({ id, sockets }: Member): Promise<void> {
    there.delete(id);
    sockets[Symbol.dispose]();
    await networks.leave(id);
  }

  test(
    "containers reach each other, the outside and this machine; who is outside reaches published ports only",
    async () => {
      const network = await networks.create({ name: "web", ipv6: true });
      expect(network.subnets.length).toBe(2);
      const a = await member(network, "a");
      const b = await member(network, "b", { publish: ["8080:80", "127.0.0.1:8081:80", "203.0.113.1:5353:80/udp"] });
      await serve(b, 80, "b");
      for (const address of b.addresses)
        for (const protocol of ["tcp", "udp"])
          expect([protocol, address, ask(a.place, protocol, address, 80)]).toEqual([
            protocol,
            address,
            `b saw ${a.addresses[b.addresses.indexOf(address)]}`,
          ]);
      // this machine, by the container's address and by its own
      expect(ask(undefined, "tcp", b.addresses[0]!, 80)).toBe(`b saw ${network.subnets[0]!.gateway}`);
      expect(ask(undefined, "tcp", "203.0.113.1", 8080)).toBe("b saw 203.0.113.1");
      expect(ask(undefined, "tcp", "127.0.0.1", 8080)).toBe(`b saw ${network.subnets[0]!.gateway}`);
      expect(ask(undefined, "tcp", "127.0.0.1", 8081)).toBe(`b saw ${network.subnets[0]!.gateway}`);
      expect(ask(undefined, "tcp", "::1", 8080)).toBe("refused");
      // the outside: with its own address as the source
      expect(ask(outside, "tcp", "203.0.113.1", 8080)).toBe("b saw 203.0.113.9");
      expect(ask(outside, "tcp", "2001:db8:1::1", 8080)).toBe("b saw 2001:db8:1::9");
      expect(ask(outside, "udp", "203.0.113.1", 5353)).toBe("b saw 203.0.113.9");
      expect(ask(outside, "tcp", "203.0.113.1", 8081)).not.toContain("saw");
      expect(ask(outside, "tcp", "203.0.113.1", 80)).not.toContain("saw");
      // neighbours, and the container itself, by the published port, whether bridges have filters or not
      for (const filters of existsSync(BRIDGE_FILTERS) ? ["0", "1"] : []) {
        writeFileSync(BRIDGE_FILTERS, filters);
        const source = filters === "0" ? network.subnets[0]!.gateway : a.addresses[0];
        expect([filters, ask(a.place, "tcp", "203.0.113.1", 8080)]).toEqual([filters, `b saw ${source}`]);
        expect([filters, ask(b.place, "tcp", "203.0.113.1", 8080)]).toEqual([
          filters,
          `b saw ${network.subnets[0]!.gateway}`,
        ]);
      }
      // out: this machine's address is what others see
      const server = outside.start(BUN, ECHO, "serve", "7000", "outside");
      await server.stdout.getReader().read();
      for (const protocol of ["tcp", "udp"]) {
        expect(ask(a.place, protocol, "203.0.113.9", 7000)).toBe("outside saw 203.0.113.1");
        expect(ask(a.place, protocol, "2001:db8:1::9", 7000)).toBe("outside saw 2001:db8:1::1");
      }
      // past the published port: whoever has a route to the container is stopped, also where it knows the way
      routeThrough(outside, "203.0.113.1");
      expect(ask(outside, "tcp", b.addresses[0]!, 80)).toBe("nothing");
      await leave(a);
      await leave(b);
      await networks.remove("web");
      nothingIsLeft();
    },
    60_000 * SLOW,
  );

  test(
    "between networks there is nothing, unless both say so; an internal one leads nowhere",
    async () => {
      const [one, two] = [await networks.create({ name: "one" }), await networks.create({ name: "two" })];
      const open = await networks.create({ name: "open", options: { isolate: "false" } });
      const inner = await networks.create({ name: "inner", internal: true, subnets: [{ subnet: "10.99.0.0/24" }] });
      const [a, b, c, d, e] = [
        await member(one, "a"),
        await member(two, "b"),
        await member(open, "c"),
        await member(inner, "d"),
        await member(inner, "e"),
      ];
      for (const [member, name] of [
        [a, "a"],
        [b, "b"],
        [c, "c"],
        [d, "d"],
        [e, "e"],
      ] as const)
        await serve(member, 80, name);
      expect(ask(a.place, "tcp", b.addresses[0]!, 80)).toBe("nothing");
      expect(ask(b.place, "tcp", a.addresses[0]!, 80)).toBe("nothing");
      expect(ask(a.place, "tcp", c.addresses[0]!, 80)).toBe(`c saw ${a.addresses[0]}`);
      expect(ask(d.place, "tcp", e.addresses[0]!, 80)).toBe(`e saw ${d.addresses[0]}`);
      for (const [from, to] of [
        [a, d],
        [c, d],
      ] as const)
        expect(ask(from.place, "tcp", to.addresses[0]!, 80)).not.toContain("saw");
      // also where it finds the way by itself
      routeThrough(d.place, "10.99.0.1");
      const server = outside.start(BUN, ECHO, "serve", "7001", "outside");
      await server.stdout.getReader().read();
      routeThrough(outside, "203.0.113.1");
      expect(ask(c.place, "tcp", "203.0.113.9", 7001)).toBe("outside saw 203.0.113.1");
      for (const [address, port] of [
        [c.addresses[0]!, 80],
        ["203.0.113.9", 7001],
      ] as const)
        expect(ask(d.place, "tcp", address, port)).toBe("nothing");
      for (const member of [a, b, c, d, e]) await leave(member);
      for (const { name } of [one, two, open, inner]) await networks.remove(name);
      nothingIsLeft();
    },
    60_000 * SLOW,
  );

  test(
    "what listens at 127.0.0.1 of this machine is not reached, whatever the container does",
    async () => {
      const network = await networks.create({ name: "local" });
      const a = await member(network, "a", { publish: ["8080:80"] });
      const server = Bun.spawn([BUN, ECHO, "serve", "7002", "this machine"], { stdio: ["ignore", "pipe", "ignore"] });
      await server.stdout.getReader().read();
      expect(ask(undefined, "tcp", "127.0.0.1", 7002)).toContain("this machine saw");
      const { gateway } = network.subnets[0]!;
      const steps = [
        "ip addr del 127.0.0.1/8 dev lo",
        "sysctl -w net.ipv4.conf.all.route_localnet=1 net.ipv4.conf.eth0.route_localnet=1",
        `ip route add 127.0.0.0/8 via ${gateway}`,
      ];
      for (const step of steps) a.place.run("busybox", ...step.split(" "));
      expect(ask(a.place, "tcp", "127.0.0.1", 7002)).toBe("nothing");
      // and would be, but for this
      runHere("nft", "flush", "chain", "inet", "tsbox", "guard");
      expect(ask(a.place, "tcp", "127.0.0.1", 7002)).toBe(`this machine saw ${a.addresses[0]}`);
      server.kill();
      await leave(a);
      await networks.remove("local");
      nothingIsLeft();
    },
    30_000 * SLOW,
  );

  test("what stands of a network goes with it, also where nobody is known to be in it: the database was lost", async () => {
    const { id: network, device } = await networks.create({ name: "lost" });
    const container = newId();
    there.add(container);
    networks.claim(network, { container, name: "x", inside: "eth0" }, []);
    await networks.raise(network, container);
    expect(deviceNames()).toContain(device);
    state.networks.update<NetworkRecord>(network, (row) => ({ ...row, endpoints: {} }));
    there.delete(container);
    await networks.remove("lost");
    nothingIsLeft();
  });

  test("addresses are given in turn, kept while in use, and refused where they are somebody's", async () => {
    const network = await networks.create({
      name: "small",
      subnets: [{ subnet: "10.98.0.0/29", gateway: "10.98.0.3", reserved: { printer: "10.98.0.1" } }],
    });
    const a = await member(network, "a");
    const b = await member(network, "b", { addresses: ["10.98.0.6"] });
    expect([a.addresses, b.addresses]).toEqual([["10.98.0.2"], ["10.98.0.6"]]);
    await leave(a);
    const c = await member(network, "c");
    expect(c.addresses).toEqual(["10.98.0.4"]);
    const claim = (more: Partial<Joining>) =>
      networks.claim(network.id, { container: newId(), name: "x", inside: "eth0", ...more }, []);
    for (const [address, why] of [
      ["10.98.0.6", "Address already in use"],
      ["10.98.0.3", "Address already in use"],
      ["10.98.0.0", "Address already in use"],
      ["10.98.0.7", "Address already in use"],
      ["10.97.0.1", "no configured subnet contains IP address 10.97.0.1"],
      ["10.98.0", "not an IP address"],
    ] as const)
      expect((await failureOf(() => claim({ addresses: [address] }))).message).toContain(why);
    const taken = [claim({}), claim({})].map(bareAddresses);
    expect(taken).toEqual([["10.98.0.5"], ["10.98.0.2"]]);
    expect((await failureOf(() => claim({}))).code).toBe("limit_unavailable");
    expect((await failureOf(() => networks.remove("small"))).message).toContain("has active endpoints (name: ");
    await leave(b);
    await leave(c);
    // whoever had claimed the others is gone
    await networks.remove("small");
    nothingIsLeft();
  });

  test("bad input is one clear error each", async () => {
    const network = await networks.create({ name: "there" });
    const { subnet } = network.subnets[0]!;
    const refused = async (options: Parameters<Networks["create"]>[0], ...words: string[]) => {
      const { message } = await failureOf(() => networks.create(options));
      for (const word of words) expect(message).toContain(word);
    };
    await refused(
      { name: "x", subnets: [{ subnet }] },
      "Pool overlaps with other one on this address space: network there",
    );
    await refused({ name: "x", subnets: [{ subnet: "10.0.0.1/8" }] }, "bits behind its prefix");
    await refused({ name: "x", subnets: [{ subnet: "10.0.0.0/33" }] }, "not an address");
    await refused({ name: "x", subnets: [{ subnet: "10.0.0.0/31" }] }, "no room");
    await refused({ name: "x", subnets: [{ subnet: "10.5.0.0/24", gateway: "10.6.0.1" }] }, 'the gateway "10.6.0.1"');
    for (const subnet of ["127.0.0.0/8", "0.0.0.0/0", "224.0.0.0/24", "fe80::/64", "ff02::/64"])
      await refused({ name: "x", subnets: [{ subnet }] }, "no machine's");
    await refused(
      { name: "x", subnets: [{ subnet: "203.0.113.128/25" }] },
      "overlaps",
      "this machine's 203.0.113.0/24",
    );
    const everybody = "10.5.0.255";
    await refused(
      { name: "x", subnets: [{ subnet: "10.5.0.0/24", gateway: everybody }] },
      `the gateway "${everybody}"`,
    );
    await refused({ name: "x", subnets: [{ subnet: "10.5.0.0/24", range: "10.5.0.0/16" }] }, "not within");
    await refused({ name: "there" }, "there");
    await refused({ name: "none" }, "predefined");
    await refused({ name: "a b" }, "invalid network name");
    await refused({ name: "x", options: { mtu: "9" } }, "MTU");
    await refused({ name: "x", options: { colour: "red" } }, "colour", "unknown");
    await refused({ name: "x", subnet: "10.5.0.0/24" } as never, 'use the option "subnet" of networks.create: unknown');
    await refused({ name: "x", options: { bridge_name: network.device } }, "is that of there");
    await refused({ name: "x", driver: "macvlan" }, "no parent");
    await refused({ name: "x", driver: "ipvlan" }, "no parent");
    await refused({ name: "x", driver: "overlay" as never }, "could not find plugin overlay");
    const over = { name: "x", driver: "ipvlan", options: { parent: "out1" } } as const;
    await refused({ ...over, options: { ...over.options, ipvlan_mode: "l4" } }, "ipvlan_mode=l4");
    await refused({ ...over, options: { ...over.options, ipvlan_flag: "red" } }, "ipvlan_flag=red");
    await refused({ ...over, driver: "macvlan", options: { parent: "out1", ipvlan_mode: "l3" } }, "of ipvlan networks");
    await networks.create({ ...over, name: "over" });
    await refused({ ...over, driver: "macvlan" }, "network over is already using parent interface out1");
    await networks.remove("over");
    expect((await failureOf(() => networks.remove("nothing"))).message).toBe("network nothing not found");
    expect((await failureOf(() => networks.remove("bridge"))).message).toContain("not found");
    await refused({ name: "x", options: { bridge_name: "a-name-that-is-too-long" } }, "at most 15 bytes");
    await networks.remove("there");
    nothingIsLeft();
  });

  test("a bridge of somebody else's stays as it is; the default network takes another name", async () => {
    const foreign = async (name: string, act: () => Promise<void>) => {
      runHere("ip", "link", "add", name, "type", "bridge");
      runHere("ip", "link", "set", name, "up");
      const before = () => runHere("ip", "-d", "-o", "addr", "show", name);
      const told = before();
      await act();
      expect(before()).toBe(told);
      runHere("ip", "link", "del", name);
    };
    await foreign("br-others", async () => {
      const network = await networks.create({ name: "theirs", options: { bridge_name: "br-others" } });
      const { message } = await failureOf(() => member(network, "a"));
      expect(message).toBe('make the network "theirs": br-others is a network device of somebody else\'s');
      there.clear();
      await networks.remove("theirs");
    });
    await foreign("tsbox0", async () => {
      const network = await networks.default();
      expect(network.device).toBe("tsbox0");
      const a = await member(network, "a");
      expect(deviceNames()).toContain(`tsb-${network.id.slice(0, 10)}`);
      expect(ask(a.place, "tcp", network.subnets[0]!.gateway, 7003)).toBe("refused");
      await leave(a);
    });
    nothingIsLeft();
  });

  test("a subnet that another bridge has got meanwhile is not used: the default network takes another one", async () => {
    const [mine, standing] = [await networks.create({ name: "mine" }), await networks.default()];
    const subnets = [mine, standing].map((network) => network.subnets[0]!);
    // as Docker, and another store, choose it as well
    for (const [index, { gateway, subnet }] of subnets.entries()) {
      runHere("ip", "link", "add", `other${index}`, "type", "bridge");
      runHere("ip", "addr", "add", `${gateway}/${subnet.split("/")[1]}`, "dev", `other${index}`);
      runHere("ip", "link", "set", `other${index}`, "up");
    }
    const { message, hint } = await failureOf(() => member(mine, "a"));
    expect(message).toBe(`make the network "mine": the bridge other0 has addresses of ${subnets[0]!.subnet}`);
    expect(hint).toContain("it gets another subnet");
    there.clear();
    await networks.remove("mine");
    const moved = await networks.default();
    expect([moved.id, moved.subnets.length]).toEqual([standing.id, 1]);
    expect(subnets.map(({ subnet }) => subnet)).not.toContain(moved.subnets[0]!.subnet);
    const a = await member(moved, "a");
    expect(ask(a.place, "tcp", moved.subnets[0]!.gateway, 7003)).toBe("refused");
    // not while somebody is in it
    expect((await networks.default()).subnets).toEqual(moved.subnets);
    await leave(a);
    for (const index of subnets.keys()) runHere("ip", "link", "del", `other${index}`);
    nothingIsLeft();
  });

  test("containers with published ports that start at the same time do not publish each other's", async () => {
    const { id: network } = await networks.create({ name: "together" });
    const starting = [8080, 8081].map((hostPort) => {
      const [place, id, name] = [world.place(), newId(), `at ${hostPort}`];
      there.add(id);
      const ports = [{ protocol: "tcp" as const, hostPort, containerPort: 80 }];
      networks.claim(network, { container: id, name, inside: "eth0" }, ports);
      return { place, id, name, hostPort };
    });
    // the one that came first is slower
    for (const { place, id } of starting.toReversed()) {
      await networks.raise(network, id);
      await networks.plugIn(network, id, place.namespace, true);
    }
    for (const { place, name, hostPort } of starting) {
      await serve({ place }, 80, name);
      expect(ask(undefined, "tcp", "127.0.0.1", hostPort)).toStartWith(name);
    }
    for (const { place, id } of starting) {
      there.delete(id);
      await networks.leave(id);
      place[Symbol.dispose]();
    }
    await networks.remove("together");
    nothingIsLeft();
  });

  test("a port that somebody has is refused, and said whose it is", async () => {
    using listener = Bun.listen({ hostname: "0.0.0.0", port: 0, socket: { data() {} } });
    const failure = await failureOf(() => reservePorts(parsePorts(`${listener.port}:80`), [4]));
    expect(failure.message).toBe(`Bind for 0.0.0.0:${listener.port} failed: port is already allocated`);
    expect(failure.hint).toContain(`(pid ${process.pid}) has it`);
    expect(parsePorts("127.0.0.1:0:80/udp")).toEqual(parsePorts("127.0.0.1::80/udp"));
    expect(() => parsePorts("0:80-81")).toThrow("invalid host port: 0");
    using first = reservePorts(parsePorts("80"), [4, 6]);
    const { hostPort } = first.ports[0]!;
    expect((await failureOf(() => reservePorts(parsePorts(`${hostPort}:80`), [4]))).code).toBe("limit_unavailable");
    // one of several
    using second = reservePorts(parsePorts(`${hostPort}-${hostPort + 5}:80`), [4]);
    expect(second.ports[0]!.hostPort).toBeGreaterThan(hostPort);
  });

  test("a macvlan has an address of its own at a device of this machine", async () => {
    const network = await networks.create({
      name: "lan",
      driver: "macvlan",
      options: { parent: "out1" },
      subnets: [{ subnet: "203.0.113.0/24", gateway: "203.0.113.200" }],
    });
    const a = await member(network, "a", { addresses: ["203.0.113.77"] });
    await serve(a, 80, "a");
    expect(ask(outside, "tcp", "203.0.113.77", 80)).toBe("a saw 203.0.113.9");
    await leave(a);
    await networks.remove("lan");
  });

  test(
    "many claims at once are as many addresses",
    async () => {
      const claims = inGuest ? 10 : 100;
      const network = await networks.create({ name: "busy" });
      const script = join(import.meta.dirname, "support/claim-address.ts");
      const children = Array.from({ length: claims }, (_, index) =>
        Bun.spawn([BUN, script, root, network.id, String(index)], { stdout: "pipe", stderr: "inherit" }),
      );
      const all = await Promise.all(children.map(({ stdout }) => stdout.text()));
      expect(new Set(all).size).toBe(claims);
      expect(all.every((text) => text.startsWith("172."))).toBe(true);
      await networks.remove("busy");
    },
    120_000 * SLOW,
  );

  test("are refused, and nothing of them is made, where the kernel has no nf_tables", async () => {
    const network = await networks.create({ name: "filterless", internal: true });
    const missing = { ask: () => -22, request: () => -22, dump: () => -22, send: () => -22, [Symbol.dispose]() {} };
    const kernels: (() => Netlink)[] = [
      // neither nfnetlink, nor one that knows of tables
      () => {
        throw systemError("open a netlink socket", "socket", 93);
      },
      () => missing as unknown as Netlink,
    ];
    for (const filter of kernels) {
      const kernel = {
        descriptor: -1,
        netlink: (protocol: "route" | "netfilter") => (protocol === "route" ? new Netlink("route") : filter()),
        socket: () => -1,
        set: () => 0,
      };
      expect(await failureOf(() => inNetwork(kernel, () => raiseNetwork(network, [network], "")))).toMatchObject({
        code: "unsupported",
        hint: expect.stringContaining("CONFIG_NF_TABLES_INET"),
      });
      expect(inNetwork(kernel, () => obstacleOf(network))).toBeUndefined();
      expect(inNetwork(kernel, tellsConnections)).toBe(false);
    }
    nothingIsLeft();
    await networks.remove("filterless");
  });

  function nothingIsLeft(): void {
    expect(deviceNames()).toEqual(["lo", "out1"]);
    expect(hasFirewall()).toBe(false);
  }
});
