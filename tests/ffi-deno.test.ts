/** The kernel layer under Deno and, for comparison, under Bun: the same script has to print the same. @module */
import { expect, test } from "bun:test";
import { join } from "node:path";

const script = join(import.meta.dirname, "fixtures/ffi.ts");
const deno = join(import.meta.dirname, "../node_modules/.bin/deno");

test.each([
  ["deno", [deno, "run", "--quiet", "--no-lock", "--allow-all", script]],
  ["bun", [process.execPath, script]],
])(
  "system calls, programs, clones and streams work in %s",
  async (name, command) => {
    const child = Bun.spawn(command, { stderr: "pipe", env: { ...process.env, DENO_NO_UPDATE_CHECK: "1" } });
    const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
    expect({ exitCode: await child.exited, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(JSON.parse(stdout)).toEqual({
      runtime: name,
      getpid: true,
      negative: -9,
      pointer: true,
      ran: 0,
      results: [true, 2 ** 40, -9],
      child: [true, 23],
      stream: [100_000, true],
      idle: true,
      stillOpen: true,
      failed: "error",
      writer: [true, true, "error"],
    });
  },
  120_000,
);

test("without --allow-ffi Deno says which permission is missing", async () => {
  const child = Bun.spawn([deno, "run", "--quiet", "--no-lock", "--no-prompt", script], { stderr: "pipe" });
  const stderr = await child.stderr.text();
  expect(stderr).toContain("call the kernel: Deno was not given the permission");
  expect(stderr).toContain("--allow-ffi");
  expect(await child.exited).not.toBe(0);
}, 120_000);
