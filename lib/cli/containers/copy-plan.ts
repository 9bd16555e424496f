/** Where `cp` puts what: the rules of Docker's documentation. Pure. @module @see https://docs.docker.com/reference/cli/docker/container/cp/#description */
import { TsboxError } from "../../sandbox/index.ts";

/** A path, and what it is. */
export interface Place {
  path: string;
  /** Neither file nor directory: a device, a pipe, a socket. */
  kind: "file" | "directory" | "special" | "missing";
  /** Of one that is missing: what it would be in. */
  parentKind?: "directory" | "missing";
}

export interface CopyPlan {
  /** What an archive is unpacked in. */
  directory: string;
  /** What its first entry is called there; `"."`: what is below it comes without one. */
  name: string;
}

/** `CONTAINER:PATH`; a path with a colon is the host's where it begins with `/` or `.`. */
export function splitCopyWord(word: string): { container?: string; path: string } {
  const at = word.indexOf(":");
  if (word.startsWith("/") || word.startsWith(".") || at <= 0) return { path: word };
  return { container: word.slice(0, at), path: word.slice(at + 1) };
}

const lastName = (path: string): string => path.split("/").findLast((part) => part !== "" && part !== ".") ?? ".";
/** The contents alone: `/a/.`. */
const meansContents = (path: string): boolean => /(?:^|\/)\.$/.test(path);
const endsAsDirectory = (path: string): boolean => path.endsWith("/") || meansContents(path);

function parentOf(path: string): string {
  const plain = path.replace(/\/+$/, "");
  return plain.slice(0, plain.lastIndexOf("/")) || "/";
}

/** @throws TsboxError `file_not_found`, `file_refused` */
export function planCopy(source: Place, target: Place): CopyPlan {
  if (source.kind === "missing")
    throw new TsboxError(`Could not find the file ${source.path}`, { code: "file_not_found", path: source.path });
  const isDirectory = source.kind === "directory";
  if (!isDirectory && endsAsDirectory(source.path))
    throw new TsboxError(`copy "${source.path}": not a directory`, { code: "file_refused", path: source.path });
  if (target.kind === "directory") {
    return { directory: target.path, name: isDirectory && meansContents(source.path) ? "." : lastName(source.path) };
  }
  const whole = target.path;
  // it would be replaced by a file
  if (target.kind === "special")
    throw new TsboxError(`copy to "${whole}": it must be a directory or a regular file`, {
      code: "file_refused",
      path: whole,
      hint: '"-" writes an archive to stdout',
    });
  if (target.kind === "file") {
    if (isDirectory)
      throw new TsboxError("cannot copy directory", {
        code: "file_refused",
        path: whole,
        hint: `"${whole}" is a file`,
      });
    if (endsAsDirectory(whole))
      throw new TsboxError(`copy to "${whole}": not a directory`, { code: "file_refused", path: whole });
    return { directory: parentOf(whole), name: lastName(whole) };
  }
  if (!isDirectory && endsAsDirectory(whole))
    throw new TsboxError("destination directory must exist", { code: "file_not_found", path: whole });
  if (target.parentKind !== "directory")
    throw new TsboxError(`Could not find the directory ${parentOf(whole)}`, { code: "file_not_found", path: whole });
  // under the new name: what is in it is copied
  return { directory: parentOf(whole), name: lastName(whole) };
}
