/**
 * Who is asked, and by whom, in the network namespace that it is started in.
 *
 * - `serve PORT NAME`: says "ready", then answers over TCP and UDP, of both versions, `NAME saw ADDRESS`.
 * - `ask PROTOCOL ADDRESS PORT`: prints the answer, or `refused`, `unreachable`, `nothing` after half a second and more:
 *   on a busy machine each of its turns is longer, and a connection that stands is waited for.
 * @module
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createConnection, createServer } from "node:net";

const [what, first = "", second = "", third = ""] = process.argv.slice(2);
const bare = (address = "") => address.replace(/^::ffff:/, "");

if (what === "serve") {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.end(`${second} saw ${bare(socket.remoteAddress)}`);
  });
  const listening = [once(server, "listening")];
  server.listen(Number(first), "::");
  for (const type of ["udp4", "udp6"] as const) {
    const socket = createSocket({ type, ipv6Only: true });
    socket.on("message", (_, { address, port }) => socket.send(`${second} saw ${bare(address)}`, port, address));
    listening.push(once(socket, "listening"));
    socket.bind(Number(first));
  }
  await Promise.all(listening);
  console.log("ready");
} else {
  const say = (text: string): never => {
    console.log(text);
    process.exit(0);
  };
  const fail = ({ code }: { code?: string }) =>
    say(code === "ECONNREFUSED" ? "refused" : code === "ECONNRESET" ? "reset" : "unreachable");
  let turns = 50;
  if (first === "tcp") {
    createConnection(Number(third), second)
      .on("connect", () => (turns = 500))
      .on("data", (bytes) => say(String(bytes)))
      .on("error", fail);
  } else {
    const socket = createSocket(second.includes(":") ? "udp6" : "udp4");
    socket.on("message", (bytes) => say(String(bytes))).on("error", fail);
    socket.connect(Number(third), second, (error?: Error) => (error ? say("unreachable") : socket.send("?")));
  }
  while (turns-- > 0) await Bun.sleep(10);
  say("nothing");
}
