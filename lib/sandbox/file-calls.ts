/**
 * Calls on files, as an agent makes them. Paths are those of the sandbox, or names in a directory that is open; no magic
 * link of /proc is followed, as those lead to what the agent has open.
 * @module
 */
import {
  buffer,
  cstring,
  named,
  offsetOf,
  ref,
  structure,
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

/** What {@link statOf} reads. */
function statOps(of: "fd" | number): Op[] {
  const stat = buffer("statx", 256);
  const [AT_EMPTY_PATH, STATX_BASIC_STATS] = [flags("AT_EMPTY_PATH"), 0x7ff];
  const word = (name: string, field: Parameters<typeof offsetOf<"statx">>[1]): Op => ({
    call: "load",
    args: [{ at: stat, offset: offsetOf("statx", field) }, 8],
    out: name,
  });
  return [
    {
      call: "statx",
      args: [of === "fd" ? ref("fd") : of, cstring(""), AT_EMPTY_PATH, STATX_BASIC_STATS, stat],
      out: "stat",
    },
    word("attributes", "stx_attributes"),
    word("links+uid", "stx_nlink"),
    word("gid+mode", "stx_gid"),
    word("ino", "stx_ino"),
    word("size", "stx_size"),
    word("mtime", "stx_mtime"),
    word("dev", "stx_dev_major"),
  ];
}

const STATX_ATTR_MOUNT_ROOT = 0x2000n;

export function statOf(reply: Reply): FileStat {
  const half = (word: bigint, index: 0 | 1) => Number((word >> BigInt(index * 32)) & 0xffffffffn);
  const [linksUid, gidMode, dev] = [reply.word("links+uid"), reply.word("gid+mode"), reply.word("dev")];
  return new FileStat({
    mode: half(gidMode, 1) & 0xffff,
    size: Math.max(0, reply.get("size")),
    uid: half(linksUid, 1),
    gid: half(gidMode, 0),
    nlink: half(linksUid, 0),
    ino: reply.word("ino"),
    dev: BigInt.asUintN(64, dev),
    mtimeMs: reply.get("mtime") * 1000,
    isMountRoot: (reply.word("attributes") & STATX_ATTR_MOUNT_ROOT) !== 0n,
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
  { mode = 0, from, path = String(name), signal }: OpenOptions = {},
): Promise<Opened> {
  signal?.throwIfAborted();
  const opening = agent.request({ ops: [openOp(name, how, mode, from), ...statOps("fd")] });
  const closeLater = (reply: Reply) => void (reply.get("fd") >= 0 && close(agent, reply.get("fd")));
  try {
    const reply = await unlessAborted(opening, signal);
    if (reply.failed) throw fileError(action, reply.failed, path);
    return { fd: reply.get("fd"), stat: statOf(reply) };
  } catch (error) {
    // what was opened has to be closed, also where nobody waits any more
    void opening.then(closeLater, () => {});
    throw error;
  }
}

/** Hardly anybody has to wait for it. */
export async function close(agent: Agent, fd: number): Promise<void> {
  await agent.request({ ops: [{ call: "close", args: [fd] }] }).catch(() => {});
}

/** The next bytes of a file or of a directory's entries; none at the end. @throws TsboxError */
export async function read(
  agent: Agent,
  call: "read" | "getdents64",
  fd: number,
  path: string,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const ops: Op[] = [{ call, args: [fd, AGENT.outbox, AGENT.outboxBytes], out: "bytes" }];
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
export const nameData = (name: Uint8Array): Data => ({
  data: Uint8Array.of(...name, 0),
  text: JSON.stringify(new TextDecoder().decode(name)),
});

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
