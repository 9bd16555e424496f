/**
 * Network policies: what a box may connect to, functions in place of servers, what was denied, another policy while it
 * runs, and requests to a server inside.
 *
 *     bun examples/14-policies.ts
 */
import { Sandbox } from "../lib/index.ts";

await using box = await Sandbox.create({
  runtime: true,
  network: {
    allow: ["packages.example.com", "*.example.com:443"],
    hosts: { "api.internal": (request) => Response.json({ asked: new URL(request.url).pathname }) },
  },
});
const run = async (script: string) => {
  const process = box.spawn(["bun", "-e", script]);
  const text = await new Response(process.stdout).text();
  await process.exited; // all that it was denied is in the list then
  return text.trim();
};

// a function of this program answers, and nothing leaves the machine
console.log(await run(`console.log(await (await fetch("http://api.internal/users")).text())`));

// an address, which no name that is allowed has led to
const connect = `await fetch("http://192.0.2.1/").catch((error) => console.log(error.code))`;
console.log(await run(connect));
for (const { protocol, ip, port, rule } of box.network.denied) console.log(`${protocol} ${ip}:${port}, ${rule}`);

// all that is public but this
await box.network.update({ deny: ["192.0.2.0/24"] });
await run(connect);
console.log(box.network.denied.at(-1)?.rule);

// a server inside, without a port of the host's
const server = box.spawn([
  "bun",
  "-e",
  `Bun.serve({ port: 3000, fetch: () => new Response("inside") }); console.log(1)`,
]);
for await (const chunk of server.stdout ?? []) if (chunk.length > 0) break;
console.log(await (await box.fetch("http://localhost:3000/")).text());
