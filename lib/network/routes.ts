/** Where this machine's own routes lead to. @module */
import { Links, type Route } from "../netlink/index.ts";

export function hostRoutes(): Route[] {
  using links = new Links();
  return links.routes();
}
