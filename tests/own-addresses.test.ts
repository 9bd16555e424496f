/** Which addresses are this machine's own. @module */
import { expect } from "bun:test";
import { parseAddress, parseSubnet } from "../lib/ip/index.ts";
import { Links, OwnAddresses } from "../lib/netlink/index.ts";
import { notRoot, testUnless } from "./support/machine.ts";
import { World } from "./support/network-world.ts";

testUnless(notRoot, "are those of its devices as they are now, in either family, the second ones as well", () => {
  using world = new World();
  world.neighbour(["192.0.2.1/24", "2001:db8::1/64"], ["192.0.2.2/24", "2001:db8::2/64"]);
  using own = new OwnAddresses();
  const has = (text: string) => own.has(parseAddress(text));
  expect(["192.0.2.1", "127.0.0.1", "127.9.9.9", "2001:db8::1", "::1", "192.0.2.255"].map(has)).not.toContain(false);
  expect(["192.0.2.2", "192.0.2.3", "198.51.100.1", "2001:db8::2", "2001:db8:1::1"].map(has)).not.toContain(true);
  using links = new Links();
  links.addAddress(links.indexOf("out1"), parseSubnet("192.0.2.3/24"), "add an address");
  expect(has("192.0.2.3")).toBe(true);
});
