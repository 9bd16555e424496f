/**
 * Limits, and how a sandbox tells that one was hit: `reason`.
 *
 *     bun examples/02-limits.ts
 */
import { Sandbox, TsboxError, type Limits } from "../lib/index.ts";

async function tryOut(line: string, limits: Limits): Promise<void> {
  const { reason, exitCode, stdout } = await Sandbox.run(["sh", "-c", line], { limits });
  console.log(`${JSON.stringify(limits)}: ${reason}, exit code ${exitCode}, ${stdout.length} bytes`);
}

// these two are tsbox's own, and work everywhere
await tryOut("while :; do :; done", { time: "200ms" });
await tryOut("while echo line; do :; done", { output: "1k" });

// these are the kernel's: they need root, or a control group that the user may write to (docs/limits.md)
try {
  await tryOut("exec head -c 64m /dev/zero >/tmp/file", { memory: "16mb" });
  await tryOut("for i in 1 2 3 4 5 6 7 8; do sleep 1 & done; wait; exit 1", { pids: 4 });
  await tryOut("echo fine", { memory: "64mb", cpus: 0.5, pids: 16 });
} catch (error) {
  // a limit that cannot be applied is an error, never ignored
  if (!(error instanceof TsboxError) || error.code !== "limit_unavailable") throw error;
  console.log(`${error.message}; ${error.hint}`);
}
