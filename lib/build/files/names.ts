/** Paths as text, and as the kernel has them: strings of bytes, a character each. @module */
import { bytesOfName, textOfName } from "../../layer/index.ts";

const ASCII = /^[\x00-\x7f]*$/;

export const bytesOf = (text: string): string =>
  ASCII.test(text) ? text : Buffer.from(bytesOfName(text)).toString("latin1");

export const textOf = (path: string): string => (ASCII.test(path) ? path : textOfName(Buffer.from(path, "latin1")));

export const partsOf = (path: string): string[] => path.split("/").filter((part) => part !== "" && part !== ".");

/** Without `.`, `..` and slashes at its ends, as if it began at a root. */
export function plain(path: string): string {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return parts.join("/");
}

export const join = (above: string, name: string): string =>
  above === "" ? name : name === "" ? above : `${above}/${name}`;

/** The directory's path, and the name in it. */
export function split(path: string): [above: string, name: string] {
  const slash = path.lastIndexOf("/");
  return [path.slice(0, Math.max(0, slash)), path.slice(slash + 1)];
}
