/** How fast containers are in networks, what is remembered of them, and what else goes on beside: by real traffic. @module */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { forgetConnections, Links } from "../lib/netlink/index.ts";
import { hasFirewall } from "../lib/network/firewall.ts";
import { parsePorts } from "../lib/ip/index.ts";
import { bareAddresses, Networks, reservePorts } from "../lib/network/index.ts";
import type { Joining, NetworkRecord } from "../lib/network/index.ts";
import { Sandbox } from "../lib/sandbox/index.ts";
import { State } from "../lib/state/index.ts";
import { CommandLine } from "./support/command-line.ts";
import { failureOf } from "./support/failure.ts";
import { noGateway } from "./support/gateway.ts";
import { noNetworks, notRoot, testUnless } from "./support/machine.ts";
import { Folder } from "./support/rootfs.ts";
import { deviceNames, runHere, World, type Place } from "./support/network-world.ts";

const reason = notRoot ?? noNetworks();
const without = (...programs: string[]) => {
  const missing = programs.find((name) => Bun.which(name) === null);
  return missing && `${missing} is not installed`;
};
/** With all that bandwidth is limited, and measured, by. */
const unlimited = reason ?? noNetworks("bandwidth") ?? without("iperf3", "tc", "nft");
const ECHO = join(import.meta.dirname, "support/echo.ts");
const folder = new Folder();
afterAll(() => folder.remove());

describe.skipIf(reason !== undefined)(reason === undefined ? "traffic" : `traffic (${reason})`, () => {
  const stores: { state: State; networks: Networks }[] = [];
  let world: World;
  let made = 0;

  beforeAll(() => void (world = new World()));
  afterEach(async () => {
    for (const { networks } of stores) {
      for (const { endpoints } of networks.list()) for (const id of Object.keys(endpoints)) await networks.leave(id);
      for (const { name } of networks.list()) await networks.remove(name);
    }
    for (const { state } of stores.splice(0)) state[Symbol.dispose]();
    expect(deviceNames()).toEqual(["lo"]);
    expect(hasFirewall()).toBe(false);
  });
  afterAll(() => world?.[Symbol.dispose]());

  function store(): Networks {
    const state = new State(folder.directory(`store${made++}`));
    const networks = new Networks(() => state);
    stores.push({ state, networks });
    return networks;
  }

  interface Member {
    id: string;
    place: Place;
    address: string;
  }
  async function member(
    networks: Networks,
    network: NetworkRecord,
    more: Partial<Joining> & { publish?: string[] } = {},
  ): Promise<Member> {
    const place = world.place();
    const id = (++made).toString(16).padStart(7, "0").padEnd(64, "b");
    const { publish = [], ...joining } = more;
    using reserved = reservePorts(publish.flatMap(parsePorts), [4]);
    const wanted = { container: id, name: `member${made}`, inside: "eth0", ...joining };
    const [address = ""] = bareAddresses(networks.claim(network.id, wanted, reserved.ports));
    await networks.raise(network.id, id);
    await networks.plugIn(network.id, id, place.namespace, true);
    return { id, place, address };
  }

  /** Payload, in Mbit/s, after the first second: what is saved up is gone by then. */
  function speed(from: Member, to: Member, way: "up" | "down", seconds = 2): number {
    const server = to.place.start("iperf3", "-s", "-1");
    try {
      const isListening = () => /:1451 \S+ 0A /.test(to.place.run("cat", "/proc/self/net/tcp6", "/proc/self/net/tcp"));
      for (let tries = 0; !isListening(); tries++) {
        if (tries > 200) throw new Error("iperf3 does not listen");
        Bun.sleepSync(10);
      }
      const reverse = way === "down" ? ["-R"] : [];
      const words = ["-J", "-O", "1", "-t", String(seconds), "-c", to.address, ...reverse];
      const told = JSON.parse(from.place.run("iperf3", ...words)) as Told;
      const bits = told.end["sum_received"]?.bits_per_second;
      if (!bits) throw new Error(`iperf3 measures nothing: ${told.error ?? JSON.stringify(told.end)}`);
      return bits / 1e6;
    } finally {
      server.kill();
    }
  }
  /** What a busy machine makes of one measurement, the next is without; a wrong limit is in each. */
  const isAbout = (wanted: number, ...how: Parameters<typeof speed>) => {
    const seen: number[] = [];
    const isClose = () => seen.push(speed(...how)) && seen.at(-1)! > wanted * 0.8 && seen.at(-1)! < wanted * 1.1;
    expect([isClose() || isClose() || isClose(), wanted, seen]).toEqual([true, wanted, seen]);
  };
  const mbit = (down: number, up: number) => ({ downBytes: (down * 1e6) / 8, upBytes: (up * 1e6) / 8 });

  testUnless(
    unlimited,
    "is as fast as it was asked for, each way; that changes while it runs, and is taken away",
    async () => {
      const networks = store();
      const network = await networks.create({ name: "web" });
      const slow = await member(networks, network, { bandwidth: mbit(20, 8) });
      const other = await member(networks, network);
      isAbout(8, slow, other, "up");
      isAbout(20, slow, other, "down");
      await networks.pace(slow.id, mbit(10, 40));
      isAbout(40, slow, other, "up");
      isAbout(10, slow, other, "down");
      await networks.pace(slow.id, {});
      expect(speed(slow, other, "up", 1)).toBeGreaterThan(200);
      expect(speed(slow, other, "down", 1)).toBeGreaterThan(200);
      using links = new Links();
      expect(links.list().some(({ kind }) => kind === "ifb")).toBe(false);
      await networks.pace(slow.id, { downBytes: 1e6 });
      isAbout(8, slow, other, "down");
    },
    60_000,
  );

  testUnless(
    unlimited,
    "a container with all rights in its network namespace does not become faster",
    async () => {
      const networks = store();
      const network = await networks.create({ name: "web" });
      const slow = await member(networks, network, { bandwidth: mbit(10, 10) });
      const control = await member(networks, network);
      const other = await member(networks, network);
      const attack = ({ place, address }: Member) => {
        Bun.spawnSync(["nsenter", `--net=/proc/${place.pid}/ns/net`, "tc", "qdisc", "del", "dev", "eth0", "root"]);
        place.run("tc", "qdisc", "add", "dev", "eth0", "root", "pfifo_fast");
        Bun.spawnSync(["nsenter", `--net=/proc/${place.pid}/ns/net`, "nft", "flush", "ruleset"]);
        // another device at the same cable
        place.run("ip", "link", "add", "link", "eth0", "name", "other", "type", "macvlan", "mode", "bridge");
        place.run("ip", "link", "set", "other", "up");
        place.run("ip", "link", "set", "eth0", "txqueuelen", "100000");
        expect(address).not.toBe("");
      };
      // the same limit where the container reaches it: gone
      control.place.run(..."tc qdisc add dev eth0 root tbf rate 10mbit burst 32kb latency 100ms".split(" "));
      isAbout(10, control, other, "up");
      attack(control);
      expect(speed(control, other, "up", 1)).toBeGreaterThan(100);
      attack(slow);
      isAbout(10, slow, other, "up");
      isAbout(10, slow, other, "down");
    },
    60_000,
  );

  testUnless(
    unlimited,
    "a packet filter that somebody has emptied is filled again, with what stands; bandwidth does not depend on it",
    async () => {
      const networks = store();
      const web = await networks.create({ name: "web" });
      const server = await member(networks, web, { publish: ["8080:80"], bandwidth: mbit(10, 10) });
      // but for the chain that says that this network has switched forwarding on
      const table = () =>
        runHere("nft", "list", "table", "inet", "tsbox").replace(/\n\tchain switched\S* \{\n\t\}\n/, "");
      const before = table();
      runHere("nft", "flush", "ruleset");
      expect(hasFirewall()).toBe(false);
      const next = await member(networks, web);
      expect(table()).toBe(before);
      await networks.leave(next.id);
      runHere("nft", "flush", "ruleset");
      const other = await member(networks, web);
      isAbout(10, server, other, "up");
    },
    60_000,
  );

  testUnless(
    reason ?? without("nft"),
    "of two stores, the one whose last container goes leaves the packet filter to the other",
    async () => {
      const [one, two] = [store(), store()];
      const first = await member(one, await one.create({ name: "one" }));
      const second = await member(two, await two.create({ name: "two" }), { publish: ["8081:80"] });
      await one.leave(first.id);
      expect(runHere("nft", "list", "map", "inet", "tsbox", "any4")).toContain("8081");
      await two.leave(second.id);
      expect(hasFirewall()).toBe(false);
    },
  );

  testUnless(
    unlimited,
    "is said in words, of containers and of sandboxes, and refused where there is no network",
    async () => {
      await using line = await CommandLine.open();
      const run = (...words: string[]) => line.tsbox("run", "-d", "--name", "slow", ...words, "busy", "sleep", "1000");
      for (const mode of ["none", "host"])
        expect(run("--network", mode, "--bandwidth", "up=1mbit").stderr).toContain("in no network of its own");
      for (const [text, why] of [
        ["up=fast", "not understood"],
        ["up=1mbit,up=2mbit", "not understood"],
        ["burst=64k", "neither down nor up"],
        ["up=1bit", "from 8kbit to 1tbit"],
        ["up=1mbit,burst=1", "from 2k"],
      ] as const)
        expect(run("--network", "bridge", "--bandwidth", text).stderr).toContain(why);
      expect(run("--network", "bridge", "--bandwidth", "down=20mbit,up=8mbit").status).toBe(0);
      const queues = () => runHere("tc", "qdisc", "show");
      const rates = () => [...queues().matchAll(/tbf .* rate (\S+) /g)].map(([, rate]) => rate).toSorted();
      expect(rates()).toEqual(["20Mbit", "8Mbit"]);
      expect(line.said("update", "--bandwidth", "up=1gbit", "slow")).toBe("slow");
      expect(rates()).toEqual(["1Gbit", "20Mbit"]);
      line.said("restart", "-t", "0", "slow");
      expect(rates()).toEqual(["1Gbit", "20Mbit"]);
      line.said("update", "--bandwidth", "up=unlimited,down=unlimited", "slow");
      expect(rates()).toEqual([]);
      line.said("rm", "-f", "slow");

      const where = { image: { reference: "busy", root: line.root }, network: "bridge" };
      await using box = await Sandbox.create({ ...where, limits: { bandwidth: { up: "3mbit" } } });
      expect(rates()).toEqual(["3Mbit"]);
      await box.update({ bandwidth: { up: 5e6, down: "6mbit" } });
      expect(rates()).toEqual(["5Mbit", "6Mbit"]);
      const alone = () => Sandbox.create({ ...where, network: false, limits: { bandwidth: { up: "3mbit" } } });
      expect((await failureOf(alone)).message).toContain("in no network of its own");
    },
    120_000,
  );

  testUnless(
    unlimited ?? noGateway,
    "by way of a policy as well, with what there is altogether; and both are counted",
    async () => {
      const outside = world.neighbour(["203.0.113.1/24"], ["203.0.113.9/24"]);
      const server = outside.start(process.execPath, "-e", SERVE);
      await server.stdout.getReader().read();
      // a program of its own: the thread that carries the connections is in its network namespace
      const script = folder.script(`
      const fetched = async (limits, bytes, way) => {
        await using box = await Sandbox.create({ runtime: true, network: { allow: ["203.0.113.9"] }, limits });
        const source = ${JSON.stringify(TRANSFER)}.replaceAll("BYTES", bytes).replaceAll("WAY", way);
        const process = box.spawn(["bun", "-e", source], { stderr: "inherit" });
        const stdout = await new Response(process.stdout).text();
        const result = await process.result();
        const { value } = result.reason === "exit" ? await box.stats({ interval: "1ms" }).next() : {};
        return { reason: result.reason, ms: Number(stdout), in: value?.networkInBytes, out: value?.networkOutBytes };
      };
      const bandwidth = { down: "8mbit", up: "16mbit" };
      console.log(JSON.stringify([
        await fetched({ bandwidth }, 1.5e6, "down"),
        await fetched({ bandwidth }, 3e6, "up"),
        await fetched({}, 3e6, "down"),
        await fetched({ traffic: "1mb" }, 1.5e6, "down"),
      ]));
    `);
      const [down, up, free, much] = JSON.parse(runHere(process.execPath, script)) as {
        reason: string;
        ms: number;
        in?: number;
        out?: number;
      }[];
      expect([down?.reason, up?.reason, free?.reason, much?.reason]).toEqual(["exit", "exit", "exit", "network"]);
      for (const slow of [down, up]) {
        expect(slow?.ms).toBeGreaterThan(1350);
        expect(slow?.ms).toBeLessThan(3000);
      }
      expect(free?.ms).toBeLessThan(2000); // of 3000
      expect(down?.in).toBeGreaterThanOrEqual(1.5e6);
      expect(down?.in).toBeLessThan(1.6e6);
      expect(up?.out).toBeGreaterThanOrEqual(3e6);
      outside[Symbol.dispose]();
      using links = new Links();
      for (const { index, name } of links.list()) if (name.startsWith("out")) links.remove(index);
    },
    60_000,
  );

  testUnless(
    reason ?? without("iptables", "nft"),
    "beside Docker and firewalld: their rules stay, what they drop stays dropped until they are told, and what is kept apart stays that",
    async () => {
      const outside = world.neighbour(["203.0.113.1/24"], ["203.0.113.9/24"]);
      outside.run("ip", "route", "add", "default", "via", "203.0.113.1");
      const theirs = () =>
        ["iptables -S", "iptables -t nat -S", "nft list table inet firewalld"]
          .map((words) => runHere(...words.split(" ")))
          .join("\n");
      for (const rules of THEIRS) runHere(...rules.split(" "));
      const before = theirs();
      const networks = store();
      const network = await networks.create({ name: "web", options: { bridge_name: "br-web" } });
      const inner = await member(networks, network, { publish: ["8082:80"] });
      const serve = (place: Place, port: string, name: string) =>
        place.start(process.execPath, ECHO, "serve", port, name).stdout.getReader().read();
      await serve(inner.place, "80", "inner");
      await serve(outside, "81", "outer");
      const asks = (place: Place, address: string, port: string) =>
        place.run(process.execPath, ECHO, "ask", "tcp", address, port);
      const ways = () => [
        asks(inner.place, "203.0.113.9", "81"),
        asks(outside, "203.0.113.1", "8082"),
        asks(outside, inner.address, "80"),
      ];
      expect(ways()).toEqual(["nothing", "nothing", "nothing"]);
      // as docs/networks.md says
      const allowed = ["-i br-web -j ACCEPT", "-o br-web -j ACCEPT"];
      for (const rule of allowed) runHere(..."iptables -I DOCKER-USER".split(" "), ...rule.split(" "));
      expect(ways()).toEqual(["outer saw 203.0.113.1", "inner saw 203.0.113.9", "nothing"]);
      for (const rule of allowed) runHere(..."iptables -D DOCKER-USER".split(" "), ...rule.split(" "));
      expect(theirs()).toBe(before);
      await networks.leave(inner.id);
      expect(theirs()).toBe(before);
      runHere("nft", "flush", "ruleset");
      outside[Symbol.dispose]();
      using links = new Links();
      for (const { index, name } of links.list()) if (name.startsWith("out")) links.remove(index);
    },
    60_000,
  );

  const FORWARD = "/proc/sys/net/ipv4/ip_forward";
  const forwarding = () => readFileSync(FORWARD, "utf8").trim();

  test("forwarding is given back, but not where it was on before, nor where another bridge has come meanwhile", async () => {
    const networks = store();
    const network = await networks.create({ name: "web" });
    const round = async (meanwhile: () => void = () => {}) => {
      const { id } = await member(networks, network);
      expect(forwarding()).toBe("1");
      meanwhile();
      await networks.leave(id);
      return forwarding();
    };
    writeFileSync(FORWARD, "0");
    expect(await round()).toBe("0");
    writeFileSync(FORWARD, "1");
    expect(await round()).toBe("1");
    writeFileSync(FORWARD, "0");
    using links = new Links();
    expect(await round(() => links.addBridge("other"))).toBe("1");
    links.remove(links.indexOf("other"));
    writeFileSync(FORWARD, "0");
    // some kernels make a tunnel in every namespace: it counts once it is used
    const tunnel = links.find("sit0");
    if (tunnel) {
      expect(await round(() => links.change(tunnel.index, { up: true }))).toBe("1");
      links.change(tunnel.index, { up: false });
      writeFileSync(FORWARD, "0");
    }
    expect(await round(() => writeFileSync(FORWARD, "0"))).toBe("0");
  });

  testUnless(
    reason ?? noNetworks("bandwidth"),
    "who knows the way out from routers, of version 6, goes on to believe them, and as before afterwards",
    async () => {
      const networks = store();
      const network = await networks.create({ name: "six", ipv6: true });
      runHere("ip", "link", "add", "uplink", "type", "ifb");
      const believes = () => readFileSync("/proc/sys/net/ipv6/conf/uplink/accept_ra", "utf8").trim();
      writeFileSync("/proc/sys/net/ipv6/conf/all/forwarding", "0");
      expect(believes()).toBe("1");
      const { id } = await member(networks, network);
      expect([believes(), readFileSync("/proc/sys/net/ipv6/conf/all/forwarding", "utf8").trim()]).toEqual(["2", "1"]);
      await networks.leave(id);
      expect([believes(), readFileSync("/proc/sys/net/ipv6/conf/all/forwarding", "utf8").trim()]).toEqual(["1", "0"]);
      runHere("ip", "link", "del", "uplink");
    },
  );

  testUnless(
    reason ?? noNetworks("connections"),
    "an address that is given to another brings no connections along; a port counts at once for who has sent before",
    async () => {
      const networks = store();
      const network = await networks.create({ name: "web", subnets: [{ subnet: "10.66.0.0/24" }] });
      const outside = world.neighbour(["203.0.113.1/24"], ["203.0.113.9/24"]);
      const holder = await member(networks, network);
      // somebody sends datagrams, from one port of his own, before there is a container
      const asks = () => outside.run(process.execPath, "-e", ASK);
      expect(asks()).toBe("nothing");
      const first = await member(networks, network, { addresses: ["10.66.0.9"], publish: ["9999:7/udp"] });
      const echo = first.place.start(process.execPath, ECHO, "serve", "7", "first");
      await echo.stdout.getReader().read();
      expect(asks()).toBe("first saw 203.0.113.9");
      const seen: string[] = [];
      const remembered = () => {
        seen.length = 0;
        // nothing is forgotten by looking
        forgetConnections(({ addresses }) => (seen.push(...addresses.map(String)), false));
        return seen.includes("10,66,0,9");
      };
      expect(remembered()).toBe(true);
      await networks.leave(first.id);
      // the kernel looks through all that it has for this, so only then
      const second = await member(networks, network);
      expect(remembered()).toBe(true);
      const third = await member(networks, network, { addresses: ["10.66.0.9"] });
      expect(remembered()).toBe(false);
      for (const { id } of [second, third, holder]) await networks.leave(id);
      expect(networks.get("web").remembered?.length).toBeGreaterThan(1);
      await networks.remove("web");
      // many at a time, and before another network has the subnet
      const next = await networks.create({ name: "next", subnets: [{ subnet: "10.66.0.0/24" }] });
      const again = await member(networks, next, { addresses: ["10.66.0.9"], publish: ["9999:7/udp"] });
      expect(remembered()).toBe(false);
      expect(asks()).toBe("nothing");
      expect(remembered()).toBe(true);
      await networks.leave(again.id);
      await networks.remove("next");
      expect(remembered()).toBe(false);
      using links = new Links();
      for (const { index, name } of links.list()) if (name.startsWith("out")) links.remove(index);
    },
  );
});

interface Told {
  error?: string;
  end: Record<string, { bits_per_second: number }>;
}

/** As Docker makes them where it forbids forwarding, and a table beside them as firewalld has it. */
const THEIRS = [
  ..."-N DOCKER-USER,-N DOCKER,-A DOCKER-USER -j RETURN,-P FORWARD DROP,-A FORWARD -j DOCKER-USER,-A FORWARD -o docker0 -j DOCKER"
    .split(",")
    .map((rule) => `iptables ${rule}`),
  "iptables -t nat -N DOCKER",
  "iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
  "iptables -t nat -A POSTROUTING -s 172.31.0.0/16 ! -o docker0 -j MASQUERADE",
  "nft add table inet firewalld",
  "nft add chain inet firewalld filter_FORWARD { type filter hook forward priority filter + 10 ; policy accept ; }",
  "nft add rule inet firewalld filter_FORWARD ct state { established, related } accept",
];

/** Who connects says how many bytes of which way. */
const SERVE = `
  require("node:net").createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", (first) => {
      const [way, bytes] = String(first).split(" ");
      if (way === "down") return socket.end(Buffer.alloc(Number(bytes)));
      let got = first.length;
      socket.on("data", (more) => { got += more.length; if (got >= Number(bytes)) socket.end("done"); });
    });
  }).listen(4000, () => console.log("ready"));
`;
/** Prints how many milliseconds that took. */
const TRANSFER = `
  const began = performance.now();
  const socket = require("node:net").createConnection(4000, "203.0.113.9", () => {
    socket.write("WAY BYTES ");
    if ("WAY" === "up") socket.write(Buffer.alloc(BYTES));
  });
  socket.on("data", () => {}).on("error", (error) => { console.error(error); process.exit(1); });
  socket.on("end", () => { console.log(Math.round(performance.now() - began)); process.exit(0); });
`;

/** Sends a datagram from always the same port, and prints what comes back. */
const ASK = `
  const socket = require("node:dgram").createSocket("udp4");
  const say = (text) => (console.log(String(text)), process.exit());
  socket.on("message", say).on("error", () => say("nothing"));
  socket.bind(5555, () => socket.send("?", 9999, "203.0.113.1"));
  for (let turns = 50; turns > 0; turns--) await Bun.sleep(10); // longer on a busy machine
  say("nothing");
`;
