/**
 * The supervisor of a container that lasts: an image that waits. It writes down what the container writes and how it
 * ended, and passes what others need to get at it; it reads nothing of theirs, so nobody can hold it up. Only where
 * something has to be decided at the end does it become another program.
 *
 * What it has are descriptors, bound as the slots of {@link SUPERVISED}. Without it init ends, and so the container.
 * @module
 * @see ppoll(2), unix(7) SCM_RIGHTS, signalfd(2), timerfd_create(2)
 */
import { buffer, cstring, named, offsetOf, ref, stringArray, structure, STRUCTS, words } from "../../syscalls/index.ts";
import type { At, Data, Op, Plan } from "../../syscalls/index.ts";
import { flags } from "./constants.ts";
import { jump, jumpIf, label, set } from "./flow.ts";
import { EXIT_FRAME_BYTES, EXIT_TAG, READY_TAG, REPORT_BYTES } from "./frame.ts";
import { sendOps } from "./pass.ts";
import { CLOSED, POLLED, Polled, type PolledName } from "./polled.ts";
import { INIT } from "./supervised.ts";
import { LogWriter, type LogFiles } from "./supervisor-log.ts";

/** A program that the supervisor executes. */
export interface Executed {
  file: string;
  args: string[];
  env: string[];
}

export interface Supervision {
  /** Its stdin can be written to; `"once"`: by one. */
  stdin: boolean | "once";
  /** Its other end is passed over the socket that is bound as `passing`. */
  terminal: boolean;
  log: LogFiles;
  /** After which it is killed: its time, and the bytes of its log. */
  limits?: { timeMs?: number | undefined; outputBytes?: number | undefined };
  /** File names in the directory. */
  exit: { name: string; temporary: string; sizeBytes: number };
  /** Sockets, which are removed at the end. */
  sockets: string[];
  /** Directories of control groups that are removed at the end. */
  cgroups: string[];
  /** Executed time and again, once it has ended; sooner where it exits with 3. */
  health?: Executed & { firstMs: number; intervalMs: number; soonMs: number };
  /** What the supervisor becomes at the end, if there is such a file in the directory then. */
  ended?: Executed & { where: string };
}

/** What the supervisor has, -1 where there is none; `out` and `err` do not block. Besides locks, which are held by being open. */
export const SUPERVISED = [
  "owner", // of the container: init's other end
  "verdict", // socket to whoever asked: 1 the command is executed, 2 it is not; end of file where nobody is there
  "directory",
  "log",
  "exit",
  "out",
  "err",
  "in",
  "passing",
  "pidfd socket",
  "stdin socket",
  "events", // of its memory group
  "alive",
] as const;

const [SIGCHLD, SIGTERM] = [17, 15];
const SIGINFO_BYTES = 128;
const here = flags("AT_FDCWD");
/** Exit status of a health check that wants to be there again soon. */
export const SOON_STATUS = 3;

/** Why it was killed, in the exit record behind the frame and the time. */
export const EXCEEDED = { time: 1, output: 2 } as const;
const EXCEEDED_AT = EXIT_FRAME_BYTES + 16;
const EVENTS_AT = EXCEEDED_AT + 8;
const SIGKILL = 9;

class Supervisor {
  readonly #how: Supervision;
  readonly #isAwaited: boolean;
  readonly #polled = new Polled();
  readonly #log: LogWriter;
  readonly #exit: Data;

  constructor(how: Supervision, isAwaited: boolean) {
    this.#how = how;
    this.#isAwaited = isAwaited;
    this.#exit = buffer("exit record", how.exit.sizeBytes);
    const bytes = how.limits?.outputBytes;
    this.#log = new LogWriter(
      how.log,
      this.#polled,
      bytes === undefined ? undefined : { bytes, exceeded: () => this.#kill("output") },
    );
  }

  plan(): Plan {
    const { health, limits } = this.#how;
    const steps: Plan = [
      { action: "be looked into by nobody", ops: this.#begin() },
      { action: "wait for the container, and for those who want something of it", ops: this.#wait() },
      { action: "pass signals on", ops: this.#signals() },
      ...(health ? [{ action: "check its health", ops: this.#health(health) }] : []),
      ...(limits?.timeMs === undefined ? [] : [{ action: "end it when its time is over", ops: this.#deadline() }]),
      ...(this.#how.terminal ? [{ action: "take the terminal", ops: this.#terminal() }] : []),
      { action: "pass what is asked for", ops: this.#sockets() },
      { action: "hear of the end", ops: this.#frames() },
      { action: "write down what it writes", ops: this.#log.outputs("wait") },
      { action: "write down how it ended", ops: this.#end() },
      { action: "leave nothing, and end", ops: this.#leave() },
    ];
    // it goes on whatever fails
    for (const { ops } of steps) for (const op of ops) if (!CONTROL.has(op.call)) op.onError ??= "ignore";
    return steps;
  }

  #begin(): Op[] {
    const { health, terminal, limits: { timeMs } = {} } = this.#how;
    const timers: PolledName[] = ["timer", "deadline"];
    const watched = POLLED.filter((name) => !timers.includes(name) && !(terminal && name === "stdin socket"));
    return [
      { call: "prctl", args: [named("PR_SET_DUMPABLE", 4), 0] },
      { call: "prctl", args: [named("PR_SET_NAME", 15), cstring("tsbox-super")] },
      { call: "close_range", args: [3, named("~0U", CLOSED), flags("CLOSE_RANGE_CLOEXEC")] },
      signalMask(-1),
      { call: "signalfd4", args: [-1, words("all signals", -1), 8, SFD], out: "signals" },
      set("begun", this.#isAwaited ? 0 : 1),
      ...this.#log.begin(),
      ...watched.map((name) => this.#polled.watch(name)),
      ...(health ? this.#timer("timer", health.firstMs) : []),
      ...(timeMs === undefined ? [] : this.#timer("deadline", timeMs)),
    ];
  }

  #timer = (name: "timer" | "deadline", ms: number): Op[] => [
    { call: "timerfd_create", args: [named("CLOCK_MONOTONIC", 1), CLOEXEC_NONBLOCK], out: name },
    this.#polled.watch(name),
    arm(ms, name),
  ];

  #deadline = (): Op[] =>
    this.#polled.where("deadline", [this.#polled.watch("deadline", CLOSED), ...this.#kill("time")]);

  /** By init, which passes signals on. */
  #kill = (why: keyof typeof EXCEEDED): Op[] => [
    { call: "store", args: [{ at: this.#exit, offset: EXCEEDED_AT }, EXCEEDED[why], 8] },
    { call: "sendto", args: [ref("owner"), words("SIGKILL", SIGKILL), 1, DONT_WAIT, 0, 0] },
  ];

  /** A timeout is needed where something has to be tried again, or memory be given back. */
  #wait = (): Op[] => [
    label("wait"),
    jumpIf("again", "==", 0, "wait for long"),
    ...this.#polled.pollForASecond(),
    jump("woken"),
    label("wait for long"),
    this.#polled.poll(0),
    label("woken"),
    ...this.#log.tryAgain("look"),
    jumpIf("found", "<", 0, "wait"),
    { call: "jumpIf", args: [ref("found"), 0, named("!=", 1)], label: "look" },
    ...this.#log.giveMemoryBack(),
    jump("wait"),
    label("look"),
  ];

  #signals(): Op[] {
    const info = buffer("siginfo", SIGINFO_BYTES);
    const { health } = this.#how;
    const status = buffer("status", 8);
    const reap: Op[] = health
      ? [
          { call: "wait4", args: [-1, status, named("WNOHANG", 1), 0], out: "child" },
          jumpIf("child", "<", 1, "done with signals"),
          { call: "jumpIf", args: [ref("child"), ref("checker"), named("!=", 1)], label: "reap" },
          { call: "load", args: [status, 4], out: "status" },
          jumpIf("status", "==", SOON_STATUS * 256, "soon"),
          arm(health.intervalMs),
          jump("reap"),
          label("soon"),
          arm(health.soonMs),
          jump("reap"),
        ]
      : [];
    return this.#polled.where("signals", [
      { call: "read", args: [ref("signals"), info, SIGINFO_BYTES] },
      { call: "load", args: [info, 4], out: "signal" },
      { call: "store", args: [info, 0, 4] },
      jumpIf("signal", "==", SIGCHLD, "reap"),
      { call: "jumpIf", args: [ref("signal"), SIGTERM, named("!=", 1)], label: "done with signals" },
      // init passes it on
      { call: "sendto", args: [ref("owner"), words("SIGTERM", SIGTERM), 1, DONT_WAIT, 0, 0] },
      jump("done with signals"),
      label("reap"),
      ...reap,
    ]);
  }

  #health({ file, args, env, intervalMs }: NonNullable<Supervision["health"]>): Op[] {
    const clone = structure("{exit_signal=SIGCHLD}", "clone_args", { exit_signal: SIGCHLD });
    return this.#polled.where("timer", [
      { call: "read", args: [ref("timer"), buffer("expirations", 8), 8] },
      {
        call: "spawn",
        args: [clone, STRUCTS.clone_args.size],
        label: "checker",
        out: "checker",
        onError: { jump: "no checker" },
      },
      jump("done with timer"),
      label("checker"),
      ...execute({ file, args, env }),
      label("no checker"),
      arm(intervalMs),
    ]);
  }

  /** As `out`, and what is written to it is stdin. */
  #terminal(): Op[] {
    const control = buffer("control data", STRUCTS.cmsghdr.size + 8);
    const iovec = structure("{a byte}", "iovec", { iov_len: 1 });
    iovec.pointers = [{ offset: offsetOf("iovec", "iov_base"), to: buffer("byte", 8) }];
    const message = structure("{control data}", "msghdr", { msg_iovlen: 1, msg_controllen: control.data.length });
    message.pointers = [
      { offset: offsetOf("msghdr", "msg_iov"), to: iovec },
      { offset: offsetOf("msghdr", "msg_control"), to: control },
    ];
    return this.#polled.where("passing", [
      this.#polled.watch("passing", CLOSED),
      {
        call: "recvmsg",
        args: [ref("passing"), message, named("MSG_CMSG_CLOEXEC|MSG_DONTWAIT", 0x40000040)],
        out: "count",
      },
      { call: "close", args: [ref("passing")] },
      jumpIf("count", "<", 1, "done with passing"),
      { call: "load", args: [{ at: control, offset: STRUCTS.cmsghdr.size }, 4], out: "out" },
      // what is there when it is looked for, the command may take away before it is read
      { call: "fcntl", args: [ref("out"), named("F_SETFL", 4), named("O_RDWR|O_NONBLOCK", 0o4002)] },
      { call: "fcntl", args: [ref("out"), named("F_DUPFD_CLOEXEC", 1030), 3], out: "in" },
      this.#polled.watch("out"),
      this.#polled.watch("stdin socket"),
    ]);
  }

  #sockets(): Op[] {
    const { stdin, terminal } = this.#how;
    const once: Op[] = [
      { call: "close", args: [ref("in")] },
      set("in", -1),
      { call: "close", args: [ref("stdin socket")] },
      this.#polled.watch("stdin socket", CLOSED),
    ];
    const stdinSocket = this.#polled.where("stdin socket", [
      ...passTo("stdin socket", "in"),
      ...(stdin === "once" && !terminal ? once : []),
    ]);
    return [
      // nobody takes one for running that may end without having begun
      ...this.#polled.where("pidfd socket", passTo("pidfd socket", INIT, "begun")),
      ...(stdin || terminal ? stdinSocket : []),
    ];
  }

  /** A frame of init's, or its end. */
  #frames(): Op[] {
    const rest = EXIT_FRAME_BYTES - REPORT_BYTES;
    return this.#polled.where("owner", [
      {
        call: "recvfrom",
        args: [ref("owner"), this.#exit, REPORT_BYTES, named("MSG_WAITALL", 0x100), 0, 0],
        out: "count",
      },
      jumpIf("count", "<", REPORT_BYTES, "killed"),
      { call: "load", args: [this.#exit, 4], out: "tag" },
      { call: "jumpIf", args: [ref("tag"), READY_TAG, named("!=", 1)], label: "not ready" },
      set("begun", 1),
      label("not ready"),
      { call: "jumpIf", args: [ref("tag"), EXIT_TAG, named("!=", 1)], label: "done with owner" },
      {
        call: "recvfrom",
        args: [ref("owner"), { at: this.#exit, offset: REPORT_BYTES }, rest, named("MSG_WAITALL", 0x100), 0, 0],
      },
      jump("ended"),
      label("killed"),
      { call: "store", args: [this.#exit, 0, 8] },
      jump("ended"),
    ]);
  }

  #end(): Op[] {
    const { exit } = this.#how;
    const at = (offset: number): At => ({ at: this.#exit, offset });
    const byte = buffer("byte", 8);
    return [
      label("ended"),
      // there is nothing more to pass
      { call: "close", args: [ref("pidfd socket")] },
      { call: "close", args: [ref("stdin socket")] },
      { call: "waitid", args: [named("P_PIDFD", 3), ref(INIT), 0, named("WEXITED", 4), 0] },
      { call: "recvfrom", args: [ref("verdict"), byte, 1, 0, 0, 0], out: "count" },
      jumpIf("count", "<", 1, "nobody is there"),
      { call: "load", args: [byte, 4], out: "verdict" },
      jumpIf("verdict", "==", 2, "without a trace"),
      set("begun", 1),
      label("nobody is there"),
      jumpIf("begun", "==", 0, "without a trace"),
      ...this.#log.drain(),
      { call: "clock_gettime", args: [named("CLOCK_REALTIME", 0), at(EXIT_FRAME_BYTES)] },
      {
        call: "pread64",
        args: [ref("events"), at(EVENTS_AT), exit.sizeBytes - EVENTS_AT, 0],
      },
      { call: "pwrite64", args: [ref("exit"), this.#exit, exit.sizeBytes, 0] },
      {
        call: "renameat",
        args: [ref("directory"), cstring(exit.temporary), ref("directory"), cstring(exit.name)],
      },
    ];
  }

  #decide({ where, ...program }: NonNullable<Supervision["ended"]>): Op[] {
    return [
      {
        call: "faccessat",
        args: [ref("directory"), cstring(where), 0],
        out: "asked",
        onError: { jump: "nothing to decide" },
      },
      ...execute(program),
      label("nothing to decide"),
    ];
  }

  #leave(): Op[] {
    const { cgroups, ended, sockets, exit } = this.#how;
    const AT_REMOVEDIR = named("AT_REMOVEDIR", 0x200);
    const remove = [
      ...cgroups.map((path): Op => ({ call: "unlinkat", args: [here, cstring(path), AT_REMOVEDIR] })),
      ...sockets.map((name): Op => ({ call: "unlinkat", args: [ref("directory"), cstring(name), 0] })),
    ];
    const removeTemporary: Op = { call: "unlinkat", args: [ref("directory"), cstring(exit.temporary), 0] };
    return [
      ...remove,
      ...(ended ? this.#decide(ended) : []),
      { call: "exit_group", args: [0] },
      label("without a trace"),
      // cloned, so that they can be placed once more
      ...remove.map((op) => ({ ...op })),
      removeTemporary,
      { call: "exit_group", args: [0] },
    ];
  }
}

const CONTROL = new Set<Op["call"]>(["jump", "store", "load", "jumpIf", "fail", "print", "end", "label"]);
const SFD = named("SFD_CLOEXEC|SFD_NONBLOCK", 0o2004000);
const CLOEXEC_NONBLOCK = named("TFD_CLOEXEC|TFD_NONBLOCK", 0o2004000);
const DONT_WAIT = named("MSG_NOSIGNAL|MSG_DONTWAIT", 0x4040);

/** @param isAwaited the command waits for whoever asked; it is told that it has begun, and nothing is known of it before */
export const supervisorSteps = (how: Supervision, isAwaited = false): Plan => new Supervisor(how, isAwaited).plan();

const signalMask = (mask: number): Op => ({
  call: "rt_sigprocmask",
  args: [named("SIG_SETMASK", 2), words(mask === 0 ? "no signals" : "all signals", mask), 0, 8],
});

/** Once, after so long. */
function arm(ms: number, timer: "timer" | "deadline" = "timer"): Op {
  const [seconds, nanoseconds] = [Math.floor(ms / 1000), Math.round((ms % 1000) * 1e6)];
  return { call: "timerfd_settime", args: [ref(timer), 0, words(`in ${ms} ms`, 0, 0, seconds, nanoseconds), 0] };
}

/** Nothing is read from whoever connects. @param when he gets nothing where that slot is 0 */
const passTo = (socket: PolledName, slot: string, when?: string): Op[] => [
  {
    call: "accept4",
    args: [ref(socket), 0, 0, flags("O_CLOEXEC")],
    out: "client",
    onError: { jump: `done with ${socket}` },
  },
  ...(when === undefined ? [] : [jumpIf(when, "==", 0, `nothing from ${socket}`)]),
  ...sendOps(slot, ref("client")),
  label(`nothing from ${socket}`),
  { call: "close", args: [ref("client")] },
];

const execute = ({ file, args, env }: Executed): Op[] => [
  signalMask(0),
  {
    call: "execve",
    args: [
      cstring(file),
      { ...stringArray(args), text: JSON.stringify(args) },
      { ...stringArray(env), text: `[${env.length} variables]` },
    ],
  },
  { call: "exit_group", args: [127] },
];
