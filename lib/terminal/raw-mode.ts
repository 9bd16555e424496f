/**
 * The terminal that somebody sits at, while it is another one's: what is typed goes through as it is.
 * @module
 * @see termios(3), cfmakeraw
 */
import * as sys from "../../syscalls/index.ts";

/** Undefined where it is no terminal. */
export const sizeOfTerminal = sys.terminalSize;

// asm-generic/termbits.h; x86-64 and aarch64 share them
const IFLAGS = 0x1 | 0x2 | 0x8 | 0x20 | 0x40 | 0x80 | 0x100 | 0x400; // IGNBRK BRKINT PARMRK ISTRIP INLCR IGNCR ICRNL IXON
const OPOST = 0x1;
const LFLAGS = 0x1 | 0x2 | 0x8 | 0x40 | 0x8000; // ISIG ICANON ECHO ECHONL IEXTEN
const ECHO = 0x8;
const [CSIZE_PARENB, CS8] = [0x130, 0x30];
const [VTIME, VMIN] = [5, 6];

/** What is typed is not shown. @returns what makes it as it was before; undefined where it is no terminal */
export function withoutEcho(fd: number): (() => void) | undefined {
  const before = sys.terminalSettings(fd);
  if (!before) return undefined;
  const hidden = before.slice();
  const at = sys.offsetOf("termios", "c_lflag");
  const view = new DataView(hidden.buffer);
  view.setUint32(at, view.getUint32(at, true) & ~ECHO, true);
  sys.setTerminalSettings(fd, hidden);
  return () => void sys.setTerminalSettings(fd, before);
}

/** @returns what makes it as it was before, as often as it is called; undefined where it is no terminal */
export function makeRaw(fd: number): (() => void) | undefined {
  const before = sys.terminalSettings(fd);
  if (!before) return undefined;
  const raw = before.slice();
  const view = new DataView(raw.buffer);
  const change = (field: "c_iflag" | "c_oflag" | "c_cflag" | "c_lflag", off: number, on = 0) => {
    const at = sys.offsetOf("termios", field);
    view.setUint32(at, (view.getUint32(at, true) & ~off) | on, true);
  };
  change("c_iflag", IFLAGS);
  change("c_oflag", OPOST);
  change("c_cflag", CSIZE_PARENB, CS8);
  change("c_lflag", LFLAGS);
  const characters = sys.offsetOf("termios", "c_cc");
  raw[characters + VTIME] = 0;
  raw[characters + VMIN] = 1;
  sys.setTerminalSettings(fd, raw);
  return () => void sys.setTerminalSettings(fd, before);
}
