/** The server for names, and those that it asks: real sockets on the loopback interface, some of them hostile. @module */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { parseSubnet } from "../lib/ip/index.ts";
import {
  answeredAddresses,
  Forwarder,
  NameServer,
  RCODE,
  readName,
  readQuery,
  Resolver,
  TC,
  TYPE,
  Zone,
  type Asker,
  type Query,
  type Upstream,
} from "../lib/dns/index.ts";
import { Loop } from "../lib/loop/index.ts";
import { bindSocket, listenSocket, localAddress, openSocket } from "../syscalls/index.ts";
import { ask, record, reply } from "./support/dns-messages.ts";

const LOOPBACK = Uint8Array.of(127, 0, 0, 1);

/** Another server, which answers what it is told to: messages, or nothing. */
interface Other extends AsyncDisposable {
  upstream: Upstream;
  udp: Uint8Array[];
  tcp: Uint8Array[];
}

type Answers = (asked: Uint8Array, by: "udp" | "tcp") => Uint8Array[];

async function other(answers: Answers): Promise<Other> {
  const [udp, tcp]: [Uint8Array[], Uint8Array[]] = [[], []];
  const listener = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data(socket, data) {
        const asked = new Uint8Array(data).slice(2);
        tcp.push(asked);
        for (const message of answers(asked, "tcp")) socket.write(framed(message));
      },
    },
  });
  const server = await Bun.udpSocket({
    hostname: "127.0.0.1",
    port: listener.port, // there are more of TCP that somebody has
    socket: {
      data(socket, data, port, address) {
        const asked = new Uint8Array(data);
        udp.push(asked);
        for (const message of answers(asked, "udp")) socket.send(message, port, address);
      },
    },
  });
  return {
    upstream: { address: LOOPBACK, port: server.port },
    udp,
    tcp,
    [Symbol.asyncDispose]: async () => {
      server.close();
      listener.stop(true);
    },
  };
}

const framed = (message: Uint8Array) => Uint8Array.from([message.length >> 8, message.length & 0xff, ...message]);
const endOf = (asked: Uint8Array) => (readQuery(asked) as Query).end;
/** An answer to what was asked, without EDNS. */
const answer = (asked: Uint8Array, name: string, ...last: number[]) =>
  reply(asked.slice(0, endOf(asked)), {
    answers: last.map((each) => record(name, TYPE.A, Uint8Array.of(10, 9, 8, each), 60)),
  });

describe("the server", () => {
  const loop = new Loop();
  const forwarder = new Forwarder(loop);
  const resolver = new Resolver(forwarder);
  const zone = new Zone(
    "net",
    [parseSubnet("10.0.0.0/24")],
    [
      { names: ["web"], addresses: [Uint8Array.of(10, 0, 0, 1)] },
      ...Array.from({ length: 120 }, (_, index) => ({ names: ["many"], addresses: [Uint8Array.of(10, 0, 1, index)] })),
    ],
  );
  let asker: Asker | undefined;
  const server = new NameServer(loop, resolver, () => asker);
  let port = 0;
  let isOver = false;

  beforeAll(() => {
    const [udp, tcp] = [openSocket("udp", 4), openSocket("tcp", 4)];
    expect(bindSocket(udp, { address: LOOPBACK, port: 0 })).toBe(0);
    port = localAddress(udp)?.port ?? 0;
    expect(bindSocket(tcp, { address: LOOPBACK, port })).toBe(0);
    expect(listenSocket(tcp, 16)).toBe(0);
    server.serve("net", { udp: [udp], tcp: [tcp] });
    void (async () => {
      // its loop and this one take turns
      for (; !isOver; await new Promise((resolve) => setTimeout(resolve, 1))) loop.turn(0);
    })();
  });
  afterAll(() => {
    isOver = true;
    server[Symbol.dispose]();
    forwarder[Symbol.dispose]();
    loop[Symbol.dispose]();
  });

  const from = (zones: Zone[], ...upstreams: Upstream[]) => void (asker = { zones, upstreams });

  async function byUdp(...messages: Uint8Array[]): Promise<Uint8Array> {
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
    const socket = await Bun.udpSocket({
      connect: { hostname: "127.0.0.1", port },
      socket: { data: (_, data) => resolve(new Uint8Array(data)) },
    });
    const late = setTimeout(() => reject(new Error("no answer")), 9000);
    for (const message of messages) socket.send(message);
    return promise.finally(() => (clearTimeout(late), socket.close()));
  }

  /** All that comes, until so many bytes are there or it ends. */
  async function byTcp(sent: Uint8Array, enough: number): Promise<Uint8Array> {
    const { promise, resolve } = Promise.withResolvers<Uint8Array>();
    let got = new Uint8Array(0);
    const socket = connect(port, "127.0.0.1", () => socket.write(sent));
    socket.on("data", (data) => {
      got = Uint8Array.from([...got, ...data]);
      if (got.length >= enough) resolve(got);
    });
    socket.on("error", () => resolve(got)).on("close", () => resolve(got));
    return promise.finally(() => socket.destroy());
  }

  const rcodeOf = (message: Uint8Array) => (message[3] as number) & 0xf;
  const lastOf = (message: Uint8Array) => answeredAddresses(message)?.addresses.map(({ address }) => address[3]);

  test("answers what it knows, by datagrams and by connections", async () => {
    from([zone]);
    expect(lastOf(await byUdp(ask("web", TYPE.A, { id: 5 })))).toEqual([1]);
    const cut = await byUdp(ask("many", TYPE.A));
    expect(cut.length).toBeLessThanOrEqual(512);
    expect(new DataView(cut.buffer).getUint16(2) & TC).toBe(TC);
    const whole = await byTcp(framed(ask("many", TYPE.A)), 1900);
    expect(lastOf(whole.subarray(2))).toHaveLength(120);
  });

  test("asks nobody else where there is nobody", async () => {
    from([zone]);
    expect(rcodeOf(await byUdp(ask("example.com", TYPE.A)))).toBe(RCODE.SERVFAIL);
  });

  test("gives nothing to whom it does not know", async () => {
    asker = undefined;
    expect(await byTcp(framed(ask("web", TYPE.A)), 1)).toHaveLength(0);
    // the same question, of whom it knows
    from([zone]);
    expect((await byTcp(framed(ask("web", TYPE.A)), 20)).length).toBeGreaterThan(20);
  });

  test("passes on what it does not know, in a way that nobody can guess, and remembers the answer", async () => {
    await using upstream = await other((asked) => [answer(asked, "www.example.com", 7)]);
    from([zone], upstream.upstream);
    for (const id of [11, 12, 13]) {
      const message = await byUdp(ask("WWW.example.com", TYPE.A, { id }));
      expect(lastOf(message)).toEqual([7]);
      expect(new DataView(message.buffer).getUint16(0)).toBe(id);
      // as it was asked, not as it was passed on
      expect(Buffer.from(message.subarray(13, 16)).toString()).toBe("WWW");
    }
    expect(upstream.udp).toHaveLength(1);
    const sent = new Set<string>();
    for (let index = 0; index < 8; index++) {
      await byUdp(ask(`a-long-name-${index}.example.com`, TYPE.A, { id: 1 }));
      const message = upstream.udp.at(-1) as Uint8Array;
      sent.add(`${message[0]} ${message[1]}`);
      expect(readName(message, 12, message.length)?.name).toBe(`a-long-name-${index}.example.com`);
      expect(Buffer.from(message.subarray(12)).toString("latin1")).toMatch(/[A-Z]/);
    }
    expect(sent.size).toBeGreaterThan(6);
  });

  test("asks once for many, and not what one list has said to askers of another", async () => {
    await using first = await other((asked) => [answer(asked, "poisoned.example", 66)]);
    await using second = await other((asked) => [answer(asked, "poisoned.example", 1)]);
    from([], first.upstream);
    const all = await Promise.all(Array.from({ length: 5 }, (_, id) => byUdp(ask("poisoned.example", TYPE.A, { id }))));
    expect(all.map(lastOf)).toEqual(Array.from({ length: 5 }, () => [66]));
    expect(first.udp).toHaveLength(1);
    from([], second.upstream);
    expect(lastOf(await byUdp(ask("poisoned.example", TYPE.A)))).toEqual([1]);
  });

  describe("believes nobody who guesses:", () => {
    const evil = (asked: Uint8Array) => answer(asked, "bank.example", 66);
    const withLetters = (asked: Uint8Array, change: (byte: number) => number) => {
      const message = asked.slice();
      for (let at = 13; at < endOf(asked) - 5; at++)
        if (message[at] !== undefined && (message[at] as number) > 64) message[at] = change(message[at] as number);
      return message;
    };
    test.each<[what: string, guess: (asked: Uint8Array) => Uint8Array]>([
      [
        "another id",
        (asked) => evil(Uint8Array.from([asked[0] as number, (asked[1] as number) ^ 1, ...asked.subarray(2)])),
      ],
      ["letters of another size", (asked) => evil(withLetters(asked, (byte) => byte ^ 0x20))],
      ["another question", (asked) => evil(Uint8Array.from([...asked.subarray(0, endOf(asked) - 3), 28, 0, 1]))],
      ["a message that is broken", (asked) => evil(asked).subarray(0, -3)],
      ["no answer at all", (asked) => asked],
    ])("%s", async (what, guess) => {
      const name = `${what.replaceAll(" ", "-")}.bank.example`;
      await using upstream = await other((asked, by) => [
        ...(by === "udp" ? Array.from({ length: 3 }, () => guess(asked)) : []),
        answer(asked, name, 1),
      ]);
      from([], upstream.upstream);
      expect(lastOf(await byUdp(ask(name, TYPE.A)))).toEqual([1]);
    });

    test("whoever knows id and letters is believed", async () => {
      await using upstream = await other((asked) => [
        answer(asked, "known.example", 66),
        answer(asked, "known.example", 1),
      ]);
      from([], upstream.upstream);
      expect(lastOf(await byUdp(ask("known.example", TYPE.A)))).toEqual([66]);
    });

    test("somebody else's address", async () => {
      const guessed: string[] = [];
      let real: Uint8Array | undefined;
      const liar = await Bun.udpSocket({ hostname: "127.0.0.2", socket: { error: () => {} } });
      const relay = await Bun.udpSocket({
        hostname: "127.0.0.1",
        socket: {
          data(socket, data, theirs, address) {
            real = new Uint8Array(data);
            guessed.push(`${theirs}`);
            liar.send(answer(real, "else.example", 66), theirs, address);
            setTimeout(() => socket.send(answer(real as Uint8Array, "else.example", 1), theirs, address), 100);
          },
        },
      });
      from([], { address: LOOPBACK, port: relay.port });
      expect(lastOf(await byUdp(ask("else.example", TYPE.A)))).toEqual([1]);
      expect(guessed).toHaveLength(1);
      liar.close();
      relay.close();
    });
  });

  test("goes on by TCP where an answer is cut off, and cuts it off itself for who asks by UDP", async () => {
    const last = Array.from({ length: 100 }, (_, index) => index);
    await using upstream = await other((asked, by) =>
      by === "tcp"
        ? [answer(asked, "long.example", ...last)]
        : [reply(asked.slice(0, endOf(asked)), { flags: 0x8380 })],
    );
    from([], upstream.upstream);
    const cut = await byUdp(ask("long.example", TYPE.A));
    expect(new DataView(cut.buffer).getUint16(2) & TC).toBe(TC);
    const whole = await byTcp(framed(ask("long.example", TYPE.A)), 1600);
    expect(lastOf(whole.subarray(2))).toEqual(last);
    // the answer was kept
    expect(upstream.tcp).toHaveLength(1);
  });

  test("asks the next where one is silent, refuses, or is not there", async () => {
    await using silent = await other(() => []);
    await using refuses = await other((asked) => [reply(asked.slice(0, endOf(asked)), { rcode: RCODE.REFUSED })]);
    await using good = await other((asked) => [answer(asked, "next.example", 1)]);
    const gone = await other(() => []);
    await gone[Symbol.asyncDispose]();
    from([], gone.upstream, refuses.upstream, silent.upstream, good.upstream);
    expect(lastOf(await byUdp(ask("next.example", TYPE.A)))).toEqual([1]);
    // who has answered is asked first the next time
    const begin = performance.now();
    await byUdp(ask("again.example", TYPE.A));
    expect(performance.now() - begin).toBeLessThan(900);
    from([], refuses.upstream);
    expect(rcodeOf(await byUdp(ask("refused.example", TYPE.A)))).toBe(RCODE.REFUSED);
    from([], gone.upstream);
    expect(rcodeOf(await byUdp(ask("gone.example", TYPE.A)))).toBe(RCODE.SERVFAIL);
  }, 20_000);

  test("takes many questions of one connection, and gives up those that never read", async () => {
    from([zone]);
    const one = framed(ask("web", TYPE.A, { id: 1 }));
    const all = await byTcp(Uint8Array.from(Array.from({ length: 5000 }, () => [...one]).flat()), 5000 * 39);
    expect(all.length).toBe(5000 * (2 + 21 + 16));
    const socket = connect(port, "127.0.0.1");
    socket.pause();
    const large = framed(ask("many", TYPE.A));
    let closed = false;
    socket.on("error", () => {}).on("close", () => (closed = true));
    const flood = Buffer.concat(Array.from({ length: 20_000 }, () => large));
    socket.write(flood);
    // others are served meanwhile
    for (let turn = 0; turn < 5; turn++) expect(lastOf(await byUdp(ask("web", TYPE.A)))).toEqual([1]);
    const before = process.memoryUsage().rss;
    await Bun.sleep(300);
    expect(process.memoryUsage().rss - before).toBeLessThan(32 * 2 ** 20);
    socket.destroy();
    await Bun.sleep(50);
    expect(closed).toBe(true);
  }, 20_000);

  test("ends the conversation with who says nothing that could be answered", async () => {
    from([zone]);
    expect(await byTcp(framed(new Uint8Array(3)), 1)).toHaveLength(0);
    expect(await byTcp(framed(ask("web", TYPE.A, { flags: 0x8000 })), 1)).toHaveLength(0);
  });
});
