/**
 * Files: what a sandbox sees of the host, what it may change, and what goes with it.
 *
 *     bun examples/04-files.ts
 */
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Sandbox, type MountOption } from "../lib/index.ts";

const folder = await mkdtemp(join(tmpdir(), "tsbox-example-"));
await Bun.write(join(folder, "in/question"), "6 * 7\n");
await Bun.write(join(folder, "out/.keep"), "");

const mounts: MountOption[] = [
  { type: "bind", source: join(folder, "in"), target: "/in", readOnly: true },
  { type: "bind", source: join(folder, "out"), target: "/out" },
  { type: "tmpfs", target: "/scratch", size: "1mb" },
];
const script = `
  echo $(( $(cat /in/question) )) >/out/answer && echo "written: $(cat /out/answer)"
  (echo x >/in/question) 2>/dev/null || echo "/in is read-only"
  head -c 2m /dev/zero >/scratch/big 2>/dev/null || echo "/scratch is full: $(wc -c </scratch/big) bytes"
  (echo x >/usr/x) 2>/dev/null || echo "/usr is read-only"
  cat /etc/shadow 2>/dev/null || echo "there is no /etc/shadow"
`;
const { stdout } = await Sandbox.run(["sh", "-c", script], { mounts });
console.log(stdout.trimEnd());

// files that were made inside belong to the caller
console.log("outside:", (await readdir(join(folder, "out"))).toSorted().join(" "));
await rm(folder, { recursive: true });
