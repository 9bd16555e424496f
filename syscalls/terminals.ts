/** Terminals: sizes and settings. @module */
import { close, write } from "./calls.ts";
import { trySyscall } from "./kernel.ts";
import { scratch } from "./scratch.ts";
import { offsetOf, struct, STRUCTS } from "./structs.ts";

const O_CLOEXEC = 0o2000000;

export interface TerminalSize {
  cols: number;
  rows: number;
}

/** `int ioctl(int fd, TIOCSWINSZ, const struct winsize *)`: 0 or -errno. @see TIOCSWINSZ(2const) */
export function setTerminalSize(fd: number, { cols, rows }: TerminalSize): number {
  const TIOCSWINSZ = 0x5414;
  scratch.bytes.set(struct("winsize", { ws_col: cols, ws_row: rows }));
  return trySyscall("ioctl", fd, TIOCSWINSZ, scratch.address);
}

/** `int ioctl(int fd, TIOCGWINSZ, struct winsize *)`: undefined where it is no terminal. @see TIOCGWINSZ(2const) */
export function terminalSize(fd: number): TerminalSize | undefined {
  const TIOCGWINSZ = 0x5413;
  if (trySyscall("ioctl", fd, TIOCGWINSZ, scratch.address) < 0) return undefined;
  const at = (field: "ws_col" | "ws_row") => scratch.view.getUint16(offsetOf("winsize", field), true);
  return { cols: at("ws_col"), rows: at("ws_row") };
}

/** `int ioctl(int fd, TCGETS, struct termios *)`: undefined where it is no terminal. @see TCGETS(2const) */
export function terminalSettings(fd: number): Uint8Array | undefined {
  const TCGETS = 0x5401;
  if (trySyscall("ioctl", fd, TCGETS, scratch.address) < 0) return undefined;
  return scratch.bytes.slice(0, STRUCTS.termios.size);
}

/** `int ioctl(int fd, TCSETSW, const struct termios *)`: 0 or -errno. @see TCSETSW(2const) */
export function setTerminalSettings(fd: number, settings: Uint8Array): number {
  const TCSETSW = 0x5403;
  scratch.bytes.set(settings);
  return trySyscall("ioctl", fd, TCSETSW, scratch.address);
}

/**
 * `int ioctl(int fd, TIOCGPTPEER, int flags)`, and a byte from there: a read of the master that blocks another thread
 * returns, which closing it does not do. @see TIOCGPTPEER(2const)
 */
export function wakeTerminalReader(master: number): void {
  const [TIOCGPTPEER, O_WRONLY_NOCTTY_NONBLOCK] = [0x5441, 1 | 0o400 | 0o4000];
  const peer = trySyscall("ioctl", master, TIOCGPTPEER, O_WRONLY_NOCTTY_NONBLOCK | O_CLOEXEC);
  if (peer < 0) return;
  write(peer, new Uint8Array(1));
  close(peer);
}
