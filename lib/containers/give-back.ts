/** What a container has in networks, given back. @module */
import type { Home } from "./home.ts";
import { networkPolicyOf, networksOf } from "./network-options.ts";
import type { ContainerRecord } from "./record.ts";

/** Once it has ended. What talks to the kernel of networks is loaded only for those in one. */
export async function giveBackNetworks(home: Home, record: ContainerRecord): Promise<void> {
  if (networkPolicyOf(record.options)) (await import("./policies.ts")).leavePolicy(home);
  if (networksOf(record.options).length > 0) await (await import("./networks.ts")).leaveNetworks(home, record);
}
