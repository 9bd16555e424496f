/**
 * The command's terminal: a pair of the sandbox's own devpts, of which the owner gets the other end.
 *
 * The master is opened below a descriptor of the devpts itself, and the slave by the master: no name of the root
 * filesystem is followed, which somebody inside could turn into something else (CVE-2025-52565).
 * @module
 * @see pts(4), ioctl_tty(2), TIOCGPTPEER(2const), unix(7) SCM_RIGHTS
 */
import { buffer, cstring, named, offsetOf, ref, STRUCTS, structure, TsboxError, words } from "../../syscalls/index.ts";
import type { Op, Plan, Step } from "../../syscalls/index.ts";
import type { Spec } from "../spec/index.ts";
import { F_DUPFD_CLOEXEC } from "./clone.ts";
import { flags } from "./constants.ts";
import { mountSlot } from "./filesystem.ts";
import * as mounts from "./mounts.ts";
import { passOps } from "./pass.ts";

const here = flags("AT_FDCWD");
const READ_WRITE = flags("O_RDWR", "O_NOCTTY", "O_CLOEXEC");

/**
 * In a sandbox that is being made. Stdin, stdout and stderr become the terminal; the socket that its other end goes
 * to is bound as `pass-socket`.
 * @param piped where what it shows is read by another program: lines end as they are written, without a carriage return
 * @throws TsboxError `invalid_option`
 */
export function terminalSteps(spec: Spec, alone: mounts.Alone, piped = false): Plan {
  if (!spec.process.terminal) return [];
  if (!spec.linux.namespaces.some(({ type }) => type === "mount"))
    return [...openSteps(spec, HOSTS, piped), passStep()];
  const devpts = spec.mounts.findIndex(({ destination, type }) => destination === "/dev/pts" && type === "devpts");
  if (devpts < 0) {
    throw new TsboxError('make a terminal: no devpts is mounted on "/dev/pts"', { code: "invalid_option" });
  }
  const open: Op = { call: "openat", args: [ref(mountSlot(devpts)), cstring("ptmx"), READ_WRITE, 0], out: "terminal" };
  return [...openSteps(spec, [open], piped), ...consoleSteps(alone), passStep()];
}

/** The same in a sandbox that has been running for a while, and so where something else may lie at that name. */
export function joinedTerminalSteps(spec: Spec, piped = false): Plan {
  if (!spec.process.terminal) return [];
  const own = spec.linux.namespaces.some(({ type }) => type === "mount");
  return [...openSteps(spec, own ? openChecked() : HOSTS, piped), passStep()];
}

/** The host's own: whoever shares its mounts sees its devpts. */
const HOSTS: Op[] = [{ call: "openat", args: [here, cstring("/dev/ptmx"), READ_WRITE, 0], out: "terminal" }];

const DEVPTS_SUPER_MAGIC = named("DEVPTS_SUPER_MAGIC", 0x1cd1);
const ENODEV = 19;

function openChecked(): Op[] {
  const statfs = structure("statfs", "statfs", {});
  return [
    mounts.openInRoot("/dev/pts", "devpts", "no symlink"),
    { call: "fstatfs", args: [ref("devpts"), statfs] },
    { call: "load", args: [{ at: statfs, offset: offsetOf("statfs", "f_type") }, 8], out: "type" },
    { call: "jumpIf", args: [ref("type"), DEVPTS_SUPER_MAGIC, named("==", 0)], label: "devpts" },
    { call: "fail", args: [named("ENODEV", ENODEV)] },
    { call: "label", args: [], label: "devpts" },
    { call: "openat", args: [ref("devpts"), cstring("ptmx"), READ_WRITE, 0], out: "terminal" },
  ];
}

/** As the slots `terminal`, the owner's end, and `peer`, the command's; which is stdin, stdout and stderr as well. */
function openSteps({ process: { consoleSize, user } }: Spec, open: Op[], piped: boolean): Plan {
  const ops: Op[] = [
    ...open,
    { call: "ioctl", args: [ref("terminal"), flags("TIOCSPTLCK"), words("0", 0)] },
    { call: "ioctl", args: [ref("terminal"), flags("TIOCGPTPEER"), READ_WRITE], out: "peer" },
    // whoever the command is going to be can open it again by its name
    { call: "fchown", args: [ref("peer"), user.uid, -1] },
  ];
  if (consoleSize) {
    const { width, height } = consoleSize;
    const size = structure(`{${height} rows, ${width} columns}`, "winsize", { ws_row: height, ws_col: width });
    ops.push({ call: "ioctl", args: [ref("terminal"), flags("TIOCSWINSZ"), size] });
  }
  if (piped) ops.push(...plainLines());
  for (const name of ["stdin", "stdout", "stderr"])
    ops.push({ call: "fcntl", args: [ref("peer"), F_DUPFD_CLOEXEC, 10], out: name });
  const hint = (errno: string | undefined) => {
    if (errno === "ENODEV") return "something else is mounted on /dev/pts";
    return errno === "ENOSPC" ? "no more terminals: sysctl kernel.pty.max" : undefined;
  };
  return [{ action: "make a terminal", ops, code: "mount_failed", path: "/dev/pts", hint }];
}

/** Before anything is written: of the settings for output nothing but OPOST is left, without ONLCR. */
function plainLines(): Op[] {
  const settings = buffer("settings", STRUCTS.termios.size);
  const output = { at: settings, offset: offsetOf("termios", "c_oflag") };
  return [
    { call: "ioctl", args: [ref("terminal"), flags("TCGETS"), settings] },
    { call: "store", args: [output, named("OPOST", 1), 4] },
    { call: "ioctl", args: [ref("terminal"), flags("TCSETS"), settings] },
  ];
}

function consoleSteps(alone: mounts.Alone): Plan {
  const how = flags("OPEN_TREE_CLONE", "OPEN_TREE_CLOEXEC", "AT_EMPTY_PATH");
  const open: Op = { call: "open_tree", args: [ref("peer"), cstring(""), how], out: "console" };
  const step = mounts.attach("/dev/console", "console", "file", alone);
  return [{ ...step, action: 'bind the terminal on "/dev/console"', ops: [open, ...step.ops] }];
}

const passStep = (): Step => ({
  action: "pass the other end of the terminal to the owner",
  // what is left of it here would keep a terminal that the owner has closed from being seen as gone
  ops: [...passOps("terminal"), { call: "close", args: [ref("terminal")] }],
});

/** Where stdin is the terminal, and the process the leader of a session. */
export const controlTerminal: Op = { call: "ioctl", args: [0, flags("TIOCSCTTY"), 0] };
