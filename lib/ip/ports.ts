/**
 * Ports as they are asked for: Docker's words.
 * @module
 * @see https://docs.docker.com/engine/network/port-publishing/
 */
import { show, TsboxError } from "../../syscalls/index.ts";
import { findAddress, formatAddress } from "./address.ts";

export type Protocol = "tcp" | "udp" | "sctp";

/** One port; without `hostPort`, one that is free. */
export interface WantedPort {
  protocol: Protocol;
  host?: string;
  hostPort?: number;
  /** Of which one is to be free. */
  hostPortEnd?: number;
  containerPort: number;
}

const HINT = '"8080:80", "127.0.0.1:8080:80/udp", "[::1]:8000-8010:8000-8010"';
const PROTOCOLS: readonly string[] = ["tcp", "udp", "sctp"];

const invalid = (text: string, why: string) =>
  new TsboxError(`publish ${show(text)}: ${why}`, { code: "invalid_option", hint: HINT });

/**
 * `[[ADDRESS:][PORT[-PORT]]:]PORT[-PORT][/PROTOCOL]`; port 0 of the machine is one that is free.
 * @throws TsboxError `invalid_option`
 */
export function parsePorts(text: string): WantedPort[] {
  const { protocol, address, hostPorts, inside } = partsOf(text);
  const host = address === undefined || address === "" ? undefined : hostOf(text, address);
  const [first, last] = rangeOf(text, inside, "container port");
  const common = { protocol, ...(host === undefined ? {} : { host }) };
  const count = last - first + 1;
  if (hostPorts === "" || (hostPorts === "0" && count === 1))
    return Array.from({ length: count }, (_, index) => ({ ...common, containerPort: first + index }));
  const [from, to] = rangeOf(text, hostPorts, "host port");
  // one port of the container, and several of the machine: whichever is free
  if (count === 1 && to > from) return [{ ...common, hostPort: from, hostPortEnd: to, containerPort: first }];
  if (to - from !== last - first)
    throw invalid(text, `invalid ranges specified for container and host Ports: ${inside} and ${hostPorts}`);
  return Array.from({ length: count }, (_, index) => ({
    ...common,
    hostPort: from + index,
    containerPort: first + index,
  }));
}

function partsOf(text: string) {
  const [, rest = "", protocol = "tcp"] = /^([^/]*)(?:\/(.*))?$/.exec(text) ?? [];
  const lower = protocol.toLowerCase();
  if (!PROTOCOLS.includes(lower)) throw invalid(text, `invalid proto: ${protocol}`);
  const [, address, hostPorts = "", inside = ""] = /^(?:(?:(\[[^\]]*\]|[^:[\]]*):)?([^:]*):)?([^:]+)$/.exec(rest) ?? [];
  if (inside === "") throw invalid(text, "no container port is named");
  return { protocol: lower as Protocol, address, hostPorts, inside };
}

function hostOf(text: string, address: string): string | undefined {
  const bare = address.replace(/^\[(.*)\]$/, "$1");
  const found = findAddress(bare);
  if (!found || (found.family === 6) !== address.startsWith("[")) throw invalid(text, `invalid IP address: ${bare}`);
  return formatAddress(found);
}

function rangeOf(text: string, ports: string, what: string): [first: number, last: number] {
  const [, first = "", last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(ports) ?? [];
  const [from, to] = [Number(first), Number(last)];
  if (first === "" || from > 65535 || to > 65535 || from < 1 || to < from)
    throw invalid(text, `invalid ${what}: ${ports}`);
  return [from, to];
}

/** Of a container, both ends with it. */
export interface PortRange {
  protocol: Protocol;
  first: number;
  last: number;
}

/** `"80/tcp"`, `"8000-8010"`: what `--expose` and images name. @throws TsboxError `invalid_option` */
export function parseExposed(text: string): PortRange {
  if (text.includes(":")) throw invalid(text, `invalid port format for --expose: ${text}`);
  const { protocol, inside } = partsOf(text);
  const [first, last] = rangeOf(text, inside, "container port");
  return { protocol, first, last };
}
