/**
 * A file of directories that lie on each other, as an overlay of them shows it, without mounting anything. The layers
 * are not trusted: each name is looked up by itself and no symlink is followed by the kernel, so none leads out of them.
 * @module
 * @see https://docs.kernel.org/filesystems/overlayfs.html
 */
import { Descriptors, Directory } from "../../syscalls/index.ts";

/** Where a name was found: in the topmost layer that has something of it, or in all that have a directory. */
interface Found {
  kind: "file" | "symlink" | "directory";
  in: Directory[];
}

/** As the kernel follows. */
const MAX_LINKS = 40;

/**
 * @param layers top first
 * @param path relative
 * @param read what is to be done with the file
 * @returns undefined where there is no such regular file
 */
export function inLayers<T>(
  layers: readonly string[],
  path: string,
  read: (directory: Directory, name: string) => T,
): T | undefined {
  using opened = new Descriptors();
  const open = (directory: Directory | undefined) => (directory && opened.add(directory.fd), directory);
  const roots = layers.flatMap((layer) => open(Directory.open(layer)) ?? []);
  const rest = partsOf(path);
  let links = 0;
  // names of directories, up to where it is now
  let way: string[] = [];
  let at = roots;
  const goBackTo = (names: string[]) => {
    way = [];
    at = roots;
    rest.unshift(...names);
  };
  for (let name = rest.shift(); name !== undefined; name = rest.shift()) {
    if (name === "..") {
      goBackTo(way.slice(0, -1));
      continue;
    }
    const found = lookUp(at, name, open);
    if (!found) return undefined;
    const [top] = found.in as [Directory, ...Directory[]];
    if (found.kind === "symlink") {
      const target = top.link(name) ?? "";
      if (++links > MAX_LINKS) return undefined;
      rest.unshift(...partsOf(target));
      goBackTo(target.startsWith("/") ? [] : way);
    } else if (found.kind === "file") return rest.length === 0 ? read(top, name) : undefined;
    else {
      way.push(name);
      at = found.in;
    }
  }
  return undefined;
}

const partsOf = (path: string) => path.split("/").filter((part) => part !== "" && part !== ".");

function lookUp(
  at: Directory[],
  name: string,
  open: (directory: Directory | undefined) => Directory | undefined,
): Found | undefined {
  const below: Directory[] = [];
  for (const layer of at) {
    const kind = layer.status(name)?.kind;
    if (kind === undefined) continue;
    if (kind !== "directory") {
      // whiteouts are devices
      if (below.length === 0) return kind === "file" || kind === "symlink" ? { kind, in: [layer] } : undefined;
      break;
    }
    const directory = open(layer.directory(name));
    if (!directory) break;
    below.push(directory);
    if (directory.attribute("user.overlay.opaque") === "y") break;
  }
  return below.length > 0 ? { kind: "directory", in: below } : undefined;
}
