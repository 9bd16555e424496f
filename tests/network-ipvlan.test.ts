/** Containers at a device of the machine, with its MAC address: the machine is a network namespace of the test's. @module */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { CommandLine } from "./support/command-line.ts";
import { noNetworks, notRoot, SLOW } from "./support/machine.ts";
import { deviceNames, World, type Place } from "./support/network-world.ts";

const reason = notRoot ?? noNetworks("ipvlan");

describe.skipIf(reason !== undefined)(
  reason === undefined ? "containers in an ipvlan" : `containers in an ipvlan (${reason})`,
  () => {
    let world: World;
    let outside: Place;
    let made: CommandLine;
    const said = (line: string) => made.said(...line.split(" "));
    beforeAll(async () => {
      world = new World();
      outside = world.neighbour(["203.0.113.1/24"], ["203.0.113.9/24"]);
      made = await CommandLine.open();
    });
    afterAll(async () => {
      await made?.[Symbol.asyncDispose]();
      world?.[Symbol.dispose]();
    });
    const own = (name: string, file: string) => said(`exec ${name} cat /sys/class/net/eth0/${file}`);
    const reaches = (name: string, address: string) => said(`exec ${name} busybox ping -c 1 -W 5 ${address}`);

    test(
      "of layer 2 are neighbours of the machines there, by the MAC address of its device",
      () => {
        said("network create -d ipvlan -o parent=out1 --subnet 203.0.113.0/24 --gateway 203.0.113.9 lan");
        said("run -d --cap-add NET_RAW --name one --network lan --ip 203.0.113.64 busy sleep 1000");
        said("run -d --cap-add NET_RAW --name two --network lan --ip 203.0.113.65 busy sleep 1000");
        expect(reaches("one", "203.0.113.65")).toContain("1 packets received");
        expect(reaches("one", "two")).toContain("1 packets received");
        expect(reaches("two", "203.0.113.9")).toContain("1 packets received");
        expect(own("one", "address")).toBe(own("two", "address"));
        expect(outside.run("cat", "/proc/net/arp")).toContain(own("two", "address"));
        expect(said("exec one busybox ip route")).toMatch(/^default via 203\.0\.113\.9 dev eth0/);
        const { status, stderr } = made.tsbox(
          ..."run -d --network lan --mac-address 02:00:00:00:00:07 busy true".split(" "),
        );
        expect([status, stderr]).toEqual([125, expect.stringContaining("do not support custom mac address")]);
        said("rm -f one two");
        said("network rm lan");
        expect(deviceNames()).toEqual(["lo", "out1"]);
      },
      60_000 * SLOW,
    );

    test(
      "of layer 3 have no gateway, and no neighbours but each other",
      () => {
        said("network create -d ipvlan -o parent=out1 -o ipvlan_mode=l3 --subnet 10.7.0.0/24 routed");
        said("run -d --cap-add NET_RAW --name one --network routed busy sleep 1000");
        said("run -d --cap-add NET_RAW --name two --network routed busy sleep 1000");
        expect(said("exec one busybox ip route")).toMatch(/^default dev eth0/);
        expect(reaches("one", "two")).toContain("1 packets received");
        // the machines there have to know the way
        outside.run("ip", "route", "add", "10.7.0.0/24", "via", "203.0.113.1");
        expect(reaches("one", "203.0.113.9")).toContain("1 packets received");
        said("rm -f one two");
        said("network rm routed");
        expect(deviceNames()).toEqual(["lo", "out1"]);
      },
      60_000 * SLOW,
    );
  },
);
