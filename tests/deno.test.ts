/** The library under Deno, and under Bun for comparison: a script prints the same, and leaves nothing. @module */
import { afterAll, expect, test } from "bun:test";
import { join } from "node:path";
import { version } from "../package.json" with { type: "json" };
import { noBusybox, SLOW, testUnless } from "./support/machine.ts";
import { adoptOrphans, descendants, eventually, reapOrphans } from "./support/processes.ts";
import { makeRootfs } from "./support/rootfs.ts";

const root = makeRootfs();
afterAll(() => root.remove());
const script = join(import.meta.dirname, "fixtures/library.ts");
const deno = join(import.meta.dirname, "../node_modules/.bin/deno");

for (const [name, command] of [
  ["Deno", [deno, "run", "--quiet", "--no-lock", "--allow-all", script, root.path]],
  ["Bun", [process.execPath, script, root.path]],
] as const) {
  testUnless(
    noBusybox,
    `all of it works under ${name}, and the script ends by itself`,
    async () => {
      adoptOrphans();
      const child = Bun.spawn([...command], { stderr: "pipe", env: { ...process.env, DENO_NO_UPDATE_CHECK: "1" } });
      const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
      expect({ exitCode: await child.exited, stderr }).toEqual({ exitCode: 0, stderr: "" });
      expect(JSON.parse(stdout)).toEqual({
        run: ["input", "err\n", 3, "exit"],
        limits: "timeout",
        output: "output",
        "not found": "command_not_found",
        spawn: ["piped", 0],
        "no reader": ["EPIPE", "EPIPE: broken pipe, write"],
        whole: ["é", [1], 3],
        killed: [143, "SIGTERM"],
        aborted: "Error: enough",
        "box.spawn": "x\n",
        several: [0, 1, 2, 3, 4],
        "box.$": ["A B é\n", "a\nb\n", 4, 1],
        lines: ["1", "2", "3"],
        "box.fs": [5_000_000, true, 5_000_000, ["big", "copy"], "directory", "file_not_found", "file_refused"],
        tar: 2,
        left: ["b"],
      });
      expect(await eventually(() => (reapOrphans(), descendants().length === 0))).toBe(true);
    },
    60_000 * Math.min(SLOW, 4),
  );
}

test("the command line begins under Deno, which containers of its scripts call", () => {
  const main = join(import.meta.dirname, "../lib/cli/main.ts");
  const words = [deno, "run", "--quiet", "--no-lock", "--allow-all", main, "--version"];
  const { stdout, stderr } = Bun.spawnSync(words, { env: { ...process.env, DENO_NO_UPDATE_CHECK: "1" } });
  expect([stdout.toString(), stderr.toString()]).toEqual([`tsbox ${version}\n`, ""]);
});
