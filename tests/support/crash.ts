/**
 * A preload for a process that dies, or whose disk is full, at a chosen system call of those that change something:
 * `bun --preload tests/support/crash.ts script`. `CRASH_AT` counts them from one, from when the script calls `arm`;
 * `CRASH_WITH` is an errno that the call fails with from then on; absent, the process kills itself before the call.
 * @module
 */
import { plugin } from "bun";

const CHANGES = new Set(
  "openat mkdirat write renameat2 unlinkat fchmod ftruncate fdatasync fsync flock utimensat".split(" "),
);
/** What a full disk says no to. */
const NEEDS_ROOM = new Set(["write", "mkdirat", "openat", "fdatasync"]);
const O_CREAT = 0o100;

const at = Number(process.env["CRASH_AT"] ?? 0);
const errno = process.env["CRASH_WITH"];
/** Symlinks lead where they lead. */
const followsLinks = process.env["CRASH_FOLLOWS"] !== undefined;
const O_NOFOLLOW = process.arch === "arm64" ? 0o100000 : 0o400000;
/** Locks are not taken, and are said to be. */
const isUnlocked = process.env["CRASH_UNLOCKED"] !== undefined;
let count: number | undefined;

const state = globalThis as { arm?: () => void; counted?: () => number; beforeSyscall?: typeof beforeSyscall };
state.arm = () => void (count = 0);
state.counted = () => count ?? 0;
state.beforeSyscall = beforeSyscall;

/** What the call comes to, where it is not made. */
function beforeSyscall(name: string, args: number[]): number | undefined {
  if (name === "flock" && isUnlocked) return 0;
  if (name === "openat" && followsLinks) args[2] = (args[2] as number) & ~O_NOFOLLOW;
  if (count === undefined || !CHANGES.has(name)) return undefined;
  if (name === "openat" && ((args[2] as number) & O_CREAT) === 0) return undefined;
  if (errno !== undefined && !NEEDS_ROOM.has(name)) return undefined;
  if (++count < at || at === 0) return undefined;
  if (errno !== undefined) return -Number(errno);
  process.kill(process.pid, "SIGKILL");
  // the signal comes before the call returns
  return 0;
}

plugin({
  name: "system calls that may fail",
  setup(build) {
    build.onLoad({ filter: /\/syscalls\/kernel\.ts$/ }, async ({ path }) => {
      const source = await Bun.file(path).text();
      const call = "return rawSyscall(numberOf(name), a, b, c, d, e, f);";
      if (!source.includes(call)) throw new Error("syscalls/kernel.ts has changed");
      const changed =
        "const args = [a, b, c, d, e, f]; return globalThis.beforeSyscall(name, args) ?? rawSyscall(numberOf(name), ...args);";
      const contents = source.replace(call, changed);
      return { contents, loader: "ts" };
    });
  },
});
