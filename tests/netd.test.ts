/** Who may ask the process that answers for names, and what it is told: tables. @module */
import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { answerForNames, beginAgain, Home } from "../lib/containers/index.ts";
import { answerFrom, readQuery, TYPE, type Query, type Upstream } from "../lib/dns/index.ts";
import { bytesOfAddress, parseAddress } from "../lib/ip/index.ts";
import { addressKey, askersOf } from "../lib/netd/askers.ts";
import { parseRequest } from "../lib/netd/control.ts";
import { isNeeded } from "../lib/netd/needed.ts";
import type { Endpoint, NetworkRecord } from "../lib/network/index.ts";
import { ask } from "./support/dns-messages.ts";
import { Folder } from "./support/rootfs.ts";

/** @param endpoints `"web eth0 10.1.0.2 alias"` */
function network(name: string, subnet: string, endpoints: string[], more: Partial<NetworkRecord> = {}): NetworkRecord {
  const members = endpoints.map((text): Endpoint => {
    const [container = "", inside = "", address, ...aliases] = text.split(" ");
    const addresses = [`${address}/24`];
    return { container, name: container, aliases, device: "", inside, mac: "", addresses, ports: [] };
  });
  return {
    version: 1,
    id: name,
    name,
    created: 0,
    driver: "bridge",
    device: "",
    subnets: [{ subnet, gateway: "" }],
    ipv6: false,
    internal: false,
    isolated: true,
    labels: {},
    options: {},
    endpoints: Object.fromEntries(members.map((each) => [each.container, each])),
    last: {},
    ...more,
  };
}

const MACHINE: Upstream[] = [{ address: Uint8Array.of(9, 9, 9, 9), port: 53 }];
const networks = [
  network("front", "10.1.0.0/24", ["web eth0 10.1.0.2 www", "both eth0 10.1.0.3"]),
  network("back", "10.2.0.0/24", ["db eth0 10.2.0.2", "both eth1 10.2.0.3 store"], { internal: true }),
  network("bridge", "10.3.0.0/24", ["plain eth0 10.3.0.2"]),
  network("lan", "10.4.0.0/24", ["far eth0 10.4.0.2"], { driver: "macvlan" }),
];
const askers = askersOf(
  networks,
  (container) => (container === "web" ? ["1.1.1.1", "nonsense", "fd00::1"] : undefined),
  () => MACHINE,
);
const askerOf = (of: string, address: string) => askers.get(of)?.get(addressKey(bytesOfAddress(parseAddress(address))));

describe("an asker", () => {
  test.each<[of: string, address: string, name: string, found: string[] | undefined]>([
    ["front", "10.1.0.2", "both", ["10.1.0.3"]],
    ["front", "10.1.0.2", "www", ["10.1.0.2"]],
    ["front", "10.1.0.2", "db", undefined],
    ["front", "10.1.0.2", "store", undefined],
    ["front", "10.1.0.3", "db", ["10.2.0.2"]],
    ["front", "10.1.0.3", "both", ["10.1.0.3"]],
    ["back", "10.2.0.3", "web", ["10.1.0.2"]],
    ["back", "10.2.0.2", "web", undefined],
    ["back", "10.2.0.2", "both", ["10.2.0.3"]],
  ])("in %s at %s, who looks for %s", (of, address, name, found) => {
    const asker = askerOf(of, address);
    const response = answerFrom(asker?.zones ?? [], readQuery(ask(name, TYPE.A)) as Query);
    expect(response?.answers?.map(({ data }) => data.join("."))).toEqual(found as string[]);
  });

  test.each<[of: string, address: string]>([
    ["front", "10.2.0.2"],
    ["back", "10.1.0.2"],
    ["front", "10.1.0.9"],
    ["bridge", "10.3.0.2"],
    ["lan", "10.4.0.2"],
  ])("in %s at %s is nobody", (of, address) => expect(askerOf(of, address)).toBeUndefined());

  test("is led to the machine's servers, to those that it was given, or to none", () => {
    expect(askerOf("front", "10.1.0.3")?.upstreams).toEqual(MACHINE);
    expect(askerOf("back", "10.2.0.3")?.upstreams).toEqual(MACHINE);
    expect(askerOf("front", "10.1.0.2")?.upstreams.map(({ address }) => address.length)).toEqual([4, 16]);
    expect(askerOf("back", "10.2.0.2")?.upstreams).toEqual([]);
  });
});

test.each<[what: string, networks: NetworkRecord[], root: boolean, user: boolean]>([
  ["networks with containers", networks, true, true],
  ["the default network alone", [network("bridge", "10.3.0.0/24", ["plain eth0 10.3.0.2"])], false, true],
  ["a macvlan alone", [network("lan", "10.4.0.0/24", ["far eth0 10.4.0.2"], { driver: "macvlan" })], false, false],
  ["a network without containers", [network("front", "10.1.0.0/24", [])], false, false],
  ["nothing", [], false, false],
])("it is needed for %s, of root's and of a user's", (_, of, root, user) => {
  expect([isNeeded(of, false), isNeeded(of, true)]).toEqual([root, user]);
});

test.each<[text: string, isRequest: boolean]>([
  ['{"verb":"changed"}\n', true],
  ['{"verb":1}', false],
  ["null", false],
  ["[]", false],
  ['"changed"', false],
  ["", false],
  ["{", false],
  ["\xff", false],
])("what is told as %p", (text, isRequest) => {
  expect(parseRequest({ bytes: Buffer.from(text, "latin1") }) !== undefined).toBe(isRequest);
});

test("a store that was removed before it had begun is not made anew", async () => {
  using folder = new Folder();
  using home = new Home(join(folder.path, "gone"));
  await answerForNames(home, -1);
  await beginAgain(home);
  expect(existsSync(home.root)).toBe(false);
});
