/** Where this machine's own routes lead to. @module */
import type { Subnet } from "../ip/index.ts";
import { Links } from "../netlink/index.ts";

export function hostRoutes(): Subnet[] {
  using links = new Links();
  return links.routes();
}
