/**
 * Pipes, in which bytes are on their way from one socket to another. The kernel counts their pages for all programs of a user
 * together, and who has too many gets tiny ones everywhere: so all of them here are a part of that, and however many one
 * sandbox has, as one can that lets its connections stand still, others get theirs.
 * @module
 * @see pipe(7) /proc/sys/fs/pipe-user-pages-soft
 */
import * as sys from "../../syscalls/index.ts";

const PAGE_BYTES = 4096;
/** For who has few on their way, and for who has many. */
const [LARGE, SMALL] = [64, 4];
/** Of what a user may have. */
const PART = 4;
const DEFAULT_SOFT = 16_384;
/** Large ones, kept for whoever is next. */
const MAX_IDLE = 8;

export interface Pipe {
  read: number;
  write: number;
  pages: number;
}

/** Who has pipes: how many pages they are. */
export interface Holder {
  pages: number;
}

/** Zero stands for no limit. */
function pagesForAll(): number {
  const soft = Number(sys.readKernelFile("/proc/sys/fs/pipe-user-pages-soft") ?? 0);
  return Math.floor((soft > 0 ? Math.min(soft, DEFAULT_SOFT) : DEFAULT_SOFT) / PART);
}

/** Only who has bytes on their way has one, so that connections that are silent take no memory. */
export class Pipes implements Disposable {
  readonly #idle: Pipe[] = [];
  readonly #hold: (fd: number) => void;
  #left: number;

  /** @param pages of all that are in use @param hold is told of what is opened */
  constructor(pages = pagesForAll(), hold: (fd: number) => void = () => {}) {
    this.#left = pages;
    this.#hold = hold;
  }

  /** @returns undefined where whoever asks has enough for now; or -errno */
  take(holder: Holder): Pipe | number | undefined {
    const pages = holder.pages + LARGE <= this.#left / 4 ? LARGE : SMALL;
    if (holder.pages + pages > this.#left) return undefined;
    const pipe = (pages === LARGE ? this.#idle.pop() : undefined) ?? openPipe(pages, this.#hold);
    if (typeof pipe === "number") return pipe;
    this.#left -= pages;
    holder.pages += pages;
    return pipe;
  }

  /** @param isEmpty another one may have it */
  give(pipe: Pipe, holder: Holder, isEmpty: boolean): void {
    this.#left += pipe.pages;
    holder.pages -= pipe.pages;
    if (isEmpty && pipe.pages === LARGE && this.#idle.length < MAX_IDLE) this.#idle.push(pipe);
    else closePipe(pipe);
  }

  [Symbol.dispose](): void {
    for (const pipe of this.#idle.splice(0)) closePipe(pipe);
  }
}

function openPipe(pages: number, hold: (fd: number) => void): Pipe | number {
  const { read, write } = sys.openPipe();
  if (read < 0) return read;
  for (const fd of [read, write]) hold(fd);
  sys.resizePipe(write, pages * PAGE_BYTES);
  return { read, write, pages };
}

function closePipe({ read, write }: Pipe): void {
  sys.close(read);
  sys.close(write);
}

export const bytesOf = ({ pages }: Pipe): number => pages * PAGE_BYTES;
