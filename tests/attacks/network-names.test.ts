/** Containers, and users of this machine, against the server for names. @module */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, closeSync, openSync, readdirSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import { TYPE } from "../../lib/dns/index.ts";
import { bytesOfAddress, parseAddress } from "../../lib/ip/index.ts";
import { inNetwork, Links } from "../../lib/netlink/index.ts";
import { askNetd, tellNetd } from "../../lib/netd/index.ts";
import * as sys from "../../syscalls/index.ts";
import { askFrom } from "../support/ask-names.ts";
import { ask } from "../support/dns-messages.ts";
import { inGuest, noNetworks, notRoot, SLOW } from "../support/machine.ts";
import { NamesWorld } from "../support/names-world.ts";
import { eventually } from "../support/processes.ts";

const reason = notRoot ?? (inGuest ? "takes too long there" : noNetworks());
const SILENT = "127.0.0.77";
const NOBODY = 65534;

describe.skipIf(reason !== undefined)(reason ?? "attacks on the server for names", () => {
  let world: NamesWorld;
  const opened: number[] = [];
  const pids: Record<string, number> = {};
  let gateways: Record<string, string> = {};
  beforeAll(async () => {
    world = await NamesWorld.open();
    for (const name of ["good", "evil"]) world.said("network", "create", name);
    world.sleeping("victim", "good", "--dns", "127.0.0.9");
    world.sleeping("neighbour", "good");
    world.sleeping("attacker", "evil", "--dns", SILENT, "--cap-add", "NET_ADMIN", "--cap-add", "NET_RAW");
    for (const name of ["victim", "attacker"]) pids[name] = world.pidOf(name);
    gateways = { good: world.gatewayOf("good")[0], evil: world.gatewayOf("evil")[0] };
  });
  afterAll(async () => {
    opened.splice(0).forEach(sys.close);
    world?.said("rm", "-f", "victim", "neighbour", "attacker");
    world?.said("network", "rm", "good", "evil");
    expect(await world?.left()).toEqual([]);
    await world?.[Symbol.asyncDispose]();
  });

  const pidOf = (name: string) => pids[name] as number;
  const gatewayOf = (network: string) => gateways[network] as string;
  const socketIn = (name: string, protocol: "udp" | "tcp"): number => {
    const namespace = openSync(`/proc/${pidOf(name)}/ns/net`, "r");
    const fd = inNetwork(namespace, () => sys.openSocket(protocol, 4));
    closeSync(namespace);
    opened.push(fd);
    return fd;
  };
  const at = (network: string) => ({ address: bytesOfAddress(parseAddress(gatewayOf(network))), port: 53 });
  const netd = () => world.answering()[0] as number;
  const descriptors = () => readdirSync(`/proc/${netd()}/fd`).length;
  const memoryKiB = () => Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${netd()}/status`, "utf8"))?.[1]);
  const isServed = (name = "neighbour") => {
    const begin = performance.now();
    const told = askFrom(pidOf("victim"), gatewayOf("good"), name, TYPE.A, "udp", 5000);
    expect(told).toMatchObject({ rcode: 0, isCut: false });
    return performance.now() - begin;
  };

  test(
    "datagrams without end and without sense keep nobody else from being answered",
    () => {
      const fd = socketIn("attacker", "udp");
      expect(sys.connectTo(fd, at("evil"))).toBe(0);
      const noise = Array.from({ length: 64 }, (_, seed) => crypto.getRandomValues(new Uint8Array(20 + seed * 16)));
      const all = [
        ...noise,
        ask("attacker", TYPE.A),
        ask("x".repeat(63), TYPE.A, { questions: 0xffff }),
        new Uint8Array(0),
      ];
      const before = memoryKiB();
      let sent = 0;
      for (let turn = 0; turn < 20; turn++) {
        for (let index = 0; index < 2000; index++)
          sent += sys.send(fd, all[index % all.length] as Uint8Array) >= 0 ? 1 : 0;
        isServed();
      }
      // the flood has arrived: the attacker was answered as well
      expect(sent).toBeGreaterThan(10_000);
      expect(sys.read(fd)).toBeInstanceOf(Uint8Array);
      expect(memoryKiB() - before).toBeLessThan(32 * 1024);
    },
    60_000 * SLOW,
  );

  test(
    "connections that say nothing, or half a thing, are given up, and there are few of them",
    async () => {
      const before = descriptors();
      const many = Array.from({ length: 200 }, () => {
        const fd = socketIn("attacker", "tcp");
        sys.connectTo(fd, at("evil"));
        return fd;
      });
      await Bun.sleep(200);
      for (const [index, fd] of many.entries()) if (index % 2 === 0) sys.send(fd, Uint8Array.of(0));
      expect(descriptors() - before).toBeLessThanOrEqual(8);
      expect(descriptors() - before).toBeGreaterThan(0);
      for (const by of ["udp", "tcp"] as const)
        expect(askFrom(pidOf("victim"), gatewayOf("good"), "neighbour", TYPE.A, by)).toMatchObject({
          rcode: 0,
        });
      // nobody has to close them
      expect(await eventually(() => descriptors() <= before, 20_000)).toBe(true);
    },
    60_000 * SLOW,
  );

  test(
    "questions for a server that is silent keep nobody else from asking elsewhere",
    async () => {
      const silent = sys.openSocket("udp", 4);
      opened.push(silent);
      expect(sys.bindSocket(silent, { address: bytesOfAddress(parseAddress(SILENT)), port: 53 })).toBe(0);
      const before = descriptors();
      const fd = socketIn("attacker", "udp");
      expect(sys.connectTo(fd, at("evil"))).toBe(0);
      for (let index = 0; index < 3000; index++) sys.send(fd, ask(`n${index}.example`, TYPE.A, { id: index }));
      expect(await eventually(() => descriptors() > before)).toBe(true);
      isServed("outside.example");
      // so many at a time, and the others are told at once that nobody has answered
      expect(descriptors() - before).toBeLessThanOrEqual(64);
      expect(await eventually(() => typeof sys.read(fd) !== "number")).toBe(true);
      expect(await eventually(() => descriptors() <= before, 20_000)).toBe(true);
    },
    60_000 * SLOW,
  );

  test("a container with CAP_NET_ADMIN that takes an address of another network learns nothing of it", () => {
    const gateway = gatewayOf("good");
    const theirs = gateway.replace(/\.1$/, ".77");
    const inside = (script: string) => world.made.tsbox("exec", "attacker", "sh", "-c", script);
    expect(inside(`busybox ip addr add ${theirs}/32 dev eth0`).status).toBe(0);
    expect(inside(`busybox ip route add ${gateway}/32 dev eth0 src ${theirs}`).status).toBe(0);
    const pid = pidOf("attacker");
    for (const by of ["udp", "tcp"] as const)
      expect(askFrom(pid, gateway, "neighbour", TYPE.A, by, 500)).toBeOneOf(["refused", "silent"]);
    // where its own server is, it is nobody with that address
    const own = gatewayOf("evil");
    expect(askFrom(pid, own, "attacker")).toMatchObject({ rcode: 0 });
    expect(inside(`busybox ip route add ${own}/32 dev eth0 src ${theirs}`).status).toBe(0);
    expect(askFrom(pid, own, "attacker", TYPE.A, "udp", 500)).toBeOneOf(["refused", "silent"]);
    expect(inside(`busybox ip route del ${own}/32; busybox ip addr del ${theirs}/32 dev eth0`).status).toBe(0);
  });

  test(
    "who takes the addresses of a neighbour, of IP and of Ethernet, is told nothing in its place",
    async () => {
      world.sleeping("twin", "evil", "--network", "good");
      world.sleeping("liar", "evil", "--cap-add", "NET_ADMIN", "--cap-add", "NET_RAW");
      const [twin, liar] = [world.pidOf("twin"), world.pidOf("liar")];
      const inside = (script: string) => expect(world.made.tsbox("exec", "liar", "sh", "-c", script).status).toBe(0);
      const of = (name: string, what: string) =>
        world.inspected(name, `{{(index .NetworkSettings.Networks "evil").${what}}}`);
      const gateway = gatewayOf("evil");
      const [ip, mac, own] = [of("twin", "IPAddress"), of("twin", "MacAddress"), of("liar", "MacAddress")];
      using links = new Links();
      const bridge = links.indexOf(world.deviceOf("evil"));
      const portOf = (name: string) =>
        links.indexOf(`tsb${world.inspected(name, "{{.Id}}").slice(0, 7)}${world.deviceOf("evil").slice(4, 9)}`);
      const theirs = () => askFrom(liar, gateway, "neighbour", TYPE.A, "udp", 1000);
      const believed = async () =>
        expect(await eventually(() => JSON.stringify(theirs()).includes(known.answers[0] as string))).toBe(true);
      const known = { rcode: 0, answers: [world.addressOf("neighbour")] };
      try {
        expect(askFrom(twin, gateway, "neighbour")).toMatchObject(known);
        expect(JSON.stringify(theirs())).not.toContain(known.answers[0]);
        inside(`busybox ip addr add ${ip}/32 dev eth0; busybox ip route add ${gateway}/32 dev eth0 src ${ip}`);
        expect(theirs()).toBe("silent");
        inside(`busybox ip link set eth0 address ${mac}`);
        expect(theirs()).toBe("silent");
        expect(askFrom(twin, gateway, "neighbour")).toMatchObject(known);
        // the controls: what is believed who says it, of either
        links.bindPort(portOf("liar"), mac, false, "believe it");
        await believed();
        links.bindPort(portOf("twin"), mac, false, "believe it no more");
        inside(`busybox ip link set eth0 address ${own}`);
        expect(theirs()).toBe("silent");
        links.setNeighbour(bridge, parseAddress(ip), own, "believe it");
        await believed();
      } finally {
        world.said("rm", "-f", "twin", "liar");
      }
    },
    60_000 * SLOW,
  );

  test(
    "who starts containers does not wait for a server that is stopped, and none is started beside it",
    () => {
      process.kill(netd(), "SIGSTOP");
      const held: number[] = [];
      try {
        const connect = () => held.push(sys.connectSocketNow(`${world.made.root}/netd.sock`));
        // as many as the machine lets wait
        expect(() => {
          for (let count = 0; count < 70_000; count++) connect();
        }).toThrow("EAGAIN");
        expect(tellNetd(world.made.root, { verb: "changed" })).toBe(true);
        world.said("run", "--rm", "--network", "good", "busy", "true");
        expect(world.answering()).toHaveLength(1);
      } finally {
        held.forEach(sys.close);
        process.kill(netd(), "SIGCONT");
      }
      isServed();
    },
    60_000 * SLOW,
  );

  test(
    "another user of the machine is not listened to, and nonsense of the store's own user harms nothing",
    async () => {
      // the way to the socket is open
      for (let path = world.made.root; path !== "/" && path !== "/tmp"; path = dirname(path)) chmodSync(path, 0o755);
      const socket = `${world.made.root}/netd.sock`;
      chmodSync(socket, 0o777);
      const script = `const [path] = process.argv.slice(-1);
      const socket = require("node:net").connect(path, () => socket.write('{"verb":"give","name":"x"}\\n'));
      socket.on("data", (data) => console.log("told", String(data))).on("error", () => {}).on("close", () => process.exit());`;
      const told = (uid: number) =>
        Bun.spawnSync(["busybox", "timeout", "10", process.execPath, "-e", script, socket], {
          uid,
          stderr: "pipe",
          cwd: "/",
          env: { PATH: "/usr/bin:/bin", HOME: "/" },
        } as never).stdout.toString();
      expect(told(0)).toContain("told {}");
      expect(told(NOBODY)).toBe("");

      const before = descriptors();
      const fds = Array.from({ length: 10 }, () => sys.memoryFile("junk"));
      for (const request of [
        { verb: "serve", udp: -1 },
        { verb: "serve", network: "none", udp: 1e9 },
        { verb: "__proto__" },
        { verb: "constructor" },
        { verb: "changed", network: {} },
      ])
        tellNetd(world.made.root, request as never, fds);
      fds.forEach(sys.close);
      expect(askNetd(world.made.root, { verb: "nothing" })).toBeDefined();
      isServed();
      expect(await eventually(() => descriptors() <= before)).toBe(true);
    },
    60_000 * SLOW,
  );
});
