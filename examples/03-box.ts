/**
 * A sandbox that lives for a while: processes are spawned in it as with `Bun.spawn`, share its files, and go with it.
 *
 *     bun examples/03-box.ts
 */
import { Sandbox } from "../lib/index.ts";

await using box = await Sandbox.create({ hostname: "box" });

// stdin is a pipe, stdout a stream; neither holds more than a pipe does
const upper = box.spawn(["tr", "a-z", "A-Z"], { stdin: "pipe" });
await upper.stdin?.write("hello ");
await upper.stdin?.write("streams\n");
await upper.stdin?.end();
console.log((await new Response(upper.stdout).text()).trimEnd());

// lines of shell, in which values are words; and files, written and read from inside
await box.fs.write("/tmp/names/$(box).txt", "b\na\n");
for (const name of await box.fs.readdir("/tmp/names")) console.log(await box.$`sort ${`/tmp/names/${name}`}`.text());
await box.$`uname -n >/tmp/name`;
console.log((await box.fs.file("/tmp/name").text()).trimEnd());

// stdin may be data as well: a string, bytes, a Blob, a Response, a ReadableStream
const counted = box.spawn(["wc", "-l"], { stdin: new Blob(["one\n", "two\n"]) });
console.log((await new Response(counted.stdout).text()).trim());

// signals, and how a process ended
const sleeping = box.spawn(["sleep", "100"]);
sleeping.kill("SIGTERM");
const { exitCode, signalCode, reason } = await sleeping.result();
console.log(exitCode, signalCode, reason);

// the end of the block stops the box: what still runs in it is killed
box.spawn(["sleep", "100"]);
