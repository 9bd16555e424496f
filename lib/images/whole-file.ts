/** Archives in files that are there when all of them is. @module */
import { NewFile } from "../../syscalls/index.ts";

/** @param mode of a new one, without what the umask takes away @throws TsboxError; nothing is left then, and what was there is */
export async function writeWholeFile(
  path: string,
  pieces: AsyncIterable<Uint8Array>,
  { mode = 0o666, signal }: { mode?: number; signal?: AbortSignal | undefined } = {},
): Promise<void> {
  using file = new NewFile(path, mode);
  for await (const piece of pieces) {
    signal?.throwIfAborted();
    file.write(piece);
  }
  file.publish();
}
