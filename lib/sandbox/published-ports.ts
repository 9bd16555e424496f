/** Ports of this machine that lead into a sandbox: asked for, listened at before it is made, and opened when it is there. @module */
import * as sys from "../../syscalls/index.ts";
import { errnoName, TsboxError, show } from "../../syscalls/index.ts";
import { bracketed, bytesOfAddress, parseAddress, parsePorts, type WantedPort } from "../ip/index.ts";
import { checkArray, checkText, invalid } from "../options/index.ts";
import type { InsidePorts } from "./inside-ports.ts";
import type { SandboxOptions } from "./options.ts";

/** Where a port of a sandbox is reached. */
export interface PublishedPort {
  protocol: "tcp" | "udp";
  /** An address of this machine. */
  host: string;
  hostPort: number;
  port: number;
}

/** Nobody else reaches it, unless that is said. */
const HOST = "127.0.0.1";
const INSIDE = "127.0.0.1";
const BACKLOG = 128;
const EADDRINUSE = 98;

/** @throws TsboxError `invalid_option` */
export function portsOf({ ports, network }: Pick<SandboxOptions, "ports" | "network">): WantedPort[] {
  if (ports === undefined) return [];
  const found = checkArray("ports", ports).flatMap((text) => parsePorts(checkText("port", text as string)));
  if (found.length > 0 && network === "host")
    throw invalid("publish ports: the sandbox has the host's network", "what listens inside is reached as it is");
  const other = found.find(({ protocol }) => protocol === "sctp");
  if (other) throw invalid(`publish ${other.containerPort}/sctp: a sandbox's ports are of tcp and udp`);
  return found;
}

interface Listening extends PublishedPort {
  fd: number;
}

/** What is listened at, until it is closed. */
export class PublishedPorts {
  readonly #listening: Listening[] = [];
  #isOpen = false;

  /** @throws TsboxError `limit_unavailable` where somebody has one: who */
  constructor(wanted: readonly WantedPort[]) {
    try {
      for (const each of wanted) this.#listening.push(listen(each));
    } catch (error) {
      this.close();
      throw error;
    }
  }

  list(): PublishedPort[] {
    return this.#listening.map(({ protocol, host, hostPort, port }) => ({ protocol, host, hostPort, port }));
  }

  /** They lead into a sandbox, which closes them. */
  async open(inside: InsidePorts): Promise<void> {
    this.#isOpen = true;
    for (const { fd, protocol, port } of this.#listening) await inside.publish(fd, { host: INSIDE, port }, protocol);
  }

  /** Those that lead nowhere. */
  close(): void {
    if (!this.#isOpen) for (const { fd } of this.#listening) sys.close(fd);
    this.#isOpen = true;
  }
}

function listen(wanted: WantedPort): Listening {
  const { host = HOST, hostPort = 0, hostPortEnd = hostPort, containerPort } = wanted;
  const protocol = wanted.protocol as "tcp" | "udp";
  let failed = 0;
  for (let port = hostPort; port <= hostPortEnd; port++) {
    const fd = bindAt(protocol, host, port);
    if (fd >= 0) return { protocol, host, hostPort: sys.portOf(fd), port: containerPort, fd };
    failed = -fd;
  }
  throw taken(protocol, host, hostPort, failed);
}

function bindAt(protocol: "tcp" | "udp", host: string, port: number): number {
  const address = parseAddress(host);
  const fd = sys.openSocket(protocol, address.family);
  if (fd < 0) return fd;
  // what is left of connections that have ended is in nobody's way
  if (protocol === "tcp") sys.setOption(fd, sys.SOL_SOCKET, sys.SO_REUSEADDR, 1);
  if (address.family === 6) sys.setOption(fd, sys.SOL_IPV6, sys.IPV6_V6ONLY, 1);
  let result = sys.bindSocket(fd, { address: bytesOfAddress(address), port });
  if (result === 0 && protocol === "tcp") result = sys.listenSocket(fd, BACKLOG);
  if (result === 0) return fd;
  sys.close(fd);
  return result;
}

function taken(protocol: "tcp" | "udp", host: string, port: number, errno: number): TsboxError {
  const at = `${bracketed(host)}:${port}`;
  const owner = errno === EADDRINUSE ? sys.portOwner(protocol, port) : undefined;
  const why = errno === EADDRINUSE ? "port is already allocated" : errnoName(errno);
  return new TsboxError(`publish ${show(`${at}/${protocol}`)}: ${why}`, {
    code: errno === EADDRINUSE ? "limit_unavailable" : errnoName(errno) === "EACCES" ? "permission_denied" : "system",
    errno,
    syscall: "bind",
    ...(owner !== undefined && { hint: `${owner} has it` }),
  });
}
