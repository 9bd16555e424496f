/** A file that is there when all of it is. @module */
import { print } from "../print.ts";

/** Beside it first, and in its place at the end; a device or a pipe is written to as it is. */
export async function writeFileWhole(path: string, pieces: AsyncIterable<Uint8Array>): Promise<void> {
  const { closeSync, openSync, renameSync, rmSync, statSync } = process.getBuiltinModule("node:fs");
  const there = statSync(path, { throwIfNoEntry: false });
  const isSpecial = there !== undefined && !there.isFile();
  const beside = isSpecial ? path : `${path}.tsbox-${process.pid}`;
  const fd = openSync(beside, isSpecial ? "w" : "wx", 0o600);
  try {
    for await (const piece of pieces) print(piece, fd);
    if (!isSpecial) renameSync(beside, path);
  } catch (error) {
    if (!isSpecial) rmSync(beside, { force: true });
    throw error;
  } finally {
    closeSync(fd);
  }
}
