/** Which network a RUN has, and what it finds in /etc of it. @module */
import { readKernelFile, TsboxError } from "../../syscalls/index.ts";
import type { MountOption, RunOptions } from "../sandbox/index.ts";
import type { Reaches } from "./files/index.ts";
import type { BuildOptions } from "./options.ts";
import type { RunOperation } from "./step.ts";

type Network = RunOperation["network"];

/** What containers reach by a bridge: all but the host's loopback interface, and what tells clouds' machines who they are. */
const OUTSIDE = [
  "*",
  "0.0.0.0/0",
  "::/0",
  "10.0.0.0/8",
  "172.16.0.0/12",
  "192.168.0.0/16",
  "100.64.0.0/10",
  "fc00::/7",
];

export function networkFor(network: Network): Pick<RunOptions, "network"> {
  if (network === "none") return { network: false };
  return network === "host" ? { network: "host" } : { network: { allow: OUTSIDE } };
}

/** Addresses of what a file adds from elsewhere: what a RUN does not reach, ADD is not to bring to it. */
export async function reachOf({
  network,
  allow,
}: Pick<BuildOptions, "network" | "allow">): Promise<Reaches | undefined> {
  if (network === "host" || allow?.includes("network.host")) return undefined;
  const { compilePolicy, decide } = await import("../policy/index.ts");
  const rules = compilePolicy({ allow: OUTSIDE });
  return (ip) => {
    const decision = decide(rules, { protocol: "tcp", ip, port: 443, names: [] }, () => false);
    return decision !== "ask" && decision.allowed;
  };
}

/** No part of what is made. */
export function networkFiles({ network, hosts }: RunOperation): MountOption[] {
  const files: Record<string, string> = { hosts: hostsOf(hosts) };
  if (network === "host") files["resolv.conf"] = readKernelFile("/etc/resolv.conf") ?? "";
  return Object.entries(files).map(([name, content]) => ({ type: "file", target: `/etc/${name}`, content }));
}

const LOCAL = ["127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback"];

function hostsOf(added: readonly string[]): string {
  const lines = added.map((line) => {
    const [, name = "", address = ""] = /^([^:=\s]+)[:=](\S+)$/.exec(line) ?? [];
    const plain = address.replace(/^\[(.*)\]$/, "$1");
    if (name === "" || process.getBuiltinModule("node:net").isIP(plain) === 0)
      throw new TsboxError(`add the host ${JSON.stringify(line)}: not understood`, {
        code: "invalid_option",
        hint: "name:address",
      });
    return `${plain}\t${name}`;
  });
  return [...LOCAL, ...lines, ""].join("\n");
}
