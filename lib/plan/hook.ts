/**
 * Hooks that run inside: programs that a process of the container executes while it is made, and waits for.
 * @module
 * @see https://github.com/opencontainers/runtime-spec/blob/v1.2.0/config.md#posix-platform-hooks
 */
import { buffer, cstring, named, ref, stringArray, structure, words } from "../../syscalls/index.ts";
import type { Op, Step } from "../../syscalls/index.ts";
import type { Hook, HookKind } from "../spec/index.ts";
import { childArguments, CLONE_ARGS_BYTES } from "./clone.ts";
import { flags } from "./constants.ts";

const SIGKILL = named("SIGKILL", 9);
const [ETIMEDOUT, ECANCELED] = [named("ETIMEDOUT", 110), named("ECANCELED", 125)];

/**
 * The state that it reads from stdin is a file, the slot `state`.
 * @param directory where it starts
 */
export function hookStep(name: HookKind, hook: Hook, index: number, directory?: string): Step {
  const { path, args = [path], env = [], timeout } = hook;
  const label = (what: string) => `${what} ${name} ${index}`;
  const jump = (to: string): Op => ({ call: "jump", args: [], label: label(to) });
  const mark = (what: string): Op => ({ call: "label", args: [], label: label(what) });
  const [fd, status] = [buffer("pidfd", 8), buffer("wait status", 8)];
  const clone = flags("CLONE_VM", "CLONE_VFORK", "CLONE_CLEAR_SIGHAND", "CLONE_PIDFD");
  const cloneArgs = childArguments(clone, label("hook"), fd);
  return {
    action: `error running ${name} hook #${index}: run "${path}"`,
    ops: [
      { call: "lseek", args: [ref("state"), 0, named("SEEK_SET", 0)] },
      { call: "spawn", args: [cloneArgs, CLONE_ARGS_BYTES], label: label("begin"), out: "hook" },
      jump("begun"),
      mark("begin"),
      { call: "dup3", args: [ref("state"), 0, 0] },
      { call: "rt_sigprocmask", args: [named("SIG_SETMASK", 2), words("no signals", 0), 0, 8] },
      ...(directory === undefined ? [] : [{ call: "chdir", args: [cstring(directory)] } satisfies Op]),
      { call: "execve", args: [cstring(path), stringArray([...args]), stringArray([...env])] },
      mark("begun"),
      { call: "load", args: [fd, 4], out: "hook-pidfd" },
      ...(timeout === undefined ? [] : waitFor(timeout, label)),
      { call: "wait4", args: [ref("hook"), status, 0, 0] },
      { call: "close", args: [ref("hook-pidfd")] },
      { call: "load", args: [status, 4], out: "hook-status" },
      { call: "jumpIf", args: [ref("hook-status"), 0, named("==", 0)], label: label("done") },
      { call: "fail", args: [ECANCELED] },
      mark("done"),
    ],
    code: "hook_failed",
    path,
    hint: (errno) => {
      if (errno === "ETIMEDOUT") return `it ran for more than ${timeout} s`;
      return errno === "ECANCELED" ? "it failed: it exited with another status than 0, or was killed" : undefined;
    },
  };
}

/** Kills it where it takes longer. */
function waitFor(timeout: number, label: (what: string) => string): Op[] {
  const POLLIN = 1;
  const polled = structure("[hook]", "pollfd", { events: POLLIN });
  const limit = structure(`${timeout} s`, "timespec", { tv_sec: timeout });
  return [
    { call: "store", args: [polled, ref("hook-pidfd"), 4] },
    { call: "ppoll", args: [polled, 1, limit, 0, 8], out: "hook-ended", onError: "ignore" },
    { call: "jumpIf", args: [ref("hook-ended"), 1, named("==", 0)], label: label("ended") },
    { call: "pidfd_send_signal", args: [ref("hook-pidfd"), SIGKILL, 0, 0], onError: "ignore" },
    { call: "wait4", args: [ref("hook"), 0, 0, 0], onError: "ignore" },
    { call: "fail", args: [ETIMEDOUT] },
    { call: "label", args: [], label: label("ended") },
  ];
}
