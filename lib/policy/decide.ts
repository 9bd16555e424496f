/** What rules say about a connection, a name, or an address that a name leads to. @module */
import { findAddress, type Address } from "../ip/index.ts";
import type { Rules } from "./compile.ts";
import { findName, isBelow } from "./name.ts";
import { addressesIn, findReserved, type IsOwn } from "./reserved.ts";
import { matchesAddress, matchesName, matchesTarget, plainAddress, type Rule, type Target } from "./rule.ts";

/** A connection that somebody inside wants. */
export interface Flow extends Target {
  ip: string;
  /** Those that a resolver has answered with this address. */
  names: readonly string[];
  /** Names of the deny list that lead there, as is known from outside. */
  denied?: readonly string[];
}

export interface Verdict {
  allowed: boolean;
  /** What decided: the line of a list, or the name of what there is no line for. */
  rule: string;
}

/** `"ask"`: neither way, before the handler has been asked. */
export type Decision = Verdict | "ask";
/** With an address, where that is the answer. */
export type NameDecision = Decision | (Verdict & { address: string });

const denied = (rule: string): Verdict => ({ allowed: false, rule });
const UNLISTED = "allow: nothing of it matches";

/** Whether a connection is made. */
export function decide(rules: Rules, { ip, names, denied: led = [], ...target }: Flow, isOwn: IsOwn): Decision {
  const found = findAddress(ip);
  if (!found) return denied("not an address");
  const address = plainAddress(found);
  const host = rules.hosts.find((each) => each.ip === ip);
  if (host) {
    const served = target.protocol === "tcp" && target.port === HTTP_PORT;
    return { allowed: served, rule: `hosts: ${JSON.stringify(host.name)}${served ? "" : ", at TCP port 80 only"}` };
  }
  const addresses = addressesIn(address);
  const matches = (rule: Rule) =>
    matchesTarget(rule, target) &&
    (addresses.some((each) => matchesAddress(rule, each)) || names.some((name) => matchesName(rule, name)));
  const no = rules.deny.find(matches);
  if (no) return denied(`deny: ${JSON.stringify(no.text)}`);
  const isNamed = (rule: Rule) => isOfName(rule) && matchesListed(rule, target, address, names);
  const leading = rules.deny.find((rule) => matchesTarget(rule, target) && led.some((name) => isName(rule, name)));
  if (leading && !rules.allow?.some(isNamed)) return denied(`deny: ${JSON.stringify(leading.text)}, which leads there`);
  const reserved = reservedIn(rules, isOwn, addresses, target);
  if (reserved !== undefined) return denied(reserved);
  const yes = rules.allow?.find((rule) => matchesListed(rule, target, address, names));
  if (rules.allow && !yes) return denied(UNLISTED);
  if (rules.asks) return "ask";
  return { allowed: true, rule: yes ? `allow: ${JSON.stringify(yes.text)}` : "public" };
}

const isOfName = ({ to }: Rule) => "name" in to || "below" in to;
const isName = ({ to }: Rule, name: string) => "name" in to && to.name === name;

/** Who allows an address does not allow what it can be translated to. */
const matchesListed = (rule: Rule, target: Target, address: Address, names: readonly string[]) =>
  matchesTarget(rule, target) && (matchesAddress(rule, address) || names.some((name) => matchesName(rule, name)));

/** Whether a resolver answers for a name: what cannot be connected to is not asked for either, as that tells outside. */
export function decideName(rules: Rules, text: string): NameDecision {
  const name = findName(text);
  if (name === undefined) return denied("not a host name");
  // RFC 6761: that is never somebody else; files of the sandbox may not say so
  if (name === "localhost" || isBelow(name, "localhost"))
    return { allowed: true, rule: "loopback", address: "127.0.0.1" };
  const host = rules.hosts.find((each) => each.name === name);
  if (host) return { allowed: true, rule: `hosts: ${JSON.stringify(name)}`, address: host.ip };
  // of one port, others may be allowed
  const no = rules.deny.find((rule) => isWhole(rule) && matchesName(rule, name));
  if (no) return denied(`deny: ${JSON.stringify(no.text)}`);
  const yes = rules.allow?.find((rule) => matchesName(rule, name));
  if (rules.allow && !yes) return denied(UNLISTED);
  if (rules.asks) return "ask";
  return { allowed: true, rule: yes ? `allow: ${JSON.stringify(yes.text)}` : "public" };
}

const isWhole = ({ ports, protocol }: Rule) => ports === undefined && protocol === undefined;

/**
 * Whether an answer may hold an address: a name of others can lead anywhere, and is not to lead to the host.
 * @param ip with which a name was answered that {@link decideName} allows
 */
export function decideAnswer(rules: Rules, ip: string, isOwn: IsOwn): Verdict {
  const found = findAddress(ip);
  if (!found) return denied("not an address");
  const addresses = addressesIn(plainAddress(found));
  const no = rules.deny.find(
    (rule) => isWhole(rule) && "subnet" in rule.to && addresses.some((each) => matchesAddress(rule, each)),
  );
  if (no) return denied(`deny: ${JSON.stringify(no.text)}`);
  const reserved = rules.hosts.some((each) => each.ip === ip) ? "special" : reservedIn(rules, isOwn, addresses);
  return reserved === undefined ? { allowed: true, rule: "public" } : denied(reserved);
}

function reservedIn(
  { allow = [] }: Rules,
  isOwn: IsOwn,
  addresses: readonly Address[],
  target?: Target,
): string | undefined {
  for (const address of addresses) {
    const found = findReserved(allow, isOwn, address, target);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Of handlers. */
export const HTTP_PORT = 80;
