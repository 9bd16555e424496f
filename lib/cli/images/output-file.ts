/** A file that is there when all of it is. @module */
import { writeWholeFile } from "../../images/index.ts";
import { TsboxError } from "../../index.ts";
import { printPieces } from "../print-pieces.ts";

/** A device or a pipe is written to as it is. */
export async function writeFileWhole(
  path: string,
  pieces: AsyncIterable<Uint8Array>,
  signal?: AbortSignal,
): Promise<void> {
  const { closeSync, openSync, statSync } = process.getBuiltinModule("node:fs");
  const there = statSync(path, { throwIfNoEntry: false });
  if (there?.isFile() ?? true) return writeWholeFile(path, pieces, { mode: 0o600, signal });
  let fd: number;
  try {
    fd = openSync(path, "w");
  } catch (error) {
    throw unwritable(path, error);
  }
  try {
    await printPieces(pieces, signal, fd);
  } finally {
    closeSync(fd);
  }
}

function unwritable(path: string, error: unknown): unknown {
  const { code, errno = 0 } = error as { code?: string; errno?: number };
  if (code === undefined) return error;
  return new TsboxError(`write ${JSON.stringify(path)}: ${code}`, { code: "system", errno: Math.abs(errno), path });
}
