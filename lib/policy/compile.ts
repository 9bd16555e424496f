/** A policy, as data that another thread can decide by. @module */
import { checkKeys, checkObject, invalid } from "../options/index.ts";
import { show } from "../../syscalls/index.ts";
import { contains, formatAddress, parseAddress } from "../ip/index.ts";
import { findName } from "./name.ts";
import type { NetworkPolicy } from "./options.ts";
import { reservedRanges } from "./reserved.ts";
import { parseRule, type Rule } from "./rule.ts";

/** A policy, compiled. */
export interface Rules {
  /** Undefined: everything public. */
  allow?: Rule[];
  deny: Rule[];
  /** There is a handler that decides about what the lists let pass. */
  asks: boolean;
  /** Names that lead to handlers, and the address that stands for each. */
  hosts: { name: string; ip: string }[];
}

const KEYS = ["allow", "deny", "connect", "hosts"];
const MAX_RULES = 10_000;
/** Of a range for benchmarks, which nobody has on the Internet. */
const FIRST_HOST = parseAddress("198.18.0.1").value;
const MAX_HOSTS = 10_000;

/** Which address stands for the name of a handler: the same one, as long as the sandbox lives and may remember it. */
export class HostAddresses {
  readonly #ips = new Map<string, string>();

  /** @throws TsboxError `invalid_option` */
  of(name: string): string {
    const known = this.#ips.get(name);
    if (known !== undefined) return known;
    if (this.#ips.size === MAX_HOSTS) throw invalid(`use the host ${show(name)}: it had ${MAX_HOSTS} others before`);
    const ip = formatAddress({ family: 4, value: FIRST_HOST + BigInt(this.#ips.size) });
    this.#ips.set(name, ip);
    return ip;
  }
}

/**
 * @param addresses of the sandbox that the policy is for
 * @throws TsboxError `invalid_option`
 */
export function compilePolicy(policy: NetworkPolicy, addresses: HostAddresses = new HostAddresses()): Rules {
  checkObject("network policy", policy, `its keys: ${KEYS.join(", ")}`);
  checkKeys("key", policy, KEYS, "a network policy");
  const { allow, deny = [], connect, hosts } = policy;
  if (connect !== undefined && typeof connect !== "function")
    throw invalid(`use connect ${show(connect)}: not a function`);
  const allowed = allow === undefined ? undefined : parseList("allow", allow);
  for (const rule of allowed ?? []) checkReachable(rule);
  return {
    ...(allowed ? { allow: allowed } : {}),
    deny: parseList("deny", deny),
    asks: connect !== undefined,
    hosts: hostsOf(hosts, addresses),
  };
}

function parseList(name: string, list: unknown): Rule[] {
  if (!Array.isArray(list)) throw invalid(`use ${name} ${show(list)}: not an array`);
  if (list.length > MAX_RULES) throw invalid(`use ${list.length} rules of ${name}: more than ${MAX_RULES}`);
  return Array.from(list, (text) => parseRule(name, text));
}

/** A rule that would be ignored is an error. */
function checkReachable({ to, text }: Rule): void {
  if (!("subnet" in to)) return;
  const { subnet } = to;
  const range = reservedRanges().find(
    (each) => each.never && subnet.prefix >= each.subnet.prefix && contains(each.subnet, subnet),
  );
  if (!range) return;
  const hint =
    range.use === "loopback" ? "inside, it is the sandbox's own loopback, which no policy is for" : undefined;
  throw invalid(`use the rule ${show(text)} of allow: ${range.use} addresses cannot be given`, hint);
}

function hostsOf(hosts: unknown, addresses: HostAddresses): Rules["hosts"] {
  if (hosts === undefined) return [];
  if (Object.prototype.toString.call(hosts) !== "[object Object]")
    throw invalid(`use hosts ${show(hosts)}: not an object`, '{ "api.internal": (request) => new Response("") }');
  const entries = Object.entries(hosts as object);
  const seen = new Set<string>();
  return entries.map(([text, handler]) => {
    const name = findName(text);
    if (name === undefined) throw invalid(`use the host ${show(text)}: not a host name`);
    if (seen.has(name)) throw invalid(`use the host ${show(text)}: it is there twice`);
    seen.add(name);
    if (typeof handler !== "function")
      throw invalid(`use the handler ${show(handler)} of ${show(text)}: not a function`);
    return { name, ip: addresses.of(name) };
  });
}
