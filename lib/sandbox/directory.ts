/** Directories of a sandbox: their entries, and how a tree is removed. @module */
import { named, ref, TsboxError, type Data, type Op, type Ref } from "../../syscalls/index.ts";
import { AGENT } from "../plan/index.ts";
import { fileError, type Agent } from "./agent.ts";
import { AT_REMOVEDIR, nameData, openAnd, OPEN, type OpenOptions } from "./file-calls.ts";
import { fileTypeOf, type FileType } from "./file-stat.ts";

/** What a directory holds. */
export interface DirectoryEntry {
  name: string;
  /** Undefined where the file system does not say. */
  type: FileType | undefined;
  /** The name as it is, where it is not UTF-8. */
  nameBytes: Uint8Array;
}

/** A directory that is open, and what it was first asked for. */
export interface OpenDirectory {
  fd: number;
  first: Uint8Array;
}

const getdents = (fd: number | Ref): Op => ({
  call: "getdents64",
  args: [fd, AGENT.outbox, AGENT.outboxBytes],
  out: "bytes",
});

/** @throws TsboxError */
export async function openDirectory(
  agent: Agent,
  action: string,
  name: string | Data,
  how: number,
  options: OpenOptions,
): Promise<OpenDirectory> {
  const reply = await openAnd(agent, action, name, how, [getdents(ref("fd"))], options);
  return { fd: reply.get("fd"), first: reply.bytes };
}

/** In what order they come; without `.` and `..`. @throws TsboxError */
export async function* entriesOf(
  agent: Agent,
  { fd, first }: OpenDirectory,
  path: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<DirectoryEntry[], void> {
  for (let bytes = first; bytes.length > 0;) {
    yield decode(bytes);
    const reply = await agent.request({ ops: [getdents(fd)], signal });
    if (reply.failed) throw fileError("read", reply.failed, path);
    ({ bytes } = reply);
  }
}

/** @see getdents(2), struct linux_dirent64: u64 inode · i64 offset · u16 length · u8 type · name */
function decode(bytes: Uint8Array): DirectoryEntry[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const entries: DirectoryEntry[] = [];
  const NAME_AT = 19;
  for (let at = 0; at + NAME_AT < bytes.length;) {
    const length = view.getUint16(at + 16, true);
    if (length <= NAME_AT || at + length > bytes.length) break;
    const end = bytes.indexOf(0, at + NAME_AT);
    const nameBytes = bytes.slice(at + NAME_AT, end < 0 ? at + length : Math.min(end, at + length));
    const name = new TextDecoder().decode(nameBytes);
    if (name !== "." && name !== ".." && name !== "" && !name.includes("/"))
      entries.push({ name, nameBytes, type: fileTypeOf(view.getUint8(at + 18)) });
    at += length;
  }
  return entries;
}

/** Directories below each other that are walked: each is open as long as one below it is. */
const MAX_DEPTH = 500;

/** @throws TsboxError `file_refused` */
export function checkDepth(action: string, path: string): void {
  if (path.split("/").length <= MAX_DEPTH) return;
  throw new TsboxError(`${action} "${path.slice(0, 80)}…": more than ${MAX_DEPTH} directories below each other`, {
    code: "file_refused",
  });
}

const [EISDIR, ENOENT, EPERM] = [21, 2, 1];
/** Calls in one request. */
const AT_ONCE = 20;

/** What is removed: a directory that is open, its name in another one, and its path, as errors name it. */
interface Removing {
  agent: Agent;
  fd: number;
  parent: number;
  name: Uint8Array;
  path: string;
  signal: AbortSignal | undefined;
}

/** A directory by its name in another one, however often it is filled meanwhile. @throws TsboxError */
export async function removeDirectory(
  agent: Agent,
  parent: number,
  name: Uint8Array,
  path: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  checkDepth("remove", path);
  const options = { from: parent, path, signal };
  const directory = await openDirectory(agent, "remove", nameData(name), OPEN.directoryItself, options);
  const removing = { agent, fd: directory.fd, parent, name, path, signal };
  try {
    if (await empty(removing, directory.first)) return;
    const reply = await agent.request({ ops: [removeOp(removing)], signal });
    if (reply.failed) throw fileError("remove", reply.failed, path);
  } finally {
    agent.closeSoon(directory.fd);
  }
}

const removeOp = ({ parent, name }: Removing): Op => ({
  call: "unlinkat",
  args: [parent, nameData(name), AT_REMOVEDIR],
  out: "removed",
});

/** Removes what it holds. @returns whether it went with the last of that */
async function empty(removing: Removing, first: Uint8Array): Promise<boolean> {
  const { agent, fd, path, signal } = removing;
  const AGAIN = 100;
  let bytes = first;
  for (let turn = 0; turn < AGAIN;) {
    const entries = decode(bytes);
    for (let at = 0; at === 0 || at < entries.length; at += AT_ONCE)
      if (await removeAll(removing, entries.slice(at, at + AT_ONCE), at + AT_ONCE >= entries.length)) return true;
    // some file systems leave out what moves up as others are removed
    const ops: Op[] = [
      getdents(fd),
      { call: "jumpIf", args: [0, ref("bytes"), named("<", 2)], label: "more" },
      { call: "lseek", args: [fd, 0, 0], out: "again" },
      getdents(fd),
      { call: "label", args: [], label: "more" },
    ];
    const reply = await agent.request({ ops, signal });
    if (reply.failed) throw fileError("remove", reply.failed, path);
    ({ bytes } = reply);
    if (reply.get("again") < 0) continue;
    turn++;
    if (decode(bytes).length === 0) return false;
  }
  return false;
}

/** @param isLast then it may be empty, and goes itself @returns whether it went */
async function removeAll(removing: Removing, entries: DirectoryEntry[], isLast: boolean): Promise<boolean> {
  const { agent, fd, path, signal } = removing;
  const ops = entries.map(({ nameBytes }, index): Op => ({
    call: "unlinkat",
    args: [fd, nameData(nameBytes), 0],
    out: `${index}`,
    onError: "ignore",
  }));
  if (isLast) ops.push({ ...removeOp(removing), onError: "ignore" });
  const reply = await agent.request({ ops, signal });
  for (const [index, { name, nameBytes }] of entries.entries()) {
    const errno = -reply.get(`${index}`);
    if (errno <= 0 || errno === ENOENT) continue;
    const below = `${path === "/" ? "" : path}/${name}`;
    if (errno === EISDIR || errno === EPERM) await removeDirectory(agent, fd, nameBytes, below, signal);
    else throw fileError("remove", { call: "unlinkat", errno }, below);
  }
  return isLast && reply.get("removed") === 0;
}
