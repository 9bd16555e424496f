/** A file that is there when all of it is. @module */
import { openNamed, writeWholeFile } from "../../images/index.ts";
import { printPieces } from "../print-pieces.ts";

/** A device or a pipe is written to as it is. */
export async function writeFileWhole(
  path: string,
  pieces: AsyncIterable<Uint8Array>,
  signal?: AbortSignal,
): Promise<void> {
  const { closeSync, statSync } = process.getBuiltinModule("node:fs");
  const there = statSync(path, { throwIfNoEntry: false });
  if (there?.isFile() ?? true) return writeWholeFile(path, pieces, { mode: 0o600, signal });
  const fd = await openNamed(path, "w", signal);
  try {
    await printPieces(pieces, signal, fd);
  } finally {
    closeSync(fd);
  }
}
