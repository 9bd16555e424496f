/** `tsbox network create` @module @see https://docs.docker.com/reference/cli/docker/network/create/ */
import type { NetworkOptions } from "../../network/index.ts";
import { declare, type Add } from "../images/declare.ts";
import { invalid } from "../invalid.ts";
import { pair } from "../pair.ts";
import { print } from "../print.ts";
import { withNetworks } from "./with-networks.ts";

interface CreateFlags {
  auxAddress?: string[];
  driver?: string;
  gateway?: string[];
  internal?: boolean;
  ipRange?: string[];
  ipv6?: boolean;
  label?: string[];
  opt?: string[];
  subnet?: string[];
}

export const addCreate: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "Create a network",
      usage: "[FLAGS] NETWORK",
      words: ["<NETWORK>"],
      flags: [
        ["--aux-address <NAME=IP>...", "An address that no container gets"],
        ["-d, --driver <bridge|macvlan|ipvlan>", "What it is made of (default bridge)"],
        ["--gateway <IP>...", "Of a subnet (default its first address)"],
        ["--internal", "Nothing leads out of it"],
        ["--ip-range <CIDR>...", "Containers get addresses from here"],
        ["--ipv6", "With addresses of version 6 as well"],
        ["--label <KEY=VALUE>...", "A label"],
        [
          "-o, --opt <KEY=VALUE>...",
          "mtu=, isolate=false, icc=false, bridge_name=, host_binding=; of macvlan and ipvlan parent=; ipvlan_mode=",
        ],
        ["--subnet <CIDR>...", '"172.28.0.0/16", one of each version (default one that is free)'],
      ],
    },
    (network: string, flags: CreateFlags) =>
      withNetworks(async ({ networks }) => {
        const { driver, internal, ipv6, label = [], opt = [] } = flags;
        const { id } = await networks.create({
          name: network,
          ...(driver === undefined ? {} : { driver: driver as "bridge" }), // its words are the library's business
          ...(internal ? { internal } : {}),
          ...(ipv6 ? { ipv6 } : {}),
          subnets: subnetsOf(flags),
          labels: Object.fromEntries(label.map((words) => pair("--label", words))),
          options: Object.fromEntries(opt.map((words) => pair("--opt", words))),
        });
        print(`${id}\n`);
      }),
  );

/** Each with what is said of the same version. */
function subnetsOf(flags: CreateFlags): NonNullable<NetworkOptions["subnets"]> {
  const { subnet = [], gateway = [], ipRange = [], auxAddress = [] } = flags;
  const reserved = auxAddress.map((words) => pair("--aux-address", words));
  const given = {
    "--gateway": gateway,
    "--ip-range": ipRange,
    "--aux-address": reserved.map(([, address]) => address),
  };
  for (const [flag, [first]] of Object.entries(given))
    if (first !== undefined && subnet.length === 0) throw invalid(flag, first, "no matching subnet", "--subnet");
  return subnet.map((each) => {
    const isSix = each.includes(":");
    const same = (text: string) => text.includes(":") === isSix;
    const [own, range] = [gateway.find(same), ipRange.find(same)];
    return {
      subnet: each,
      ...(own === undefined ? {} : { gateway: own }),
      ...(range === undefined ? {} : { range }),
      reserved: Object.fromEntries(reserved.filter(([, address]) => same(address))),
    };
  });
}
