/**
 * How a supervisor writes down what its container writes: a record for what one read(2) gave. What is read is written
 * before anything more is read; where the disk is full, the command waits.
 *
 * All of it is counted by the position of a file without contents: an executor does not add.
 *
 * In slots: `stuck`, 1 while a record has no room; `again`, 1 where the memory that is read into has been used.
 * @module
 */
import { buffer, cstring, named, PROGRAM_ADDRESS, ref, words } from "../../syscalls/index.ts";
import type { Data, Op } from "../../syscalls/index.ts";
import { flags } from "./constants.ts";
import { jump, jumpIf, label, set } from "./flow.ts";
import { CLOSED, type Polled } from "./polled.ts";

export interface LogFiles {
  /** The file's name in the directory. */
  name: string;
  /** By removing this file, leave is taken to begin a new one while somebody follows the log and has locked the directory. */
  turn: string;
  /** A new one is begun when it has so many bytes. */
  sizeBytes?: number | undefined;
  /** So many are kept. */
  files: number;
  headerBytes: number;
  chunkBytes: number;
  /** Of the file while it is written, and once that is over. */
  modes: readonly [written: number, whole: number];
}

/** A file of the log may become larger than it should while somebody reads it, up to so many times or bytes. */
const [HELD_TIMES, HELD_BYTES] = [16, 256 * 1024 * 1024];
/** Tries, a second apart, to write down what is left at the end, where the disk is full. */
const LAST_TRIES = 10;
const EAGAIN = 11;
const SEEK_CUR = named("SEEK_CUR", 1);
const [RW, PRIVATE] = [named("PROT_READ|PROT_WRITE", 3), named("MAP_PRIVATE|MAP_ANONYMOUS", 0x22)];
const WRITE: Op = { call: "run", args: [PROGRAM_ADDRESS, 0], label: "write the record", onError: "ignore" };

/** Done time and again, once so many bytes have been written. */
export interface LogLimit {
  bytes: number;
  exceeded: () => Op[];
}

export class LogWriter {
  readonly #how: LogFiles;
  readonly #limit: LogLimit | undefined;
  readonly #polled: Polled;
  readonly #header: Data;
  readonly #vector: Data;

  constructor(how: LogFiles, polled: Polled, limit?: LogLimit) {
    this.#how = how;
    this.#limit = limit;
    this.#polled = polled;
    this.#header = buffer("header of a record", how.headerBytes);
    this.#vector = words("[header, chunk]", 0, how.headerBytes, 0, 0);
    this.#vector.pointers = [{ offset: 0, to: this.#header }];
  }

  begin = (): Op[] => [
    // as long as a header: how far it is from its end says how long a record is, as there is no other way to add
    { call: "memfd_create", args: [cstring("ruler"), named("MFD_CLOEXEC", 1)], out: "ruler" },
    { call: "ftruncate", args: [ref("ruler"), this.#how.headerBytes] },
    { call: "mmap", args: [0, this.#how.chunkBytes, RW, PRIVATE, -1, 0], out: "chunk" },
    { call: "store", args: [{ at: this.#vector, offset: 16 }, ref("chunk"), 8] },
    ...(this.#limit
      ? [{ call: "memfd_create", args: [cstring("counter"), named("MFD_CLOEXEC", 1)], out: "counter" } satisfies Op]
      : []),
  ];

  /** Where a record is stuck. @param next where to, as long as it is */
  tryAgain = (next: string): Op[] => [
    jumpIf("stuck", "==", 0, "not stuck"),
    WRITE,
    jumpIf("stuck", "==", 1, next),
    this.#polled.watch("out"),
    this.#polled.watch("err"),
    label("not stuck"),
  ];

  /** When there was nothing to do for a while. */
  giveMemoryBack = (): Op[] => [
    { call: "madvise", args: [ref("chunk"), this.#how.chunkBytes, named("MADV_DONTNEED", 4)] },
    set("again", 0),
  ];

  /** What of both was found. @param next where to, then */
  outputs = (next: string): Op[] => [
    { call: "run", args: [PROGRAM_ADDRESS, 0], label: "read outputs" },
    jump(next),
    label("read outputs"),
    ...this.#output("out", 1),
    ...this.#output("err", 2),
    { call: "end", args: [] },
    ...this.#record(),
  ];

  /** All that is left, once nobody writes any more. */
  drain = (): Op[] => [
    label("drain"),
    jumpIf("stuck", "==", 0, "free"),
    ...this.#polled.sleepForASecond(),
    WRITE,
    // its position counts them
    { call: "lseek", args: [ref("exit"), 1, SEEK_CUR], out: "tries" },
    jumpIf("tries", "<", LAST_TRIES, "drain"),
    jump("drained"),
    label("free"),
    this.#polled.watch("out"),
    this.#polled.watch("err"),
    this.#polled.pollOutputs(),
    jumpIf("found", "<", 1, "drained"),
    { call: "run", args: [PROGRAM_ADDRESS, 0], label: "read outputs" },
    jump("drain"),
    label("drained"),
    { call: "fchmod", args: [ref("log"), this.#how.modes[1]] },
  ];

  #output(name: "out" | "err", stream: number): Op[] {
    return this.#polled.where(name, [
      { call: "read", args: [ref(name), ref("chunk"), this.#how.chunkBytes], out: "count" },
      // the command may have read it itself
      jumpIf("count", "==", -EAGAIN, `done with ${name}`),
      jumpIf("count", "<", 1, `end of ${name}`),
      { call: "store", args: [{ at: this.#header, offset: 20 }, stream, 4] },
      { call: "store", args: [{ at: this.#header, offset: 16 }, ref("count"), 4] },
      { call: "store", args: [{ at: this.#vector, offset: 24 }, ref("count"), 8] },
      { call: "clock_gettime", args: [named("CLOCK_REALTIME", 0), this.#header] },
      set("again", 1),
      ...this.#count(name),
      WRITE,
      jumpIf("stuck", "==", 0, `done with ${name}`),
      // nothing more is read till it is written
      { call: "end", args: [] },
      label(`end of ${name}`),
      { call: "close", args: [ref(name)] },
      set(name, -1),
      this.#polled.watch(name, CLOSED),
    ]);
  }

  #count(name: string): Op[] {
    if (!this.#limit) return [];
    const within = `${name} within its limit`;
    return [
      { call: "lseek", args: [ref("counter"), ref("count"), SEEK_CUR], out: "total" },
      jumpIf("total", "<", this.#limit.bytes + 1, within),
      ...this.#limit.exceeded(),
      label(within),
    ];
  }

  /** All of it, or it is taken back: the disk is full. */
  #record(): Op[] {
    return [
      label("write the record"),
      { call: "load", args: [{ at: this.#vector, offset: 24 }, 8], out: "count" },
      { call: "lseek", args: [ref("log"), 0, SEEK_CUR], out: "position" },
      { call: "lseek", args: [ref("ruler"), ref("count"), named("SEEK_END", 2)], out: "whole" },
      { call: "writev", args: [ref("log"), this.#vector, 2], out: "count" },
      { call: "jumpIf", args: [ref("count"), ref("whole"), named("==", 0)], label: "whole" },
      { call: "ftruncate", args: [ref("log"), ref("position")] },
      { call: "lseek", args: [ref("log"), ref("position"), named("SEEK_SET", 0)] },
      set("stuck", 1),
      set("again", 1),
      this.#polled.watch("out", CLOSED),
      this.#polled.watch("err", CLOSED),
      { call: "end", args: [] },
      label("whole"),
      set("stuck", 0),
      ...this.#rotate(),
      { call: "end", args: [] },
    ];
  }

  #rotate(): Op[] {
    const { name, turn, sizeBytes, files, modes } = this.#how;
    if (sizeBytes === undefined) return [];
    const kept = Array.from({ length: files - 1 }, (_, index) => `${name}.${index + 1}`);
    const names = [name, ...kept];
    const directory = ref("directory");
    const moves = kept.map((to, index): Op => ({
      call: "renameat",
      args: [directory, cstring(names[index] as string), directory, cstring(to)],
    }));
    return [
      { call: "lseek", args: [ref("log"), 0, SEEK_CUR], out: "position" },
      jumpIf("position", "<", sizeBytes, "written"),
      jumpIf("position", "<", Math.max(HELD_TIMES * sizeBytes, HELD_BYTES), "ask"),
      jump("rotate"),
      label("ask"),
      // nobody follows the log, or whoever does has read all of the file before, and gives leave
      { call: "flock", args: [directory, named("LOCK_EX|LOCK_NB", 6)], onError: { jump: "followed" } },
      jump("rotate"),
      label("followed"),
      { call: "unlinkat", args: [directory, cstring(turn), 0], onError: { jump: "written" } },
      label("rotate"),
      { call: "unlinkat", args: [directory, cstring(names.at(-1) as string), 0] },
      ...moves.toReversed(),
      {
        call: "openat",
        args: [directory, cstring(name), named("O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC", 0o2000301), modes[0]],
        out: "new log",
        onError: { jump: "unlock" },
      },
      { call: "dup3", args: [ref("new log"), ref("log"), flags("O_CLOEXEC")] },
      { call: "close", args: [ref("new log")] },
      label("unlock"),
      { call: "flock", args: [directory, named("LOCK_UN", 8)], onError: "ignore" },
      label("written"),
    ];
  }
}
