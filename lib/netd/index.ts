/** The process in the background that answers for names in networks: how it is told, and how it runs. @module */
import type { NetdOptions } from "./netd.ts";

export { askNetd, checkTries, publishPorts, NetdWatcher, tellNetd, tellOrStart, type NetdCommand } from "./client.ts";
export { NetdKeeper } from "./keeper.ts";
export type { NetdOptions } from "./netd.ts";
export type { WaysOfContainers } from "./policies.ts";

/** Until no container needs it any more. What it does is loaded only then. */
export async function runNetd(options: NetdOptions): Promise<void> {
  const { Netd } = await import("./netd.ts");
  await new Netd(options).run();
}
