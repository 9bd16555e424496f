/**
 * Who is asked, and by whom, in the network namespace that it is started in.
 *
 * - `serve PORT NAME`: says "ready", then answers over TCP and UDP, of both versions, `NAME saw ADDRESS`.
 * - `ask PROTOCOL ADDRESS PORT`: prints the answer, or `refused`, `unreachable`, `nothing` after half a second.
 * @module
 */
import { createSocket } from "node:dgram";
import { createConnection, createServer } from "node:net";

const [what, first = "", second = "", third = ""] = process.argv.slice(2);
const bare = (address = "") => address.replace(/^::ffff:/, "");

if (what === "serve") {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.end(`${second} saw ${bare(socket.remoteAddress)}`);
  });
  server.listen(Number(first), "::");
  for (const type of ["udp4", "udp6"] as const) {
    const socket = createSocket({ type, ipv6Only: true });
    socket.on("message", (_, { address, port }) => socket.send(`${second} saw ${bare(address)}`, port, address));
    socket.bind(Number(first));
  }
  server.once("listening", () => console.log("ready"));
} else {
  const say = (text: string): never => {
    console.log(text);
    process.exit(0);
  };
  const fail = ({ code }: { code?: string }) =>
    say(code === "ECONNREFUSED" ? "refused" : code === "ECONNRESET" ? "reset" : "unreachable");
  setTimeout(() => say("nothing"), 500);
  if (first === "tcp") {
    createConnection(Number(third), second)
      .on("data", (bytes) => say(String(bytes)))
      .on("error", fail);
  } else {
    const socket = createSocket(second.includes(":") ? "udp6" : "udp4");
    socket.on("message", (bytes) => say(String(bytes))).on("error", fail);
    socket.connect(Number(third), second, (error?: Error) => (error ? say("unreachable") : socket.send("?")));
  }
}
