/** Published ports, as Docker writes them. @module */
import { bracketed, type PortRange } from "../ip/index.ts";
import type { Endpoint, Port } from "../network/index.ts";
import { mergedRanges } from "./exposed-ports.ts";

/** Of each address of the host one: `"0.0.0.0:8080"`, `"[::]:8080"`. */
export function hostEnds(
  { addresses }: Pick<Endpoint, "addresses">,
  { host, hostPort }: Port,
): { address: string; text: string }[] {
  const any = addresses.map((address) => (address.includes(":") ? "::" : "0.0.0.0"));
  return (host === undefined ? any : [host]).map((address) => ({
    address,
    text: `${bracketed(address)}:${hostPort}`,
  }));
}

/** `["0.0.0.0:8080->80/tcp", "[::]:8080->80/tcp"]` */
export const portTexts = (endpoint: Pick<Endpoint, "addresses" | "ports">): string[] =>
  endpoint.ports.flatMap((port) =>
    hostEnds(endpoint, port).map(({ text }) => `${text}->${port.containerPort}/${port.protocol}`),
  );

/**
 * `"443/tcp, 0.0.0.0:8000-8010->8000-8010/tcp, 0.0.0.0:8080->80/tcp"`: what is exposed and not published, then what has
 * the same numbers at both ends, each as ranges; then the rest.
 */
export function portColumn(endpoints: readonly Pick<Endpoint, "addresses" | "ports" | "exposed">[]): string {
  const all = endpoints.flatMap((endpoint) => endpoint.ports.map((port) => ({ endpoint, port })));
  const same = new Map<string, PortRange[]>();
  const others: { port: number; text: string }[] = [];
  for (const { endpoint, port } of all) {
    const { containerPort, hostPort, protocol } = port;
    for (const { address, text } of hostEnds(endpoint, port)) {
      if (hostPort !== containerPort) {
        others.push({ port: containerPort, text: `${text}->${containerPort}/${protocol}` });
        continue;
      }
      const found = same.get(address) ?? [];
      found.push({ protocol, first: hostPort, last: hostPort });
      same.set(address, found);
    }
  }
  const ranges = [...same].flatMap(([address, found]) =>
    mergedRanges(found).map((range) => {
      const text = rangeText(range);
      return { port: range.first, text: `${bracketed(address)}:${text}->${text}/${range.protocol}` };
    }),
  );
  const inOrder = (found: { port: number; text: string }[]) =>
    found.toSorted((a, b) => a.port - b.port).map(({ text }) => text);
  const alone = without(
    exposedIn(endpoints),
    all.map(({ port }) => port),
  ).map((range) => `${rangeText(range)}/${range.protocol}`);
  return [...alone, ...inOrder(ranges), ...inOrder(others)].join(", ");
}

/** The same of each network that a container is in. */
export const exposedIn = (endpoints: readonly Pick<Endpoint, "exposed">[]): PortRange[] =>
  mergedRanges(endpoints.flatMap(({ exposed = [] }) => exposed));

const rangeText = ({ first, last }: PortRange) => (first === last ? String(first) : `${first}-${last}`);

/** What is left of ranges. */
function without(ranges: readonly PortRange[], ports: readonly Port[]): PortRange[] {
  return ranges.flatMap((range) => {
    const inside = ports
      .filter(
        ({ protocol, containerPort: port }) => protocol === range.protocol && port >= range.first && port <= range.last,
      )
      .map(({ containerPort }) => containerPort);
    const ends = [range.first - 1, ...new Set(inside.toSorted((a, b) => a - b)), range.last + 1];
    return ends
      .slice(1)
      .map((end, index) => ({ ...range, first: (ends[index] as number) + 1, last: end - 1 }))
      .filter(({ first, last }) => first <= last);
  });
}
