/** The file that is written to: where it ends. @see layout.ts @module */
import * as sys from "../../syscalls/index.ts";
import { LOG_CHUNK, LOG_HEADER } from "./layout.ts";

const [O_RDWR, O_CREAT, O_NOFOLLOW] = [2, 0o100, process.arch === "arm64" ? 0o100000 : 0o400000];
const [SEEK_SET, SEEK_END] = [0, 2];
const LENGTH_AT = 16;

/** Modes of the file: a supervisor that ends in order says so by the second. */
export const [WRITTEN, WHOLE] = [0o700, 0o600];

/** Opened behind its last whole record: what was cut short, as a supervisor was killed, goes. */
export function openLog(path: string): number {
  const fd = sys.open(path, O_RDWR | O_CREAT | O_NOFOLLOW, WRITTEN);
  const size = sys.syscall("find the end of the log", "lseek", fd, 0, SEEK_END);
  const isWhole = ((sys.statFile(`/proc/self/fd/${fd}`)?.mode ?? 0) & 0o777) === WHOLE;
  sys.trySyscall("fchmod", fd, WRITTEN);
  if (isWhole || size === 0) return fd;
  const end = endOfRecords(fd, size);
  sys.trySyscall("ftruncate", fd, end);
  sys.trySyscall("lseek", fd, end, SEEK_SET);
  return fd;
}

function endOfRecords(fd: number, size: number): number {
  let at = 0;
  while (at + LOG_HEADER <= size) {
    const header = sys.readAt(fd, at, LOG_HEADER);
    const view = new DataView(header.buffer, header.byteOffset, header.length);
    if (header.length < LOG_HEADER) break;
    const length = view.getUint32(LENGTH_AT, true);
    const stream = view.getUint32(LENGTH_AT + 4, true);
    if (length === 0 || length > LOG_CHUNK || stream < 1 || stream > 2 || at + LOG_HEADER + length > size) break;
    at += LOG_HEADER + length;
  }
  return at;
}
