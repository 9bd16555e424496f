/** Functions that answer for the names of a policy's `hosts`. @module */
import { runtime } from "../../syscalls/index.ts";
import { findName, type HostHandler, type NetworkPolicy, type Rules } from "../policy/index.ts";
import { hide, type HiddenSocket } from "./hidden-socket.ts";

interface Server {
  handler: HostHandler;
  socket: HiddenSocket;
  close(): void;
}

/** Those of one sandbox: a server for each name, which the network connects to in place of its address. */
export class HostServers {
  /** By address. */
  readonly #servers = new Map<string, Server>();

  /**
   * Serves what the policy says now; requests that are being answered are, as long as their name stays.
   * @returns closes those whose names are gone, which is for when nobody is led there any more: what is closed may be
   * another's soon
   */
  update({ hosts = {} }: NetworkPolicy, rules: Rules): () => void {
    const handlers = new Map(Object.entries(hosts).map(([text, handler]) => [findName(text), handler]));
    const gone = [...this.#servers].filter(([ip]) => !rules.hosts.some((host) => host.ip === ip));
    for (const [ip] of gone) this.#servers.delete(ip);
    for (const { name, ip } of rules.hosts) {
      const handler = handlers.get(name) as HostHandler;
      const server = this.#servers.get(ip);
      if (server) server.handler = handler;
      else this.#servers.set(ip, serve(name, handler));
    }
    return () => gone.forEach(([, server]) => server.close());
  }

  /** Where each of them listens, by address. */
  paths(): Record<string, string> {
    return Object.fromEntries(Array.from(this.#servers, ([ip, { socket }]) => [ip, socket.path]));
  }

  close(): void {
    for (const server of this.#servers.values()) server.close();
    this.#servers.clear();
  }
}

function serve(name: string, handler: HostHandler): Server {
  let http: { close(): void } | undefined;
  const socket = hide((path) => {
    http = runtime.serve(path, async (request) => {
      // what is asked for by another name is not for this handler, which may read its request's URL
      if (hostOf(request) !== name) return new Response(null, { status: 421 });
      const response: unknown = await server.handler(request);
      return response instanceof Response ? response : new Response(null, { status: 500 });
    });
  });
  const server: Server = {
    handler,
    socket,
    close() {
      http?.close();
      socket.close();
    },
  };
  return server;
}

/** By both of what a handler may read, or pass on: a whole URL in place of a path, and the header, can say different things. */
function hostOf({ url, headers }: Request): string | undefined {
  const asked = URL.canParse(url) ? new URL(url) : undefined;
  const named = findName((headers.get("host") ?? "").replace(/:80$/, ""));
  return asked?.port === "" && asked.username + asked.password === "" && findName(asked.hostname) === named
    ? named
    : undefined;
}
