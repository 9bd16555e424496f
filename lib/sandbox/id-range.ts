/**
 * Ranges of ids on the host, of which no two sandboxes have the same at a time, whoever makes them: each is a byte of a
 * file, locked as long as its sandbox lives. The kernel drops the locks of a process that has died.
 * @module
 * @see fcntl_locking(2)
 */
import * as sys from "../../syscalls/index.ts";
import { TsboxError } from "../../syscalls/index.ts";

/** Between what systemd gives to containers and root's sandboxes without a range of their own; below 2^31. */
export const RANGES = { first: 0x70000000, size: 65536, count: 0x777 };
const DIRECTORY = "/run/tsbox";
const FILE = `${DIRECTORY}/id-ranges`;

let file: number | undefined;
/** Of this thread; locks of one open file do not exclude each other. */
const taken = new Set<number>();
/** The same ids make the same plan, which need not be compiled again. */
const returned: number[] = [];

export interface IdRange {
  /** The first id on the host. */
  hostID: number;
  release(): void;
}

/** @throws TsboxError `limit_unavailable` where all ranges are in use */
export function claimIdRange(): IdRange {
  file ??= openFile();
  for (let index = returned.pop(); index !== undefined; index = returned.pop())
    if (claim(file, index)) return range(index);
  // those of a process that has just died may still be in use by what dies with it: the next is another one
  const begin = Math.floor(Math.random() * RANGES.count);
  for (let step = 0; step < RANGES.count; step++) {
    const index = (begin + step) % RANGES.count;
    if (claim(file, index)) return range(index);
  }
  throw allInUse();
}

/** One that is held as long as its descriptor is open, by whomever: that is the caller's to close. */
export interface HeldIdRange {
  hostID: number;
  lock: number;
}

/**
 * @param before the first id of the range that was held before, and is wanted again
 * @param isTaken whether it is somebody else's, also while nobody holds it
 * @throws TsboxError `limit_unavailable` where there is none
 */
export function holdIdRange(before: number | undefined, isTaken: (hostID: number) => boolean): HeldIdRange {
  const lock = openFile();
  const begin = before === undefined ? Math.floor(Math.random() * RANGES.count) : (before - RANGES.first) / RANGES.size;
  for (let step = 0; step < RANGES.count; step++) {
    const index = (begin + step) % RANGES.count;
    const hostID = RANGES.first + index * RANGES.size;
    if (!isTaken(hostID) && sys.lockByte(lock, index, true)) return { hostID, lock };
  }
  sys.close(lock);
  throw allInUse();
}

const allInUse = () =>
  new TsboxError(`claim a range of ids: all ${RANGES.count} are in use`, {
    code: "limit_unavailable",
    hint: 'end other sandboxes, or share one range: namespaces.user "private"',
  });

const claim = (fd: number, index: number): boolean => !taken.has(index) && sys.lockByte(fd, index, true);

function range(index: number): IdRange {
  taken.add(index);
  return {
    hostID: RANGES.first + index * RANGES.size,
    release() {
      if (!taken.delete(index)) return;
      sys.lockByte(file as number, index, false);
      returned.push(index);
    },
  };
}

function openFile(): number {
  const made = sys.makeDirectory(DIRECTORY);
  if (made < 0) {
    throw new TsboxError(`make "${DIRECTORY}", where ranges of ids are claimed: ${sys.errnoName(-made)}`, {
      code: "system",
      errno: -made,
      path: DIRECTORY,
      hint: '/run has to be writable; or share one range: namespaces.user "private"',
    });
  }
  const [O_RDWR, O_CREAT, O_NOFOLLOW] = [2, 0o100, process.arch === "arm64" ? 0o100000 : 0o400000];
  return sys.open(FILE, O_RDWR | O_CREAT | O_NOFOLLOW, 0o600);
}
