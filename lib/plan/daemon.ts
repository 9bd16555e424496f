/**
 * A program that goes on by itself: nobody's child, in a session of its own, with nothing of whoever starts it but what it is
 * given.
 * @module
 * @see setsid(2), close_range(2)
 */
import { buffer, cstring, named, ref, stringArray, words, type Op, type Plan } from "../../syscalls/index.ts";
import { childArguments, CLONE_ARGS_BYTES } from "./clone.ts";
import { flags } from "./constants.ts";
import { jump, label } from "./flow.ts";
import type { Executed } from "./supervisor.ts";

const [SIG_SETMASK, LAST] = [named("SIG_SETMASK", 2), named("~0U", 0xffffffff)];

/**
 * Bound are what becomes its descriptors 0, 1, 2 and so on, by these names; none of them has such a number itself. Whoever
 * walks this stands still until it is executed.
 */
export function daemonSteps({ file, args, env }: Executed, descriptors: readonly string[]): Plan {
  const clone = flags("CLONE_VM", "CLONE_VFORK", "CLONE_CLEAR_SIGHAND");
  const spawn = (what: string, out: string): Op => ({
    call: "spawn",
    args: [childArguments(clone, what), CLONE_ARGS_BYTES],
    label: what,
    out,
  });
  const ops: Op[] = [
    spawn("between", "between-pid"),
    jump("begun"),
    // whose parent ends is init's child
    label("between"),
    { call: "setsid", args: [], onError: "ignore" },
    { ...spawn("daemon", "daemon-pid"), onError: "ignore" },
    { call: "exit_group", args: [0] },
    label("daemon"),
    ...descriptors.map((name, number): Op => ({ call: "dup3", args: [ref(name), number, 0] })),
    { call: "close_range", args: [descriptors.length, LAST, 0], onError: "ignore" },
    { call: "chdir", args: [cstring("/")], onError: "ignore" },
    { call: "rt_sigprocmask", args: [SIG_SETMASK, words("no signals", 0), 0, 8], onError: "ignore" },
    { call: "execve", args: [cstring(file), stringArray([...args]), stringArray([...env])], onError: "ignore" },
    { call: "exit_group", args: [127] },
    label("begun"),
    { call: "wait4", args: [ref("between-pid"), buffer("wait status", 8), 0, 0], onError: "ignore" },
  ];
  return [{ action: `start ${JSON.stringify(file)} in the background`, ops, path: file }];
}
