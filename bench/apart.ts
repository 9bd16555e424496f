/**
 * A whole program in a mount namespace of its own, with a `/run` of its own and without the v2 tree of a machine that has
 * both versions, which crun refuses.
 * @module
 */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";

const APART = "TSBOX_BENCH_APART";
const HYBRID = "/sys/fs/cgroup/unified";

/** Inside, the directory in which everything happens, which is gone afterwards; undefined outside. */
export const apartIn = (): string | undefined => process.env[APART];

/** The same program again, inside. @param at where its directory is made: in memory, unless named @returns its exit status */
export async function goApart(prefix: string, at = "/dev/shm"): Promise<number> {
  const directory = mkdtempSync(join(at, prefix));
  try {
    const cover = existsSync(HYBRID) ? `mount -t tmpfs tmpfs ${HYBRID} && ` : "";
    const script = `${cover}mount -t tmpfs -o mode=755 tmpfs /run && exec "$@"`;
    const words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", ...process.argv];
    const child = Bun.spawn(words, {
      stdin: Bun.file(import.meta.path),
      stdout: "inherit",
      stderr: "inherit",
      env: { ...process.env, [APART]: directory },
    });
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => child.kill(signal));
    return await child.exited;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
