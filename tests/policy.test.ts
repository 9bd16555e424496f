/** Network policies as data: what a policy says about a connection, a name, an answer. @module */
import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { formatAddress, parseAddress, type Address } from "../lib/ip/index.ts";
import { Asking, compilePolicy, decide, decideAnswer, decideName, DeniedList, MAX_ASKED } from "../lib/policy/index.ts";
import type { Connection, NetworkPolicy, Verdict } from "../lib/policy/index.ts";

const OWN = ["203.0.113.5", "2001:db8:5::5"];
const isOwn = (address: Address) => OWN.includes(formatAddress(address));

/** `"tcp 192.0.2.1:443 a.example b.example"`. */
function decided(policy: NetworkPolicy, flow: string) {
  const [protocol, destination = "", ...names] = flow.split(" ");
  const [, ip = "", port] = /^(.*):(\d+)$/.exec(destination) ?? [];
  const target = { protocol: protocol as "tcp" | "udp", ip: ip.replace(/^\[|\]$/g, ""), port: Number(port), names };
  return decide(compilePolicy(policy), target, isOwn);
}

const said = (verdict: Verdict | "ask") =>
  verdict === "ask" ? "ask" : `${verdict.allowed ? "yes" : "no"}, ${verdict.rule}`;
const NOTHING = "no, allow: nothing of it matches";

describe("a connection", () => {
  test.each<[NetworkPolicy, string, string]>([
    [{}, "tcp 192.0.2.1:443", "yes, public"],
    [{}, "udp [2001:db8::1]:53", "yes, public"],
    [{ allow: [] }, "tcp 192.0.2.1:443", NOTHING],
    [{ deny: ["192.0.2.0/24"] }, "tcp 192.0.2.1:443", 'no, deny: "192.0.2.0/24"'],
    [{ deny: ["192.0.2.0/24:443"] }, "tcp 192.0.2.1:80", "yes, public"],
    [{ deny: ["192.0.2.0/24:443/udp"] }, "tcp 192.0.2.1:443", "yes, public"],
    [{ deny: ["192.0.2.0/24:443/udp"] }, "udp 192.0.2.1:443", 'no, deny: "192.0.2.0/24:443/udp"'],
    [{ deny: ["*:1-1024"] }, "tcp 192.0.2.1:1024", 'no, deny: "*:1-1024"'],
    [{ deny: ["*:1-1024"] }, "tcp 192.0.2.1:1025", "yes, public"],
    [{ allow: ["192.0.2.1"], deny: ["192.0.2.1"] }, "tcp 192.0.2.1:80", 'no, deny: "192.0.2.1"'],
    // names count for addresses that a resolver has answered them with, and for no others
    [{ allow: ["a.example"] }, "tcp 192.0.2.1:443 a.example", 'yes, allow: "a.example"'],
    [{ allow: ["a.example"] }, "tcp 192.0.2.1:443", NOTHING],
    [{ allow: ["a.example"] }, "tcp 192.0.2.1:443 b.example", NOTHING],
    [{ allow: ["a.example"] }, "tcp 192.0.2.1:443 xa.example", NOTHING],
    [{ allow: ["a.example"] }, "tcp 192.0.2.1:443 a.example.org", NOTHING],
    [{ allow: ["a.example"] }, "tcp 192.0.2.1:443 b.example a.example", 'yes, allow: "a.example"'],
    [{ allow: ["A.Example."] }, "tcp 192.0.2.1:443 a.example", 'yes, allow: "A.Example."'],
    [{ allow: ["bücher.example"] }, "tcp 192.0.2.1:443 xn--bcher-kva.example", 'yes, allow: "bücher.example"'],
    [{ allow: ["*.example.com:443"] }, "tcp 192.0.2.1:443 a.b.example.com", 'yes, allow: "*.example.com:443"'],
    [{ allow: ["*.example.com:443"] }, "tcp 192.0.2.1:80 a.example.com", NOTHING],
    [{ allow: ["*.example.com"] }, "tcp 192.0.2.1:443 example.com", NOTHING],
    [{ allow: ["*.example.com"] }, "tcp 192.0.2.1:443 evilexample.com", NOTHING],
    [{ deny: ["a.example"] }, "tcp 192.0.2.1:443 b.example a.example", 'no, deny: "a.example"'],
    [{ allow: ["*:443"] }, "tcp 192.0.2.1:443", 'yes, allow: "*:443"'],
    [{ allow: ["[2001:db8::/32]:53/udp"] }, "udp [2001:db8:1::1]:53", 'yes, allow: "[2001:db8::/32]:53/udp"'],
    [{ allow: ["2001:db8::1:53"] }, "udp [2001:db8::1:53]:7", 'yes, allow: "2001:db8::1:53"'],
    // what is not public
    [{}, "tcp 127.0.0.1:80", "no, loopback: 127.0.0.0/8"],
    [{}, "tcp 0.0.0.0:80", "no, loopback: 0.0.0.0/8"],
    [{}, "tcp [::1]:80", "no, loopback: ::1/128"],
    [{}, "tcp [::]:80", "no, loopback: ::/128"],
    [{}, "tcp 169.254.169.254:80", "no, metadata: 169.254.169.254/32"],
    [{}, "tcp [fd00:ec2::254]:80", "no, metadata: fd00:ec2::254/128"],
    [{}, "tcp 168.63.129.16:80", "no, metadata: 168.63.129.16/32"],
    [{}, "tcp 169.254.1.1:80", "no, link-local: 169.254.0.0/16"],
    [{}, "tcp [fe80::1]:80", "no, link-local: fe80::/10"],
    [{}, "tcp 10.1.2.3:80", "no, private: 10.0.0.0/8"],
    [{}, "tcp 172.31.255.255:80", "no, private: 172.16.0.0/12"],
    [{}, "tcp 172.32.0.0:80", "yes, public"],
    [{}, "tcp 192.168.0.1:80", "no, private: 192.168.0.0/16"],
    [{}, "tcp [fd12::1]:80", "no, private: fc00::/7"],
    [{}, "tcp 100.64.0.1:80", "no, shared by a provider: 100.64.0.0/10"],
    [{}, "udp 224.0.0.251:5353", "no, multicast: 224.0.0.0/4"],
    [{}, "udp 255.255.255.255:67", "no, broadcast: 255.255.255.255/32"],
    [{}, "udp [ff02::fb]:5353", "no, multicast: ff00::/8"],
    [{}, "tcp 203.0.113.5:22", "no, the host's own: 203.0.113.5/32"],
    [{}, "tcp [2001:db8:5::5]:22", "no, the host's own: 2001:db8:5::5/128"],
    // the same in other clothes
    [{}, "tcp [::ffff:127.0.0.1]:80", "no, loopback: 127.0.0.0/8"],
    [{}, "tcp [::ffff:169.254.169.254]:80", "no, metadata: 169.254.169.254/32"],
    [{}, "tcp [64:ff9b::169.254.169.254]:80", "no, metadata: 169.254.169.254/32"],
    [{}, "tcp [64:ff9b::10.0.0.1]:80", "no, private: 10.0.0.0/8"],
    [{}, "tcp [2002:0a00:0001::]:80", "no, private: 10.0.0.0/8"],
    [{}, "tcp [64:ff9b:1::1]:80", "no, translated: 64:ff9b:1::/48"],
    [{}, "tcp [::10.0.0.1]:80", "no, translated: ::/96"],
    [{}, "tcp [64:ff9b::203.0.113.5]:80", "no, the host's own: 203.0.113.5/32"],
    [{ deny: ["192.0.2.0/24"] }, "tcp [64:ff9b::192.0.2.1]:80", 'no, deny: "192.0.2.0/24"'],
    [{ allow: ["192.0.2.0/24"] }, "tcp [64:ff9b::192.0.2.1]:80", NOTHING],
    [{ allow: ["::ffff:192.0.2.0/120"] }, "tcp 192.0.2.1:80", 'yes, allow: "::ffff:192.0.2.0/120"'],
    // a list that is wider than a range does not mean it; a name does not either
    [{ allow: ["*"] }, "tcp 10.1.2.3:80", "no, private: 10.0.0.0/8"],
    [{ allow: ["0.0.0.0/0"] }, "tcp 10.1.2.3:80", "no, private: 10.0.0.0/8"],
    [{ allow: ["8.0.0.0/6"] }, "tcp 10.1.2.3:80", "no, private: 10.0.0.0/8"],
    [{ allow: ["a.example"] }, "tcp 10.1.2.3:80 a.example", "no, private: 10.0.0.0/8"],
    [{ allow: ["10.0.0.0/8"] }, "tcp 10.1.2.3:80", 'yes, allow: "10.0.0.0/8"'],
    [{ allow: ["10.1.2.3:80"] }, "tcp 10.1.2.3:80", 'yes, allow: "10.1.2.3:80"'],
    [{ allow: ["10.1.2.3:80"] }, "tcp 10.1.2.3:81", "no, private: 10.0.0.0/8"],
    [{ allow: ["*", "10.1.2.3:80"] }, "tcp 10.1.2.3:81", "no, private: 10.0.0.0/8"],
    [{ allow: ["169.254.0.0/16"] }, "tcp 169.254.169.254:80", "no, metadata: 169.254.169.254/32"],
    [{ allow: ["169.254.169.254"] }, "tcp 169.254.169.254:80", 'yes, allow: "169.254.169.254"'],
    [{ allow: ["203.0.113.0/24"] }, "tcp 203.0.113.5:80", "no, the host's own: 203.0.113.5/32"],
    [{ allow: ["203.0.113.5:80"] }, "tcp 203.0.113.5:80", 'yes, allow: "203.0.113.5:80"'],
    // a handler is asked about what the lists let pass
    [{ connect: () => true }, "tcp 192.0.2.1:443", "ask"],
    [{ connect: () => true }, "tcp 127.0.0.1:443", "no, loopback: 127.0.0.0/8"],
    [{ connect: () => true, deny: ["192.0.2.1"] }, "tcp 192.0.2.1:443", 'no, deny: "192.0.2.1"'],
    [{ connect: () => true, allow: ["192.0.2.1"] }, "tcp 192.0.2.1:443", "ask"],
    [{ connect: () => true, allow: ["192.0.2.1"] }, "tcp 192.0.2.2:443", NOTHING],
    // functions in place of servers
    [{ hosts: { "api.internal": answer } }, "tcp 198.18.0.1:80", 'yes, hosts: "api.internal"'],
    [{ hosts: { "api.internal": answer }, allow: [], deny: ["*"] }, "tcp 198.18.0.1:80", 'yes, hosts: "api.internal"'],
    [{ hosts: { "api.internal": answer } }, "tcp 198.18.0.1:443", 'no, hosts: "api.internal", at TCP port 80 only'],
    [{ hosts: { "api.internal": answer } }, "tcp 198.18.0.2:80", "no, special: 198.18.0.0/15"],
    [{}, "tcp 198.18.0.1:80", "no, special: 198.18.0.0/15"],
    [{}, "tcp evil:80", "no, not an address"],
  ])("%j: %s", (policy, flow, expected) => {
    expect(said(decided(policy, flow))).toBe(expected);
  });

  test("is never let to what is not public by lists that name none of it, in any form of IPv4", () => {
    const reserved = ["10.0.0.0", "127.0.0.0", "169.254.0.0", "192.168.0.0", "224.0.0.0", "240.0.0.0"];
    const v4 = fc
      .tuple(fc.constantFrom(...reserved), fc.nat(0xffff))
      .map(([base, rest]) => parseAddress(base).value + BigInt(rest));
    const clothes = fc.constantFrom(
      (value: bigint) => formatAddress({ family: 4, value }),
      (value: bigint) => formatAddress({ family: 6, value: (0xffffn << 32n) | value }),
      (value: bigint) => formatAddress({ family: 6, value: (0x64ff9bn << 96n) | value }),
      (value: bigint) => formatAddress({ family: 6, value: (0x2002n << 112n) | (value << 80n) | 1n }),
      (value: bigint) => formatAddress({ family: 6, value }),
    );
    const policy = fc.constantFrom<NetworkPolicy>({}, { allow: ["*", "0.0.0.0/0", "::/0", "a.example"] });
    fc.assert(
      fc.property(v4, clothes, policy, fc.nat(65535), (value, dress, rules, port) => {
        const flow = { protocol: "tcp" as const, ip: dress(value), port, names: ["a.example"] };
        const verdict = decide(compilePolicy(rules), flow, isOwn);
        expect(verdict).toMatchObject({ allowed: false });
      }),
    );
  });
});

const answer = () => new Response("");

describe("a name", () => {
  test.each<[NetworkPolicy, string, string]>([
    [{}, "a.example", "yes, public"],
    [{}, "a.example.", "yes, public"],
    [{ allow: [] }, "a.example", NOTHING],
    [{ allow: ["*"] }, "a.example", 'yes, allow: "*"'],
    [{ allow: ["a.example:443"] }, "A.EXAMPLE", 'yes, allow: "a.example:443"'],
    [{ allow: ["a.example"] }, "secret.a.example", NOTHING],
    // who allows addresses only has nothing to ask for
    [{ allow: ["192.0.2.0/24"] }, "a.example", NOTHING],
    [{ deny: ["a.example"] }, "a.example", 'no, deny: "a.example"'],
    [{ deny: ["*.example"] }, "a.example", 'no, deny: "*.example"'],
    [{ deny: ["a.example:25"] }, "a.example", "yes, public"],
    [{ deny: ["*"] }, "a.example", 'no, deny: "*"'],
    [{ connect: () => true }, "a.example", "ask"],
    [{ connect: () => true, allow: ["a.example"] }, "b.example", NOTHING],
    [{ hosts: { "api.internal": answer }, allow: [] }, "API.internal", 'yes, hosts: "api.internal"'],
    [{ allow: [] }, "localhost", "yes, loopback"],
    [{ deny: ["*"] }, "a.localhost", "yes, loopback"],
    [{}, "192.0.2.1", "no, not a host name"],
    [{}, "0x7f.1", "no, not a host name"],
    [{}, "a..example", "no, not a host name"],
    [{}, "", "no, not a host name"],
    [{}, `${"a".repeat(64)}.example`, "no, not a host name"],
    [{}, `${"a.".repeat(127)}example`, "no, not a host name"],
    [{}, "a.example/\u0000", "no, not a host name"],
    [{}, "_sip._tcp.example", "yes, public"],
  ])("%j: %s", (policy, name, expected) => {
    expect(said(decideName(compilePolicy(policy), name))).toBe(expected);
  });

  test("of a handler leads to an address of its own", () => {
    const rules = compilePolicy({ hosts: { "a.internal": answer, "b.internal": answer } });
    expect(rules.hosts.map(({ ip }) => ip)).toEqual(["198.18.0.1", "198.18.0.2"]);
    expect(decideName(rules, "b.internal")).toMatchObject({ allowed: true, address: "198.18.0.2" });
  });
});

describe("an answer", () => {
  test.each<[NetworkPolicy, string, string]>([
    [{}, "192.0.2.1", "yes, public"],
    [{}, "127.0.0.1", "no, loopback: 127.0.0.0/8"],
    [{}, "::ffff:10.0.0.1", "no, private: 10.0.0.0/8"],
    [{ allow: ["a.example"] }, "10.0.0.1", "no, private: 10.0.0.0/8"],
    [{ allow: ["a.example", "10.0.0.1:443"] }, "10.0.0.1", "yes, public"],
    [{ allow: ["a.example", "10.0.0.1:443"] }, "10.0.0.2", "no, private: 10.0.0.0/8"],
    [{ deny: ["192.0.2.0/24"] }, "192.0.2.1", 'no, deny: "192.0.2.0/24"'],
    [{ deny: ["192.0.2.0/24:25"] }, "192.0.2.1", "yes, public"],
    [{}, "203.0.113.5", "no, the host's own: 203.0.113.5/32"],
    // nobody else's name leads to a handler
    [{ hosts: { "api.internal": answer }, allow: ["198.18.0.0/15"] }, "198.18.0.1", "no, special"],
  ])("%j: %s", (policy, ip, expected) => {
    expect(said(decideAnswer(compilePolicy(policy), ip, isOwn))).toBe(expected);
  });
});

describe("is an error before anything is made:", () => {
  test.each<[unknown, string]>([
    [null, "use the network policy null: not an object"],
    [{ alow: [] }, 'use the key "alow" of a network policy: unknown'],
    [{ allow: null }, 'use the key "allow" null of a network policy: not understood'],
    [{ allow: "a.example" }, 'use allow "a.example": not an array'],
    [{ allow: [7] }, "use the rule 7 of allow: not a string"],
    [{ allow: [""] }, 'use the rule "" of allow: neither a name nor an address'],
    [{ allow: ["a b"] }, 'use the rule "a b" of allow: neither a name nor an address'],
    [
      { allow: ["https://a.example"] },
      'use the rule "https://a.example" of allow: "//a.example" is not a port, nor a range of ports',
    ],
    [{ allow: ["a.*.example"] }, 'use the rule "a.*.example" of allow: neither a name nor an address'],
    [{ allow: ["*example"] }, 'use the rule "*example" of allow: neither a name nor an address'],
    [{ allow: ["10.1"] }, 'use the rule "10.1" of allow: neither a name nor an address'],
    [{ allow: ["10.0.0.0/33"] }, 'use the rule "10.0.0.0/33" of allow: neither a name nor an address'],
    [{ allow: ["010.0.0.1"] }, 'use the rule "010.0.0.1" of allow: neither a name nor an address'],
    [{ deny: ["a.example:0"] }, 'use the rule "a.example:0" of deny: "0" is not a port, nor a range of ports'],
    [{ deny: ["a.example:"] }, 'use the rule "a.example:" of deny: "" is not a port, nor a range of ports'],
    [{ deny: ["[::1]:9-8"] }, 'use the rule "[::1]:9-8" of deny: "9-8" is not a port, nor a range of ports'],
    [{ deny: ["a.example/sctp"] }, 'use the rule "a.example/sctp" of deny: neither a name nor an address'],
    [{ allow: ["127.0.0.1:80"] }, 'use the rule "127.0.0.1:80" of allow: loopback addresses cannot be given'],
    [{ allow: ["::1"] }, 'use the rule "::1" of allow: loopback addresses cannot be given'],
    [{ allow: ["::ffff:127.0.0.1"] }, 'use the rule "::ffff:127.0.0.1" of allow: loopback addresses cannot be given'],
    [{ allow: ["224.0.0.1"] }, 'use the rule "224.0.0.1" of allow: multicast addresses cannot be given'],
    [{ connect: true }, "use connect true: not a function"],
    [{ hosts: [] }, "use hosts []: not an object"],
    [{ hosts: { "": answer } }, 'use the host "": not a host name'],
    [{ hosts: { "192.0.2.1": answer } }, 'use the host "192.0.2.1": not a host name'],
    [{ hosts: { "a.example": 7 } }, 'use the handler 7 of "a.example": not a function'],
    [{ hosts: { "a.example": answer, "A.example": answer } }, 'use the host "A.example": it is there twice'],
  ])("%j", (policy, message) => {
    expect(() => compilePolicy(policy as NetworkPolicy)).toThrow(
      expect.objectContaining({ code: "invalid_option", message }) as never,
    );
  });
});

test("a compiled policy is data, that another thread decides by as well", () => {
  const rules = compilePolicy({ allow: ["a.example:443", "10.0.0.0/8"], connect: () => true });
  expect(structuredClone(rules)).toEqual(rules);
});

describe("who is asked", () => {
  const flow = { protocol: "tcp" as const, ip: "192.0.2.1", port: 443, names: ["a.example", "b.example"] };

  test("is asked about each name that leads there, until one is allowed", async () => {
    const seen: Connection[] = [];
    const handler = (connection: Connection) => (seen.push(connection), connection.host === "a.example");
    expect(await new Asking().ask(handler, flow)).toEqual({ allowed: true, rule: "connect" });
    expect(seen).toEqual([{ protocol: "tcp", ip: "192.0.2.1", port: 443, host: "a.example" }]);
    expect(await new Asking().ask(({ host }) => host === "c.example", flow)).toEqual({
      allowed: false,
      rule: "connect",
    });
  });

  test("is told of no name where there is none, and of names without an address", async () => {
    const seen: Connection[] = [];
    const handler = (connection: Connection) => (seen.push(connection), false);
    await new Asking().ask(handler, { ...flow, names: [] });
    await new Asking().ask(handler, { protocol: "dns", name: "a.example" });
    expect(seen).toEqual([
      { protocol: "tcp", ip: "192.0.2.1", port: 443, host: undefined },
      { protocol: "dns", host: "a.example", ip: undefined, port: 53 },
    ]);
  });

  test.each<[string, () => unknown, string]>([
    ["throws", () => { throw new Error("no idea"); }, "connect: threw no idea"], // prettier-ignore
    ["rejects", () => Promise.reject(new Error("no idea")), "connect: threw no idea"],
    ["says nothing", () => undefined, "connect"],
    ["says something else than true", () => "false", "connect"],
    ["throws what is not an error", () => Promise.reject(Object.create(null)), "connect: threw"], // oxlint-disable-line prefer-promise-reject-errors
  ])("denies where it %s", async (_, handler, rule) => {
    expect(await new Asking().ask(handler as () => boolean, flow)).toEqual({ allowed: false, rule });
  });

  test("is not asked without end", async () => {
    const asking = new Asking();
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const asked = Array.from({ length: MAX_ASKED + 1 }, () => asking.ask(() => promise, flow));
    expect(await asked.at(-1)).toEqual({ allowed: false, rule: "connect: asked too much at a time" });
    resolve(true);
    expect(await asked[0]).toEqual({ allowed: true, rule: "connect" });
    expect(await asking.ask(() => true, flow)).toEqual({ allowed: true, rule: "connect" });
  });
});

test("what is denied again and again is one entry, and a sandbox fills no memory with them", () => {
  const list = new DeniedList();
  const entry = { protocol: "tcp" as const, ip: "10.0.0.1", port: 80, rule: "private" };
  list.add(entry);
  list.add({ ...entry, port: 81 });
  list.add(entry, 2);
  expect(list.list().map(({ port, count }) => [port, count])).toEqual([
    [81, 1],
    [80, 3],
  ]);
  for (let port = 1; port < 5000; port++) list.add({ ...entry, port });
  expect(list.list()).toHaveLength(1000);
  expect(list.list().at(-1)).toMatchObject({ port: 4999, count: 1 });
});
