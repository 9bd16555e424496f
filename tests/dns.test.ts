/** The domain name system, read and written: tables, and hostile packets. @module */
import { describe, expect, test } from "bun:test";
import { parseSubnet } from "../lib/ip/index.ts";
import {
  addressOfReverse,
  answeredAddresses,
  answerFrom,
  Cache,
  encodeName,
  HEADER_BYTES,
  RCODE,
  readName,
  readQuery,
  readRecord,
  readReply,
  reverseName,
  TC,
  TYPE,
  upstreamOf,
  upstreamsIn,
  writeResponse,
  Zone,
  type Query,
} from "../lib/dns/index.ts";
import { ask, record, reply } from "./support/dns-messages.ts";

const query = (name: string, type: number = TYPE.A): Query => readQuery(ask(name, type)) as Query;

describe("a name", () => {
  test.each<[text: string, bytes: number[] | undefined]>([
    ["", [0]],
    [".", [0]],
    ["a", [1, 97, 0]],
    ["web.net.", [3, 119, 101, 98, 3, 110, 101, 116, 0]],
    ["a\\.b", [3, 97, 46, 98, 0]],
    ["\\000\\255", [2, 0, 255, 0]],
    ["a..b", undefined],
    [".a", undefined],
    ["é", undefined],
    ["\\256", undefined],
    ["x".repeat(63), [63, ...Array.from({ length: 63 }, () => 120), 0]],
    ["x".repeat(64), undefined],
    [Array.from({ length: 127 }, () => "a").join("."), [...Array.from({ length: 127 }, () => [1, 97]).flat(), 0]],
    [Array.from({ length: 128 }, () => "a").join("."), undefined],
  ])("%p is written", (text, bytes) => {
    expect(encodeName(text)).toEqual(bytes && Uint8Array.from(bytes));
    if (bytes) expect(readName(Uint8Array.from(bytes), 0, bytes.length)?.name).toBe(text.replace(/\.$/, ""));
  });

  test.each<[what: string, bytes: number[], at: number, name: string | undefined]>([
    ["in capitals is in small letters", [2, 65, 90, 0], 0, "az"],
    ["may go on elsewhere", [1, 97, 0, 1, 98, 0xc0, 0], 3, "b.a"],
    ["goes on elsewhere twice", [1, 97, 0, 1, 98, 0xc0, 0, 1, 99, 0xc0, 3], 7, "c.b.a"],
    ["that goes on in itself is none", [1, 97, 0xc0, 0], 0, undefined],
    ["that goes on where it begins is none", [0xc0, 0], 0, undefined],
    ["that goes on behind itself is none", [0xc0, 3, 0, 1, 97, 0], 0, undefined],
    ["in a circle is none", [1, 97, 0xc0, 4, 1, 98, 0xc0, 0], 4, undefined],
    ["that is cut off is none", [3, 97, 98], 0, undefined],
    ["without an end is none", [1, 97], 0, undefined],
    ["with half a pointer is none", [1, 97, 0xc0], 0, undefined],
    ["with a label of another kind is none", [0x41, 97, 0], 0, undefined],
    ["of 256 bytes is none", [...Array.from({ length: 128 }, () => [1, 97]).flat(), 0], 0, undefined],
  ])("%s", (_, bytes, at, name) => {
    expect(readName(Uint8Array.from(bytes), at, bytes.length)?.name).toBe(name);
  });

  test.each([
    ["172.18.0.2", "2.0.18.172.in-addr.arpa"],
    ["fd00::1", `1.${"0.".repeat(29)}d.f.ip6.arpa`],
  ])("of the address %s", (text, name) => {
    const { address } = upstreamOf(text) as { address: Uint8Array };
    expect(reverseName(address)).toBe(name);
    expect(addressOfReverse(name)).toEqual(address);
  });

  test.each([
    "18.172.in-addr.arpa",
    "1.2.3.256.in-addr.arpa",
    "01.2.3.4.in-addr.arpa",
    "x.ip6.arpa",
    "in-addr.arpa",
    "a.b",
  ])("%s is of no address", (name) => expect(addressOfReverse(name)).toBeUndefined());
});

describe("a question", () => {
  test("is read with what its asker can do", () => {
    expect(readQuery(ask("Web.Example", TYPE.AAAA, { id: 7 }))).toMatchObject({
      id: 7,
      name: "web.example",
      type: TYPE.AAAA,
      class: 1,
      sizeBytes: 512,
      edns: false,
    });
    const modern = ask("a", TYPE.A, { additional: [record("", TYPE.OPT, new Uint8Array(0), 0x8000, 4096)] });
    expect(readQuery(modern)).toMatchObject({ edns: true, dnssecOk: true, sizeBytes: 1232 });
  });

  const opt = (ttl = 0, size = 1232) => record("", TYPE.OPT, new Uint8Array(0), ttl, size);
  test.each<[what: string, message: Uint8Array, rcode: number | undefined]>([
    ["shorter than its header", new Uint8Array(11), undefined],
    ["that is an answer", ask("a", TYPE.A, { flags: 0x8000 }), undefined],
    ["of another kind", ask("a", TYPE.A, { flags: 0x2800 }), RCODE.NOTIMP],
    ["with none in it", ask("a", TYPE.A, { questions: 0 }), RCODE.FORMERR],
    ["with two", ask("a", TYPE.A, { questions: 2 }), RCODE.FORMERR],
    ["with more than there are bytes", ask("a", TYPE.A, { questions: 0xffff }), RCODE.FORMERR],
    ["that is cut off", ask("abc", TYPE.A).subarray(0, 18), RCODE.FORMERR],
    ["with an answer in it", ask("a", TYPE.A, { answers: 1 }), RCODE.FORMERR],
    ["with records that are not there", ask("a", TYPE.A, { additional: [], claimed: 5 }), RCODE.FORMERR],
    ["with a great many records", ask("a", TYPE.A, { additional: [], claimed: 0xffff }), RCODE.FORMERR],
    ["that says twice what it can do", ask("a", TYPE.A, { additional: [opt(), opt()] }), RCODE.FORMERR],
    ["of another version of EDNS", ask("a", TYPE.A, { additional: [opt(0x10000)] }), RCODE.BADVERS],
  ])("%s is refused, or not answered", (_, message, rcode) => {
    const read = readQuery(message);
    expect(read && "rcode" in read ? read.rcode : read).toBe(rcode);
  });
});

describe("a zone", () => {
  const bytes = (text: string) => (upstreamOf(text) as { address: Uint8Array }).address;
  const host = (names: string[], ...addresses: string[]) => ({ names, addresses: addresses.map(bytes) });
  const subnets = ["172.18.0.0/16", "fd00:18::/64"].map(parseSubnet);
  const front = new Zone("front", subnets, [
    host(["web1", "web", "ab12"], "172.18.0.2", "fd00:18::2"),
    host(["web2", "web"], "172.18.0.3"),
    host(["Odd_Name.with.dots", "not a name\n", ""], "172.18.0.4"),
  ]);
  const back = new Zone(
    "back",
    [parseSubnet("172.19.0.0/16")],
    [host(["web"], "172.19.0.2"), host(["db"], "172.19.0.3")],
  );
  const found = (zones: Zone[], name: string, type: number = TYPE.A) => {
    const response = answerFrom(zones, query(name, type));
    if (!response) return undefined;
    const text = (data: Uint8Array) =>
      data.length <= 4 ? data.join(".") : (readName(data, 0, data.length)?.name ?? "");
    const { rcode, answers = [], first = 0 } = response;
    return rcode === 0 ? [...answers.slice(first), ...answers.slice(0, first)].map(({ data }) => text(data)) : rcode;
  };

  test.each<[name: string, type: number, expected: string[] | number | undefined]>([
    ["web1", TYPE.A, ["172.18.0.2"]],
    ["WEB1", TYPE.A, ["172.18.0.2"]],
    ["ab12", TYPE.A, ["172.18.0.2"]],
    ["web1.front", TYPE.A, ["172.18.0.2"]],
    ["odd_name.with.dots", TYPE.A, ["172.18.0.4"]],
    ["web2", TYPE.AAAA, []],
    ["web1", TYPE.MX, []],
    ["web1", TYPE.PTR, []],
    ["web1.back", TYPE.A, undefined],
    ["db", TYPE.A, undefined],
    ["example.com", TYPE.A, undefined],
    ["2.0.18.172.in-addr.arpa", TYPE.PTR, ["web1.front"]],
    ["2.0.18.172.in-addr.arpa", TYPE.A, []],
    ["9.0.18.172.in-addr.arpa", TYPE.PTR, RCODE.NXDOMAIN],
    ["9.0.19.172.in-addr.arpa", TYPE.PTR, undefined],
    [reverseName(bytes("fd00:18::2")), TYPE.PTR, ["web1.front"]],
    ["example.com", TYPE.AXFR, RCODE.NOTIMP],
    ["web1", TYPE.AXFR, []],
  ])("is asked for %s of type %d", (name, type, expected) => {
    expect(found([front], name, type)).toEqual(expected as never);
  });

  test("answers with all of a service, one after the other first", () => {
    const [a, b, c] = [found([front], "web"), found([front], "web"), found([front], "web")] as [
      string[],
      string[],
      string[],
    ];
    expect(a.toSorted()).toEqual(["172.18.0.2", "172.18.0.3"]);
    expect(b).toEqual(a.toReversed());
    expect(c).toEqual(a);
  });

  test("is asked before those behind it", () => {
    expect(found([front, back], "db")).toEqual(["172.19.0.3"]);
    expect(found([back, front], "web")).toEqual(["172.19.0.2"]);
  });
});

describe("an answer", () => {
  const many = Array.from({ length: 100 }, (_, index) => ({
    type: TYPE.A,
    ttl: 70_000,
    data: Uint8Array.of(10, 0, 0, index),
  }));
  const written = (asked: Uint8Array, response: Parameters<typeof writeResponse>[4], limit: number) => {
    const out = new Uint8Array(70_000).fill(0xee);
    const read = readQuery(asked) as Query;
    return out.slice(
      5,
      5 +
        writeResponse(
          out,
          5,
          asked,
          "rcode" in read ? (read as never as { query: Query }).query : read,
          response,
          limit,
        ),
    );
  };

  test("is one to the question, and is read again", () => {
    const asked = ask("Web", TYPE.A, { id: 77 });
    const message = written(asked, { rcode: 0, answers: many.slice(0, 3), first: 1 }, 512);
    const read = readReply(message, asked, (readQuery(asked) as Query).end);
    expect(read).toMatchObject({ rcode: 0, isCut: false, ttl: 70_000 });
    expect(answeredAddresses(message)?.addresses.map(({ address }) => address[3])).toEqual([1, 2, 0]);
    expect(answeredAddresses(message)?.name).toBe("web");
  });

  test("has what fits into it, and says that there is more", () => {
    const asked = ask("web", TYPE.A);
    const message = written(asked, { rcode: 0, answers: many }, 512);
    expect(message.length).toBeLessThanOrEqual(512);
    expect(new DataView(message.buffer).getUint16(2) & TC).toBe(TC);
    const whole = written(asked, { rcode: 0, answers: many }, 65_535);
    expect(answeredAddresses(whole)?.addresses).toHaveLength(100);
  });

  test("to what was not understood has nothing of it", () => {
    const message = written(ask("a", TYPE.A, { questions: 9 }), { rcode: RCODE.FORMERR }, 512);
    expect(message).toHaveLength(HEADER_BYTES);
    expect(Array.from(message.subarray(4))).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
  });
});

describe("what another server answers", () => {
  const asked = ask("wEb.ExAmple", TYPE.A, { id: 99 });
  const { end } = readQuery(asked) as Query;
  const a = record("web.example", TYPE.A, Uint8Array.of(1, 2, 3, 4), 60);
  test.each<[what: string, message: Uint8Array, read: ReturnType<typeof readReply> | object]>([
    ["is taken", reply(asked, { answers: [a] }), { rcode: 0, ttl: 60, isCut: false }],
    ["with another id", reply(asked, { id: 98, answers: [a] }), "another"],
    ["with other letters", reply(ask("web.example", TYPE.A, { id: 99 }), { answers: [a] }), "another"],
    ["of another type", reply(ask("wEb.ExAmple", TYPE.AAAA, { id: 99 }), { answers: [a] }), "another"],
    ["that is a question", asked, "another"],
    ["of no question", reply(asked, { questions: 0, answers: [a] }), "another"],
    ["with records that are not there", reply(asked, { answers: [a], claimed: 3 }), "broken"],
    ["that is cut off", reply(asked, { answers: [a] }).subarray(0, end + 5), "broken"],
    [
      "that says it is cut off",
      reply(asked, { flags: 0x8380, answers: [a] }).subarray(0, end + 5),
      { isCut: true, ttl: 0 },
    ],
    [
      "that holds for ever",
      reply(asked, { answers: [record("web.example", TYPE.A, Uint8Array.of(1, 2, 3, 4), 2 ** 31 - 1)] }),
      { ttl: 86_400 },
    ],
    [
      "with a time below zero",
      reply(asked, { answers: [record("web.example", TYPE.A, Uint8Array.of(1, 2, 3, 4), 2 ** 31)] }),
      { ttl: 0 },
    ],
    ["that there is nobody, for ever", reply(asked, { rcode: 3 }), { rcode: 3, ttl: 0 }],
  ])("%s", (_, message, read) => {
    const got = readReply(message, asked, end);
    if (typeof read === "string") expect(got).toBe(read);
    else expect(got).toMatchObject(read);
  });

  test("that there is nobody holds as long as its authority says", () => {
    const soa = Uint8Array.from([0, 0, ...Array.from({ length: 16 }, () => 0), 0, 0, 0, 30]);
    const message = reply(asked, { rcode: 3, authorities: [record("example", TYPE.SOA, soa, 600)] });
    expect(readReply(message, asked, end)).toMatchObject({ rcode: 3, ttl: 30 });
  });

  test("gives addresses to what was asked for, by its other names as well, and to nothing else", () => {
    const alias = record("web.example", TYPE.CNAME, encodeName("cdn.example") as Uint8Array, 30);
    const theirs = record("cdn.example", TYPE.A, Uint8Array.of(5, 5, 5, 5), 300);
    const bank = record("bank.example", TYPE.A, Uint8Array.of(6, 6, 6, 6), 300);
    const odd = record("web.example", TYPE.A, Uint8Array.of(6, 6, 6), 300);
    expect(answeredAddresses(reply(asked, { answers: [bank, theirs, alias, odd] }))).toEqual({
      name: "web.example",
      addresses: [{ address: Uint8Array.of(5, 5, 5, 5), ttl: 30 }],
    });
    const circle = record("cdn.example", TYPE.CNAME, encodeName("web.example") as Uint8Array, 30);
    expect(answeredAddresses(reply(asked, { answers: [alias, circle] }))?.addresses).toEqual([]);
  });
});

test("the cache keeps answers as long as they hold, and forgets those that nobody asks for", () => {
  const cache = new Cache();
  const message = reply(ask("a", TYPE.A), { answers: [record("a", TYPE.A, Uint8Array.of(1, 1, 1, 1), 10)] });
  const read = readReply(message, ask("a", TYPE.A), (readQuery(ask("a", TYPE.A)) as Query).end) as Exclude<
    ReturnType<typeof readReply>,
    string
  >;
  cache.put("a", message, read, 0);
  const ttl = (now: number) => {
    const found = cache.get("a", now);
    return found && readRecord(found, 19, found.length)?.ttl;
  };
  expect([ttl(0), ttl(3999), ttl(9999), ttl(10_000)]).toEqual([10, 7, 1, undefined]);
  cache.put("kept", message, read, 0);
  for (let index = 0; index < 10_000; index++) {
    cache.put(`other ${index}`, message, read, 0);
    if (index % 1000 === 0) expect(cache.get("kept", 0)).toBeDefined();
  }
  expect(cache.get("other 0", 0)).toBeUndefined();
  expect(cache.get("other 9999", 0)).toBeDefined();
  expect(cache.sizeBytes).toBeLessThan(2 * 2 ** 20);
  cache.put("never", message, { ...read, ttl: 0 }, 0);
  expect(cache.get("never", 0)).toBeUndefined();
});

test.each<[text: string, servers: string[]]>([
  ["nameserver 10.0.0.1\n#nameserver 10.0.0.2\n nameserver\tfd00::1 # here\n", ["10.0.0.1", `fd00::1`]],
  ["nameserver fe80::1%eth0\nnameserver nonsense\noptions edns0", ["fe80::1%eth0"]],
  ["", ["127.0.0.1"]],
  ["nameserver 1.1.1.1\nnameserver 1.1.1.2\nnameserver 1.1.1.3\nnameserver 1.1.1.4", ["1.1.1.1", "1.1.1.2", "1.1.1.3"]],
])("the servers of %p", (text, servers) => {
  expect(upstreamsIn(text)).toEqual(servers.map((server) => upstreamOf(server)) as never);
});

describe("hostile bytes", () => {
  /** The same each time. */
  function* numbers(seed: number): Generator<number, never> {
    for (let state = seed; ;) yield ((state = (Math.imul(state, 1664525) + 1013904223) >>> 0) >>> 8) & 0xffff;
  }

  test("of any kind are read to an end, and answered by what fits", () => {
    const zone = new Zone("n", [], [{ names: ["web"], addresses: [Uint8Array.of(10, 0, 0, 1)] }]);
    const seeds = [
      ask("web", TYPE.A, { additional: [record("", TYPE.OPT, Uint8Array.of(0, 10, 0, 2, 1, 1), 0x8000, 4096)] }),
      reply(ask("web", TYPE.A), {
        answers: [
          record("web", TYPE.CNAME, encodeName("a.b") as Uint8Array, 5),
          record("a.b", TYPE.A, Uint8Array.of(1, 1, 1, 1), 5),
        ],
        authorities: [record("b", TYPE.SOA, new Uint8Array(22), 5)],
      }),
    ];
    const random = numbers(20261126);
    const next = (below: number) => random.next().value % below;
    let [queries, replies] = [0, 0];
    const out = new Uint8Array(2048);
    for (let turn = 0; turn < 60_000; turn++) {
      const seed = seeds[turn % 2] as Uint8Array;
      const message = seed.slice(0, turn % 5 === 0 ? next(seed.length + 1) : seed.length);
      for (let change = 1 + next(4); change > 0 && message.length > 0; change--) {
        const values = [0, 0xc0, 0xff, 0x3f, 0x40, next(256)];
        message[next(message.length)] = values[next(values.length)] as number;
      }
      const read = readQuery(message);
      if (read) {
        queries++;
        const [asked, response] =
          "rcode" in read ? [read.query, { rcode: read.rcode }] : [read, answerFrom([zone], read) ?? { rcode: 2 }];
        const length = writeResponse(out, 0, message, asked, response, asked.sizeBytes);
        expect(length).toBeLessThanOrEqual(512 + 11);
      }
      if (readReply(message, message, HEADER_BYTES) !== "another") replies++;
      answeredAddresses(message);
    }
    expect(queries).toBeGreaterThan(10_000);
    expect(replies).toBeGreaterThan(1000);
  });
});
