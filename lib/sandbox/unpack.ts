/**
 * A tar archive, which may be hostile, as files of a sandbox. No entry gets above the directory that it is unpacked to:
 * paths are resolved as if that were the root, and what would lead out of it later is refused.
 * @module
 */
import { buffer, cstring, ref, TsboxError, type Op } from "../../syscalls/index.ts";
import { AGENT } from "../plan/index.ts";
import { readTar, type TarEntry } from "../tar/index.ts";
import { fileError, type Agent } from "./agent.ts";
import { Together } from "./together.ts";
import { callInParent, open, OPEN, openOp, write } from "./file-calls.ts";

export interface UnpackLimits {
  entries: number;
  bytes: number;
}

export interface Unpacked {
  entries: number;
  /** Of files. */
  bytes: number;
}

interface Unpacking {
  agent: Agent;
  signal: AbortSignal | undefined;
  /** What it is unpacked to: its path, and a descriptor of the agent's. */
  path: string;
  into: number;
  sameOwner: boolean;
  anyLinks: boolean;
  /** The directory of the last entry: the next one is likely to lie there as well. */
  parent: { path: string; fd: number } | undefined;
  together: Together;
}

const [EEXIST, ENOENT] = [17, 2];
const refused = (name: string, why: string, hint?: string) =>
  new TsboxError(`unpack "${name}": ${why}`, { code: "archive_refused", path: name, ...(hint ? { hint } : {}) });

export interface UnpackManner {
  sameOwner: boolean;
  /** Also symlinks that lead out of the directory: whoever follows them is in the sandbox. */
  anyLinks?: boolean;
  signal: AbortSignal | undefined;
}

/** @throws TsboxError `archive_refused`, and as files are written */
export async function unpack(
  agent: Agent,
  path: string,
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  limits: UnpackLimits,
  { sameOwner, anyLinks = false, signal }: UnpackManner,
): Promise<Unpacked> {
  const { fd: into } = await open(agent, "unpack to", path, OPEN.look | OPEN.directory, { signal });
  const together = new Together(agent, "unpack", signal);
  const unpacking: Unpacking = { agent, signal, path, into, sameOwner, anyLinks, parent: undefined, together };
  const done = { entries: 0, bytes: 0 };
  let namesLength = 0;
  const directories: [parts: string[], entry: TarEntry][] = [];
  try {
    for await (const entry of readTar(source)) {
      signal?.throwIfAborted();
      done.entries++;
      done.bytes += entry.size;
      if (done.entries > limits.entries) throw refused(entry.name, `more than ${limits.entries} entries`, LIMITS);
      if (done.bytes > limits.bytes) throw refused(entry.name, `more than ${limits.bytes} bytes`, LIMITS);
      const parts = partsOf(entry.name, entry.name);
      namesLength += entry.name.length;
      if (namesLength > MAX_NAMES) throw refused(entry.name, `names of more than ${MAX_NAMES} characters together`);
      if (entry.type === "directory") directories.push([parts, entry]);
      await unpackEntry(unpacking, parts, entry);
    }
    // later entries change their times, and may not be allowed to be made in them
    for (const [parts, entry] of directories.toReversed()) await finishDirectory(unpacking, parts, entry);
    await together.done();
    return done;
  } catch (error) {
    // what came before the entry that failed stays
    await together.done();
    throw error;
  } finally {
    if (unpacking.parent) agent.closeSoon(unpacking.parent.fd);
    agent.closeSoon(into);
  }
}

/** A path that the kernel takes; and all of them, as those of directories are remembered. */
const [MAX_NAME, MAX_NAMES] = [4095, 64 * 2 ** 20];
const LIMITS = "options: { limits: { entries, bytes } }";

/** @throws TsboxError `archive_refused` */
function partsOf(path: string, name: string): string[] {
  if (path.length > MAX_NAME) throw refused(name.slice(0, 80), "a name that is too long");
  if (path.startsWith("/")) throw refused(name, "an absolute name");
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..")) throw refused(name, '".." in its name');
  return parts;
}

async function unpackEntry(unpacking: Unpacking, parts: string[], entry: TarEntry): Promise<void> {
  const name = parts.at(-1);
  if (name === undefined) {
    if (entry.type === "directory") return;
    throw refused(entry.name, "an empty name");
  }
  const parent = await parentOf(unpacking, parts.slice(0, -1));
  if (entry.type === "file" && entry.size <= AGENT.payloadBytes) return unpackSmall(unpacking, parent, name, entry);
  await unpacking.together.done();
  if (entry.type === "fifo" && unpacking.anyLinks) return makePipe(unpacking, parent, name, entry);
  switch (entry.type) {
    case "file":
      return unpackFile(unpacking, parent, name, entry);
    case "directory":
      return makeDirectory(unpacking, parent, name, entry.name);
    case "symlink":
      if (entry.linkName.length > MAX_NAME) throw refused(entry.name, "a symlink that is too long");
      if (!unpacking.anyLinks) checkTarget(unpacking.path, parts, entry);
      return makeSymlink(unpacking, parent, name, entry);
    case "hard link":
      return makeHardLink(unpacking, parent, name, entry);
    default:
      throw refused(entry.name, `a ${entry.type}`, "files, directories and links are unpacked");
  }
}

/** Directories that the archive does not name are made as they are needed. */
async function parentOf(unpacking: Unpacking, parts: string[]): Promise<number> {
  const { agent, signal, into } = unpacking;
  if (parts.length === 0) return into;
  const path = parts.join("/");
  if (unpacking.parent?.path === path) return unpacking.parent.fd;
  await unpacking.together.done();
  if (unpacking.parent) agent.closeSoon(unpacking.parent.fd);
  unpacking.parent = undefined;
  const how = OPEN.look | OPEN.directory;
  const options = { from: into, signal };
  let opened;
  try {
    opened = await open(agent, "unpack", path, how, options);
  } catch (error) {
    if (!(error instanceof TsboxError) || error.errno !== ENOENT) throw error;
    for (let depth = 1; depth <= parts.length; depth++) {
      const at = { parent: parts.slice(0, depth - 1).join("/") || ".", name: parts[depth - 1] as string };
      const made = await callInParent(
        agent,
        at,
        (from, name) => ({ call: "mkdirat", args: [from, name, 0o755] }),
        options,
      );
      if (made < 0 && made !== -EEXIST) throw fileError("unpack", { call: "mkdirat", errno: -made }, path);
    }
    opened = await open(agent, "unpack", path, how, options);
  }
  unpacking.parent = { path, fd: opened.fd };
  return opened.fd;
}

const timesOf = ({ mtimeMs }: TarEntry) => {
  const times = buffer("times", 32);
  const view = new DataView(times.data.buffer);
  const seconds = BigInt(Math.floor(mtimeMs / 1000));
  [0, 16].forEach((at) => view.setBigInt64(at, seconds, true));
  return times;
};

/** Of what is open as `fd`: the owner first, as changing it takes setuid bits away. */
function attributes({ sameOwner }: Unpacking, entry: TarEntry, fd: Op["args"][number]): Op[] {
  const { uid, gid, mode } = entry;
  return [
    ...(sameOwner ? [{ call: "fchown", args: [fd, uid, gid], out: "owned" } satisfies Op] : []),
    { call: "fchmod", args: [fd, mode & keptModes(entry, sameOwner)], out: "allowed" },
    { call: "utimensat", args: [fd, 0, timesOf(entry), 0], out: "dated" },
    { call: "close", args: [fd], onError: "ignore" },
  ];
}

/** A directory like /tmp stays one where nobody removes what is another's; a setuid bit is of use to whoever owns the file. */
const keptModes = ({ type }: TarEntry, sameOwner: boolean): number =>
  (sameOwner && 0o7777) || (type === "directory" ? 0o1777 : 0o777);

/** Whatever has the name by now goes first, so that nothing is written through it. */
const unlink = (parent: number, name: string): Op => ({
  call: "unlinkat",
  args: [parent, cstring(name), 0],
  onError: "ignore",
});

const make = (parent: number, name: string): Op[] => [unlink(parent, name), openOp(name, OPEN.create, 0o600, parent)];

async function unpackSmall(unpacking: Unpacking, parent: number, name: string, entry: TarEntry): Promise<void> {
  const content = new Uint8Array(entry.size);
  let filled = 0;
  for await (const part of entry.body) {
    content.set(part, filled);
    filled += part.length;
  }
  const finish = attributes(unpacking, entry, ref("fd"));
  await unpacking.together.add(entry.name, make(parent, name), finish, content);
}

async function unpackFile(unpacking: Unpacking, parent: number, name: string, entry: TarEntry): Promise<void> {
  const { agent, signal } = unpacking;
  const reply = await agent.request({ ops: make(parent, name) });
  if (reply.failed) throw fileError("unpack", reply.failed, entry.name);
  const fd = reply.get("fd");
  try {
    for await (const part of entry.body) await write(agent, fd, part, entry.name, signal);
  } catch (error) {
    agent.closeSoon(fd);
    throw error;
  }
  const finished = await agent.request({ ops: attributes(unpacking, entry, fd) });
  if (finished.failed) throw fileError("unpack", finished.failed, entry.name);
}

async function makeDirectory({ agent, signal }: Unpacking, parent: number, name: string, path: string): Promise<void> {
  const ops: Op[] = [{ call: "mkdirat", args: [parent, cstring(name), 0o700], out: "made" }];
  const { failed } = await agent.request({ ops, signal });
  if (failed?.errno === EEXIST)
    agent.closeSoon((await open(agent, "unpack", name, OPEN.directoryItself, { from: parent, path, signal })).fd);
  else if (failed) throw fileError("unpack", failed, path);
}

async function finishDirectory(unpacking: Unpacking, parts: string[], entry: TarEntry): Promise<void> {
  if (parts.length === 0) return;
  const open = openOp(parts.join("/"), OPEN.directoryItself, 0, unpacking.into);
  await unpacking.together.add(entry.name, [open], attributes(unpacking, entry, ref("fd")));
}

/** @throws TsboxError `archive_refused` where it leads out of what is unpacked */
function checkTarget(path: string, parts: string[], { name, linkName }: TarEntry): void {
  const within = path.split("/").filter((part) => part !== "" && part !== ".");
  const at = linkName.startsWith("/") ? [] : [...within, ...parts.slice(0, -1)];
  let lowest = linkName.startsWith("/") ? within.length : at.length;
  for (const part of linkName.split("/")) {
    if (part === "..") at.pop();
    else if (part !== "" && part !== ".") at.push(part);
    if (!linkName.startsWith("/")) lowest = Math.min(lowest, at.length);
  }
  const isWithin = within.every((part, index) => at[index] === part);
  if (linkName === "" || !isWithin || lowest < within.length)
    throw refused(name, `a symlink to "${linkName}", which is outside`);
}

async function makePipe(unpacking: Unpacking, parent: number, name: string, entry: TarEntry): Promise<void> {
  const { agent, signal, sameOwner } = unpacking;
  const [{ uid, gid, mode }, pipe, AT_SYMLINK_NOFOLLOW, S_IFIFO] = [entry, cstring(name), 0x100, 0o010000];
  const ops: Op[] = [
    unlink(parent, name),
    { call: "mknodat", args: [parent, pipe, S_IFIFO | (mode & 0o777), 0], out: "made" },
    ...(sameOwner
      ? [{ call: "fchownat", args: [parent, pipe, uid, gid, AT_SYMLINK_NOFOLLOW], out: "owned" } satisfies Op]
      : []),
    { call: "utimensat", args: [parent, pipe, timesOf(entry), AT_SYMLINK_NOFOLLOW], out: "dated" },
  ];
  const { failed } = await agent.request({ ops, signal });
  if (failed) throw fileError("unpack", failed, entry.name);
}

async function makeSymlink(unpacking: Unpacking, parent: number, name: string, entry: TarEntry): Promise<void> {
  const { agent, signal, sameOwner } = unpacking;
  const [{ uid, gid }, link, AT_SYMLINK_NOFOLLOW] = [entry, cstring(name), 0x100];
  const ops: Op[] = [
    unlink(parent, name),
    { call: "symlinkat", args: [cstring(entry.linkName), parent, link], out: "made" },
    ...(sameOwner
      ? [{ call: "fchownat", args: [parent, link, uid, gid, AT_SYMLINK_NOFOLLOW], out: "owned" } satisfies Op]
      : []),
    { call: "utimensat", args: [parent, link, timesOf(entry), AT_SYMLINK_NOFOLLOW], out: "dated" },
  ];
  const { failed } = await agent.request({ ops, signal });
  if (failed) throw fileError("unpack", failed, entry.name);
}

async function makeHardLink(
  { agent, into, signal }: Unpacking,
  parent: number,
  name: string,
  entry: TarEntry,
): Promise<void> {
  const parts = partsOf(entry.linkName, entry.name);
  const target = parts.at(-1);
  if (target === undefined) throw refused(entry.name, `a hard link to "${entry.linkName}"`);
  if (parts.join("/") === partsOf(entry.name, entry.name).join("/")) return;
  const ops: Op[] = [
    openOp(parts.slice(0, -1).join("/") || ".", OPEN.look | OPEN.directory, 0, into),
    unlink(parent, name),
    { call: "linkat", args: [ref("fd"), cstring(target), parent, cstring(name), 0], out: "made" },
    { call: "close", args: [ref("fd")] },
  ];
  const reply = await agent.request({ ops, signal });
  if (!reply.failed) return;
  if (reply.get("fd") >= 0) agent.closeSoon(reply.get("fd"));
  throw fileError("unpack", reply.failed, entry.name);
}
