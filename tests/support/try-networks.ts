/**
 * Tries what networks ask of the kernel, in the network namespace that it is run in, and prints what the kernel lacks:
 * JSON, each with a reason.
 * @module
 */
import { forgetConnections, Links } from "../../lib/netlink/index.ts";
import { setBandwidth } from "../../lib/network/bandwidth.ts";
import { raiseFirewall } from "../../lib/network/firewall.ts";

const lacking: Record<string, string> = {};

function attempt(what: string, act: () => void): void {
  try {
    act();
  } catch (error) {
    lacking[what] = (error as Error).message;
  }
}

using links = new Links();
attempt("filter", () => raiseFirewall([], []));
attempt("connections", () => {
  if (forgetConnections(() => false) === undefined) throw new Error("list connections: this kernel does not tell them");
});
attempt("bridge", () => links.addBridge("tried"));
attempt("macvlan", () => links.addMacvlan("over", links.indexOf("tried")));
attempt("ipvlan", () => {
  // a device has either
  links.addBridge("parent");
  links.addIpvlan("flat", links.indexOf("parent"));
});
attempt("bandwidth", () => setBandwidth(links, "tried", { downBytes: 1e6, upBytes: 1e6 }));
console.log(JSON.stringify(lacking));
