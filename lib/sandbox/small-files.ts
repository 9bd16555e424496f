/** Files and symlinks of one directory, read several at a time: each request takes longer than what most of them need. @module */
import { cstring, named, offsetOf, ref, type Op } from "../../syscalls/index.ts";
import { AGENT, flags } from "../plan/index.ts";
import type { Agent } from "./agent.ts";
import { answerOp, nameData, OPEN, openOp, STAT_BYTES, statIn, statxOp } from "./file-calls.ts";
import type { FileStat } from "./file-stat.ts";

/** A name in a directory that is open, and what it was when it was looked at. */
export interface Looked {
  nameBytes: Uint8Array;
  stat: FileStat;
}

/** What a file was when it was read, or the target of a symlink. */
export interface Content {
  stat: FileStat;
  bytes: Uint8Array;
}

/** Results of all of them are: the bytes that come back, a descriptor, its statx, and its mode. */
const AT_ONCE = AGENT.results - 4;
const TARGET_BYTES = 4096;
/** Modes of regular files. */
const [LOWEST, HIGHEST] = [0o100000, 0o107777];

/**
 * As many of the first ones as one request has room for, at least one.
 * @returns undefined for what has to be read by itself, as it is too long, or is not any more what it was
 */
export async function readSmall(
  agent: Agent,
  from: number,
  looked: Looked[],
  signal: AbortSignal | undefined,
): Promise<(Content | undefined)[]> {
  const places: (number | undefined)[] = [];
  const ops: Op[] = [];
  let end = 0;
  for (const file of looked.slice(0, AT_ONCE)) {
    const needed = file.stat.isFile() ? STAT_BYTES + Math.ceil(file.stat.size / 8) * 8 : TARGET_BYTES;
    const isTooLong = needed > AGENT.outboxBytes;
    if (!isTooLong && end + needed > AGENT.outboxBytes) break;
    places.push(isTooLong ? undefined : end);
    if (isTooLong) continue;
    ops.push(...(file.stat.isFile() ? readOps : targetOps)(from, file, end, `${places.length - 1}`));
    end += needed;
  }
  if (ops.length === 0) return places.map(() => undefined);
  const reply = await agent.request({ ops: [answerOp(end), ...ops], signal });
  return places.map((place, index) => {
    const { stat } = looked[index] as Looked;
    const count = reply.get(`${index}`);
    if (place === undefined || count < 0) return undefined;
    if (!stat.isFile()) return { stat, bytes: reply.bytes.subarray(place, place + Math.min(count, TARGET_BYTES)) };
    const opened = statIn(reply.bytes, place);
    if (count !== opened.size || count > stat.size) return undefined;
    return { stat: opened, bytes: reply.bytes.subarray(place + STAT_BYTES, place + STAT_BYTES + count) };
  });
}

/** What turns out not to be a regular file, once it is open, is not read. */
function readOps(from: number, { nameBytes, stat }: Looked, place: number, out: string): Op[] {
  const [mode, isLess] = [AGENT.outboxAt(place + offsetOf("statx", "stx_mode")), named("<", 2)];
  const [close, next] = [`close ${out}`, `next ${out}`];
  return [
    { ...openOp(nameData(nameBytes), OPEN.readItself, 0, from), onError: { jump: next } },
    { ...statxOp(ref("fd"), cstring(""), flags("AT_EMPTY_PATH"), place), onError: { jump: close } },
    { call: "load", args: [mode, 4], out: "mode" },
    { call: "jumpIf", args: [ref("mode"), LOWEST, isLess], label: close },
    { call: "jumpIf", args: [HIGHEST, ref("mode"), isLess], label: close },
    { call: "read", args: [ref("fd"), AGENT.outboxAt(place + STAT_BYTES), stat.size], out, onError: "ignore" },
    { call: "label", args: [], label: close },
    { call: "close", args: [ref("fd")], onError: "ignore" },
    { call: "label", args: [], label: next },
  ];
}

function targetOps(from: number, { nameBytes }: Looked, place: number, out: string): Op[] {
  const args = [from, nameData(nameBytes), AGENT.outboxAt(place), TARGET_BYTES];
  return [{ call: "readlinkat", args, out, onError: "ignore" }];
}
