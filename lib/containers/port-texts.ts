/** Published ports, as Docker writes them. @module */
import type { Endpoint, Port } from "../network/index.ts";

/** Of each address of the host one: `"0.0.0.0:8080"`, `"[::]:8080"`. */
export function hostEnds(
  { addresses }: Pick<Endpoint, "addresses">,
  { host, hostPort }: Port,
): { address: string; text: string }[] {
  const any = addresses.map((address) => (address.includes(":") ? "::" : "0.0.0.0"));
  return (host === undefined ? any : [host]).map((address) => ({
    address,
    text: `${address.includes(":") ? `[${address}]` : address}:${hostPort}`,
  }));
}

/** `["0.0.0.0:8080->80/tcp", "[::]:8080->80/tcp"]` */
export const portTexts = (endpoint: Pick<Endpoint, "addresses" | "ports">): string[] =>
  endpoint.ports.flatMap((port) =>
    hostEnds(endpoint, port).map(({ text }) => `${text}->${port.containerPort}/${port.protocol}`),
  );
