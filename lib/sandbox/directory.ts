/** Directories of a sandbox: their entries, and how a tree is removed. @module */
import { TsboxError, type Op } from "../../syscalls/index.ts";
import { fileError, type Agent } from "./agent.ts";
import { AT_REMOVEDIR, close, nameData, open, OPEN, read } from "./file-calls.ts";
import { fileTypeOf, type FileType } from "./file-stat.ts";

/** What a directory holds. */
export interface DirectoryEntry {
  name: string;
  /** Undefined where the file system does not say. */
  type: FileType | undefined;
  /** The name as it is, where it is not UTF-8. */
  nameBytes: Uint8Array;
}

/** In what order they come; without `.` and `..`. @param fd an open directory @throws TsboxError */
export async function* entriesOf(
  agent: Agent,
  fd: number,
  path: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<DirectoryEntry[], void> {
  for (;;) {
    const bytes = await read(agent, "getdents64", fd, path, signal);
    if (bytes.length === 0) return;
    yield decode(bytes);
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

/** Removes what an open directory holds, however often it is filled meanwhile. @throws TsboxError */
export async function empty(agent: Agent, fd: number, path: string, signal: AbortSignal | undefined): Promise<void> {
  const AGAIN = 100;
  for (let turn = 0; turn < AGAIN; turn++) {
    let seen = false;
    for await (const entries of entriesOf(agent, fd, path, signal)) {
      seen ||= entries.length > 0;
      for (let at = 0; at < entries.length; at += AT_ONCE)
        await removeAll(agent, fd, entries.slice(at, at + AT_ONCE), path, signal);
    }
    if (!seen) return;
    await agent.request({ ops: [{ call: "lseek", args: [fd, 0, 0] }], signal });
  }
}

async function removeAll(
  agent: Agent,
  fd: number,
  entries: DirectoryEntry[],
  path: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const ops = entries.map(({ nameBytes }, index): Op => ({
    call: "unlinkat",
    args: [fd, nameData(nameBytes), 0],
    out: `${index}`,
    onError: "ignore",
  }));
  const reply = await agent.request({ ops, signal });
  for (const [index, { name, nameBytes }] of entries.entries()) {
    const errno = -reply.get(`${index}`);
    if (errno <= 0 || errno === ENOENT) continue;
    const below = `${path === "/" ? "" : path}/${name}`;
    if (errno === EISDIR || errno === EPERM) await removeDirectory(agent, fd, nameBytes, below, signal);
    else throw fileError("remove", { call: "unlinkat", errno }, below);
  }
}

/** A directory by its name in another one, which is open. @throws TsboxError */
export async function removeDirectory(
  agent: Agent,
  parent: number,
  name: Uint8Array,
  path: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  checkDepth("remove", path);
  const directory = await open(agent, "remove", nameData(name), OPEN.directoryItself, { from: parent, path, signal });
  try {
    await empty(agent, directory.fd, path, signal);
  } finally {
    close(agent, directory.fd);
  }
  const reply = await agent.request({
    ops: [{ call: "unlinkat", args: [parent, nameData(name), AT_REMOVEDIR], out: "removed" }],
    signal,
  });
  if (reply.failed) throw fileError("remove", reply.failed, path);
}
