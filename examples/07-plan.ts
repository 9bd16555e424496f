/**
 * Nothing is hidden: what a request comes to, first as an OCI runtime specification, then as system calls. Nothing is
 * run, and nothing of this needs root.
 *
 *     bun examples/07-plan.ts
 */
import { Sandbox } from "../lib/index.ts";

const command = ["echo", "hello"];
const options = { hostname: "box", limits: { memory: "64mb" } };

const { linux, process, hostname } = Sandbox.spec(command, options);
console.log(process.args.join(" "), "on", hostname);
console.log(linux.namespaces.map(({ type }) => type).join(" "));
console.log(linux.resources?.memory?.limit);

// each step of the plan has its reason, and the calls below it
const plan = Sandbox.plan(command, options).split("\n");
const from = plan.indexOf('# set the hostname "box"');
console.log(plan.slice(from, from + 2).join("\n"));
console.log(plan.findLast((line) => line.startsWith("#")));
