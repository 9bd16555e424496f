/** What a tar says of the files in it. @module */
import { FormatError, TarReader } from "../../wasm/index.ts";
import { Digester } from "../image/index.ts";
import { TsboxError } from "../../syscalls/index.ts";
import { plainPath, type FileState } from "./state.ts";

interface Reading {
  state: FileState;
  digester: Digester;
  /** Of the bytes so far. */
  end: number;
}

/** Of a sparse file, where its parts are counts as well: holes are no bytes here. */
function take(reading: Reading, bytes: Uint8Array, offset: number): void {
  if (offset !== reading.end) reading.digester.update(`hole ${reading.end} to ${offset}`);
  reading.digester.update(bytes);
  reading.end = offset + bytes.length;
}

/**
 * The state of a directory that a tar is unpacked to, each file with the digest of its content: what {@link diffStates}
 * compares, and {@link applyLayer} applies a layer to. Of two entries with one name the last counts.
 * @throws TsboxError `archive_refused`
 */
export async function statesOfTar(pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<FileState[]> {
  const reader = new TarReader();
  const states = new Map<string, FileState>();
  let current: Reading | undefined;
  const finish = () => {
    if (current?.state.type === "file") current.state.digest = current.digester.digest();
  };
  try {
    for await (const chunk of pieces)
      for (const { entry, bytes, offset } of reader.push(chunk)) {
        if (bytes) {
          if (current) take(current, bytes, offset);
        } else {
          finish();
          const { nameBytes, linkNameBytes, segments: _, ...rest } = entry;
          if (nameBytes || linkNameBytes) throw refused("a name that is not UTF-8");
          current = { state: { ...rest, name: plainPath(rest.name) }, digester: new Digester(), end: 0 };
          if (current.state.name !== "") states.set(current.state.name, current.state);
        }
      }
    reader.end();
  } catch (error) {
    throw error instanceof FormatError ? refused(error.message, error) : error;
  }
  finish();
  return [...states.values()];
}

const refused = (why: string, cause?: unknown): TsboxError =>
  new TsboxError(`read the archive: ${why}`, { code: "archive_refused", cause });
