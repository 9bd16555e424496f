/**
 * A server for names, at port 53 of the addresses that are given: every name has an address made of the server's number,
 * but for those that begin with `no-`. What it is asked for it prints, a line each.
 * @module
 */
import { readQuery, TYPE, writeResponse } from "../../lib/dns/index.ts";

const [number = "1", ...addresses] = process.argv.slice(2);
for (const hostname of addresses)
  await Bun.udpSocket({
    hostname,
    port: 53,
    socket: {
      data(socket, data, port, from) {
        const query = readQuery(new Uint8Array(data));
        if (!query || "rcode" in query) return;
        console.log(query.name);
        const answers =
          query.type === TYPE.A ? [{ type: TYPE.A, ttl: 60, data: Uint8Array.of(10, 255, 0, Number(number)) }] : [];
        const rcode = query.name.startsWith("no-") ? 3 : 0;
        const out = new Uint8Array(512);
        const length = writeResponse(
          out,
          0,
          new Uint8Array(data),
          query,
          rcode === 0 ? { rcode, answers } : { rcode },
          512,
        );
        socket.send(out.subarray(0, length), port, from);
      },
    },
  });
console.log("ready");
