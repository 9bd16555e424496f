/**
 * A tar archive from somewhere, looked at while it passes: what is none, or never ends, is refused before it has filled a
 * disk.
 * @module
 */
import { DEFAULT_LIMITS, MAX_PADDING_BYTES } from "../layer/index.ts";
import { TsboxError } from "../../syscalls/index.ts";
import { FormatError, TarReader } from "../../wasm/index.ts";
import type { Pieces } from "./pieces.ts";

export interface TarBounds {
  entries: number;
  /** Bytes that have been taken of what is stored, which the archive may be packed in. */
  stored: () => number;
}

/** The same pieces. @throws TsboxError `image_invalid` */
export async function* boundedTar(pieces: Pieces, { entries: maxEntries, stored }: TarBounds): Pieces {
  const { bytes: maxBytes, ratio, ratioFromBytes } = DEFAULT_LIMITS;
  const reader = new TarReader();
  let [bytes, content, entries, padding] = [0, 0, 0, 0];
  try {
    for await (const piece of pieces) {
      bytes += piece.length;
      if (reader.isEnded && (padding += piece.length) > MAX_PADDING_BYTES)
        throw refused(`more than ${MAX_PADDING_BYTES} bytes behind its end`);
      for (const { entry } of reader.push(piece)) {
        if (!entry) continue;
        if (++entries > maxEntries) throw refused(`it has more than ${maxEntries} entries`);
        content += entry.size;
      }
      // what a header says will come is not waited for
      if (Math.max(bytes, content) > maxBytes) throw refused(`it has more than ${maxBytes} bytes`);
      if (bytes > Math.max(ratioFromBytes, ratio * stored()))
        throw refused(`it has more than ${ratio} times as many bytes as are stored`);
      yield piece;
    }
    reader.end();
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw new TsboxError(error.message, { code: "image_invalid", cause: error });
  }
}

const refused = (why: string) => new TsboxError(`read the archive: ${why}`, { code: "image_invalid" });
