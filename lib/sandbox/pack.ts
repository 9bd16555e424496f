/** A tree of a sandbox as a tar archive. @module */
import { TsboxError, type Data, type Op } from "../../syscalls/index.ts";
import { tarEnd, tarHeader, tarPadding } from "../tar/index.ts";
import { AGENT } from "../plan/index.ts";
import { fileError, type Agent } from "./agent.ts";
import { checkDepth, entriesOf, openDirectory } from "./directory.ts";
import { answerOp, nameData, open, OPEN, read, splitPath, STAT_BYTES, statIn, statNameOp } from "./file-calls.ts";
import type { OpenOptions } from "./file-calls.ts";
import type { FileStat } from "./file-stat.ts";
import { concatenate } from "./pipes.ts";
import { readSmall, type Content, type Looked } from "./small-files.ts";

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

/** What a name in a directory that is open is called in the archive, and in errors. */
interface Entry {
  nameBytes: Uint8Array;
  name: Uint8Array;
  path: string;
}

type LookedEntry = Entry & Looked;

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
  agent.closeSoon(top.fd);
  if (top.stat.isDirectory()) yield* packDirectory(packing, path, OPEN.directory, { path, signal }, new Uint8Array());
  else {
    const { parent, name } = splitPath(path) as { parent: string; name: string };
    yield* packNamed(packing, parent, name, new TextEncoder().encode(name), path);
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
  agent.closeSoon(fd);
  if (stat.isDirectory()) {
    const inside = concatenate([nameBytes, SLASH]);
    yield tarHeader({ ...headerOf(stat, inside), type: "directory" });
    yield* packDirectory(packing, path, OPEN.directory, { path, signal }, inside);
  } else if (stat.isFile()) {
    yield* packFile(packing, path, followLink ? OPEN.read : OPEN.readItself, { path, signal }, nameBytes);
  } else if (!stat.isSymbolicLink() && stat.type !== "fifo") {
    throw new TsboxError(`pack "${path}": a ${stat.type}`, { code: "file_refused", path });
  } else {
    const { parent, name: own } = splitPath(path) as { parent: string; name: string };
    yield* packNamed(packing, parent, own, nameBytes, path);
  }
  yield tarEnd();
}

/** What is no directory. @param name in its parent @param packedName in the archive */
async function* packNamed(
  packing: Packing,
  parent: string,
  name: string,
  packedName: Uint8Array,
  path: string,
): AsyncGenerator<Uint8Array, void> {
  const { agent, signal } = packing;
  const { fd } = await open(agent, "pack", parent, OPEN.look | OPEN.directory, { signal });
  try {
    yield* packEntries(packing, fd, [{ nameBytes: new TextEncoder().encode(name), name: packedName, path }]);
  } finally {
    agent.closeSoon(fd);
  }
}

/** @param how it is opened @param prefix of the names in it */
async function* packDirectory(
  packing: Packing,
  name: string | Data,
  how: number,
  options: OpenOptions & { path: string },
  prefix: Uint8Array,
): AsyncGenerator<Uint8Array, void> {
  const { agent, signal } = packing;
  const { path } = options;
  checkDepth("pack", path);
  const directory = await openDirectory(agent, "pack", name, how, options);
  try {
    for await (const entries of entriesOf(agent, directory, path, signal)) {
      for (let at = 0; at < entries.length; at += LOOKED_AT) {
        const some = entries.slice(at, at + LOOKED_AT).map(({ name, nameBytes }) => ({
          nameBytes,
          name: concatenate([prefix, nameBytes]),
          path: `${path === "/" ? "" : path}/${name}`,
        }));
        yield* packEntries(packing, directory.fd, some);
      }
    }
  } finally {
    agent.closeSoon(directory.fd);
  }
}

/** Looked at in one request: as many results as there are, less the bytes that come back. */
const LOOKED_AT = AGENT.results - 1;
const ENOENT = 2;

/** Directories come last. What is gone by the time it is its turn is left out. */
async function* packEntries(packing: Packing, from: number, entries: Entry[]): AsyncGenerator<Uint8Array, void> {
  const { agent, signal } = packing;
  const ops = entries.map(({ nameBytes }, index): Op => ({
    ...statNameOp(from, nameData(nameBytes), index * STAT_BYTES),
    out: `${index}`,
    onError: "ignore",
  }));
  const reply = await agent.request({ ops: [answerOp(entries.length * STAT_BYTES), ...ops], signal });
  const files: LookedEntry[] = [];
  const directories: LookedEntry[] = [];
  for (const [index, entry] of entries.entries()) {
    const errno = -reply.get(`${index}`);
    if (errno === ENOENT) continue;
    if (errno > 0) throw fileError("pack", { call: "statx", errno }, entry.path);
    const stat = statIn(reply.bytes, index * STAT_BYTES);
    if (stat.isDirectory()) directories.push({ ...entry, stat });
    else if (stat.isFile() || stat.isSymbolicLink()) files.push({ ...entry, stat });
    else if (stat.type === "fifo" && packing.crosses) yield tarHeader({ ...headerOf(stat, entry.name), type: "fifo" });
  }
  for (let at = 0; at < files.length;) {
    const contents = await readSmall(agent, from, files.slice(at), signal);
    yield* packFiles(packing, from, files.slice(at, at + contents.length), contents);
    at += contents.length;
  }
  for (const { nameBytes, name, path, stat } of directories) {
    const inside = concatenate([name, SLASH]);
    yield tarHeader({ ...headerOf(stat, inside), type: "directory" });
    if (stat.isMountRoot && !packing.crosses?.(path)) continue;
    const options = { from, path, signal };
    yield* unlessGone(packDirectory(packing, nameData(nameBytes), OPEN.directoryItself, options, inside));
  }
}

/** Symlinks and files. @param contents undefined for what has to be read by itself */
async function* packFiles(
  packing: Packing,
  from: number,
  files: LookedEntry[],
  contents: (Content | undefined)[],
): AsyncGenerator<Uint8Array, void> {
  const { signal } = packing;
  let parts: Uint8Array[] = [];
  for (const [index, { nameBytes, name, path, stat: looked }] of files.entries()) {
    const content = contents[index];
    const stat = content?.stat ?? looked;
    const first = packing.seen.get(keyOf(stat));
    if (first) parts.push(tarHeader({ ...headerOf(stat, name), type: "hard link", linkName: first }));
    else if (stat.isSymbolicLink()) {
      // without a target, it is gone
      if (content) parts.push(tarHeader({ ...headerOf(stat, name), type: "symlink", linkName: content.bytes }));
    } else if (content) {
      const header = tarHeader({ ...headerOf(stat, name), type: "file", size: stat.size });
      parts.push(header, content.bytes, tarPadding(stat.size));
      remember(packing, stat, name);
    } else {
      if (parts.length > 0) yield concatenate(parts);
      parts = [];
      const options = { from, path, signal };
      yield* unlessGone(packFile(packing, nameData(nameBytes), OPEN.readItself, options, name));
    }
  }
  if (parts.length > 0) yield concatenate(parts);
}

async function* unlessGone(packed: AsyncGenerator<Uint8Array, void>): AsyncGenerator<Uint8Array, void> {
  try {
    yield* packed;
  } catch (error) {
    if (!(error instanceof TsboxError) || error.errno !== ENOENT) throw error;
  }
}

function headerOf(stat: FileStat, name: Uint8Array) {
  // what no date can tell is 1970
  const mtime = { seconds: Math.floor(stat.mtime.getTime() / 1000) || 0, nanoseconds: 0 };
  return { name, mode: stat.mode, uid: stat.uid, gid: stat.gid, mtime, size: 0 };
}

/** What a file is, whatever its names are. */
const keyOf = ({ dev, ino }: FileStat) => `${dev}:${ino}`;

/** Later names of a file that has several are links to the first. */
function remember({ seen }: Packing, stat: FileStat, name: Uint8Array): void {
  if (stat.nlink > 1 && seen.size < MAX_SEEN) seen.set(keyOf(stat), name);
}

/** As many bytes as the header says, whoever shortens or lengthens the file meanwhile. */
async function* packFile(
  packing: Packing,
  path: string | Data,
  how: number,
  options: OpenOptions & { path: string },
  name: Uint8Array,
): AsyncGenerator<Uint8Array, void> {
  const { agent, signal } = packing;
  const { fd, stat } = await open(agent, "pack", path, how, options);
  try {
    if (!stat.isFile()) return;
    remember(packing, stat, name);
    yield tarHeader({ ...headerOf(stat, name), type: "file", size: stat.size });
    let left = stat.size;
    while (left > 0) {
      const bytes = await read(agent, fd, options.path, signal);
      const part = bytes.length > 0 ? bytes.subarray(0, left) : new Uint8Array(Math.min(left, AGENT.outboxBytes));
      left -= part.length;
      yield part;
    }
    yield tarPadding(stat.size);
  } finally {
    agent.closeSoon(fd);
  }
}
