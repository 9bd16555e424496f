/**
 * The same library from Deno; calls into the kernel need `--allow-ffi`, and the rest of what is looked up reading files
 * and the environment.
 *
 *     deno run --allow-all examples/06-deno.ts
 */
import { Sandbox } from "../lib/index.ts";

console.log(navigator.userAgent.split("/")[0]); // it runs in Bun as well

const { stdout, reason } = await Sandbox.run(["sh", "-c", "read name; echo hello $name"], { stdin: "Deno\n" });
console.log(stdout.trimEnd(), reason);

await using box = await Sandbox.create();
const process = box.spawn(["sh", "-c", "for i in 1 2 3; do echo $i; done"]);
for await (const chunk of process.stdout ?? []) console.log(new TextDecoder().decode(chunk).trimEnd());
console.log(await process.exited);
