/**
 * Calls on files, as an agent makes them. Paths are those of the sandbox, or names in a directory that is open; no magic
 * link of /proc is followed, as those lead to what the agent has open.
 * @module
 */
import {
  cstring,
  named,
  offsetOf,
  ref,
  structure,
  words,
  type Argument,
  type Data,
  type Op,
  type Ref,
} from "../../syscalls/index.ts";
import { AGENT, flags } from "../plan/index.ts";
import { unlessAborted } from "./abort.ts";
import { fileError, type Agent, type Reply } from "./agent.ts";
import { FileStat } from "./file-stat.ts";

const { O_CREAT, O_EXCL, O_NOCTTY, O_NONBLOCK, O_CLOEXEC, O_PATH, O_WRONLY } = {
  O_WRONLY: 1,
  O_CREAT: 0o100,
  O_EXCL: 0o200,
  O_NOCTTY: 0o400,
  O_NONBLOCK: 0o4000,
  O_CLOEXEC: 0o2000000,
  O_PATH: 0o10000000,
};
const [O_DIRECTORY, O_NOFOLLOW] = process.arch === "arm64" ? [0o40000, 0o100000] : [0o200000, 0o400000];
const [RESOLVE_NO_MAGICLINKS, RESOLVE_IN_ROOT] = [0x02, 0x10];

/** How a path is opened. Nothing that is not a file is waited for, or becomes a terminal. */
export const OPEN = {
  read: O_NONBLOCK | O_NOCTTY,
  readItself: O_NONBLOCK | O_NOCTTY | O_NOFOLLOW,
  write: O_WRONLY | O_CREAT | O_NONBLOCK | O_NOCTTY,
  create: O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW,
  look: O_PATH,
  lookAtLink: O_PATH | O_NOFOLLOW,
  directory: O_DIRECTORY,
  directoryItself: O_DIRECTORY | O_NOFOLLOW,
};

/** Where a path begins: at the root, or at a directory that is open, above which it does not lead. */
export type From = number | undefined;
const AT_FDCWD = flags("AT_FDCWD");

export function openOp(path: string | Data, how: number, mode = 0, from?: From): Op {
  const resolve = RESOLVE_NO_MAGICLINKS | (from === undefined ? 0 : RESOLVE_IN_ROOT);
  const openHow = structure("{…}", "open_how", { flags: how | O_CLOEXEC, mode, resolve });
  return {
    call: "openat2",
    args: [from ?? AT_FDCWD, typeof path === "string" ? cstring(path) : path, openHow, 24],
    out: "fd",
  };
}

/** What {@link statIn} reads. */
export const STAT_BYTES = 256;
const [AT_SYMLINK_NOFOLLOW, AT_NO_AUTOMOUNT, STATX_BASIC_STATS] = [0x100, 0x800, 0x7ff];

/** Of what is open, at the beginning of the outbox. */
const statOps = (fd: Ref): Op[] => [statxOp(fd, cstring(""), flags("AT_EMPTY_PATH"), 0), answerOp(STAT_BYTES)];

/** Of a name in a directory that is open: a symlink is one. */
export const statNameOp = (directory: number, name: Data, offset: number): Op =>
  statxOp(directory, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, offset);

export const statxOp = (fd: number | Ref, path: Data, how: Argument, offset: number): Op => ({
  call: "statx",
  args: [fd, path, how, STATX_BASIC_STATS, AGENT.outboxAt(offset)],
  out: "stat",
});

/** So much of the outbox comes back. */
export const answerOp = (bytes: number): Op => ({ call: "load", args: [words(`${bytes}`, bytes), 8], out: "bytes" });

const STATX_ATTR_MOUNT_ROOT = 0x2000n;

/** What a part of the outbox says, whoever has written it. */
export function statIn(outbox: Uint8Array, offset = 0): FileStat {
  const bytes = new Uint8Array(STAT_BYTES);
  bytes.set(outbox.subarray(offset, offset + STAT_BYTES));
  const view = new DataView(bytes.buffer);
  const at = (field: Parameters<typeof offsetOf<"statx">>[1]) => offsetOf("statx", field);
  return new FileStat({
    mode: view.getUint16(at("stx_mode"), true),
    size: Math.max(0, Number(view.getBigInt64(at("stx_size"), true))),
    uid: view.getUint32(at("stx_uid"), true),
    gid: view.getUint32(at("stx_gid"), true),
    nlink: view.getUint32(at("stx_nlink"), true),
    ino: view.getBigInt64(at("stx_ino"), true),
    dev: view.getBigUint64(at("stx_dev_major"), true),
    mtimeMs: Number(view.getBigInt64(at("stx_mtime"), true)) * 1000,
    isMountRoot: (view.getBigUint64(at("stx_attributes"), true) & STATX_ATTR_MOUNT_ROOT) !== 0n,
  });
}

export interface Opened {
  fd: number;
  stat: FileStat;
}

export interface OpenOptions {
  mode?: number;
  from?: From;
  /** As errors name it. */
  path?: string;
  signal?: AbortSignal | undefined;
}

/** Opens a path, and looks what it leads to. @throws TsboxError */
export async function open(
  agent: Agent,
  action: string,
  name: string | Data,
  how: number,
  options: OpenOptions = {},
): Promise<Opened> {
  const reply = await openAnd(agent, action, name, how, statOps(ref("fd")), options);
  return { fd: reply.get("fd"), stat: statIn(reply.bytes) };
}

/** Opens a path, and makes calls on it in the same request. @returns with the descriptor as `fd` @throws TsboxError */
export async function openAnd(
  agent: Agent,
  action: string,
  name: string | Data,
  how: number,
  calls: Op[],
  { mode = 0, from, path = String(name), signal }: OpenOptions = {},
): Promise<Reply> {
  signal?.throwIfAborted();
  const opening = agent.request({ ops: [openOp(name, how, mode, from), ...calls] });
  const closeLater = (reply: Reply) => void (reply.get("fd") >= 0 && agent.closeSoon(reply.get("fd")));
  try {
    const reply = await unlessAborted(opening, signal);
    if (reply.failed) throw fileError(action, reply.failed, path);
    return reply;
  } catch (error) {
    // what was opened has to be closed, also where nobody waits any more
    void opening.then(closeLater, () => {});
    throw error;
  }
}

/** For whoever has to know when it is closed; else {@link Agent.closeSoon}. */
export async function close(agent: Agent, fd: number): Promise<void> {
  await agent.request({ ops: [{ call: "close", args: [fd] }] }).catch(() => {});
}

/** The next bytes of a file; none at the end. @throws TsboxError */
export async function read(
  agent: Agent,
  fd: number,
  path: string,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const ops: Op[] = [{ call: "read", args: [fd, AGENT.outbox, AGENT.outboxBytes], out: "bytes" }];
  const reply = await agent.request({ ops, signal });
  if (reply.failed) throw fileError("read", reply.failed, path);
  return reply.bytes;
}

/** All of the bytes. @throws TsboxError */
export async function write(
  agent: Agent,
  fd: number,
  bytes: Uint8Array,
  path: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    const payload = bytes.subarray(at, at + AGENT.payloadBytes);
    const ops: Op[] = [{ call: "write", args: [fd, AGENT.payload, payload.length], out: "written" }];
    const reply = await agent.request({ ops, payload, signal });
    if (reply.failed) throw fileError("write", reply.failed, path);
    // whatever it answers, this comes to an end
    at += Math.max(1, Math.min(reply.get("written"), payload.length));
  }
}

/** A name as the kernel has it: bytes without a NUL. */
export function nameData(name: Uint8Array): Data {
  const data = new Uint8Array(name.length + 1);
  data.set(name);
  return {
    data,
    get text() {
      return JSON.stringify(new TextDecoder().decode(name));
    },
  };
}

/** The directory that holds what a path names, and its name there; undefined for the root. */
export function splitPath(path: string): { parent: string; name: string } | undefined {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  const name = parts.pop();
  return name === undefined ? undefined : { parent: `/${parts.join("/")}`, name };
}

/**
 * A call on a name in a directory, which is opened for it: whatever lies there by now, no symlink is followed for the
 * name. @returns its result, or -errno, also of what led there
 */
export async function callInParent(
  agent: Agent,
  { parent, name }: { parent: string; name: string },
  call: (directory: Ref, name: Data) => Op,
  { from, signal }: { from?: From; signal?: AbortSignal | undefined } = {},
): Promise<number> {
  const op = call(ref("fd"), cstring(name));
  const reply = await agent.request({
    ops: [
      openOp(parent, OPEN.look | OPEN.directory, 0, from),
      { ...op, out: "result", onError: "ignore" },
      { call: "close", args: [ref("fd")] },
    ],
    signal,
  });
  return reply.get("fd") < 0 ? reply.get("fd") : reply.get("result");
}

export const AT_REMOVEDIR = named("AT_REMOVEDIR", 0x200);
