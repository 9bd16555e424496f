/** Containers find each other by name, and nobody else does. The machine is a network namespace of the test's. @module */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { RCODE, TYPE } from "../lib/dns/index.ts";
import { bytesOfAddress, parseAddress } from "../lib/ip/index.ts";
import {
  bindSocket,
  close,
  listenSocket,
  openSocket,
  setOption,
  SO_BINDTODEVICE,
  SOL_SOCKET,
} from "../syscalls/index.ts";
import { askFrom } from "./support/ask-names.ts";
import type { CommandLine } from "./support/command-line.ts";
import { noNetworks, notRoot, SLOW } from "./support/machine.ts";
import { NamesWorld } from "./support/names-world.ts";
import { runHere } from "./support/network-world.ts";
import { eventually } from "./support/processes.ts";

const reason = notRoot ?? noNetworks();

describe.skipIf(reason !== undefined)(
  reason === undefined ? "names in networks" : `names in networks (${reason})`,
  () => {
    let world: NamesWorld;
    let made: CommandLine;
    const said = (...words: string[]) => world.said(...words);
    const [addressOf, pidOf] = [(name: string) => world.addressOf(name), (name: string) => world.pidOf(name)];
    const [gatewayOf, deviceOf] = [(name: string) => world.gatewayOf(name), (name: string) => world.deviceOf(name)];
    const sleeping = (name: string, network: string, ...flags: string[]) => world.sleeping(name, network, ...flags);
    beforeAll(async () => {
      world = await NamesWorld.open();
      made = world.made;
    });
    afterAll(() => world?.[Symbol.asyncDispose]());
    const answering = () => world.answering();
    const nothingIsLeft = async () => expect(await world.left()).toEqual([]);

    const NOBODY = { rcode: RCODE.NXDOMAIN, answers: [], isCut: false };
    const NOTHING = { rcode: RCODE.NOERROR, answers: [], isCut: false };
    const are = (...answers: string[]) => ({ rcode: RCODE.NOERROR, answers, isCut: false });

    test(
      "are those of containers, of services, of hosts and of addresses, by UDP and TCP, IPv4 and IPv6",
      async () => {
        said("network", "create", "--ipv6", "--subnet", "10.61.0.0/24", "--subnet", "fd61::/64", "web");
        const id = sleeping("one", "web", "--network-alias", "service", "-h", "host1");
        sleeping("two", "web", "--network-alias", "service");
        const [v4, v6] = gatewayOf("web");
        const [pid, one, two] = [pidOf("one"), addressOf("one"), addressOf("two")];
        for (const server of [v4, v6])
          for (const by of ["udp", "tcp"] as const) {
            for (const name of ["one", "ONE", "one.", "one.web", "host1", id.slice(0, 12)])
              expect([name, askFrom(pid, server, name, TYPE.A, by)]).toEqual([name, are(one)]);
            expect(askFrom(pid, server, "nobody.web", TYPE.A, by)).not.toEqual(are(one));
            const service = [1, 2, 3, 4].map(
              () => askFrom(pid, server, "service", TYPE.A, by) as { answers: string[] },
            );
            expect(new Set(service.map(({ answers }) => answers.join()))).toEqual(
              new Set([`${one},${two}`, `${two},${one}`]),
            );
            const reversed = `${two.split(".").toReversed().join(".")}.in-addr.arpa`;
            expect(askFrom(pid, server, reversed, TYPE.PTR, by)).toEqual(are("two.web"));
            expect(askFrom(pid, server, "250.0.61.10.in-addr.arpa", TYPE.PTR, by)).toEqual(NOBODY);
            expect(askFrom(pid, server, "one", TYPE.MX, by)).toEqual(NOTHING);
          }
        const [six] = (askFrom(pid, v4, "two", TYPE.AAAA) as { answers: string[] }).answers;
        expect(six).toMatch(/^fd61/);
        // as any program of it asks
        expect(said("exec", "two", "cat", "/etc/resolv.conf")).toContain(`nameserver ${v4}\n`);
        expect(said("exec", "two", "cat", "/etc/resolv.conf")).toMatch(/^options .*ndots:0$/m);
        expect(said("exec", "two", "busybox", "nslookup", "one")).toContain(one);
        expect(said("exec", "two", "cat", "/etc/hosts")).not.toContain("one");
        // the first look-up of a container that has just begun
        expect(said("run", "--rm", "--network", "web", "busy", "busybox", "nslookup", "two")).toContain(two);
        said("rename", "one", "first");
        expect(askFrom(pid, v4, "first")).toEqual(are(one));
        expect(askFrom(pid, v4, "one")).not.toEqual(are(one));
        // the gateway is where it was for its neighbours, whoever goes
        const link = () =>
          /link\/ether (\S+)/.exec(runHere("busybox", "ip", "-o", "link", "show", deviceOf("web")))?.[1];
        expect(link()).toBe("02:42:0a:3d:00:01");
        said("rm", "-f", "first");
        expect(link()).toBe("02:42:0a:3d:00:01");
        expect(askFrom(pidOf("two"), v4, "service")).toEqual(are(two));
        expect(answering()).toHaveLength(1);
        said("rm", "-f", "two");
        said("network", "rm", "web");
        await nothingIsLeft();
      },
      60_000 * SLOW,
    );

    test(
      "of a family that a network does not have are nobody's business outside",
      async () => {
        said("network", "create", "plain");
        sleeping("plain1", "plain", "--dns", "127.0.0.9");
        const before = world.asked.length;
        expect(askFrom(pidOf("plain1"), gatewayOf("plain")[0], "plain1", TYPE.AAAA)).toEqual(NOTHING);
        // what it does not know is asked for elsewhere
        expect(askFrom(pidOf("plain1"), gatewayOf("plain")[0], "elsewhere.example")).toEqual(are("10.255.0.7"));
        expect(await eventually(() => world.asked.length > before)).toBe(true);
        expect(world.asked.slice(before)).toEqual(["elsewhere.example"]);
        said("rm", "-f", "plain1");
        said("network", "rm", "plain");
        await nothingIsLeft();
      },
      30_000 * SLOW,
    );

    test(
      "of one network are not told in another",
      async () => {
        for (const name of ["front", "back"]) said("network", "create", name);
        sleeping("inner", "back");
        sleeping("outer", "front", "--dns", "127.0.0.1");
        const [outer, inner] = [pidOf("outer"), pidOf("inner")];
        const [front, back] = [gatewayOf("front")[0], gatewayOf("back")[0]];
        expect(askFrom(inner, back, "inner")).toEqual(are(addressOf("inner")));
        for (const by of ["udp", "tcp"] as const)
          expect(askFrom(outer, back, "inner", TYPE.A, by, 500)).toBeOneOf(["refused", "silent"]);
        // its own server does not know it, and asks elsewhere
        expect(askFrom(outer, front, "inner")).toEqual(are("10.255.0.7"));
        expect(askFrom(outer, front, "inner.back")).toEqual(are("10.255.0.7"));
        const reversed = `${addressOf("inner").split(".").toReversed().join(".")}.in-addr.arpa`;
        expect(askFrom(outer, front, reversed, TYPE.PTR)).not.toEqual(are("inner.back"));
        // nor does anybody on this machine
        expect(askFrom(process.pid, back, "inner", TYPE.A, "udp", 500)).toBeOneOf(["refused", "silent"]);

        // the way there is open: without the device, a socket at the same address is reached
        const socket = (device?: string) => {
          const fd = openSocket("tcp", 4);
          if (device !== undefined) setOption(fd, SOL_SOCKET, SO_BINDTODEVICE, Buffer.from(`${device}\0`));
          expect(bindSocket(fd, { address: bytesOfAddress(parseAddress(back)), port: 5353 })).toBe(0);
          expect(listenSocket(fd, 1)).toBe(0);
          return fd;
        };
        const reaches = () =>
          Bun.spawnSync(["nsenter", `--net=/proc/${outer}/ns/net`, "busybox", "nc", "-w", "1", back, "5353"], {
            stdin: "ignore",
            timeout: 3000,
            stderr: "pipe",
          }).stderr.toString();
        const open = socket();
        expect(reaches()).not.toContain("refused");
        close(open);
        const guarded = socket(deviceOf("back"));
        expect(reaches()).toContain("refused");
        close(guarded);

        said("network", "connect", "back", "outer");
        expect(askFrom(outer, front, "inner")).toEqual(are(addressOf("inner")));
        expect(askFrom(outer, back, "inner")).toEqual(are(addressOf("inner")));
        said("network", "disconnect", "front", "outer");
        expect(said("exec", "outer", "cat", "/etc/resolv.conf")).toContain(`nameserver ${back}\n`);
        expect(said("exec", "outer", "busybox", "nslookup", "inner")).toContain(addressOf("inner"));
        said("rm", "-f", "inner", "outer");
        said("network", "rm", "front", "back");
        await nothingIsLeft();
      },
      60_000 * SLOW,
    );

    test(
      "are not a way out of an internal network",
      async () => {
        said("network", "create", "--internal", "closed");
        said("network", "create", "open");
        sleeping("confined", "closed", "--dns", "127.0.0.9");
        sleeping("free", "open", "--dns", "127.0.0.9");
        expect(askFrom(pidOf("confined"), gatewayOf("closed")[0], "secret.example")).toMatchObject({
          rcode: RCODE.SERVFAIL,
        });
        expect(askFrom(pidOf("free"), gatewayOf("open")[0], "public.example")).toEqual(are("10.255.0.7"));
        expect(await eventually(() => world.asked.includes("public.example"))).toBe(true);
        expect(world.asked).not.toContain("secret.example");
        expect(askFrom(pidOf("confined"), gatewayOf("closed")[0], "confined")).toEqual(are(addressOf("confined")));
        said("rm", "-f", "confined", "free");
        said("network", "rm", "closed", "open");
        await nothingIsLeft();
      },
      30_000 * SLOW,
    );

    test(
      "are asked for where the machine asks, and where a container was told to",
      async () => {
        said("network", "create", "out");
        const file = made.folder.write("resolv.conf", "search corp.example\nnameserver 127.0.0.1\noptions rotate\n");
        const tsbox = made.command("run", "-d", "--name", "asks", "--network", "out", "busy", "sleep", "1000");
        const script = `mount --bind ${file} /etc/resolv.conf && exec "$@"`;
        const started = Bun.spawnSync(["unshare", "--mount", "sh", "-c", script, "sh", ...tsbox], {
          env: made.env,
          cwd: "/",
        });
        expect(started.stderr.toString()).toBe("");
        expect(said("exec", "asks", "cat", "/etc/resolv.conf")).toBe(
          `nameserver ${gatewayOf("out")[0]}\nsearch corp.example\noptions rotate ndots:0`,
        );
        expect(askFrom(pidOf("asks"), gatewayOf("out")[0], "machine.example")).toEqual(are("10.255.0.7"));
        expect(askFrom(pidOf("asks"), gatewayOf("out")[0], "no-such.example")).toEqual(NOBODY);
        // another that is told to ask somebody who is not there
        sleeping("told", "out", "--dns", "127.0.0.55", "--dns-search", "a.example", "--dns-option", "ndots:2");
        expect(askFrom(pidOf("told"), gatewayOf("out")[0], "other.example")).toMatchObject({ rcode: RCODE.SERVFAIL });
        expect(said("exec", "told", "cat", "/etc/resolv.conf")).toBe(
          `nameserver ${gatewayOf("out")[0]}\nsearch a.example\noptions ndots:2`,
        );
        said("rm", "-f", "asks", "told");
        said("network", "rm", "out");
        await nothingIsLeft();
      },
      30_000 * SLOW,
    );

    test(
      "are answered for by one process, which ends with the last container, and comes back where it was killed",
      async () => {
        for (const name of ["a", "b"]) said("network", "create", name);
        expect(answering()).toEqual([]);
        // what is asked before it is there waits for it
        expect(
          said("run", "--rm", "--name", "solo", "--network", "a", "busy", "busybox", "nslookup", "solo"),
        ).toContain("Name:\tsolo\nAddress: 172.");
        expect(await eventually(() => answering().length === 0)).toBe(true);
        sleeping("a1", "a");
        sleeping("b1", "b");
        const [first, ...others] = answering();
        expect(others).toEqual([]);
        const isNamed = () => readFileSync(`/proc/${first}/comm`, "utf8") === "tsbox-netd\n";
        expect(await eventually(isNamed)).toBe(true);
        // it is nobody's child of here, and has nothing that was open where it was started
        const parent = /^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${first}/status`, "utf8"))?.[1];
        expect(readFileSync(`/proc/${parent}/cmdline`, "utf8")).not.toContain(made.root);
        const open = readdirSync(`/proc/${first}/fd`).map((fd) => readlinkSync(`/proc/${first}/fd/${fd}`));
        expect(open.filter((path) => path.startsWith("/") && !path.startsWith(made.root))).toEqual([
          "/dev/null",
          "/dev/null",
        ]);
        process.kill(first as number, "SIGKILL");
        expect(await eventually(() => answering().length === 0)).toBe(true);
        expect(askFrom(pidOf("a1"), gatewayOf("a")[0], "a1", TYPE.A, "udp", 300)).toBeOneOf(["refused", "silent"]);
        sleeping("b2", "b");
        expect(askFrom(pidOf("b1"), gatewayOf("b")[0], "b2")).toEqual(are(addressOf("b2")));
        // also for a network that nobody has come into since
        expect(
          await eventually(() => askFrom(pidOf("a1"), gatewayOf("a")[0], "a1", TYPE.A, "udp", 300) !== "refused"),
        ).toBe(true);
        expect(askFrom(pidOf("a1"), gatewayOf("a")[0], "a1")).toEqual(are(addressOf("a1")));
        expect(answering()).toHaveLength(1);
        said("rm", "-f", "a1");
        expect(answering()).toHaveLength(1);
        said("rm", "-f", "b1", "b2");
        said("network", "rm", "a", "b");
        await nothingIsLeft();
      },
      60_000 * SLOW,
    );

    test(
      "are answered for again soon after that process was killed, and nobody has called tsbox; but for its guard as well",
      async () => {
        said("network", "create", "again");
        sleeping("again1", "again");
        const pid = pidOf("again1");
        const known = are(addressOf("again1"));
        const ask = () => askFrom(pid, gatewayOf("again")[0], "again1", TYPE.A, "udp", 300);
        expect(await eventually(() => Bun.deepEquals(ask(), known))).toBe(true);
        const guardOf = (child: number) =>
          Number(/^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${child}/status`, "utf8"))?.[1]);
        const nameOf = (process: number) => readFileSync(`/proc/${process}/comm`, "utf8");
        const [first] = answering() as [number];
        const guard = guardOf(first);
        expect(nameOf(guard)).toBe("tsbox-netd\n");
        process.kill(first, "SIGKILL");
        expect(await eventually(() => answering().some((each) => each !== first))).toBe(true);
        expect(await eventually(() => Bun.deepEquals(ask(), known))).toBe(true);
        // what was the guard has become what started another one, with another guard
        const [second] = answering() as [number];
        expect(await eventually(() => !existsSync(`/proc/${guard}/exe`))).toBe(true);
        expect(nameOf(guardOf(second))).toBe("tsbox-netd\n");
        for (const each of [guardOf(second), second]) process.kill(each, "SIGKILL");
        await Bun.sleep(2000);
        expect([answering(), ask()]).toEqual([[], expect.stringMatching(/refused|silent/)]);
        const begin = (begun: number) =>
          Bun.spawnSync(made.command("network", "begin"), {
            env: { ...made.env, TSBOX_NETD_TRIES: "6", TSBOX_NETD_BEGUN: `${begun}` },
            cwd: "/",
          });
        // one that was killed each time is not tried for ever; one that ran for a while is
        expect(begin(Date.now()).stderr.toString()).toContain("it was killed 6 times, each time soon");
        expect(answering()).toEqual([]);
        expect(begin(Date.now() - 120_000).stderr.toString()).toBe("");
        expect(await eventually(() => Bun.deepEquals(ask(), known))).toBe(true);
        const [third] = answering() as [number];
        for (const each of [guardOf(third), third]) process.kill(each, "SIGKILL");
        expect(await eventually(() => answering().length === 0)).toBe(true);
        // the next start brings back both
        sleeping("again2", "again");
        expect(await eventually(() => Bun.deepEquals(ask(), known))).toBe(true);
        said("rm", "-f", "again1", "again2");
        said("network", "rm", "again");
        await nothingIsLeft();
      },
      60_000 * SLOW,
    );

    test(
      "are given back when a container and its supervisor are killed together",
      async () => {
        said("network", "create", "lost");
        sleeping("lost1", "lost");
        const pid = pidOf("lost1");
        const supervisor = Number(/^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
        expect(answering()).toHaveLength(1);
        process.kill(supervisor, "SIGKILL");
        process.kill(pid, "SIGKILL");
        // nobody calls tsbox: what answers for names looks by itself
        expect(await eventually(() => answering().length === 0, 25_000)).toBe(true);
        said("rm", "-f", "lost1");
        said("network", "rm", "lost");
        await nothingIsLeft();
      },
      60_000 * SLOW,
    );

    test(
      "are answered for also where another program has the port",
      async () => {
        const sockets = (["udp", "tcp"] as const).map((protocol) => {
          const fd = openSocket(protocol, 4);
          expect(bindSocket(fd, { address: Uint8Array.of(0, 0, 0, 0), port: 53 })).toBeOneOf([0, -98]);
          if (protocol === "tcp") expect(listenSocket(fd, 1)).toBe(0);
          return fd;
        });
        said("network", "create", "taken");
        sleeping("t1", "taken");
        for (const by of ["udp", "tcp"] as const)
          expect(askFrom(pidOf("t1"), gatewayOf("taken")[0], "t1", TYPE.A, by)).toEqual(are(addressOf("t1")));
        said("rm", "-f", "t1");
        sockets.forEach(close);
        // it is free again, and what was told to the packet filter is forgotten
        sleeping("t2", "taken");
        for (const by of ["udp", "tcp"] as const)
          expect(askFrom(pidOf("t2"), gatewayOf("taken")[0], "t2", TYPE.A, by)).toEqual(are(addressOf("t2")));
        said("rm", "-f", "t2");
        said("network", "rm", "taken");
        await nothingIsLeft();
      },
      60_000 * SLOW,
    );

    test(
      "are not there in the network that is there without being made",
      async () => {
        sleeping("plain", "bridge");
        expect(answering()).toEqual([]);
        expect(said("exec", "plain", "cat", "/etc/resolv.conf")).not.toContain(gatewayOf("bridge")[0]);
        said("rm", "-f", "plain");
        await nothingIsLeft();
      },
      30_000 * SLOW,
    );

    test(
      "and all that is made for them are taken away after kill -9 in the middle of a start",
      async () => {
        said("network", "create", "cut");
        for (let ms = 40; ms <= 600; ms += 80) {
          const name = `cut${ms}`;
          const words = made.command("run", "-d", "--name", name, "--network", "cut", "busy", "sleep", "1000");
          const child = Bun.spawn(words, { env: made.env, stdio: ["ignore", "ignore", "ignore"] });
          await Bun.sleep(ms);
          child.kill(9);
          await child.exited;
        }
        // the next one finds what was left in the way
        sleeping("next", "cut");
        expect(await eventually(() => answering().length === 1)).toBe(true);
        expect(askFrom(pidOf("next"), gatewayOf("cut")[0], "next", TYPE.A, "udp", 10_000)).toEqual(
          are(addressOf("next")),
        );
        for (const name of said("ps", "-a", "--format", "{{.Names}}").split("\n")) said("rm", "-f", name);
        said("network", "rm", "cut");
        await nothingIsLeft();
      },
      60_000 * SLOW,
    );

    test(
      "of many containers that begin at once are all known",
      async () => {
        said("network", "create", "crowd");
        const names = Array.from({ length: 6 }, (_, index) => `crowd${index}`);
        const started = names.map((name) =>
          Bun.spawn(made.command("run", "-d", "--name", name, "--network", "crowd", "busy", "sleep", "1000"), {
            env: made.env,
            stdio: ["ignore", "ignore", "pipe"],
          }),
        );
        for (const child of started)
          expect([await child.exited, await new Response(child.stderr).text()]).toEqual([0, ""]);
        expect(answering()).toHaveLength(1);
        for (const name of names)
          expect(askFrom(pidOf("crowd0"), gatewayOf("crowd")[0], name)).toEqual(are(addressOf(name)));
        said("rm", "-f", ...names);
        said("network", "rm", "crowd");
        await nothingIsLeft();
      },
      60_000 * SLOW,
    );
  },
);
