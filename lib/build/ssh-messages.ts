/** What sockets of SSH agents have in common. Messages are a length, a type, and what belongs to it. @module */
import type { Server, Socket } from "node:net";
import type { Directory } from "../../syscalls/index.ts";

/** In a directory of its own. */
export const AGENT = "agent";

/** SSH_AGENT_FAILURE, as a whole message. */
export const FAILURE = Uint8Array.of(0, 0, 0, 1, 5);
/** As OpenSSH's. */
const MAX_MESSAGE = 256 * 1024;
const HEADER = 4;

/** Each with its length; who sends one that is too long is left. */
export function eachMessage(client: Socket, take: (message: Buffer) => void): void {
  let waiting: Buffer = Buffer.alloc(0);
  client.on("data", (bytes: Buffer) => {
    waiting = Buffer.concat([waiting, bytes]);
    while (waiting.length > HEADER) {
      const length = waiting.readUInt32BE(0);
      if (length === 0 || length > MAX_MESSAGE) return void client.destroy();
      if (waiting.length < HEADER + length) break;
      take(waiting.subarray(0, HEADER + length));
      waiting = waiting.subarray(HEADER + length);
    }
  });
}

/** A socket {@link AGENT}: its path in the store may be longer than the address of one. */
export async function listenIn(directory: Directory, serve: (client: Socket) => void): Promise<Server> {
  const server = process.getBuiltinModule("node:net").createServer(serve);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(`/proc/self/fd/${directory.fd}/${AGENT}`, resolve);
  });
  return server;
}
