/**
 * The owner of a container that lasts: not a thread of whoever asks for it, but a process of its own, an image, which
 * walks the owner's part of the plan and then executes the supervisor.
 *
 * Failures are told to whoever asked, over the socket that is bound as `control`; its end of file tells that the command
 * is executed. The socket between init and supervisor is another one, bound as `owner` and `lifeline`.
 * @module
 */
import { cstring, named, ref, stringArray, structure, STRUCTS, words } from "../../syscalls/index.ts";
import type { Op, Plan, Step } from "../../syscalls/index.ts";
import { F_DUPFD_CLOEXEC, SESSION } from "./clone.ts";
import { flags } from "./constants.ts";
import { label } from "./flow.ts";
import { CLONED_TAG, REPORT_BYTES } from "./frame.ts";

/** The slot of init's end of the socket to its supervisor. */
export const LIFELINE = "lifeline";
/** The slots of a descriptor that a pidfd of init takes the place of, and of the supervisor's image. */
export const [INIT, SUPERVISOR] = ["supervisor's init", "supervisor-image"];

const SIGCHLD = 17;

/** @param steps the owner's @param kept slots of what the supervisor has */
export function ownProcess(steps: Plan, kept: readonly string[]): Plan {
  const args = structure("{exit_signal=SIGCHLD}", "clone_args", { exit_signal: SIGCHLD });
  const begin: Op[] = [
    { call: "spawn", args: [args, STRUCTS.clone_args.size], label: "owner", out: "orphan" },
    { call: "exit_group", args: [0] },
    label("owner"),
    // the image was executed with all that it has
    { call: "close_range", args: [3, named("~0U", 0xffffffff), flags("CLOSE_RANGE_CLOEXEC")] },
  ];
  const end = steps.at(-1) as Step;
  const rest = end.ops.filter(({ call }) => call === "close");
  return [
    { action: "leave whoever asked for the container", ops: begin },
    SESSION,
    ...steps.slice(0, -1),
    { action: "become the supervisor", ops: [...rest, ...superviseOps(kept)] },
  ];
}

function superviseOps(kept: readonly string[]): Op[] {
  const [name, environment] = [stringArray(["tsbox-supervisor"]), stringArray([])];
  const keep = (slot: string): Op[] => [
    { call: "jumpIf", args: [ref(slot), 0, named("<", 2)], label: `no ${slot}` },
    { call: "fcntl", args: [ref(slot), named("F_SETFD", 2), 0] },
    label(`no ${slot}`),
  ];
  const frame = words("cloned frame", CLONED_TAG, 0);
  return [
    { call: "store", args: [{ at: frame, offset: 4 }, ref("first"), 4] },
    { call: "write", args: [ref("control"), frame, REPORT_BYTES] },
    { call: "pidfd_open", args: [ref("first"), 0], out: "pidfd of init" },
    { call: "dup3", args: [ref("pidfd of init"), ref(INIT), 0] },
    { call: "close_range", args: [0, named("~0U", 0xffffffff), flags("CLOSE_RANGE_CLOEXEC")] },
    ...[INIT, ...kept].flatMap(keep),
    {
      call: "openat",
      args: [flags("AT_FDCWD"), cstring("/dev/null"), flags("O_RDWR", "O_CLOEXEC"), 0],
      out: "supervisor's null",
    },
    // out of the way of 0, 1 and 2; a slot of its own, as the container's processes walk the same memory at this time
    { call: "fcntl", args: [ref("supervisor's null"), F_DUPFD_CLOEXEC, 3], out: "supervisor's null" },
    ...[0, 1, 2].map((fd): Op => ({ call: "dup3", args: [ref("supervisor's null"), fd, 0] })),
    { call: "chdir", args: [cstring("/")] },
    { call: "execveat", args: [ref(SUPERVISOR), cstring(""), name, environment, flags("AT_EMPTY_PATH")] },
  ];
}
