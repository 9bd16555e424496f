/** Messages of the SSH agent protocol: a length, a type, and what belongs to it. @module */
import type { Socket } from "node:net";

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
