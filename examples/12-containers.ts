/**
 * Containers: one that runs on when this program has ended, what it writes, a command that joins it, its volume, which
 * outlives it, and a policy that starts it again.
 *
 *     bun examples/12-containers.ts
 */
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Tsbox } from "../lib/index.ts";

const folder = mkdtempSync(join(tmpdir(), "tsbox-containers-"));
const rootfs = join(folder, "rootfs");
for (const name of ["bin", "data", "dev", "etc", "proc", "sys"]) mkdirSync(join(rootfs, name), { recursive: true });
await Bun.write(join(rootfs, "bin/sh"), Bun.file("/bin/busybox"));
chmodSync(join(rootfs, "bin/sh"), 0o755);
const sh = (script: string) => ["sh", "-c", script];

using engine = new Tsbox({ root: join(folder, "store") });
const { containers, volumes } = engine;
try {
  // the volume is made when it is needed
  const counting = "echo run >>/data/runs; echo run $(wc -l </data/runs); sleep 1000";
  const web = await containers.run({ name: "web", rootfs, command: sh(counting), volumes: ["counts:/data"] });
  console.log((await web.record()).name, (await web.record()).status);

  // follows until somebody breaks off, or the container ends
  for await (const { stream, bytes } of web.logs({ follow: true })) {
    console.log(`${stream}: ${new TextDecoder().decode(bytes).trim()}`);
    break;
  }
  const joined = await web.exec(sh("echo its own pid is $$ >&2; exit 3"), { stderr: "ignore" });
  console.log("exec:", await joined.exited);

  await web.restart({ timeout: "1s" });
  await web.kill();
  console.log("killed:", (await web.wait()).exitCode);
  await web.remove();
  console.log("left:", (await containers.list({ all: true })).length, volumes.list().length);

  // fails until it has been started three times
  const command = sh("echo try >>/data/tries; test $(wc -l </data/tries) -ge 3");
  const job = await containers.run({ rootfs, command, volumes: ["counts:/data"], restart: "on-failure:10" });
  for await (const { action, attributes } of containers.events({ since: 0, filters: { container: [job.id] } })) {
    if (action === "die") console.log("ended:", attributes["exitCode"]);
    if (attributes["exitCode"] === "0") break;
  }
} finally {
  for (const { id } of await containers.list({ all: true })) await (await containers.get(id)).remove({ force: true });
  await volumes.prune({ all: true });
  rmSync(folder, { recursive: true, force: true });
}
