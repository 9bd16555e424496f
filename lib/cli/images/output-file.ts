/** A file that is there when all of it is. @module */
import { TsboxError } from "../../index.ts";
import { print } from "../print.ts";
import { printPieces } from "../print-pieces.ts";

/** Beside it first, and in its place at the end; a device or a pipe is written to as it is. */
export async function writeFileWhole(
  path: string,
  pieces: AsyncIterable<Uint8Array>,
  signal?: AbortSignal,
): Promise<void> {
  const { closeSync, openSync, renameSync, rmSync, statSync } = process.getBuiltinModule("node:fs");
  const there = statSync(path, { throwIfNoEntry: false });
  const isSpecial = there !== undefined && !there.isFile();
  const beside = isSpecial ? path : `${path}.tsbox-${process.pid}`;
  let fd: number;
  try {
    fd = openSync(beside, isSpecial ? "w" : "wx", 0o600);
  } catch (error) {
    throw unwritable(path, error);
  }
  try {
    await (isSpecial ? printPieces(pieces, signal, fd) : writeQuickly(pieces, signal, fd));
    if (!isSpecial) renameSync(beside, path);
  } catch (error) {
    if (!isSpecial) rmSync(beside, { force: true });
    throw error;
  } finally {
    closeSync(fd);
  }
}

async function writeQuickly(pieces: AsyncIterable<Uint8Array>, signal: AbortSignal | undefined, fd: number) {
  for await (const piece of pieces) {
    signal?.throwIfAborted();
    print(piece, fd);
  }
}

function unwritable(path: string, error: unknown): unknown {
  const { code, errno = 0 } = error as { code?: string; errno?: number };
  if (code === undefined) return error;
  return new TsboxError(`write ${JSON.stringify(path)}: ${code}`, { code: "system", errno: Math.abs(errno), path });
}
