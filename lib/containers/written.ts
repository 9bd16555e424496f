/** How much a container has written over its image. @module */
import { Directory } from "../../syscalls/index.ts";
import type { Home } from "./home.ts";
import { LAYER } from "./layout.ts";

/** What is deeper is not counted: it takes a descriptor a level. */
const MAX_DEPTH = 500;

/** Of files, each once; what the caller may not look into does not count. */
export function writtenBytes(home: Home, id: string): number {
  using upper = Directory.open(`${home.path(id)}/${LAYER}/upper`);
  return upper ? bytesIn(upper, new Set(), MAX_DEPTH) : 0;
}

function bytesIn(directory: Directory, seen: Set<string>, depth: number): number {
  let bytes = 0;
  for (const name of directory.names()) {
    const status = directory.status(name);
    if (!status) continue;
    if (status.kind === "directory") {
      using below = depth > 0 ? openIn(directory, name) : undefined;
      if (below) bytes += bytesIn(below, seen, depth - 1);
      continue;
    }
    if (status.links > 1 && seen.has(status.identity)) continue;
    if (status.links > 1) seen.add(status.identity);
    bytes += status.sizeBytes;
  }
  return bytes;
}

/** Of another user in a user namespace, it may be closed to this one. */
function openIn(directory: Directory, name: string): Directory | undefined {
  try {
    return directory.directory(name);
  } catch {
    return undefined;
  }
}
