/**
 * What waits until a container is to be started again: an image that sleeps, and executes tsbox then. Meanwhile it holds
 * what says that the container is not over.
 * @module
 */
import { cstring, named, ref, stringArray, struct, words, type Op, type Plan } from "../../syscalls/index.ts";

/** Descriptors that it has, and passes on. */
export const WAITING_FDS = { alive: 3, wake: 4 } as const;
const LAST_FD = 4;
const POLLIN = 1;

/**
 * Bound are `alive` and `wake`, both above the numbers that they become: a FIFO that is open for writing, and one that is
 * open for reading, of which a byte makes it end at once.
 *
 * @param file what it executes, after so many milliseconds
 */
export function restartWaitSteps(
  delayMs: number,
  { file, args, env }: { file: string; args: string[]; env: string[] },
): Plan {
  const poll = { data: struct("pollfd", { fd: WAITING_FDS.wake, events: POLLIN }), text: "[wake]" };
  const delay = words(`${delayMs} ms`, Math.floor(delayMs / 1000), (delayMs % 1000) * 1e6);
  const keep = Object.entries(WAITING_FDS).map(([name, fd]): Op => ({ call: "dup3", args: [ref(name), fd, 0] }));
  return [
    {
      action: "keep the two descriptors, and no others",
      ops: [
        { call: "prctl", args: [named("PR_SET_NAME", 15), cstring("tsbox-restart")] },
        ...keep,
        { call: "close_range", args: [LAST_FD + 1, named("~0U", 0xffffffff), 0] },
        { call: "rt_sigprocmask", args: [named("SIG_SETMASK", 2), words("no signals", 0), 0, 8] },
      ],
    },
    {
      action: "wait until the container is to be started again",
      ops: [
        { call: "ppoll", args: [poll, 1, delay, 0, 8], out: "called off" },
        { call: "jumpIf", args: [ref("called off"), 0, 0], label: "restart" },
        { call: "exit_group", args: [0] },
        { call: "label", args: [], label: "restart" },
      ],
    },
    {
      action: "start it",
      ops: [{ call: "execve", args: [cstring(file), stringArray(args), stringArray(env)] }],
    },
  ];
}
