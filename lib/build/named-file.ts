/** Files that were named by themselves: Dockerfiles, secrets. @module */
import { readFile, show, TsboxError } from "../../syscalls/index.ts";

/** What shells make of `<(…)` is a pipe, and read to its end. Undefined where there is none. @throws TsboxError `file_refused` where it is longer */
export async function readNamed(
  file: string,
  limitBytes: number,
  signal: AbortSignal,
): Promise<Uint8Array | undefined> {
  const plain = readFile(file);
  if (plain && plain.length <= limitBytes) return plain;
  if (!plain && !isStream(file)) return undefined;
  const { collect, sourcePieces } = await import("../images/index.ts");
  const bytes = plain ? undefined : await collect(sourcePieces(file, signal), limitBytes);
  if (bytes) return bytes;
  throw new TsboxError(`read ${show(file)}: more than ${limitBytes} bytes`, { code: "file_refused", path: file });
}

function isStream(file: string): boolean {
  const { statSync } = process.getBuiltinModule("node:fs");
  const status = statSync(file, { throwIfNoEntry: false });
  return status !== undefined && (status.isFIFO() || status.isCharacterDevice());
}
