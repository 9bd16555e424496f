/** Files whose content is known, as here-documents are, where COPY would put them. @module */
import { destinationOf, styleOf } from "./copy.ts";
import type { CopyOptions, CopyTarget } from "./face.ts";
import { bytesOf, join, plain, split } from "./names.ts";
import { inTheWay, Target } from "./target.ts";

const [FILE_MODE, DIRECTORY_MODE] = [0o644, 0o755];

/** Without files, only the directory is made, where there is none. */
export async function writeFiles(
  files: readonly { name: string; content: Uint8Array }[],
  target: CopyTarget,
  options: CopyOptions,
): Promise<void> {
  options.signal?.throwIfAborted();
  const { latest, link = false } = options;
  const { owner = { uid: 0, gid: 0 }, mode } = styleOf(options, [target.upper, ...target.lower.layers]);
  const now = Math.floor(Date.now() / 1000);
  const mtime = { seconds: latest === undefined ? now : Math.min(now, latest), nanoseconds: 0 };
  using into = new Target(target, { latest, isAlone: link });
  const make = (path: string) =>
    into.makeDirectories(path, { mode: mode?.directory ?? DIRECTORY_MODE, uid: owner.uid, gid: owner.gid });
  const { path, isDirectory } = destinationOf(options);
  make(into.resolve(isDirectory ? path : split(path)[0]).path);
  for (const { name, content } of files) {
    const place = into.resolve(path);
    const to = place.path === "" || place.pending ? join(place.path, bytesOf(split(plain(name))[1])) : place.path;
    if (into.kindOf(to) === "directory") throw inTheWay(to, "a file, but a directory is there");
    const rights = mode ? mode.of(FILE_MODE, false) : FILE_MODE;
    into.write(to, { type: "file", ...owner, mode: rights, size: content.length, mtime });
    into.data(content, 0);
  }
  into.finish();
}
