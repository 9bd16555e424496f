/**
 * That this machine passes packets on. It is switched on with the first network that needs it, and off again with the
 * last, where nobody else may need it by now: an empty chain in our table says that we have switched it.
 * @module
 * @see https://docs.kernel.org/networking/ip-sysctl.html
 */
import { systemError } from "../../syscalls/index.ts";
import { setting, settingNow, type Links } from "../netlink/index.ts";
import { markFirewall } from "./firewall.ts";

const SETTINGS = { 4: "ipv4/ip_forward", 6: "ipv6/conf/all/forwarding" } as const;
/** What the chain is called. */
const MARKS = { 4: "switched-forwarding4", 6: "switched-forwarding6" } as const;

/** @throws TsboxError `limit_unavailable` */
export function allowForwarding(families: readonly (4 | 6)[], action: string): void {
  for (const family of families) {
    const before = settingNow(SETTINGS[family]);
    if (before === "1") continue;
    const result = setting(SETTINGS[family], "1");
    if (result < 0) throw systemError(`${action}: set ${SETTINGS[family]}`, "write", -result, "limit_unavailable");
    if (before !== undefined) markFirewall(MARKS[family]);
  }
}

/** @param marks those of the table, which is gone */
export function forbidForwarding(links: Links, marks: readonly string[]): void {
  const ours = ([4, 6] as const).filter((family) => marks.includes(MARKS[family]));
  // bridges, tunnels and the like that have come meanwhile: what is theirs is to be passed on as well
  if (ours.length === 0 || links.list().some(({ kind }) => kind !== undefined && kind !== "dummy")) return;
  for (const family of ours) setting(SETTINGS[family], "0");
}
