/** How much room a volume takes. @module */
import { Directory } from "../../syscalls/index.ts";
import { dataOf } from "./place.ts";

/** Directories below each other that are looked into. */
const DEPTH = 64;

/** On the disk, as far as the caller may look into it; a file with several names counts once. */
export function usedBytes(root: string, name: string): number {
  using data = Directory.open(dataOf(root, name));
  return data ? bytesIn(data, new Set(), DEPTH) : 0;
}

function bytesIn(directory: Directory, seen: Set<string>, depth: number): number {
  let bytes = 0;
  for (const name of directory.names()) {
    const status = directory.status(name);
    if (!status || (status.links > 1 && status.kind !== "directory" && seen.has(status.identity))) continue;
    seen.add(status.identity);
    bytes += status.allocatedBytes;
    if (status.kind !== "directory" || depth === 0) continue;
    try {
      using below = directory.directory(name);
      if (below) bytes += bytesIn(below, seen, depth - 1);
    } catch {
      // not the caller's to look into
    }
  }
  return bytes;
}
