/** A server that says over HTTP exactly what a test wants it to say, true or not, and remembers what it was asked. @module */
import { createServer, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import type { Certificate } from "./certificate.ts";

export interface Asked {
  method: string;
  /** With its query. */
  path: string;
  /** By names in lower case. */
  headers: Record<string, string>;
  body: Buffer;
}

export interface Reply {
  /** An honest answer: its length is told. */
  send(status: number, headers?: Record<string, string>, body?: string | Uint8Array): void;
  json(status: number, value: unknown, headers?: Record<string, string>): void;
  /** Whatever it is. */
  raw(bytes: string | Uint8Array): void;
  /** Ends the connection: at once, or after what was said has been sent. */
  cut(): void;
  end(): void;
  socket: Socket;
}

export interface HostileRegistry extends AsyncDisposable {
  host: string;
  url: string;
  asked: Asked[];
  /** Connections that are open now. */
  open(): number;
}

export type Answer = (asked: Asked, reply: Reply, count: number) => unknown;

/** @param answer to each request; what throws is an answer 599 */
export async function startHostile(answer: Answer, certificate?: Certificate): Promise<HostileRegistry> {
  const asked: Asked[] = [];
  const sockets = new Set<Socket>();
  const onSocket = (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => undefined);
    let held = Buffer.alloc(0);
    socket.on("data", (piece: Buffer) => {
      // who begins with TLS where there is none is told so
      if (!certificate && held.length === 0 && piece[0] === 0x16) return socket.end("HTTP/1.1 400 Bad Request\r\n\r\n");
      held = Buffer.concat([held, piece]);
      // the beginning of TLS, which servers of HTTP know and do not take
      if (!certificate && held[0] === 0x16) return socket.destroy();
      for (let request; (request = requestIn(held));) {
        held = held.subarray(request.length);
        asked.push(request.asked);
        const reply = replyOn(socket);
        void Promise.resolve()
          .then(() => answer(request.asked, reply, asked.length))
          .catch((error) => reply.send(599, {}, String(error)));
      }
    });
  };
  const server = certificate
    ? createTlsServer({ cert: certificate.pem, key: certificate.keyPem }, onSocket)
    : createServer(onSocket);
  server.on("tlsClientError", () => undefined);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const host = `127.0.0.1:${(server.address() as { port: number }).port}`;
  return {
    host,
    url: `${certificate ? "https" : "http"}://${host}`,
    asked,
    open: () => sockets.size,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function requestIn(bytes: Buffer): { asked: Asked; length: number } | undefined {
  const end = bytes.indexOf("\r\n\r\n");
  if (end < 0) return undefined;
  const [first = "", ...lines] = bytes.subarray(0, end).toString("latin1").split("\r\n");
  const [method = "", path = ""] = first.split(" ");
  const headers = Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]),
  );
  const length = end + 4 + Number(headers["content-length"] ?? 0);
  if (bytes.length < length) return undefined;
  return { asked: { method, path, headers, body: bytes.subarray(end + 4, length) }, length };
}

function replyOn(socket: Socket): Reply {
  const head = (status: number, headers: Record<string, string>) =>
    `HTTP/1.1 ${status} Answer\r\n${Object.entries(headers)
      .map(([name, value]) => `${name}: ${value}\r\n`)
      .join("")}\r\n`;
  const send = (status: number, headers: Record<string, string> = {}, body: string | Uint8Array = "") => {
    const bytes = Buffer.from(body as Uint8Array);
    socket.write(head(status, { "Content-Length": String(bytes.length), ...headers }));
    socket.write(bytes);
  };
  return {
    send,
    json: (status, value, headers = {}) =>
      send(status, { "Content-Type": "application/json", ...headers }, JSON.stringify(value)),
    raw: (bytes) => socket.write(bytes),
    cut: () => socket.destroy(),
    end: () => socket.end(),
    socket,
  };
}
