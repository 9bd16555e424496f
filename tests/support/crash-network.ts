/** `ROOT OPERATION PID CONTAINER`: one operation of networks, from the step on that is armed; prints how many steps it took. @module */
import { openSync } from "node:fs";
import { Networks } from "../../lib/network/index.ts";
import { State } from "../../lib/state/index.ts";

const { arm, counted } = globalThis as unknown as { arm(): void; counted(): number };
const [root = "", what = "", pid = "", container = ""] = process.argv.slice(2);
const state = new State(root);
const networks = new Networks(
  () => state,
  (id) => id === container,
);
networks.list(); // the database is open
const namespace = openSync(`/proc/${pid}/ns/net`, "r");
arm();
if (what === "create") await networks.create({ name: "net", ipv6: true });
if (what === "join") {
  const { id } = networks.get("net");
  const rate = Number(process.env["BANDWIDTH"]);
  const paced = rate > 0 ? { bandwidth: { downBytes: rate, upBytes: rate } } : {};
  networks.claim(id, { container, name: "first", inside: "eth0", ...paced }, [
    { protocol: "tcp", hostPort: 8080, containerPort: 80 },
  ]);
  await networks.raise(id, container);
  await networks.plugIn(id, container, namespace, true);
}
if (what === "leave") await networks.leave(container);
if (what === "remove") await networks.remove("net");
console.log(counted());
