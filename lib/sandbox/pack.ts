/** A tree of a sandbox as a tar archive. @module */
import { TsboxError } from "../../syscalls/index.ts";
import { tarEnd, tarHeader, tarPadding } from "../tar/index.ts";
import { AGENT } from "../plan/index.ts";
import { fileError, type Agent } from "./agent.ts";
import { checkDepth, entriesOf, type DirectoryEntry } from "./directory.ts";
import type { FileStat } from "./file-stat.ts";
import { close, nameData, open, OPEN, read, splitPath, type Opened } from "./file-calls.ts";
import { concatenate } from "./pipes.ts";

export interface PackedPath {
  /** What it is called in the archive, and what is below it begins with; `"."` where it has no name of its own. */
  name: string;
  /** A symlink is what it leads to. */
  followLink: boolean;
  /** Whether what is mounted at a path below is packed. */
  crosses(path: string): boolean;
  signal?: AbortSignal | undefined;
}

interface Packing {
  agent: Agent;
  signal: AbortSignal | undefined;
  crosses?(path: string): boolean;
  /** Names of files that have several, by what the files are. */
  seen: Map<string, Uint8Array>;
}

/** Files with several names that are remembered; others are packed once more. */
const MAX_SEEN = 20_000;
const SLASH = Uint8Array.of(0x2f);

/**
 * What is below a directory, under names that begin there; or a file, under its own. Symlinks are packed, not followed.
 * Nothing is packed of what is mounted below, nor sockets, pipes and devices.
 * @throws TsboxError
 */
export async function* pack(
  agent: Agent,
  path: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void> {
  using _ = agent.use();
  const packing = { agent, signal, seen: new Map() };
  const top = await open(agent, "pack", path, OPEN.look, { signal });
  if (top.stat.isDirectory()) {
    close(agent, top.fd);
    const directory = await open(agent, "pack", path, OPEN.directory, { signal });
    yield* packDirectory(packing, directory, new Uint8Array(), path);
  } else {
    close(agent, top.fd);
    const { parent, name } = splitPath(path) as { parent: string; name: string };
    const directory = await open(agent, "pack", parent, OPEN.directory, { signal });
    try {
      const nameBytes = new TextEncoder().encode(name);
      yield* packEntry(packing, directory.fd, { name, nameBytes, type: undefined }, nameBytes, path);
    } finally {
      close(agent, directory.fd);
    }
  }
  yield tarEnd();
}

/**
 * One path under a name that is given, a directory with itself as an entry.
 * @throws TsboxError
 */
export async function* packPath(
  agent: Agent,
  path: string,
  { name, followLink, crosses, signal }: PackedPath,
): AsyncGenerator<Uint8Array, void> {
  using _ = agent.use();
  const packing = { agent, signal, seen: new Map(), crosses };
  const nameBytes = new TextEncoder().encode(name);
  const { stat, fd } = await open(agent, "pack", path, followLink ? OPEN.look : OPEN.lookAtLink, { signal });
  close(agent, fd);
  if (stat.isDirectory()) {
    const directory = await open(agent, "pack", path, OPEN.directory, { signal });
    const inside = concatenate([nameBytes, SLASH]);
    yield tarHeader({ ...headerOf(directory.stat), name: inside, type: "directory" });
    yield* packDirectory(packing, directory, inside, path);
  } else if (stat.isFile()) {
    const file = await open(agent, "pack", path, followLink ? OPEN.read : OPEN.readItself, { signal });
    yield* packOpened(packing, file, { ...headerOf(file.stat), name: nameBytes }, path);
  } else if (!stat.isSymbolicLink() && stat.type !== "fifo") {
    throw new TsboxError(`pack "${path}": a ${stat.type}`, { code: "file_refused", path });
  } else {
    const { parent, name: own } = splitPath(path) as { parent: string; name: string };
    const directory = await open(agent, "pack", parent, OPEN.directory, { signal });
    const entry = { name: own, nameBytes: new TextEncoder().encode(own), type: undefined };
    try {
      yield* packEntry(packing, directory.fd, entry, nameBytes, path);
    } finally {
      close(agent, directory.fd);
    }
  }
  yield tarEnd();
}

/** @param directory is closed at the end @param prefix of the names in it */
async function* packDirectory(
  packing: Packing,
  directory: Opened,
  prefix: Uint8Array,
  path: string,
): AsyncGenerator<Uint8Array, void> {
  const { agent, signal } = packing;
  try {
    checkDepth("pack", path);
    for await (const entries of entriesOf(agent, directory.fd, path, signal)) {
      for (const entry of entries) {
        const name = concatenate([prefix, entry.nameBytes]);
        yield* packEntry(packing, directory.fd, entry, name, `${path === "/" ? "" : path}/${entry.name}`);
      }
    }
  } finally {
    close(agent, directory.fd);
  }
}

/** What is gone by the time it is its turn is left out. */
async function* packEntry(
  packing: Packing,
  from: number,
  { nameBytes }: DirectoryEntry,
  name: Uint8Array,
  path: string,
): AsyncGenerator<Uint8Array, void> {
  const { agent, signal } = packing;
  const options = { from, path, signal };
  const { fd, stat } = await open(agent, "pack", nameData(nameBytes), OPEN.lookAtLink, options);
  const header = { ...headerOf(stat), name };
  try {
    if (stat.type === "symlink") {
      yield tarHeader({ ...header, type: "symlink", linkName: await targetOf(agent, fd, path, signal) });
    } else if (stat.type === "directory") {
      const inside = concatenate([name, SLASH]);
      yield tarHeader({ ...header, type: "directory", name: inside });
      if (stat.isMountRoot && !packing.crosses?.(path)) return;
      const directory = await open(agent, "pack", nameData(nameBytes), OPEN.directoryItself, options);
      yield* packDirectory(packing, directory, inside, path);
    } else if (stat.type === "fifo" && packing.crosses) yield tarHeader({ ...header, type: "fifo" });
    else if (stat.type === "file") {
      const first = firstName(packing, stat.nlink > 1 ? `${stat.dev}:${stat.ino}` : undefined, name);
      if (first) yield tarHeader({ ...header, type: "hard link", linkName: first });
      else yield* packFile(packing, from, nameBytes, header, path);
    }
  } finally {
    close(agent, fd);
  }
}

function headerOf(stat: FileStat) {
  // what no date can tell is 1970
  const mtime = { seconds: Math.floor(stat.mtime.getTime() / 1000) || 0, nanoseconds: 0 };
  return { mode: stat.mode, uid: stat.uid, gid: stat.gid, mtime, size: 0 };
}

/** The name that a file was packed under before. */
function firstName({ seen }: Packing, file: string | undefined, name: Uint8Array): Uint8Array | undefined {
  if (file === undefined) return undefined;
  const first = seen.get(file);
  if (!first && seen.size < MAX_SEEN) seen.set(file, name);
  return first;
}

/** Of a symlink that is open as a path. */
export async function targetOf(
  agent: Agent,
  fd: number,
  path: string,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const reply = await agent.request({
    ops: [{ call: "readlinkat", args: [fd, nameData(new Uint8Array()), AGENT.outbox, 4096], out: "bytes" }],
    signal,
  });
  if (reply.failed) throw fileError("pack", reply.failed, path);
  return reply.bytes;
}

async function* packFile(
  packing: Packing,
  from: number,
  nameBytes: Uint8Array,
  header: Omit<Parameters<typeof tarHeader>[0], "type">,
  path: string,
): AsyncGenerator<Uint8Array, void> {
  const { agent, signal } = packing;
  const file = await open(agent, "pack", nameData(nameBytes), OPEN.readItself, { from, path, signal });
  yield* packOpened(packing, file, header, path);
}

/** As many bytes as the header says, whoever shortens or lengthens the file meanwhile. It is closed at the end. */
async function* packOpened(
  { agent, signal }: Packing,
  { fd, stat }: Opened,
  header: Omit<Parameters<typeof tarHeader>[0], "type">,
  path: string,
): AsyncGenerator<Uint8Array, void> {
  try {
    if (!stat.isFile()) return;
    yield tarHeader({ ...header, type: "file", size: stat.size });
    let left = stat.size;
    while (left > 0) {
      const bytes = await read(agent, "read", fd, path, signal);
      const part = bytes.length > 0 ? bytes.subarray(0, left) : new Uint8Array(Math.min(left, AGENT.outboxBytes));
      left -= part.length;
      yield part;
    }
    yield tarPadding(stat.size);
  } finally {
    close(agent, fd);
  }
}
