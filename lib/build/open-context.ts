/** A directory as a build context. @module */
import { absolute, close, O_DIRECTORY, open, openInRoot, readAt, realPath, TsboxError } from "../../syscalls/index.ts";
import type { FileTree } from "./files/index.ts";
import type { ContextSource } from "./options.ts";

export interface OpenContext extends Disposable {
  tree: FileTree;
}

/** @throws TsboxError `file_not_found`, `unsupported` */
export async function openContext(source: ContextSource): Promise<OpenContext> {
  if (typeof source !== "string" || /^[a-z+]+:\/\//.test(source))
    throw new TsboxError("open the build context: only directories can be, so far", { code: "unsupported" });
  const path = realPath(absolute(source));
  if (path === undefined)
    throw new TsboxError(`open the build context ${JSON.stringify(source)}: no such directory`, {
      code: "file_not_found",
      path: source,
    });
  return { tree: { layers: [path], isContext: true }, [Symbol.dispose]() {} };
}

/** A file of it, by symlinks that lead nowhere else. */
export function readInTree(
  { layers: [path = "/"] }: FileTree,
  file: string,
  limitBytes: number,
): Uint8Array | undefined {
  const root = open(path, O_DIRECTORY);
  try {
    const fd = openInRoot(root, file);
    if (fd < 0) return undefined;
    try {
      const parts: Uint8Array[] = [];
      for (let at = 0, part; at < limitBytes && (part = readAt(fd, at, limitBytes - at)).length > 0; at += part.length)
        parts.push(part);
      return Buffer.concat(parts);
    } finally {
      close(fd);
    }
  } finally {
    close(root);
  }
}
