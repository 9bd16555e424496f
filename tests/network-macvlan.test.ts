/** Containers with addresses of their own at a device of the machine, which is a network namespace of the test's. @module */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { hasFirewall } from "../lib/network/firewall.ts";
import { CommandLine } from "./support/command-line.ts";
import { noNetworks, notRoot, SLOW } from "./support/machine.ts";
import { deviceNames, World, type Place } from "./support/network-world.ts";

const reason = notRoot ?? noNetworks("macvlan");

describe.skipIf(reason !== undefined)(
  reason === undefined ? "containers in a macvlan" : `containers in a macvlan (${reason})`,
  () => {
    let world: World;
    let outside: Place;
    let made: CommandLine;
    const said = (...words: string[]) => made.said(...words);
    const refused = (...words: string[]) => {
      const { status, stderr } = made.tsbox(...words);
      expect(status).not.toBe(0);
      return stderr;
    };
    beforeAll(async () => {
      world = new World();
      outside = world.neighbour(["203.0.113.1/24", "2001:db8:1::1/64"], ["203.0.113.9/24", "2001:db8:1::9/64"]);
      made = await CommandLine.open();
      const words = (line: string) => line.split(" ");
      const v4 = "--subnet 203.0.113.0/24 --gateway 203.0.113.9 --ip-range 203.0.113.64/28";
      const v6 = "--subnet 2001:db8:1::/64 --gateway 2001:db8:1::9 --aux-address me=203.0.113.65";
      said(...words(`network create -d macvlan -o parent=out1 -o mtu=1400 --ipv6 ${v4} ${v6} lan`));
    });
    afterAll(async () => {
      await made?.[Symbol.asyncDispose]();
      world?.[Symbol.dispose]();
    });
    const addressOf = (name: string) =>
      said("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", name);
    const SERVE = ["busy", "sh", "-c", "echo hello >/tmp/index.html; exec busybox httpd -f -p 80 -h /tmp"];
    async function fetched(address: string, fetch: (url: string) => string): Promise<string> {
      for (let tries = 0; ; tries++, await Bun.sleep(20)) {
        try {
          return fetch(`http://${address}/`);
        } catch (error) {
          if (tries > 100) throw error;
        }
      }
    }

    test(
      "are neighbours of the machines there, and of each other",
      async () => {
        said("run", "-d", "--name", "server", "--network", "lan", "--mac-address", "02:00:00:00:00:07", ...SERVE);
        said("run", "-d", "--name", "client", "--network", "lan", "busy", "sleep", "1000");
        // 64 is free, 65 is reserved
        expect([addressOf("server"), addressOf("client")]).toEqual(["203.0.113.64", "203.0.113.66"]);
        const wget = ["busybox", "wget", "-qO-"];
        expect(await fetched("203.0.113.64", (url) => outside.run(...wget, url))).toBe("hello");
        expect(said("exec", "client", ...wget, "http://203.0.113.64/")).toBe("hello");
        // its own device, and nobody translates: the neighbour sees who it is
        expect(outside.run("cat", "/proc/net/arp")).toMatch(/203\.0\.113\.64 .* 02:00:00:00:00:07 /);
        expect(said("exec", "client", "cat", "/sys/class/net/eth0/mtu")).toBe("1400");
        expect(said("exec", "client", "busybox", "ip", "route")).toMatch(/^default via 203\.0\.113\.9 dev eth0/);
        expect(said("exec", "client", "busybox", "ip", "-6", "route")).toMatch(/^default via 2001:db8:1::9 dev eth0/m);
        // no packet filter, and no bridge
        expect(hasFirewall()).toBe(false);
        said("rm", "-f", "server", "client");
        nothingIsLeft();
      },
      60_000 * SLOW,
    );

    test(
      "come and go while they run",
      () => {
        said("run", "-d", "--name", "moving", "busy", "sleep", "1000");
        said("network", "connect", "lan", "moving");
        expect(said("exec", "moving", "busybox", "ip", "-o", "link")).toContain("eth0");
        said("network", "disconnect", "lan", "moving");
        expect(said("exec", "moving", "busybox", "ip", "-o", "link")).not.toContain("eth0");
        said("network", "connect", "--ip", "203.0.113.70", "lan", "moving");
        expect(said("exec", "moving", "busybox", "ip", "-o", "addr")).toContain("203.0.113.70/24");
        said("rm", "-f", "moving");
        nothingIsLeft();
      },
      60_000 * SLOW,
    );

    test(
      "publish nothing, and are refused what there is not",
      () => {
        expect(refused("run", "-d", "--network", "lan", "-p", "80:80", "busy", "true")).toContain(
          "have addresses of their own",
        );
        expect(refused("run", "-d", "--network", "lan", "--ip", "203.0.114.1", "busy", "true")).toContain(
          "no configured subnet contains IP address",
        );
        expect(refused("network", "create", "-d", "macvlan", "x")).toContain("no parent is named");
        said("network", "create", "-d", "macvlan", "-o", "parent=nothing0", "missing");
        expect(refused("run", "-d", "--network", "missing", "busy", "true")).toContain(
          'find the network device "nothing0": there is none',
        );
        said("network", "rm", "missing");
        said("rm", "-f", ...said("ps", "-aq").split("\n"));
        nothingIsLeft();
      },
      60_000 * SLOW,
    );

    function nothingIsLeft(): void {
      expect(deviceNames()).toEqual(["lo", "out1"]);
    }
  },
);
