/** Who is who in a container: its ids, and the names that it has for them. @module */
import { close, O_DIRECTORY, O_PATH, openInRoot, read, readKernelFile, tryOpen } from "../../syscalls/index.ts";

/** Lines of uid_map and gid_map: inside, outside, how many. */
type Range = readonly [inside: number, outside: number, count: number];

export const rangesIn = (text: string): Range[] =>
  text.split("\n").flatMap((line) => {
    const [inside, outside, count] = line.trim().split(/\s+/).map(Number);
    return outside === undefined || count === undefined ? [] : [[inside as number, outside, count] as const];
  });

/** What the host has as `id`, as it is inside; itself where it is nothing there. */
export function insideOf(ranges: readonly Range[], id: number): number {
  const range = ranges.find(([, outside, count]) => id >= outside && id < outside + count);
  return range ? range[0] + (id - range[1]) : id;
}

export function idsInside(pid: number): { uid(id: number): number; gid(id: number): number } {
  const [uids, gids] = ["uid_map", "gid_map"].map((file) => rangesIn(readKernelFile(`/proc/${pid}/${file}`) ?? ""));
  return { uid: (id) => insideOf(uids ?? [], id), gid: (id) => insideOf(gids ?? [], id) };
}

/** Names are cut as ps(1) does it. */
const NAME_LENGTH = 8;

export interface Accounts {
  user(uid: number): string | undefined;
  group(gid: number): string | undefined;
}

/** By its own /etc/passwd and /etc/group, which are somebody else's text. */
export function accountsOf(pid: number): Accounts {
  const root = tryOpen(`/proc/${pid}/root`, O_PATH | O_DIRECTORY);
  try {
    const [users, groups] = ["etc/passwd", "etc/group"].map((file) => namesById(root >= 0 ? textIn(root, file) : ""));
    return { user: (uid) => users?.get(uid), group: (gid) => groups?.get(gid) };
  } finally {
    if (root >= 0) close(root);
  }
}

/** `name:x:id:…`, the first of an id. */
export function namesById(text: string): Map<number, string> {
  const names = new Map<number, string>();
  for (const line of text.split("\n")) {
    const [name = "", , id] = line.split(":");
    if (id === undefined || !/^\d+$/.test(id) || !/^[\w.-]+\$?$/.test(name) || names.has(Number(id))) continue;
    names.set(Number(id), name.length > NAME_LENGTH ? `${name.slice(0, NAME_LENGTH - 1)}+` : name);
  }
  return names;
}

function textIn(root: number, file: string): string {
  let fd: number;
  try {
    fd = openInRoot(root, file);
  } catch {
    return "";
  }
  if (fd < 0) return "";
  try {
    const bytes = read(fd);
    return typeof bytes === "number" ? "" : new TextDecoder().decode(bytes);
  } finally {
    close(fd);
  }
}
