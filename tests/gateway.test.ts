/** The way out of a sandbox's network: what is carried, what is told, and what somebody inside can do to it. @module */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { createSocket } from "node:dgram";
import { connect, createServer, type Server, type Socket } from "node:net";
import * as fc from "fast-check";
import { Sandbox, type SandboxOptions } from "../lib/index.ts";
// not the face: what has no kernel in it is looked at by itself
import { readOpening, refusal, udpPacket, unreachable } from "../lib/gateway/packet.ts";
import { Budget } from "../lib/gateway/budget.ts";
import { openPort } from "../lib/gateway/index.ts";
import { Pins } from "../lib/gateway/pins.ts";
import { bindSocket, ERRNO, openSocket, portOf } from "../syscalls/index.ts";
import { noGateway } from "./support/gateway.ts";
import { noBusybox, noSandbox, notRoot, SLOW, testUnless } from "./support/machine.ts";
import type { Inside } from "./support/policy-attack.ts";
import type { HostTools } from "./support/policy-host.ts";
import { makeRootfs } from "./support/rootfs.ts";
import { HOST, OTHER, PACKAGES, PACKAGES6, PolicyWorld } from "./support/policy-world.ts";

describe("packets", () => {
  const v4 = {
    from: { address: Uint8Array.of(192, 0, 2, 1), port: 53 },
    to: { address: Uint8Array.of(10, 0, 0, 2), port: 4242 },
  };
  const address6 = (last: number) => Uint8Array.from([0x20, 1, 0xd, 0xb8, ...Array(11).fill(0), last]);
  const v6 = { from: { address: address6(1), port: 53 }, to: { address: address6(2), port: 4242 } };

  /** The sum of all words, with those of the pseudo-header, is what is wrong: 0xffff where nothing is. */
  function sumOf(packet: Uint8Array, at: number, protocol: number): number {
    const addresses = packet[0]! >> 4 === 4 ? packet.subarray(12, 20) : packet.subarray(8, 40);
    const rest = packet.subarray(at);
    const bytes = [
      ...addresses,
      0,
      protocol,
      rest.length >> 8,
      rest.length & 0xff,
      ...rest,
      ...(rest.length % 2 ? [0] : []),
    ];
    let sum = 0;
    for (let index = 0; index < bytes.length; index += 2) sum += (bytes[index]! << 8) + bytes[index + 1]!;
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
    return sum;
  }

  /** Made by hand: no options. */
  function opening({ from, to }: typeof v4, data = 0): Uint8Array {
    const isV4 = to.address.length === 4;
    const at = isV4 ? 20 : 40;
    const packet = new Uint8Array(at + 20 + data);
    const view = new DataView(packet.buffer);
    packet[0] = isV4 ? 0x45 : 0x60;
    view.setUint16(isV4 ? 2 : 4, isV4 ? packet.length : packet.length - 40);
    packet[isV4 ? 9 : 6] = 6;
    packet.set(from.address, isV4 ? 12 : 8);
    packet.set(to.address, isV4 ? 16 : 24);
    view.setUint16(at, from.port);
    view.setUint16(at + 2, to.port);
    view.setUint32(at + 4, 0xfffffffe);
    packet[at + 12] = 0x50;
    packet[at + 13] = 2;
    return packet;
  }

  test.each([
    ["4", v4, 20],
    ["6", v6, 40],
  ] as const)("of version %s have the checksums that they should", (_, { from, to }, at) => {
    for (const length of [0, 1, 7, 1500]) {
      const payload = Uint8Array.from({ length }, (__, index) => index);
      const packet = udpPacket(from, to, payload);
      if (at === 40) expect(sumOf(packet, at, 17)).toBe(0xffff);
      expect(packet.subarray(at + 8)).toEqual(payload);
      const told = unreachable("port", packet);
      if (at === 40) expect(sumOf(told, at, 58)).toBe(0xffff);
      // from whom it was sent to, to whom has sent it
      expect(told.subarray(at === 40 ? 24 : 16, at)).toEqual(from.address);
    }
    const asked = readOpening(opening({ from, to }));
    expect(asked).toMatchObject({ from, to, sequence: 0xfffffffe });
    expect(sumOf(asked!.packet, at, 6)).toBe(0xffff);
    for (const data of [0, 5]) {
      const refused = refusal(readOpening(opening({ from, to }, data))!);
      expect(sumOf(refused, at, 6)).toBe(0xffff);
      const view = new DataView(refused.buffer);
      // RST and ACK of what was sent, around the end of the numbers
      expect([view.getUint32(at + 8), refused[at + 13]]).toEqual([(0xffffffff + data) >>> 0, 0x14]);
    }
  });

  test("that are none, or cut off, or none that begin a connection, are nothing", () => {
    const whole = opening(v4);
    for (let length = 0; length < whole.length; length++)
      expect(readOpening(whole.subarray(0, length))).toBeUndefined();
    for (const flags of [0x10, 0x12, 0x04, 0x06, 0x01, 0]) {
      const other = whole.slice();
      other[33] = flags;
      expect(readOpening(other)).toBeUndefined();
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => {
        const found = readOpening(bytes);
        if (found) refusal(found);
      }),
      { numRuns: 2000 },
    );
  });
});

test("names of an address are remembered for so long, the latest first, and no more than there is room for", () => {
  const pins = new Pins();
  pins.add("a.example", "192.0.2.1", 60, 1000);
  pins.add("b.example", "192.0.2.1", 10, 1000);
  expect(pins.namesOf("192.0.2.1", 1000)).toEqual(["b.example", "a.example"]);
  expect(pins.namesOf("192.0.2.1", 1000 + 330_000)).toEqual(["a.example"]);
  expect(pins.namesOf("192.0.2.2", 1000)).toEqual([]);
  for (let index = 0; index < 100; index++) pins.add(`${index}.example`, "192.0.2.1", 60, 1000);
  expect(pins.namesOf("192.0.2.1", 1000).length).toBe(32);
  for (let index = 0; index < 5000; index++) pins.add("c.example", `ip ${index}`, 60, 1000);
  expect(pins.namesOf("192.0.2.1", 1000)).toEqual([]);
  expect(pins.namesOf("ip 4999", 1000)).toEqual(["c.example"]);
});

test("of descriptors, whoever takes all that he can leaves as many for others", () => {
  const budget = new Budget(2000);
  const takeAll = () => {
    let own = 0;
    while (budget.take(1, own)) own++;
    return own;
  };
  expect([takeAll(), takeAll(), takeAll()]).toEqual([500, 250, 125]);
  budget.give(250);
  expect(takeAll()).toBe(188);
});

test("a port for which no sockets could be made for a moment is served a moment later", async () => {
  const server = createServer((socket) => socket.end("inside"));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const address = Uint8Array.of(127, 0, 0, 1);
  const listener = openSocket("tcp", 4);
  bindSocket(listener, { address, port: 0 });
  let failing = 32;
  const opened = openPort(listener, { address, port }, () => (failing-- > 0 ? -ERRNO.EMFILE : openSocket("tcp", 4)));
  expect(await ask("127.0.0.1", portOf(listener))).toBe("inside");
  expect(failing).toBeLessThan(0);
  opened.end();
  server.close();
});

test("a thread that cannot begin is tried again, and what it was to carry is carried then", async () => {
  const path = (file: string) => JSON.stringify(new URL(`../${file}`, import.meta.url).pathname);
  const script = `import { connect, createServer } from "node:net";
    const threads = process.getBuiltinModule("node:worker_threads");
    const { Worker } = threads;
    threads.Worker = class extends Worker {
      constructor(_, options) {
        super(new URL("data:text/javascript,throw new Error('not now')"), options);
        threads.Worker = Worker;
      }
    };
    const { openPort } = await import(${path("lib/gateway/index.ts")});
    const { bindSocket, openSocket, portOf } = await import(${path("syscalls/index.ts")});
    const server = createServer((socket) => socket.end("inside")).listen(0, "127.0.0.1", () => {
      const address = Uint8Array.of(127, 0, 0, 1);
      const listener = openSocket("tcp", 4);
      bindSocket(listener, { address, port: 0 });
      const opened = openPort(listener, { address, port: server.address().port }, () => openSocket("tcp", 4));
      connect(portOf(listener), "127.0.0.1").on("data", (text) => console.log(String(text))).on("close", () => {
        opened.end();
        server.close();
      });
    });`;
  const { stdout, stderr, exitCode } = Bun.spawnSync([process.execPath, "-e", script]);
  expect({ stdout: stdout.toString(), exitCode }).toEqual({ stdout: "inside\n", exitCode: 0 });
  // once: a program that ends in peace is told nothing more
  expect(stderr.toString().match(/TsboxWarning.*/g)).toEqual([
    "TsboxWarning: carry connections: their thread has died, and what was connected broke off: not now",
  ]);
});

test("a thread that cannot begin leaves nothing open, however often it is tried", async () => {
  const path = (file: string) => JSON.stringify(new URL(`../${file}`, import.meta.url).href);
  const failing = `const { OwnAddresses } = await import(${path("lib/netlink/own-addresses.ts")});
    const { close } = await import(${path("syscalls/index.ts")});
    const { get } = Object.getOwnPropertyDescriptor(OwnAddresses.prototype, "descriptor");
    Object.defineProperty(OwnAddresses.prototype, "descriptor", {
      get() {
        close(get.call(this));
        throw new Error("not now");
      },
    });
    await import(${path("lib/gateway/worker.ts")});`;
  const script = `const { readdirSync } = require("node:fs");
    const threads = process.getBuiltinModule("node:worker_threads");
    const { Worker } = threads;
    threads.Worker = class extends Worker {
      constructor(_, options) {
        super(new URL("data:text/javascript,${encodeURIComponent(failing)}"), options);
      }
    };
    const { GatewayWorker } = await import(${path("lib/gateway/worker.ts")});
    const { readLink } = await import(${path("syscalls/index.ts")});
    const open = () => readdirSync("/proc/self/fd").filter((fd) => readLink("/proc/self/fd/" + fd)?.includes("event"));
    const before = open().length;
    for (let times = 0; times < 3; times++)
      await new Promise((resolve) => {
        const worker = new GatewayWorker(
          () => {},
          (why) => {
            worker.closeAllBut(new Set());
            resolve(console.log(why));
          },
        );
        worker.ref(true);
      });
    // what was the threads' own is closed soon
    for (let tries = 0; tries < 40 && open().length > before; tries++) await Bun.sleep(50);
    console.log(open().length - before);`;
  const { stdout, stderr } = Bun.spawnSync([process.execPath, "-e", script]);
  expect([stdout.toString(), stderr.toString()]).toEqual(["not now\nnot now\nnot now\n0\n", ""]);
});

/** An id that nobody has. */
const USER = 47_111;
const mayRead = (user: number) =>
  Bun.spawnSync(["setpriv", `--reuid=${user}`, `--regid=${user}`, "--clear-groups", "test", "-r", import.meta.path])
    .exitCode === 0;
const noWorld = notRoot ?? noGateway;

for (const [who, user, reason] of [
  ["root", undefined, noWorld],
  ["an ordinary user", USER, noWorld ?? (mayRead(USER) ? undefined : "an ordinary user may not read the sources")],
] as const) {
  describe(`out of sandboxes of ${who}`, () => {
    let world: PolicyWorld;
    const servers: { close(): void }[] = [];
    const it = (name: string, body: () => Promise<void>) => testUnless(reason, name, body, 60_000 * SLOW);

    beforeAll(async () => {
      if (reason === undefined) world = await PolicyWorld.make(user === undefined ? {} : { user });
    });
    afterAll(async () => {
      for (const server of servers) server.close();
      await world?.[Symbol.asyncDispose]();
    });

    async function listen(port: number, took: (socket: Socket) => void, hostname = PACKAGES): Promise<Server> {
      const server = createServer({ allowHalfOpen: true }, (socket) => {
        socket.on("error", () => {});
        took(socket);
      });
      servers.push(server);
      await new Promise<void>((resolve) => server.listen(port, hostname, resolve));
      return server;
    }

    async function run(
      act: (inside: Inside, ...args: never[]) => unknown,
      args: unknown[] = [],
      options: SandboxOptions = {},
    ) {
      world.seen();
      const result = await world.on(
        async ({ Sandbox: Box, attack }, source, given, more) => {
          const ended = await Box.run(attack(source, ...given), { runtime: true, network: {}, ...more });
          if (ended.exitCode !== 0) throw new Error(`${ended.reason} ${ended.exitCode}: ${ended.stderr}`);
          return JSON.parse(ended.stdout) as unknown;
        },
        act.toString(),
        args,
        options,
      );
      await Bun.sleep(20);
      return { result, seen: world.seen() };
    }

    for (const [version, address] of [
      ["4", PACKAGES],
      ["6", PACKAGES6],
    ] as const) {
      it(`a connection of version ${version} carries all bytes both ways, also when one way has ended`, async () => {
        const [size, port] = [8 * 2 ** 20, version === "4" ? 9001 : 9002];
        await listen(
          port,
          (socket) => {
            const hash = createHash("sha256");
            socket.on("data", (chunk) => hash.update(chunk));
            // it has ended over there, and not here
            socket.on("end", () => {
              socket.write(hash.digest("hex"));
              socket.end(Buffer.alloc(size, "b"));
            });
          },
          address,
        );
        const exchange = async (_: Inside, ip: string, to: number, bytes: number) => {
          const { connect: open } = require("node:net") as typeof import("node:net");
          const sent = Buffer.alloc(bytes, "abc");
          const digest = new Bun.CryptoHasher("sha256").update(sent).digest("hex");
          const socket = open({ host: ip, port: to, allowHalfOpen: true });
          socket.end(sent);
          const chunks: Buffer[] = [];
          for await (const chunk of socket) chunks.push(chunk as Buffer);
          const all = Buffer.concat(chunks);
          const rest = all.subarray(64);
          return [
            all.subarray(0, 64).toString() === digest,
            rest.length === bytes && rest.every((byte) => byte === 98),
          ];
        };
        expect((await run(exchange, [address, port, size])).result).toEqual([true, true]);
      });

      it(`datagrams of version ${version} go and come back, long ones too`, async () => {
        const socket = createSocket(version === "4" ? "udp4" : "udp6");
        servers.push(socket);
        socket.on("message", (message, from) => socket.send(message, from.port, from.address));
        const port = version === "4" ? 9003 : 9004;
        await new Promise<void>((resolve) => socket.bind(port, address, resolve));
        const echo = async (_: Inside, ip: string, to: number) => {
          const { createSocket: make } = require("node:dgram") as typeof import("node:dgram");
          const own = make(ip.includes(":") ? "udp6" : "udp4");
          const lengths: (number | string)[] = [];
          for (const length of [1, 1400, 30_000, 60_000]) {
            const got = new Promise<number | string>((resolve) => {
              own.once("message", (message, from) =>
                resolve(from.address === ip && from.port === to ? message.length : `from ${from.address}:${from.port}`),
              );
              setTimeout(resolve, 3000, "nothing");
            });
            own.send(Buffer.alloc(length, "x"), to, ip);
            lengths.push(await got);
          }
          return lengths;
        };
        expect((await run(echo, [address, port])).result).toEqual([1, 1400, 30_000, 60_000]);
      });

      it(`who connects to nobody is refused, by version ${version}: TCP and UDP`, async () => {
        const both = async ({ tcp, udp }: Inside, ip: string) => [await tcp(ip, 9), await udp(ip, 9)];
        expect((await run(both, [address])).result).toEqual(["ECONNREFUSED", "ECONNREFUSED"]);
      });
    }

    it("what is neither TCP nor UDP has no way", async () => {
      const before = world.packets();
      const ping = ({ call }: Inside) => {
        // socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), sendto of an echo request
        const fd = call([41, 198], 2, 3, 1);
        if (fd < 0) return fd;
        const to = Uint8Array.from([2, 0, 0, 0, 198, 51, 100, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
        return call([44, 206], fd, Uint8Array.from([8, 0, 0xf7, 0xff, 0, 0, 0, 0]), 8, 0, to, 16);
      };
      const raw = { security: { capabilities: ["CAP_NET_RAW"] } };
      const { result } = await run(ping, [], raw);
      expect(result).toBe(8);
      // the control: a datagram of UDP is one packet more
      expect(world.packets()).toBe(before);
      await run(({ udp }: Inside) => udp("198.51.100.1", 7000));
      expect(world.packets()).toBeGreaterThan(before);
    });

    it("one that never reads holds up nobody else, and not more than buffers take", async () => {
      await listen(9005, (socket) => socket.pause());
      const stuff = async ({ tcp, sleep }: Inside, ip: string) => {
        const { connect: open } = require("node:net") as typeof import("node:net");
        const socket = open({ host: ip, port: 9005 });
        socket.on("error", () => {});
        const chunk = Buffer.alloc(2 ** 20);
        let [sent, full] = [0, false];
        void (async () => {
          for (let n = 0; n < 64; n++) {
            await new Promise((resolve) => socket.write(chunk, resolve));
            sent = n + 1;
          }
          full = true;
        })();
        await sleep(1000);
        return [await tcp(ip, 80), full, sent];
      };
      const [hello, full, sent] = (await run(stuff, [PACKAGES])).result as [string, boolean, number];
      expect([hello, full]).toEqual([`hello from ${PACKAGES}`, false]);
      expect(sent).toBeLessThan(32);
    });

    it("hundreds of connections at a time are served", async () => {
      await listen(9006, (socket) => socket.pipe(socket));
      const many = async (_: Inside, ip: string, count: number) => {
        const { connect: open } = require("node:net") as typeof import("node:net");
        const one = (n: number) =>
          new Promise<boolean>((resolve) => {
            const socket = open({ host: ip, port: 9006 }, () => socket.write(`number ${n}\n`));
            socket.on("error", () => resolve(false));
            socket.on("data", (chunk) => {
              socket.destroy();
              resolve(String(chunk) === `number ${n}\n`);
            });
          });
        return (await Promise.all(Array.from({ length: count }, (__, n) => one(n)))).filter(Boolean).length;
      };
      expect((await run(many, [PACKAGES, 300])).result).toBe(300);
    });

    it("others carry on where their thread dies: what is new goes, what was connected breaks off, nothing stays open", async () => {
      await listen(9007, (socket) => socket.write("hello\n"));
      const look = async ({ Sandbox: Box, attack }: HostTools, ip: string, other: string) => {
        const { Worker } = process.getBuiltinModule("node:worker_threads");
        const { readdirSync } = process.getBuiltinModule("node:fs");
        const { connect: open } = process.getBuiltinModule("node:net");
        const post = Worker.prototype.postMessage;
        let thread: InstanceType<typeof Worker> | undefined;
        Worker.prototype.postMessage = function (message: unknown) {
          thread = this as typeof thread;
          post.call(this, message);
        };
        const network = { connect: (asked: { ip?: string | undefined }) => asked.ip === ip };
        await using box = await Box.create({ runtime: true, network, ports: ["7100"] });
        const text = (command: string[]) => new Response(box.spawn(command).stdout).text();
        const act = async ({ tcp, udp }: Inside, to: string, denied: string) =>
          Promise.all([tcp(to, 80), udp(to, 7000), tcp(denied, 80)]);
        const port = box.network.ports[0]?.hostPort ?? 0;
        const inside = () =>
          new Promise<string>((resolve) => {
            const socket = open(port, "127.0.0.1").on("data", (chunk) => {
              resolve(String(chunk));
              socket.destroy();
            });
            socket.on("error", ({ message }) => resolve(message)).on("close", () => resolve("closed"));
          });
        const all = async () => [JSON.parse(await text(attack(act, ip, other))), await inside()] as unknown;
        const serve = `require("node:net").createServer((socket) => socket.end("inside"))
          .listen(7100, () => console.log())`;
        const hold = `require("node:net").connect(9007, "${ip}").on("data", () => console.log("connected"))
          .on("error", ({ code }) => console.log(code))`;
        const [server, held] = [serve, hold].map((script) => {
          const reader = box.spawn(["bun", "-e", script]).stdout?.getReader();
          return async () => new TextDecoder().decode((await reader?.read())?.value).trim();
        }) as [() => Promise<string>, () => Promise<string>];
        const [, connected] = [await server(), await held()];
        const before = await all();
        const state = async () => {
          // what has gone is told every now and then
          await new Promise((resolve) => setTimeout(resolve, 150));
          return { open: readdirSync("/proc/self/fd").length, bytes: box.usage().networkInBytes ?? 0 };
        };
        const [was, dead] = [await state(), thread];
        await dead?.terminate();
        const broken = await held();
        const after = await all();
        const is = await state();
        Worker.prototype.postMessage = post;
        return {
          lines: [connected, broken],
          before,
          after,
          isAnother: thread !== dead,
          more: [is.open - was.open, is.bytes > was.bytes],
          denied: box.network.denied.map(({ count }) => count),
        };
      };
      const found = await world.on(look, PACKAGES, OTHER);
      const all = [[`hello from ${PACKAGES}`, `hello from ${PACKAGES}`, "ECONNREFUSED"], "inside"];
      expect(found).toMatchObject({ lines: ["connected", "ECONNRESET"], before: all, after: all, isAnother: true });
      // the connection that was held is over
      expect([(found.more[0] as number) <= 0, found.more[1], found.denied]).toEqual([true, true, [2]]);
    });

    describe("somebody inside with all that a namespace gives", () => {
      const all = { security: { capabilities: ["CAP_NET_RAW", "CAP_NET_ADMIN"] } };
      const denied = { ...all, network: { deny: [OTHER] } };

      it("is let through by the mark of those that are, and finds nobody", async () => {
        const forge = ({ call }: Inside, ip: string, mark: number) => {
          const fd = call([41, 198], 2, 1, 0);
          // setsockopt(fd, SOL_SOCKET, SO_MARK)
          const word = new Uint8Array(Uint32Array.of(mark).buffer);
          const marked = call([54, 208], fd, 1, 36, word, 4);
          const to = Uint8Array.from([2, 0, 0, 80, ...ip.split(".").map(Number), 0, 0, 0, 0, 0, 0, 0, 0]);
          const connected = call([42, 203], fd, to, 16);
          const buffer = new Uint8Array(64);
          const got = connected < 0 ? connected : call([45, 207], fd, buffer, 64, 0, 0, 0);
          return [marked, got < 0 ? "broken" : new TextDecoder().decode(buffer.subarray(0, got)).trim()];
        };
        const marked = await run(forge, [OTHER, 0x74736278], denied);
        expect(marked).toEqual({ result: [0, "broken"], seen: [] });
        // the control: without that mark, where nothing denies it
        expect((await run(forge, [OTHER, 0], all)).result).toEqual([0, `hello from ${OTHER}`]);
      });

      it("reaches nothing of the host's by the sockets that listen inside", async () => {
        const knock = async ({ tcp }: Inside) => {
          const { readFileSync } = require("node:fs") as typeof import("node:fs");
          const ports = readFileSync("/proc/net/tcp", "utf8")
            .split("\n")
            .flatMap((line) => (/ 0A /.test(line) ? [Number.parseInt(line.trim().split(/[\s:]+/)[2] ?? "", 16)] : []));
          return [ports.length, ...(await Promise.all(ports.map((port) => tcp("127.0.0.1", port))))];
        };
        const { result, seen } = await run(knock, [], all);
        expect(result).toEqual([1, expect.stringMatching(/ECONNRESET|closed/)]);
        expect(seen).toEqual([]);
      });

      it("takes the network from itself alone when it flushes the rules", async () => {
        const flush = async ({ call, tcp }: Inside) => {
          // NFT_MSG_DELTABLE of all, in a batch: three messages of nfnetlink
          const message = (type: number, family: number, res: number) => {
            const bytes = new Uint8Array(20);
            const view = new DataView(bytes.buffer);
            view.setUint32(0, 20, true);
            view.setUint16(4, type, true);
            view.setUint16(6, 1, true);
            bytes.set([family, 0, res >> 8, res & 255], 16);
            return bytes;
          };
          const fd = call([41, 198], 16, 3, 12);
          const batch = Uint8Array.from([...message(16, 0, 10), ...message(0xa02, 0, 0), ...message(17, 0, 10)]);
          const to = Uint8Array.from([16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
          const before = await tcp("198.51.100.1", 80);
          const flushed = call([44, 206], fd, batch, batch.length, 0, to, 12);
          return [before, flushed, await tcp("198.51.100.1", 80), await tcp("198.51.100.2", 80)];
        };
        const { result, seen } = await run(flush, [], denied);
        // what is allowed is connected to, and nobody leads it there any more
        expect(result).toEqual([`hello from ${PACKAGES}`, 60, "ECONNREFUSED", "ECONNREFUSED"]);
        expect(seen).not.toContain(`tcp ${OTHER}:80`);
        expect((await run(({ tcp }: Inside) => tcp("198.51.100.1", 80), [], all)).result).toBe(
          `hello from ${PACKAGES}`,
        );
      });

      it("begins connections without end, and others have theirs all the same", async () => {
        const flood = async ({ call, sleep }: Inside) => {
          // a raw socket; SYNs from different ports to where nobody answers
          const fd = call([41, 198], 2, 3, 255);
          const packet = new Uint8Array(40);
          const view = new DataView(packet.buffer);
          packet.set([0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 198, 19, 0, 2, 198, 51, 100, 99]);
          packet.set([0x50, 2], 32);
          const to = Uint8Array.from([2, 0, 0, 0, 198, 51, 100, 99, 0, 0, 0, 0, 0, 0, 0, 0]);
          let sent = 0;
          for (let port = 1024; port < 6024; port++) {
            view.setUint16(20, port);
            view.setUint16(22, 80);
            if (call([44, 206], fd, packet, 40, 0, to, 16) === 40) sent++;
          }
          await sleep(500);
          return sent;
        };
        const other = run(async ({ tcp, sleep }: Inside) => {
          const came: string[] = [];
          for (let n = 0; n < 5; n++) {
            came.push(await tcp("198.51.100.1", 80));
            await sleep(100);
          }
          return new Set(came).size === 1 ? came[0] : came;
        });
        await other;
        const { descriptors } = world.traces();
        const both = world.on(
          async ({ Sandbox: Box, attack }, flooding, calm, options) => {
            const network = {};
            const [a, b] = [
              Box.run(attack(flooding), { runtime: true, network, ...options }),
              Box.run(attack(calm), { runtime: true, network }),
            ];
            const { readdirSync } = await import("node:fs");
            let most = 0;
            const timer = setInterval(() => (most = Math.max(most, readdirSync("/proc/self/fd").length)), 20);
            const [flooded, calmed] = await Promise.all([a, b]);
            clearInterval(timer);
            return [JSON.parse(flooded.stdout), JSON.parse(calmed.stdout), most];
          },
          flood.toString(),
          (async ({ tcp, sleep }: Inside) => {
            await sleep(300);
            return await tcp("198.51.100.1", 80);
          }).toString(),
          all,
        );
        const [sent, hello, most] = (await both) as [number, string, number];
        expect([sent, hello]).toEqual([5000, `hello from ${PACKAGES}`]);
        // so many are waited for, and no more
        expect(most).toBeGreaterThan(descriptors + 200);
        expect(most).toBeLessThan(descriptors + 1200);
        await Bun.sleep(200 * SLOW);
        expect(world.traces().descriptors).toBeLessThan(descriptors + 64);
      });
    });

    const noPasta = reason ?? (Bun.which("pasta") === null ? "there is no pasta" : undefined);
    if (user === undefined)
      it("pasta is none of root's", async () => {
        const run = world.on(({ Sandbox: Box }) => Box.run(["true"], { network: "pasta" }));
        expect(run).rejects.toMatchObject({ code: "invalid_option", hint: "network: {}" });
        await run.catch(() => {});
      });
    else
      testUnless(noPasta, "pasta is another way out, where it is asked for, and ends with the sandbox", async () => {
        const running = () =>
          Bun.spawnSync(["pgrep", "-fc", "-U", String(user), "^pasta --foreground"])
            .stdout.toString()
            .trim();
        const { result, seen } = await run(({ tcp }: Inside) => tcp("198.51.100.1", 80), [], { network: "pasta" });
        expect(result).toBe(`hello from ${PACKAGES}`);
        expect(seen).toEqual([`tcp ${PACKAGES}:80`]);
        for (let turn = 0; turn < 50 && running() !== "0"; turn++) await Bun.sleep(20);
        expect(running()).toBe("0");
        // the control: it is seen while it runs
        const later = run(({ sleep }: Inside) => sleep(1500), [], { network: "pasta" });
        let most = "0";
        for (let turn = 0; turn < 200 && most === "0"; turn++) await Bun.sleep(10).then(() => (most = running()));
        await later;
        // it may be seen while it forks
        expect(Number(most)).toBeGreaterThan(0);
      });

    it("ports are this machine's own unless an address is given, and go with the sandbox", async () => {
      const serve = "const s = require('net').createServer((c) => c.end('inside\\n')).listen(8000, '127.0.0.1')";
      await world.on(async ({ Sandbox: Box, kept }, script) => {
        const box = await Box.create({ runtime: true, ports: ["8080:8000", "0.0.0.0:8081:8000"] });
        kept["box"] = box;
        box.spawn(["bun", "-e", script], { stderr: "inherit" });
        const net = await import("node:net");
        for (let turn = 0; turn < 50; turn++) {
          const answer = await new Promise((resolve) => {
            const socket = net.connect(8080, "127.0.0.1");
            socket.on("data", (data) => resolve(String(data)));
            socket.on("error", () => resolve(""));
            socket.on("close", () => resolve(""));
          });
          if (answer === "inside\n") return;
          await new Promise((resolve) => setTimeout(resolve, 100));
        }
        throw new Error("nobody answers at 127.0.0.1:8080");
      }, serve);
      expect(await ask(HOST, 8080)).toBe("ECONNREFUSED");
      expect(await ask(HOST, 8081)).toBe("inside");
      await world.on(({ kept }) => (kept["box"] as Sandbox).stop());
      expect(await ask(HOST, 8081)).toBe("ECONNREFUSED");
    });
  });
}

const ask = (host: string, port: number) =>
  new Promise<string>((resolve) => {
    const socket = connect({ host, port, timeout: 3000 });
    socket.on("data", (data) => resolve(String(data).trim()));
    socket.on("error", (error) => resolve((error as { code?: string }).code ?? ""));
    socket.on("timeout", () => resolve("timeout"));
  });

testUnless(
  noGateway ?? noBusybox,
  "a read-only root filesystem without an /etc/resolv.conf has a resolver all the same",
  async () => {
    using rootfs = makeRootfs();
    const cat = ["/bin/busybox", "cat", "/etc/resolv.conf"];
    const options = { rootfs: rootfs.path, security: { readOnly: true } };
    // the control: without a policy there is none
    expect((await Sandbox.run(cat, options)).stderr).toInclude("No such file");
    const { stdout, stderr } = await Sandbox.run(cat, { ...options, network: { allow: [] } });
    expect({ stdout, stderr }).toEqual({ stdout: "nameserver 198.19.0.1\n", stderr: "" });
  },
);

describe("ports", () => {
  testUnless(noSandbox, "that somebody has are told, with who; what was made for them is gone", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    const { port } = server.address() as { port: number };
    const failed = Sandbox.create({ ports: ["0:1", `${port}:80`].slice(1) });
    expect(failed).rejects.toMatchObject({
      code: "limit_unavailable",
      message: `publish "127.0.0.1:${port}/tcp": port is already allocated`,
      hint: expect.stringContaining("has it"),
    });
    await failed.catch(() => {});
    server.close();
  });

  testUnless(noSandbox, "that are none are an error", async () => {
    for (const ports of [["x"], ["80/sctp"], ["1:2:3:4"], ["70000:1"], "80", [80]] as never[])
      expect(Sandbox.create({ ports })).rejects.toMatchObject({ code: "invalid_option" });
    expect(Sandbox.create({ ports: ["80"], network: "host" })).rejects.toMatchObject({ code: "invalid_option" });
  });

  testUnless(noSandbox, "of UDP lead inside, and answers come back", async () => {
    await using box = await Sandbox.create({ runtime: true, ports: ["7000/udp"] });
    const [published] = box.network.ports;
    expect(published).toMatchObject({ protocol: "udp", host: "127.0.0.1", port: 7000 });
    const script = `const s = require("dgram").createSocket("udp4");
      s.on("message", (m, f) => s.send("inside " + m, f.port, f.address)); s.bind(7000);`;
    box.spawn(["bun", "-e", script]);
    const socket = createSocket("udp4");
    const answer = await new Promise<string>((resolve) => {
      socket.on("message", (message) => resolve(message.toString()));
      socket.on("error", () => {});
      const timer = setInterval(() => socket.send("hello", published?.hostPort, "127.0.0.1"), 100);
      setTimeout(resolve, 10_000 * SLOW, "nothing").unref();
      socket.once("message", () => clearInterval(timer));
    });
    socket.close();
    expect(answer).toBe("inside hello");
  });

  testUnless(noGateway, "are free again when their program is killed", async () => {
    const library = new URL("../lib/index.ts", import.meta.url).pathname;
    const script = `const { Sandbox } = await import(${JSON.stringify(library)});
      const box = await Sandbox.create({ ports: ["1"], network: {} });
      console.log(JSON.stringify([box.pid, box.network.ports[0].hostPort])); await new Promise(() => {});`;
    const program = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe", stderr: "inherit" });
    const { value } = await program.stdout.getReader().read();
    const [pid, port] = JSON.parse(new TextDecoder().decode(value)) as [number, number];
    program.kill(9);
    await program.exited;
    for (let turn = 0; turn < 100 && Bun.spawnSync(["test", "-d", `/proc/${pid}`]).exitCode === 0; turn++)
      await Bun.sleep(20);
    expect(Bun.spawnSync(["test", "-d", `/proc/${pid}`]).exitCode).toBe(1);
    expect(await ask("127.0.0.1", port)).toBe("ECONNREFUSED");
  });
});
