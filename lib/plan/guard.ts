/**
 * What waits for a program that goes on by itself: an image, its parent, which ends with it. Where the program is killed, the
 * image becomes another one.
 * @module
 */
import {
  buffer,
  cstring,
  named,
  ref,
  stringArray,
  structure,
  words,
  type Op,
  type Plan,
} from "../../syscalls/index.ts";
import { CLONE_ARGS_BYTES } from "./clone.ts";
import { jump, jumpIf, label } from "./flow.ts";
import type { Executed } from "./supervisor.ts";

const [SIGCHLD, LAST] = [17, named("~0U", 0xffffffff)];
/** A wait status is that of a signal below this, and that of an exit from there on; but for 0. */
const EXITED = 256;

const execute = ({ file, args, env }: Executed): Op[] => [
  { call: "execve", args: [cstring(file), stringArray(args), stringArray(env)], onError: "ignore" },
  { call: "exit_group", args: [127] },
];

/**
 * @param name as `ps` shows it
 * @param descriptors so many are passed on to the program; 0, 1 and 2 are kept
 * @param killed what it becomes then, after so many milliseconds: one that is killed at once keeps nobody busy
 */
export function guardSteps(
  name: string,
  program: Executed,
  descriptors: number,
  killed: Executed & { delayMs: number },
): Plan {
  const clone = structure("{exit_signal=SIGCHLD}", "clone_args", { exit_signal: SIGCHLD });
  const status = buffer("wait status", 8);
  const delay = words(`${killed.delayMs} ms`, Math.floor(killed.delayMs / 1000), (killed.delayMs % 1000) * 1e6);
  const ops: Op[] = [
    { call: "prctl", args: [named("PR_SET_NAME", 15), cstring(name)] },
    { call: "close_range", args: [descriptors, LAST, 0], onError: "ignore" },
    { call: "spawn", args: [clone, CLONE_ARGS_BYTES], label: "program", out: "pid" },
    jump("begun"),
    label("program"),
    ...execute(program),
    label("begun"),
    // whoever looks for the program is to find it, or nobody
    { call: "close_range", args: [3, LAST, 0], onError: "ignore" },
    { call: "wait4", args: [ref("pid"), status, 0, 0] },
    { call: "load", args: [status, 4], out: "status" },
    jumpIf("status", "==", 0, "over"),
    jumpIf("status", "<", EXITED, "killed"),
    label("over"),
    { call: "exit_group", args: [0] },
    label("killed"),
    { call: "ppoll", args: [0, 0, delay, 0, 8], onError: "ignore" },
    ...execute(killed),
  ];
  return [{ action: `wait for ${JSON.stringify(program.file)}`, ops, path: program.file }];
}
