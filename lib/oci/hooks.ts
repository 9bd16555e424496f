/**
 * Hooks in the runtime's own namespaces: programs of the config's, with the state of the container on their stdin, and
 * this process's environment only where the config says nothing of theirs, as runc and crun have it. Those in the
 * container's are run by what executes its command.
 * @module
 * @see https://github.com/opencontainers/runtime-spec/blob/v1.2.0/config.md#posix-platform-hooks
 */
import { access, killGroup, kindOfPath, TsboxError } from "../../syscalls/index.ts";
import type { Hook, HookKind, State } from "../spec/index.ts";
import type { Logger } from "./log.ts";

/** Of what a hook that fails has printed, so much is shown. */
const SHOWN_BYTES = 4096;
/** What a hook printed before its end is there by then; a process that it left behind may hold the pipe for ever. */
const GRACE_MS = 50;

/**
 * One after the other; the first that fails is the last.
 *
 * @throws TsboxError `hook_failed`
 */
export async function runHooks(kind: HookKind, hooks: readonly Hook[] | undefined, state: State): Promise<void> {
  for (const [index, hook] of (hooks ?? []).entries()) await runHook(kind, index, hook, state);
}

/** All of them: one that fails is told of, and the others go on as if it had not. */
export async function tryHooks(
  kind: HookKind,
  hooks: readonly Hook[] | undefined,
  state: State,
  log: Logger,
): Promise<void> {
  for (const [index, hook] of (hooks ?? []).entries()) {
    try {
      await runHook(kind, index, hook, state);
    } catch (error) {
      log.warn((error as Error).message);
    }
  }
}

async function runHook(kind: HookKind, index: number, hook: Hook, state: State): Promise<void> {
  const fail = (why: string) =>
    new TsboxError(`error running ${kind} hook #${index}: ${why}`, { code: "hook_failed", path: hook.path });
  if (!hook.path.startsWith("/")) throw fail(`its path is not absolute: ${JSON.stringify(hook.path)}`);
  const running = start(hook, state, fail);
  const printed = [keep(running.stdout), keep(running.stderr)] as const;
  const timeoutMs = (hook.timeout ?? 0) * 1000;
  const late = timeoutMs > 0 ? setTimeout(() => killGroup(running.pid), timeoutMs) : undefined;
  const startedMs = performance.now();
  await running.exited;
  clearTimeout(late);
  await Promise.race([Promise.all(printed.map(({ ended }) => ended)), Bun.sleep(GRACE_MS)]);
  const [stdout, stderr] = printed.map(({ text }) => text());
  for (const { stop } of printed) stop();
  if (running.exitCode === 0) return;
  const overdue = late !== undefined && performance.now() - startedMs >= timeoutMs && running.signalCode === "SIGKILL";
  const how = overdue ? `killed after ${hook.timeout} s (its timeout)` : `${kind} hook failed with ${ending(running)}`;
  throw fail([how, stdout && `stdout: ${stdout}`, stderr && `stderr: ${stderr}`].filter(Boolean).join(", "));
}

const ending = ({ exitCode, signalCode }: { exitCode: number | null; signalCode: string | number | null }) =>
  signalCode === null ? `exit code ${exitCode}` : `signal ${signalCode}`;

function start(hook: Hook, state: State, fail: (why: string) => TsboxError) {
  const [name = hook.path, ...args] = hook.args ?? [];
  const [F_OK, X_OK] = [0, 1];
  // the runtime's own error does not tell which of them it is
  if (!access(hook.path, F_OK)) throw fail("no such file or directory");
  if (!access(hook.path, X_OK) || kindOfPath(hook.path) === "directory") throw fail("permission denied");
  try {
    return Bun.spawn([hook.path, ...args], {
      argv0: name,
      env: hook.env ? environment(hook.env) : process.env,
      cwd: kindOfPath(state.bundle) === "directory" ? state.bundle : "/",
      stdin: new TextEncoder().encode(JSON.stringify(state)),
      stdout: "pipe",
      stderr: "pipe",
      detached: true, // a session, and so a process group, of its own: a timeout ends all of it
    });
  } catch (error) {
    throw fail((error as Error).message);
  }
}

function environment(list: readonly string[]): Record<string, string> {
  // without a name it would be none for the program either
  return Object.fromEntries(
    list.flatMap((each) => [each.split(/=([^]*)/)].filter(([name, value]) => name && value !== undefined)),
  );
}

/** Reads on, so that the writer is never held up, and keeps the beginning. */
function keep(stream: ReadableStream<Uint8Array>) {
  const reader = stream.getReader();
  let kept = Buffer.alloc(0);
  const read = async () => {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      if (kept.length < SHOWN_BYTES) kept = Buffer.concat([kept, value]).subarray(0, SHOWN_BYTES);
    }
  };
  const ended = read().catch(() => {}); // cancelled
  return { ended, text: () => kept.toString().trim(), stop: () => void reader.cancel().catch(() => {}) };
}
