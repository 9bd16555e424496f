/** Whether somebody has a FIFO open for writing: the kernel knows it, whatever else is written down. @module */
import { close, O_RDONLY, read, tryOpen } from "../../syscalls/index.ts";

const [O_NONBLOCK, EAGAIN] = [0o4000, 11];

/** Open for reading; -1 where there is none. */
export const openFifo = (file: string): number => tryOpen(file, O_RDONLY | O_NONBLOCK);

/** Nothing is ever written to it. @see fifo(7) */
export const hasWriter = (fifo: number): boolean => read(fifo, 1) === -EAGAIN;

export function isHeldOpen(file: string): boolean {
  const fifo = openFifo(file);
  if (fifo < 0) return false;
  const isHeld = hasWriter(fifo);
  close(fifo);
  return isHeld;
}
