/** Where this machine's own routes lead to. @module */
import { Links, type Subnet } from "../netlink/index.ts";

export function hostRoutes(): Subnet[] {
  using links = new Links();
  return links.routes();
}
