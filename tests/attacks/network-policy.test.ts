/**
 * Ways around a network policy, each tried where it is in force and where it is not. Outside are a resolver and servers at
 * many addresses, which tell what has come to them.
 * @module
 */
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { existsSync } from "node:fs";
import type { DeniedEntry, SandboxOptions } from "../../lib/index.ts";
import { noGateway } from "../support/gateway.ts";
import { notRoot, SLOW, testUnless } from "../support/machine.ts";
import type { Inside } from "../support/policy-attack.ts";
import type { PolicyText } from "../support/policy-host.ts";
import {
  HOST,
  METADATA,
  METADATA6,
  OTHER,
  PACKAGES,
  PACKAGES6,
  PolicyWorld,
  PRIVATE,
  RESOLVER,
  TUNNEL,
} from "../support/policy-world.ts";

/** An id that nobody has. */
const USER = 47_110;
const mayRead = (user: number) =>
  Bun.spawnSync(["setpriv", `--reuid=${user}`, `--regid=${user}`, "--clear-groups", "test", "-r", import.meta.path])
    .exitCode === 0;

const noWorld = notRoot ?? noGateway;
const worlds: [who: string, user: number | undefined, reason: string | undefined][] = [
  ["root", undefined, noWorld],
  ["an ordinary user", USER, noWorld ?? (mayRead(USER) ? undefined : "an ordinary user may not read the sources")],
];

type Network = PolicyText | false | "host";
type Act = (inside: Inside, ...args: never[]) => unknown;
interface Came {
  result: unknown;
  denied: Omit<DeniedEntry, "time">[];
  seen: string[];
}

function withoutTime(entry: DeniedEntry): Came["denied"][number] {
  const { time, ...rest } = entry;
  expect(new Date(time).getTime()).toBeGreaterThan(Date.now() - 60_000);
  return rest;
}

for (const [who, user, reason] of worlds) {
  describe(`sandboxes of ${who}`, () => {
    let world: PolicyWorld;
    let before: ReturnType<PolicyWorld["traces"]>;

    beforeAll(async () => {
      if (reason !== undefined) return;
      world = await PolicyWorld.make(user === undefined ? {} : { user });
      world.names.set("packages.example", [PACKAGES, PACKAGES6]);
      world.names.set("other.example", [OTHER]);
      world.names.set("shared.example", [PACKAGES]);
      // what belongs to nobody's sandbox: the thread, its descriptors
      await run({}, ({ tcp }) => tcp("198.51.100.1", 80));
      await Bun.sleep(200);
      before = world.traces();
    });
    afterAll(async () => {
      if (reason !== undefined) return;
      await Bun.sleep(300 * SLOW);
      const after = world.traces();
      await world[Symbol.asyncDispose]();
      expect([after.children, after.devices]).toEqual([before.children, before.devices]);
      // what somebody else had mounted may have gone meanwhile
      expect(after.mounts).toBeLessThanOrEqual(before.mounts);
      // pipes are kept for the next connections
      expect(after.descriptors).toBeLessThan(before.descriptors + 64);
    });

    const it = (name: string, body: () => Promise<void>) => testUnless(reason, name, body, 60_000 * SLOW);

    /** What comes of it in a sandbox with that network. */
    async function run(network: Network, act: Act, args: unknown[] = [], options: SandboxOptions = {}): Promise<Came> {
      world.seen();
      const { result, denied } = await world.on(
        async ({ Sandbox, attack, policy }, text, source, given, more) => {
          const command = attack(source, ...given);
          const ended = await Sandbox.run(command, { runtime: true, network: policy(text), ...more });
          if (ended.exitCode !== 0) throw new Error(`${ended.reason} ${ended.exitCode}: ${ended.stderr}`);
          return { result: JSON.parse(ended.stdout) as unknown, denied: ended.denied ?? [] };
        },
        network,
        act.toString(),
        args,
        options,
      );
      await Bun.sleep(20);
      return { result, denied: denied.map(withoutTime), seen: world.seen() };
    }

    const rules = ({ denied }: Came) => denied.map(({ rule }) => rule);

    describe("an address that nobody asked for by its name", () => {
      const attempt = ({ tcp }: Inside, ip: string) => tcp(ip, 80);

      it("is not connected to, though a name is allowed that leads there", async () => {
        const came = await run({ allow: ["packages.example"] }, attempt, [PACKAGES]);
        expect(came.result).toBe("ECONNREFUSED");
        expect(came.seen).toEqual([]);
        expect(came.denied).toEqual([
          { protocol: "tcp", ip: PACKAGES, port: 80, rule: "allow: nothing of it matches", count: 1 },
        ]);
        // the control: by its name, and where no policy says so
        const byName = await run({ allow: ["packages.example"] }, ({ tcp }) => tcp("packages.example", 80));
        expect(byName.result).toStartWith("hello from");
        expect(byName.denied).toEqual([]);
        expect((await run({}, attempt, [PACKAGES])).result).toBe(`hello from ${PACKAGES}`);
      });

      it("is not connected to by the address of another name", async () => {
        const both = async ({ tcp, lookUp }: Inside) => [
          await lookUp("packages.example"),
          await lookUp("other.example"),
          await tcp("198.51.100.2", 80),
        ];
        const came = await run({ allow: ["packages.example"] }, both);
        expect(came.result).toEqual([[PACKAGES], "ENOTFOUND", "ECONNREFUSED"]);
        expect(came.seen).toEqual(["dns packages.example"]);
        expect((await run({ allow: ["*"] }, both)).result).toEqual([[PACKAGES], [OTHER], `hello from ${OTHER}`]);
      });

      it("is not connected to by what is said in the connection: Host and SNI of an allowed name", async () => {
        const said = ({ tcp }: Inside) => tcp("198.51.100.2", 80, "GET / HTTP/1.1\r\nHost: packages.example\r\n\r\n");
        const came = await run({ allow: ["packages.example"] }, said);
        expect(came.result).toBe("ECONNREFUSED");
        expect(came.seen).toEqual([]);
        expect((await run({}, said)).result).toBe(`hello from ${OTHER}`);
      });

      it("is not connected to at another port, or by another protocol", async () => {
        const all = async ({ tcp, udp, lookUp }: Inside) => [
          await lookUp("packages.example"),
          await tcp("198.51.100.1", 80),
          await tcp("198.51.100.1", 443),
          await udp("198.51.100.1", 7000),
        ];
        const came = await run({ allow: ["packages.example:443/tcp"] }, all);
        expect(came.seen).toEqual(["dns packages.example", `tcp ${PACKAGES}:443`]);
        const control = await run({ allow: ["packages.example"] }, all);
        expect(control.seen).toEqual([
          "dns packages.example",
          `tcp ${PACKAGES}:80`,
          `tcp ${PACKAGES}:443`,
          `udp ${PACKAGES}:7000`,
        ]);
      });
    });

    describe("what is not public", () => {
      const attempt = ({ tcp }: Inside, ip: string) => tcp(ip, 80);

      describe("is not connected to by lists that name none of it", () => {
        for (const [ip, rule, allow] of [
          [METADATA, "metadata: 169.254.169.254/32", METADATA],
          [METADATA6, "metadata: fd00:ec2::254/128", METADATA6],
          [PRIVATE, "private: 10.0.0.0/8", "10.0.0.0/8"],
          [`::ffff:${METADATA}`, "metadata: 169.254.169.254/32", METADATA],
        ] as const) {
          it(ip, async () => {
            for (const policy of [{}, { allow: ["*", "0.0.0.0/0", "::/0", "*.example"] }, { connect: "() => true" }]) {
              const came = await run(policy, attempt, [ip]);
              expect(came.result).not.toStartWith("hello");
              expect(came.seen).toEqual([]);
              expect(rules(came)).toEqual([rule]);
            }
            expect((await run({ allow: [allow] }, attempt, [ip])).result).toStartWith("hello from");
          });
        }
      });

      it("is not reached by a name that leads there (DNS rebinding)", async () => {
        world.names.set("rebinding.example", [PRIVATE, METADATA, "127.0.0.1"]);
        const byName = async ({ lookUp, tcp }: Inside) => [
          await lookUp("rebinding.example"),
          await tcp("rebinding.example", 80),
        ];
        const came = await run({ allow: ["rebinding.example"] }, byName);
        expect(came.result).toEqual(["ENOTFOUND", "ENOTFOUND"]);
        expect(came.seen.filter((each) => !each.startsWith("dns"))).toEqual([]);
        expect(new Set(rules(came))).toEqual(
          new Set(["private: 10.0.0.0/8", "metadata: 169.254.169.254/32", "loopback: 127.0.0.0/8"]),
        );
        const control = await run({ allow: ["rebinding.example", PRIVATE] }, byName);
        expect(control.result).toEqual([[PRIVATE], `hello from ${PRIVATE}`]);
      });

      it("is not reached by a name whose address is another one the second time", async () => {
        world.names.set("turning.example", [OTHER]);
        const twice = async ({ lookUp, tcp, sleep }: Inside) => {
          const first = await lookUp("turning.example");
          await sleep(500);
          return [first, await tcp("10.9.9.9", 80)];
        };
        setTimeout(() => world.names.set("turning.example", [PRIVATE]), 250);
        const came = await run({ allow: ["turning.example"] }, twice);
        expect(came.result).toEqual([[OTHER], "ECONNREFUSED"]);
        expect(came.seen).toEqual(["dns turning.example"]);
      });
    });

    describe("the host", () => {
      /** One of its servers, at each of its addresses. */
      beforeAll(async () => {
        if (reason !== undefined) return;
        await world.on(({ kept }) => {
          const hello = (socket: Bun.Socket) => void socket.write("hello from the host\n");
          kept["server"] = Bun.listen({ hostname: "::", port: 9000, socket: { open: hello, data: () => {} } });
        });
      });
      afterAll(async () => {
        if (reason === undefined)
          await world.on(({ kept }) => (kept["server"] as { stop(all: boolean): void }).stop(true));
      });
      const attempt = ({ tcp }: Inside, ip: string) => tcp(ip, 9000);

      describe("is not reached at its loopback", () => {
        for (const ip of ["127.0.0.1", "::1", "0.0.0.0", "127.0.0.53", "::ffff:127.0.0.1"]) {
          it(ip, async () => {
            for (const policy of [{}, { allow: ["*"] }, { connect: "() => true" }])
              expect((await run(policy, attempt, [ip])).result).not.toStartWith("hello");
            if (!ip.endsWith("53")) expect((await run("host", attempt, [ip])).result).toBe("hello from the host");
          });
        }
      });

      describe("is not reached at an address of its own", () => {
        for (const ip of [HOST, "2001:db8::10"]) {
          it(ip, async () => {
            const prefix = ip.includes(":") ? 128 : 32;
            const came = await run({ allow: ["*", "192.0.2.0/24", "2001:db8::/32"] }, attempt, [ip]);
            expect(came.result).toBe("ECONNREFUSED");
            expect(rules(came)).toEqual([`the host's own: ${ip}/${prefix}`]);
            expect((await run({ allow: [ip] }, attempt, [ip])).result).toBe("hello from the host");
          });
        }
      });

      it("is not reached by its abstract sockets", async () => {
        await world.on(({ kept }) => {
          kept["abstract"] = Bun.listen({
            unix: "\0tsbox-policy-attack",
            socket: { open: (socket) => void socket.write("hello\n"), data: () => {} },
          });
        });
        const abstract = ({ call }: Inside) => {
          const socket = call([41, 198], 1, 1, 0);
          const name = Uint8Array.from([1, 0, 0, ...new TextEncoder().encode("tsbox-policy-attack")]);
          return call([42, 203], socket, name, name.length);
        };
        const ECONNREFUSED = -111;
        // a further layer that would not let it either
        const options = { security: { landlock: "none" as const } };
        expect((await run({}, abstract, [], options)).result).toBe(ECONNREFUSED);
        expect((await run("host", abstract, [], options)).result).toBe(0);
        await world.on(({ kept }) => (kept["abstract"] as { stop(all: boolean): void }).stop(true));
      });
    });

    describe("names, as a tunnel", () => {
      const ask = async ({ lookUp }: Inside, name: string, server?: string) => lookUp(name, server);

      it("a name that is not allowed is asked nobody for: it would tell its own server", async () => {
        const came = await run({ allow: ["packages.example"] }, ask, ["secret.tunnel.example"]);
        expect([came.result, came.seen]).toEqual(["ENOTFOUND", []]);
        expect(came.denied).toMatchObject([{ protocol: "dns", host: "secret.tunnel.example" }]);
        expect((await run({}, ask, ["secret.tunnel.example"])).seen).toEqual(["dns secret.tunnel.example"]);
      });

      it("a name below one that is allowed is another one", async () => {
        expect((await run({ allow: ["packages.example"] }, ask, ["secret.packages.example"])).seen).toEqual([]);
        const control = await run({ allow: ["*.packages.example"] }, ask, ["secret.packages.example"]);
        expect(control.seen).toEqual(["dns secret.packages.example"]);
      });

      it("a resolver of one's own is not reached, by UDP or TCP; the host's answers in its place", async () => {
        const came = await run({ allow: ["packages.example"] }, ask, ["packages.example", TUNNEL]);
        expect([came.result, came.seen]).toEqual([[PACKAGES], ["dns packages.example"]]);
        const secret = await run({ allow: ["packages.example", TUNNEL] }, ask, ["secret.tunnel.example", TUNNEL]);
        expect(secret.seen).toEqual([]);
        const stream = await run({}, ({ tcp }: Inside, ip: string) => tcp(ip, 53, "\0\0"), [TUNNEL]);
        expect(stream.seen).toEqual([]);
      });

      it("an asking handler is asked for names as well, and nobody else before", async () => {
        const connect = "({ host }) => host?.endsWith('packages.example') ?? false";
        expect((await run({ connect }, ask, ["secret.tunnel.example"])).seen).toEqual([]);
        expect((await run({ connect }, ask, ["packages.example"])).seen).toEqual(["dns packages.example"]);
      });
    });

    describe("with every capability inside, and no filter of system calls", () => {
      const options: SandboxOptions = {
        security: {
          capabilities: ["CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_NET_BIND_SERVICE", "CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"],
          seccomp: "none",
        },
      };
      /** As root; a user has no rights over the host's network. */
      const unprotected: SandboxOptions = { ...options, namespaces: { user: "host" } };
      const hasControl = user === undefined;

      /** @returns packets of whatever protocol that have come outside */
      async function packets(network: Network, act: Act, args: unknown[], more: SandboxOptions) {
        await Bun.sleep(50);
        const first = world.packets();
        const came = await run(network, act, args, more);
        await Bun.sleep(100);
        return { count: world.packets() - first, ...came };
      }

      it("ICMP, raw IP and packets of devices lead nowhere", async () => {
        const raw = ({ call }: Inside, ip: string) => {
          const to = Uint8Array.from([2, 0, 0, 0, ...ip.split(".").map(Number), 0, 0, 0, 0, 0, 0, 0, 0]);
          const sent: number[] = [];
          const echo = Uint8Array.from([8, 0, 0xf7, 0xfd, 0, 1, 0, 1]);
          // ICMP, GRE, SCTP, and one that nobody has
          for (const protocol of [1, 47, 132, 253]) {
            const socket = call([41, 198], 2, 3, protocol);
            sent.push(socket < 0 ? socket : call([44, 206], socket, echo, echo.length, 0, to, to.length));
          }
          // a whole packet of our own, from an address that is not ours
          const whole = call([41, 198], 2, 3, 255);
          const packet = Uint8Array.from([
            0x45,
            0,
            0,
            28,
            0,
            0,
            0,
            0,
            64,
            1,
            0,
            0,
            192,
            0,
            2,
            77,
            ...to.subarray(4, 8),
            ...echo,
          ]);
          sent.push(call([44, 206], whole, packet, packet.length, 0, to, to.length));
          return sent;
        };
        const came = await packets({ allow: [OTHER] }, raw, [PACKAGES], options);
        expect(came.count).toBe(0);
        expect(came.result).not.toContain(-1); // EPERM: it was really tried
        if (!hasControl) return;
        const control = await packets("host", raw, [PACKAGES], unprotected);
        expect(control.count).toBeGreaterThanOrEqual(4);
      });

      it("a datagram of a raw socket is judged as any other", async () => {
        const spoofed = ({ call }: Inside, ip: string) => {
          const to = Uint8Array.from([2, 0, 0, 0, ...ip.split(".").map(Number), 0, 0, 0, 0, 0, 0, 0, 0]);
          const payload = Uint8Array.from([0x1b, 0x58, 0x1b, 0x58, 0, 9, 0, 0, 33]);
          const packet = Uint8Array.from([
            0x45,
            0,
            0,
            29,
            0,
            0,
            0,
            0,
            64,
            17,
            0,
            0,
            0,
            0,
            0,
            0,
            ...to.subarray(4, 8),
            ...payload,
          ]);
          const socket = call([41, 198], 2, 3, 255);
          return call([44, 206], socket, packet, packet.length, 0, to, to.length);
        };
        const came = await run({ allow: [OTHER] }, spoofed, [PACKAGES], options);
        expect([came.result, came.seen]).toEqual([29, []]);
        if (!hasControl) return;
        const control = await run("host", spoofed, [PACKAGES], unprotected);
        expect(control.seen).toEqual([`udp ${PACKAGES}:7000`]);
      });

      it("SO_MARK, SO_BINDTODEVICE and a priority do not take a connection past the rules", async () => {
        const marked = async ({ call, sleep }: Inside, ip: string) => {
          const to = Uint8Array.from([2, 0, 0, 80, ...ip.split(".").map(Number), 0, 0, 0, 0, 0, 0, 0, 0]);
          const word = (value: number) => Uint8Array.from([value & 255, (value >> 8) & 255, value >> 16, 0]);
          const [SOL_SOCKET, SO_PRIORITY, SO_BINDTODEVICE, SO_MARK, O_NONBLOCK] = [1, 12, 25, 36, 0o4000];
          const found: number[] = [];
          for (const [option, value] of [
            ...Array.from({ length: 64 }, (_, mark) => [SO_MARK, word(mark)] as const),
            [SO_MARK, word(0xffffff)] as const,
            // what the gateway itself lets through
            [SO_MARK, Uint8Array.from([0x78, 0x62, 0x73, 0x74])] as const,
            [SO_PRIORITY, word(7)] as const,
            [SO_BINDTODEVICE, Uint8Array.from([...new TextEncoder().encode("lo"), 0])] as const,
          ]) {
            const socket = call([41, 198], 2, 1 | O_NONBLOCK, 0);
            found.push(call([54, 208], socket, SOL_SOCKET, option, value, value.length));
            call([42, 203], socket, to, to.length);
          }
          await sleep(300);
          return found;
        };
        const came = await packets({ allow: [OTHER] }, marked, [PACKAGES], options);
        expect(came.result).not.toContain(-1);
        expect([came.count, came.seen]).toEqual([0, []]);
        const control = await run({}, marked, [PACKAGES], options);
        expect(control.seen).toContain(`tcp ${PACKAGES}:80`);
      });

      it("source routes are not taken along", async () => {
        const routed = async ({ call, sleep }: Inside, ip: string, last: string) => {
          const to = Uint8Array.from([2, 0, 0, 80, ...ip.split(".").map(Number), 0, 0, 0, 0, 0, 0, 0, 0]);
          const option = Uint8Array.from([1, 131, 7, 4, ...last.split(".").map(Number)]);
          const socket = call([41, 198], 2, 1 | 0o4000, 0);
          const set = call([54, 208], socket, 0, 4, option, option.length);
          call([42, 203], socket, to, to.length);
          await sleep(300);
          return set;
        };
        const came = await run({ allow: [PACKAGES] }, routed, [PACKAGES, OTHER], options);
        expect(came.result).toBe(0);
        expect(came.seen.filter((each) => each !== `tcp ${PACKAGES}:80`)).toEqual([]);
      });

      testUnless(
        reason ?? (existsSync("/usr/sbin/nft") ? undefined : "nftables is not installed"),
        "who takes the rules away takes the way out away",
        async () => {
          const flushed = async ({ tcp, udp }: Inside, allowed: string, denied: string) => {
            const first = await tcp(allowed, 80);
            const print = (...words: string[]) => {
              const { stdout, stderr } = Bun.spawnSync(words);
              return stdout.toString() + stderr.toString();
            };
            const ruleset = print("/usr/sbin/nft", "list", "ruleset");
            print("/usr/sbin/nft", "flush", "ruleset");
            const after = print("/usr/sbin/nft", "list", "ruleset");
            return [first, ruleset.includes("table"), after, await tcp(denied, 80), await udp(denied, 7000)];
          };
          const came = await packets({ allow: [PACKAGES] }, flushed, [PACKAGES, OTHER], options);
          expect(came.result).toEqual([`hello from ${PACKAGES}`, true, "", expect.anything(), expect.anything()]);
          expect(came.seen).toEqual([`tcp ${PACKAGES}:80`]);
        },
        60_000 * SLOW,
      );

      it("a network namespace of one's own has no way out", async () => {
        const unshared = async ({ call, tcp }: Inside, ip: string) => {
          const CLONE_NEWNET = 0x40000000;
          return [call([272, 97], CLONE_NEWNET), await tcp(ip, 80)];
        };
        const came = await run({}, unshared, [PACKAGES], options);
        expect(came.result).toEqual([0, expect.stringMatching(/^E/)]);
        expect(came.seen).toEqual([]);
      });
    });

    describe("a handler for a name", () => {
      const hosts = { "api.internal": "(request) => new Response(`hello from ${new URL(request.url).host}\\n`)" };
      const get = async (_: Inside, url: string, host?: string) => {
        try {
          const response = await fetch(url, host === undefined ? {} : { headers: { host } });
          return `${response.status} ${await response.text()}`.trim();
        } catch (error) {
          return (error as { code?: string }).code ?? String(error);
        }
      };

      it("answers in place of a server, also where nothing else is allowed", async () => {
        const came = await run({ hosts, allow: [] }, get, ["http://api.internal/"]);
        expect([came.result, came.seen, came.denied]).toEqual(["200 hello from api.internal", [], []]);
        expect((await run({ allow: [] }, get, ["http://api.internal/"])).result).not.toStartWith("200");
      });

      it("is not asked by another name, and its address has no other port", async () => {
        const other = "http://198.18.0.1/";
        expect((await run({ hosts, allow: [] }, get, [other])).result).toBe("421");
        expect((await run({ hosts, allow: [] }, get, ["http://api.internal/", "evil.example"])).result).toBe("421");
        const port = await run({ hosts, allow: [] }, ({ tcp }) => tcp("198.18.0.1", 443));
        expect(port.result).toBe("ECONNREFUSED");
        expect(rules(port)).toEqual(['hosts: "api.internal", at TCP port 80 only']);
      });

      it("that throws tells nothing of the program", async () => {
        const throwing = { "api.internal": "() => { throw new Error('a secret'); }" };
        expect((await run({ hosts: throwing }, get, ["http://api.internal/"])).result).toBe("500");
      });
    });

    describe("a connect handler", () => {
      const both = async ({ tcp }: Inside) => [await tcp("packages.example", 80), await tcp("198.51.100.2", 80)];

      it("is asked about what the lists let pass, with the name that led there", async () => {
        const connect = "({ host, port }) => host === 'packages.example' && (port === 80 || port === 53)";
        const came = await run({ connect }, both);
        expect(came.result).toEqual([expect.stringMatching(/^hello/), "ECONNREFUSED"]);
        expect(came.denied).toMatchObject([{ protocol: "tcp", ip: OTHER, port: 80, rule: "connect" }]);
      });

      it("denies where it throws, and names without a name are told as that", async () => {
        const came = await run({ connect: "({ host }) => { throw new Error(`no ${host}`); }" }, both);
        expect(came.seen).toEqual([]);
        expect(rules(came)).toEqual(["connect: threw no packages.example", "connect: threw no undefined"]);
      });
    });

    it("what is denied fails at once, as if nobody listened there", async () => {
      const timed = async ({ tcp, udp }: Inside, ...all: string[]) => {
        const start = performance.now();
        const results: string[] = [];
        for (const ip of all) results.push(await tcp(ip, 80), await udp(ip, 7000));
        return [results, performance.now() - start] as const;
      };
      const { result } = await run({ allow: [] }, timed, [PACKAGES, PACKAGES6]);
      const [results, tookMs] = result as Awaited<ReturnType<typeof timed>>;
      expect(results).toEqual(["ECONNREFUSED", "ECONNREFUSED", "ECONNREFUSED", "ECONNREFUSED"]);
      expect(tookMs).toBeLessThan(500 * SLOW);
    });

    it("a policy is changed while the sandbox runs, for what is connected already as well", async () => {
      world.seen();
      const came = await world.on(async ({ Sandbox, attack }, ip) => {
        await using box = await Sandbox.create({ runtime: true, network: { allow: [] } });
        const once = async () => {
          const ended = box.spawn(attack(({ tcp }: Inside, to: string) => tcp(to, 80), ip));
          return JSON.parse(await new Response(ended.stdout).text()) as string;
        };
        const denied = await once();
        await box.network.update({ allow: [ip] });
        const allowed = await once();
        // one that stays
        const staying = async (_: Inside, to: string) => {
          const { connect } = require("node:net") as typeof import("node:net");
          const socket = connect({ host: to, port: 80 });
          return new Promise<string>((resolve) => {
            socket.on("data", (chunk) => process.stderr.write(String(chunk)));
            socket.on("error", (error) => resolve((error as { code?: string }).code ?? ""));
            socket.on("close", () => resolve("closed"));
          });
        };
        const process_ = box.spawn(attack(staying, ip), { stderr: "pipe" });
        for await (const chunk of process_.stderr as ReadableStream<Uint8Array>) if (chunk.length > 0) break;
        await box.network.update({ allow: [] });
        const cut = JSON.parse(await new Response(process_.stdout).text()) as string;
        return { denied, allowed, cut, again: await once(), count: box.network.denied.length };
      }, PACKAGES);
      expect(came).toMatchObject({
        denied: "ECONNREFUSED",
        allowed: `hello from ${PACKAGES}`,
        cut: expect.stringMatching(/^(ECONNRESET|closed)$/),
        again: "ECONNREFUSED",
      });
      expect(world.seen()).toEqual([`tcp ${PACKAGES}:80`, `tcp ${PACKAGES}:80`]);
    });

    it("a connection that was made by a name stays that name's, however many others have led there meanwhile", async () => {
      for (let number = 0; number < 40; number++) world.names.set(`many${number}.example`, [PACKAGES]);
      const came = await world.on(async ({ Sandbox, attack }) => {
        await using box = await Sandbox.create({ runtime: true, network: { allow: ["*"] } });
        const staying = async ({ lookUp }: Inside) => {
          const { connect } = require("node:net") as typeof import("node:net");
          const socket = connect({ host: "packages.example", port: 80 });
          const ended = new Promise<string>((resolve) => {
            socket.on("error", (error) => resolve((error as { code?: string }).code ?? ""));
            socket.on("close", () => resolve("closed"));
          });
          await new Promise((resolve) => socket.once("data", resolve));
          for (let number = 0; number < 40; number++) await lookUp(`many${number}.example`);
          process.stderr.write("connected\n");
          return ended;
        };
        const process_ = box.spawn(attack(staying), { stderr: "pipe" });
        for await (const chunk of process_.stderr as ReadableStream<Uint8Array>) if (chunk.length > 0) break;
        await box.network.update({ allow: ["packages.example"] });
        await new Promise((resolve) => setTimeout(resolve, 200));
        const stayed = box.network.denied.filter(({ protocol }) => protocol === "tcp").length === 0;
        await box.network.update({ allow: ["other.example"] });
        return { stayed, cut: JSON.parse(await new Response(process_.stdout).text()) as string };
      });
      for (let number = 0; number < 40; number++) world.names.delete(`many${number}.example`);
      expect(came).toEqual({ stayed: true, cut: expect.stringMatching(/^(ECONNRESET|closed)$/) });
    });

    it("an answer by a policy that has been replaced meanwhile is none", async () => {
      world.seen();
      const came = await world.on(async ({ Sandbox, attack }, ip) => {
        const results: unknown[] = [];
        for (const replaced of [false, true]) {
          const [asked, answered] = [Promise.withResolvers<void>(), Promise.withResolvers<boolean>()];
          const connect = () => (asked.resolve(), answered.promise);
          await using box = await Sandbox.create({ runtime: true, network: { connect } });
          const process = box.spawn(attack(({ tcp }: Inside, to: string) => tcp(to, 80), ip));
          await asked.promise;
          if (replaced) await box.network.update({ deny: [ip] });
          answered.resolve(true);
          results.push(JSON.parse(await new Response(process.stdout).text()));
          await process.exited;
          results.push(box.network.denied.map(({ rule }) => rule));
        }
        return results;
      }, PACKAGES);
      expect(came).toEqual([`hello from ${PACKAGES}`, [], "ECONNREFUSED", [`deny: "${PACKAGES}"`]]);
      expect(world.seen()).toEqual([`tcp ${PACKAGES}:80`]);
    });

    it("who is denied without end fills no memory, and keeps nobody else from answers", async () => {
      const flood = async ({ call, sleep }: Inside, ip: string) => {
        for (let port = 1; port <= 3000; port++) {
          const to = Uint8Array.from([
            2,
            0,
            port >> 8,
            port & 255,
            ...ip.split(".").map(Number),
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
          ]);
          const socket = call([41, 198], 2, 1 | 0o4000, 0);
          call([42, 203], socket, to, to.length);
          if (port % 50 === 0) await sleep(5);
          call([3, 57], socket);
        }
        await sleep(200);
        return null;
      };
      const came = await run({ allow: [] }, flood, [PACKAGES]);
      expect(came.denied.length).toBeGreaterThan(10);
      expect(came.denied.length).toBeLessThanOrEqual(1000);
      expect((await run({}, ({ tcp }, ip: string) => tcp(ip, 80), [PACKAGES])).result).toBe(`hello from ${PACKAGES}`);
    });

    it("who asks without end keeps the program from nothing else", async () => {
      const came = await world.on(async ({ Sandbox, attack }, ip) => {
        let asked = 0;
        let latest = performance.now();
        let longestMs = 0;
        const ticks = setInterval(() => {
          longestMs = Math.max(longestMs, performance.now() - latest);
          latest = performance.now();
        }, 10);
        const flood = async ({ call, sleep }: Inside, to: string) => {
          const address = to.split(".").map(Number);
          const start = performance.now();
          for (let round = 0; performance.now() - start < 1500; round++) {
            const port = 1 + (round % 60_000);
            const name = Uint8Array.from([2, 0, port >> 8, port & 255, ...address, 0, 0, 0, 0, 0, 0, 0, 0]);
            const socket = call([41, 198], 2, 2 | 0o4000, 0);
            call([44, 206], socket, name, 1, 0, name, name.length);
            call([3, 57], socket);
            if (round % 200 === 0) await sleep(1);
          }
          return null;
        };
        const connect = () => (asked++, false);
        const { denied = [] } = await Sandbox.run(attack(flood, ip), { runtime: true, network: { connect } });
        clearInterval(ticks);
        return { asked, longestMs, rules: [...new Set(denied.map(({ rule }) => rule))] };
      }, PACKAGES);
      // it took a part of three seconds
      expect(came.asked).toBeGreaterThan(100);
      expect(came.asked).toBeLessThanOrEqual(3000);
      expect(came.longestMs).toBeLessThan(500 * SLOW);
      expect(came.rules.filter((rule) => !rule.startsWith("connect"))).toEqual([]);
    });

    it("questions for names count as what goes out, by datagrams and by connections", async () => {
      const reasons = await world.on(async ({ Sandbox, attack }) => {
        const ask = async (_: Inside, by: string, count: number) => {
          const { connect } = require("node:net") as typeof import("node:net");
          const { createSocket } = require("node:dgram") as typeof import("node:dgram");
          const question = Buffer.from("000101000001000000000000087061636b61676573076578616d706c650000010001", "hex");
          const framed = Buffer.concat([Buffer.from([0, question.length]), question]);
          const socket = createSocket("udp4");
          const stream = connect({ host: "198.19.0.1", port: 53 });
          // one after the other
          for (let round = 0; round < count; round++) {
            const answered = new Promise((resolve) => (stream.once("data", resolve), socket.once("message", resolve)));
            if (by === "tcp") stream.write(framed);
            else socket.send(question, 53, "198.19.0.1");
            await answered;
          }
        };
        const reasons: string[] = [];
        for (const by of ["tcp", "udp"])
          for (const count of [100, 1500]) {
            const limits = { traffic: "64k" };
            const network = { allow: ["packages.example"] };
            reasons.push((await Sandbox.run(attack(ask, by, count), { runtime: true, network, limits })).reason);
          }
        return reasons;
      });
      expect(reasons).toEqual(["exit", "network", "exit", "network"]);
    });

    it("the resolver is the host's, and nothing of it is told", async () => {
      const file = () => Bun.file("/etc/resolv.conf").text();
      const came = await run({}, file);
      expect(came.result).toMatch(/^nameserver 198\.19\.0\.1\n$/);
      expect(came.result).not.toContain(RESOLVER);
    });
  });
}
