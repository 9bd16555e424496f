/**
 * A shell in a box: one shell that lives as long as the box does, for whoever types. What it changes goes with it.
 *
 *     bun examples/09-shell.ts
 */
import { createInterface } from "node:readline";
import { Sandbox } from "../lib/index.ts";

await using box = await Sandbox.create({
  hostname: "box",
  mounts: [{ type: "tmpfs", target: "/work", size: "16mb" }],
  limits: { time: "1h" },
});
const shell = box.spawn(["sh"], { stdin: "pipe", stdout: "inherit", stderr: "inherit", cwd: "/work" });

const prompt = () => void (process.stdin.isTTY && process.stdout.write("box$ "));
prompt();
for await (const line of createInterface({ input: process.stdin })) {
  await shell.stdin?.write(`${line}\n`);
  if (process.stdin.isTTY) await Bun.sleep(50); // what it prints should come before the next prompt
  if (shell.exitCode !== null || shell.signalCode !== null) break;
  prompt();
}
await shell.stdin?.end();
const { exitCode, reason } = await shell.result();
console.log(`the shell ended: ${reason} ${exitCode}`);
process.exit(exitCode ?? 1);
