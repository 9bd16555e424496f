/** What a tar says of the files in it. @module */
import { plainPath, type FileState } from "./states.ts";
import { FormatError } from "./status.ts";
import { TarReader } from "./tar-reader.ts";

interface Hash {
  update(bytes: Uint8Array | string): unknown;
  digest(encoding: "hex"): string;
}

/** The native one: in WebAssembly it takes ten times as long. */
function newHash(): Hash | undefined {
  const crypto = globalThis.process?.getBuiltinModule?.("node:crypto") as
    { createHash(algorithm: string): Hash } | undefined;
  return crypto?.createHash("sha256");
}

interface Reading {
  state: FileState;
  hash: Hash | undefined;
  /** Of the bytes so far. */
  end: number;
}

/** Of a sparse file, where its parts are counts as well: holes are no bytes here. */
function take(reading: Reading, bytes: Uint8Array, offset: number): void {
  if (offset !== reading.end) reading.hash?.update(`hole ${reading.end} to ${offset}`);
  reading.hash?.update(bytes);
  reading.end = offset + bytes.length;
}

/**
 * The state of a directory that a tar is unpacked to, each file with the digest of its content, where the runtime has
 * SHA-256: what {@link diffStates} compares, and {@link applyLayer} applies a layer to. Of two entries with one name the
 * last counts.
 * @throws FormatError also for a name that is not UTF-8
 */
export async function statesOfTar(pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<FileState[]> {
  const reader = new TarReader();
  const states = new Map<string, FileState>();
  let current: Reading | undefined;
  const finish = () => {
    if (current?.hash) current.state.digest = `sha256:${current.hash.digest("hex")}`;
    current = undefined;
  };
  for await (const chunk of pieces)
    for (const { entry, bytes, offset } of reader.push(chunk)) {
      if (bytes) {
        if (current) take(current, bytes, offset);
        continue;
      }
      finish();
      const { nameBytes, linkNameBytes, segments: _, ...rest } = entry;
      if (nameBytes || linkNameBytes) throw new FormatError("read a tar", reader.offset, 0, "a name that is not UTF-8");
      const state: FileState = { ...rest, name: plainPath(rest.name) };
      if (state.name !== "") states.set(state.name, state);
      if (state.type === "file") current = { state, hash: newHash(), end: 0 };
    }
  reader.end();
  finish();
  return [...states.values()];
}
