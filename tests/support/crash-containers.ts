/**
 * A preload for a process that kills itself at a chosen step: before a system call that changes something, or before a
 * statement of SQLite's. `CRASH_AT` counts them from one, from when the script calls `arm`; `CRASH_AFTER_MS`: what it has
 * made meanwhile goes on for so long before; `CRASH_TRACE`: they are printed on stderr.
 * @module
 */
import { plugin } from "bun";

/** They leave nothing behind. */
const READS = new Set(
  [
    "read pread64 newfstatat fstat statx getdents64 lseek readlinkat close geteuid getegid getuid getgid poll ppoll",
    "fgetxattr faccessat faccessat2 statfs fstatfs uname prlimit64 sched_getaffinity fcntl dup getpid gettid",
    "epoll_wait rt_sigaction rt_sigprocmask madvise ioctl recvfrom recvmsg clock_gettime landlock_create_ruleset",
  ].flatMap((names) => names.split(" ")),
);
const [O_CREAT, O_ACCMODE] = [0o100, 3];

const at = Number(process.env["CRASH_AT"] ?? 0);
const afterMs = Number(process.env["CRASH_AFTER_MS"] ?? 0);
const isTraced = process.env["CRASH_TRACE"] !== undefined;
let count: number | undefined;

function step(name: string): void {
  if (count === undefined) return;
  count++;
  if (isTraced) process.stderr.write(`${count} ${name}\n`);
  if (count !== at) return;
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, afterMs);
  process.kill(process.pid, "SIGKILL");
}

const state = globalThis as {
  arm?: () => void;
  counted?: () => number;
  beforeSyscall?: (name: string, args: number[]) => void;
};
state.arm = () => void (count = 0);
state.counted = () => count ?? 0;
state.beforeSyscall = (name, args) => {
  if (READS.has(name)) return;
  if (name === "openat" && ((args[2] as number) & (O_CREAT | O_ACCMODE)) === 0) return;
  step(name);
};

plugin({
  name: "steps at which a process may be killed",
  setup(build) {
    build.onLoad({ filter: /\/syscalls\/kernel\.ts$/ }, async ({ path }) => {
      const source = await Bun.file(path).text();
      const call = "return rawSyscall(numberOf(name), a, b, c, d, e, f);";
      if (!source.includes(call)) throw new Error("syscalls/kernel.ts has changed");
      const changed = `globalThis.beforeSyscall(name, [a, b, c, d, e, f]); ${call}`;
      return { contents: source.replace(call, changed), loader: "ts" };
    });
  },
});

const { DatabaseSync, StatementSync } = process.getBuiltinModule("node:sqlite");
const { exec } = DatabaseSync.prototype;
DatabaseSync.prototype.exec = function (sql: string) {
  step(`sqlite ${sql.slice(0, 60)}`);
  return exec.call(this, sql);
};
const statement = StatementSync.prototype as { run(...values: unknown[]): unknown };
const { run } = statement;
statement.run = function (...values) {
  step("sqlite run");
  return run.apply(this, values);
};
