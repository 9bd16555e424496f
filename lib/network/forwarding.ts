/**
 * That this machine passes packets on. It is switched on with the first network that needs it, and off again with the
 * last, where nobody else may need it by now: an empty chain in our table says that we have switched it.
 *
 * A machine that passes packets of version 6 on does not believe routers any more, so it would lose its own way out where
 * that is how it knows it: devices that believe them are told to go on (`accept_ra=2`), and another chain says which.
 * @module
 * @see https://docs.kernel.org/networking/ip-sysctl.html
 */
import { namesIn, systemError } from "../../syscalls/index.ts";
import { setting, settingNow, type Link, type Links } from "../netlink/index.ts";
import { markFirewall } from "./firewall.ts";

const SETTINGS = { 4: "ipv4/ip_forward", 6: "ipv6/conf/all/forwarding" } as const;
/** What the chains are called. */
const MARKS = { 4: "switched-forwarding4", 6: "switched-forwarding6" } as const;

/** @throws TsboxError `limit_unavailable` */
export function allowForwarding(families: readonly (4 | 6)[], action: string): void {
  for (const family of families) {
    const before = settingNow(SETTINGS[family]);
    if (before === "1") continue;
    if (family === 6 && before !== undefined) keepBelieving();
    const result = setting(SETTINGS[family], "1");
    if (result < 0) throw systemError(`${action}: set ${SETTINGS[family]}`, "write", -result, "limit_unavailable");
    if (before !== undefined) markFirewall(MARKS[family]);
  }
}

/** @param marks those of the table, which is gone */
export function forbidForwarding(links: Links, marks: readonly string[]): void {
  const ours = ([4, 6] as const).filter((family) => marks.includes(MARKS[family]));
  // bridges, tunnels and the like that have come meanwhile: what is theirs is to be passed on as well
  if (ours.length === 0 || links.list().some(needsForwarding)) return;
  for (const family of ours) setting(SETTINGS[family], "0");
  for (const mark of marks) {
    const [, device] = mark.split(BELIEVES);
    if (device !== undefined && settingNow(acceptRa(device)) === "2") setting(acceptRa(device), "1");
  }
}

/** Nothing is passed on to these. */
const HARMLESS = ["dummy", "ifb"];
/** The kernel makes one of each in every network namespace (`sit0`), where it knows them; they are down until they are used. */
const TUNNELS = ["sit", "ipip", "gre", "gretap", "erspan", "ip6tnl", "ip6gre", "vti", "vti6"];
const needsForwarding = ({ kind, up }: Link): boolean =>
  kind !== undefined && !HARMLESS.includes(kind) && (up || !TUNNELS.includes(kind));
const BELIEVES = "believes-routers-";
const acceptRa = (device: string) => `ipv6/conf/${device}/accept_ra`;

function keepBelieving(): void {
  for (const device of namesIn("/proc/sys/net/ipv6/conf")) {
    if (["all", "default", "lo"].includes(device) || settingNow(acceptRa(device)) !== "1") continue;
    if (setting(acceptRa(device), "2") >= 0) markFirewall(`${BELIEVES}${device}`);
  }
}
