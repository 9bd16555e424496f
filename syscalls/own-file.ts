/** Which files are ours alone. @module */
import { readKernelFile } from "./files.ts";

/**
 * Whether a worker may run a file: it runs all that is in it, so where others have bundled ours with a program of theirs,
 * that program. It has to be the source, a file of the package, or of the binary.
 * @param url `import.meta.url` of it @param source its path in the sources
 */
export function isOwnFile(url: string, source: string): boolean {
  if (url.endsWith(`/${source}`)) return true;
  if (url.startsWith("file:///$bunfs/")) return process.env.TSBOX_COMMIT !== undefined;
  const [, folder] = /^file:\/\/(.*)\/dist\/[\w-]+\.js$/.exec(url) ?? [];
  if (folder === undefined) return false;
  const text = readKernelFile(`${decodeURIComponent(folder)}/package.json`) ?? "";
  return /^\s*"name": "tsbox",$/m.test(text);
}
