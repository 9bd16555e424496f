/** What verbs of networks share. @module */
import type { Containers } from "../../containers/index.ts";
import type { NetworkRecord, Networks } from "../../network/index.ts";
import { safely } from "../images/with-images.ts";
import { NO_MAP } from "../template/template.ts";

export interface Networking {
  networks: Networks;
  containers: Containers;
}

/** Ends with the status that `work` comes to. */
export const withNetworks = (work: (networking: Networking) => Promise<number | void>) =>
  safely(async () => {
    const { Containers, Home, networksAt } = await import("../../containers/index.ts");
    using home = new Home();
    using containers = new Containers();
    return await work({ networks: networksAt(home), containers });
  });

/** As Docker's API has it; what a template may range over is a map. */
export const inspectedNetwork = (network: NetworkRecord): object => ({
  Name: network.name,
  Id: network.id,
  Created: new Date(network.created).toISOString(),
  Scope: "local",
  Driver: network.driver,
  EnableIPv4: network.subnets.some(({ subnet }) => !subnet.includes(":")),
  EnableIPv6: network.subnets.some(({ subnet }) => subnet.includes(":")),
  IPAM: {
    Driver: "default",
    Options: NO_MAP,
    Config: network.subnets.map(({ subnet, gateway, range, reserved }) => ({
      Subnet: subnet,
      ...(range === undefined ? {} : { IPRange: range }),
      Gateway: gateway,
      ...(reserved ? { AuxiliaryAddresses: reserved } : {}),
    })),
  },
  Internal: network.internal,
  Attachable: false,
  Ingress: false,
  ConfigFrom: { Network: "" },
  ConfigOnly: false,
  Containers: new Map(
    Object.entries(network.endpoints).map(([id, { name, device, mac, addresses }]) => [
      id,
      {
        Name: name,
        EndpointID: device,
        MacAddress: mac,
        IPv4Address: addresses.find((text) => !text.includes(":")) ?? "",
        IPv6Address: addresses.find((text) => text.includes(":")) ?? "",
      },
    ]),
  ),
  Options: new Map(Object.entries(network.options)),
  Labels: new Map(Object.entries(network.labels)),
});
