/** What the kernel counted in a group, of either version. @module */
import * as sys from "../../syscalls/index.ts";

export interface Counters {
  oomKills: number;
  /** How often a process could not be made for the limit on their number. */
  pidsDenied: number;
  peakMemoryBytes?: number;
  cpu?: CpuTime;
}

/** Of all that are, or were, in the group. */
export interface CpuTime {
  cpuMs: number;
  userMs: number;
  systemMs: number;
}

/** What is in use, and has been read and written. */
export interface Amounts {
  memoryBytes?: number;
  pids?: number;
  readBytes?: number;
  writeBytes?: number;
}

/** A group's directory for one controller. */
export interface Directory {
  version: "v1" | "v2";
  path: string;
}

export function readOomKills({ version, path }: Directory, read?: Read): number {
  return field(`${path}/${version === "v2" ? "memory.events" : "memory.oom_control"}`, "oom_kill", read) ?? 0;
}

export const readPidsDenied = ({ path }: Directory, read?: Read): number =>
  field(`${path}/pids.events`, "max", read) ?? 0;

export const readPeakMemory = ({ version, path }: Directory, read?: Read): number | undefined =>
  numberIn(`${path}/${version === "v2" ? "memory.peak" : "memory.max_usage_in_bytes"}`, read);

export const readMemory = ({ version, path }: Directory): number | undefined =>
  numberIn(`${path}/${version === "v2" ? "memory.current" : "memory.usage_in_bytes"}`);

export const readPids = ({ path }: Directory): number | undefined => numberIn(`${path}/pids.current`);

export function readCpuTime({ version, path }: Directory, read?: Read): CpuTime | undefined {
  if (version === "v2") {
    const lines = linesOf(`${path}/cpu.stat`, read);
    const ms = (name: string) => Number(lines.get(name)) / 1000;
    return lines.has("usage_usec")
      ? { cpuMs: ms("usage_usec"), userMs: ms("user_usec"), systemMs: ms("system_usec") }
      : undefined;
  }
  const [total, user, system] = ["usage", "usage_user", "usage_sys"].map((name) =>
    numberIn(`${path}/cpuacct.${name}`, read),
  );
  if (total === undefined) return undefined;
  return { cpuMs: total / 1e6, userMs: (user ?? 0) / 1e6, systemMs: (system ?? 0) / 1e6 };
}

/** Of all block devices. */
export function readIo({ version, path }: Directory): { readBytes: number; writeBytes: number } | undefined {
  const text = sys.readKernelFile(
    `${path}/${version === "v2" ? "io.stat" : "blkio.throttle.io_service_bytes_recursive"}`,
  );
  if (text === undefined) return undefined;
  // "8:0 rbytes=1 wbytes=2 …", and in version 1 "8:0 Read 1"
  const sum = (pattern: RegExp) => [...text.matchAll(pattern)].reduce((all, [, bytes]) => all + Number(bytes), 0);
  return { readBytes: sum(/(?: Read |\brbytes=)(\d+)/g), writeBytes: sum(/(?: Write |\bwbytes=)(\d+)/g) };
}

/** The text of a file, wherever it comes from. */
type Read = typeof sys.readKernelFile;

function numberIn(file: string, read: Read = sys.readKernelFile): number | undefined {
  const text = read(file);
  return text === undefined ? undefined : Number(text);
}

const linesOf = (file: string, read: Read = sys.readKernelFile): Map<string, string> =>
  new Map((read(file) ?? "").split("\n").map((line) => line.split(" ") as [string, string]));

function field(file: string, name: string, read?: Read): number | undefined {
  const value = linesOf(file, read).get(name);
  return value === undefined ? undefined : Number(value);
}
