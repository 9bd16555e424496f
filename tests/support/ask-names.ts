/** Asks a server for names, from any network namespace, and stands still until it has answered. @module */
import { closeSync, openSync } from "node:fs";
import { HEADER_BYTES, readQuery, readName, readRecord, TYPE, type Query } from "../../lib/dns/index.ts";
import { bytesOfAddress, parseAddress } from "../../lib/ip/index.ts";
import { inNetwork } from "../../lib/netlink/index.ts";
import { close, connectTo, openSocket, read, send, waitBriefly } from "../../syscalls/index.ts";
import { ask } from "./dns-messages.ts";

export interface Told {
  rcode: number;
  /** Addresses and names, as texts. */
  answers: string[];
  isCut: boolean;
}

const [EAGAIN, EINPROGRESS] = [11, 115];

/**
 * @param pid of a process in the namespace
 * @returns `"refused"` where nobody is there, `"silent"` where nobody answers within so much time
 */
export function askFrom(
  pid: number,
  server: string,
  name: string,
  type: number = TYPE.A,
  by: "udp" | "tcp" = "udp",
  timeoutMs = 2000,
): Told | "refused" | "silent" {
  const namespace = openSync(`/proc/${pid}/ns/net`, "r");
  const address = bytesOfAddress(parseAddress(server));
  const fd = inNetwork(namespace, () => openSocket(by, address.length === 4 ? 4 : 6));
  closeSync(namespace);
  try {
    const connected = connectTo(fd, { address, port: 53 });
    if (connected < 0 && connected !== -EINPROGRESS) return "refused";
    const asked = ask(name, type, { id: 4242 });
    if (by === "tcp") waitForOut(fd, timeoutMs);
    const framed = by === "tcp" ? Uint8Array.from([0, asked.length, ...asked]) : asked;
    if (send(fd, framed) < 0) return "refused";
    let got = new Uint8Array(0);
    for (const end = performance.now() + timeoutMs; performance.now() < end;) {
      waitBriefly(fd, 1000 * (end - performance.now()));
      const part = read(fd);
      if (part === -EAGAIN) continue;
      if (typeof part === "number" || part.length === 0) return "refused";
      got = Uint8Array.from([...got, ...part]);
      const begin = by === "tcp" ? 2 : 0;
      if (by === "udp" || got.length >= 2 + (((got[0] as number) << 8) | (got[1] as number)))
        return told(got.slice(begin));
    }
    return "silent";
  } finally {
    close(fd);
  }
}

/** Until a byte could be written, or never. */
function waitForOut(fd: number, timeoutMs: number): void {
  for (const end = performance.now() + timeoutMs; performance.now() < end; Bun.sleepSync(1))
    if (send(fd, new Uint8Array(0)) !== -EAGAIN) return;
}

function told(message: Uint8Array): Told {
  const view = new DataView(message.buffer);
  const question = message.slice();
  // a question with the same name
  new DataView(question.buffer).setUint16(2, 0);
  new DataView(question.buffer).setUint16(6, 0);
  const { end } = readQuery(question.subarray(0)) as Query;
  const answers: string[] = [];
  let at = end > HEADER_BYTES ? end : HEADER_BYTES;
  for (let left = view.getUint16(6); left > 0; left--) {
    const record = readRecord(message, at, message.length);
    if (!record) throw new Error("a record that is none");
    at = record.end;
    const data = message.subarray(record.begin, record.end);
    if (record.type === TYPE.A) answers.push(data.join("."));
    else if (record.type === TYPE.AAAA) answers.push(data.toHex());
    else answers.push(readName(message, record.begin, message.length)?.name ?? "?");
  }
  return { rcode: (message[3] as number) & 0xf, answers, isCut: (view.getUint16(2) & 0x200) !== 0 };
}
