/**
 * Directories that lie over each other as overlayfs has them: of a name, the topmost one counts; directories are joined,
 * but for what an opaque one, or a whiteout, hides. Nothing is mounted for it.
 * @module
 */
import { attributesOf, type Attributes } from "./attributes.ts";
import type { Looker } from "./look.ts";
import { DT, isWhiteout, refused, type Looked, type Name, type Stated, type Wanted } from "./looked.ts";

/** One of the directories, open. */
export interface Top {
  path: string;
  fd: number;
}

/** A directory that is still to be entered. */
export interface Pending {
  path: string;
  /** Those that may have it, top first. */
  layers: number[];
  /** Something else has its name in a layer below: it hides what is under that. */
  covers?: boolean;
}

/** A name in a directory: what the topmost layer says that it is. */
export interface Merged extends Wanted {
  layer: number;
  /** Of a directory: the layers that it is made of. */
  layers: number[];
  /** What is in layers below is hidden. */
  isClosed: boolean;
  /** As {@link Pending.covers}. */
  covers?: boolean;
}

/** A directory that has been entered, until {@link Tree.leave}. */
export interface Level {
  path: string;
  /** The topmost that has it. */
  layer: number;
  directory: Looked;
  attributes: Attributes;
  names: Merged[];
  fds: number[];
}

/** What {@link Tree.lookUp} has found: of a directory, with the layers that it is made of. */
export interface Found {
  stated: Stated;
  layers: number[];
}

/** Other tools cannot unpack what is deeper, and no path of a process leads there. */
const MAX_PATH_BYTES = 4095;

/** As the kernel follows. */
const MAX_LINKS = 40;

const partsOf = (path: string): string[] => path.split("/").filter((part) => part !== "" && part !== ".");

export const joinPath = (path: string, name: string): string => (path === "" ? name : `${path}/${name}`);

export class Tree {
  readonly looker: Looker;
  readonly #tops: Top[];

  /** @param tops the topmost first */
  constructor(looker: Looker, tops: Top[]) {
    this.looker = looker;
    this.#tops = tops;
  }

  /** What is told of a path in messages. */
  where(path: string, layer = 0): string {
    return path === "" ? (this.#tops[layer] as Top).path : path;
  }

  /** All of it. */
  get root(): Pending {
    return { path: "", layers: this.#tops.map((_, layer) => layer) };
  }

  /**
   * A directory in it; symlinks are followed as if this were the root, and lead nowhere else.
   * @param path names of bytes, a character each
   * @returns undefined where there is none
   */
  find(path: string): Pending | undefined {
    const rest = partsOf(path);
    let way: Pending[] = [this.root];
    let links = 0;
    for (let name = rest.shift(); name !== undefined; name = rest.shift()) {
      const at = way.at(-1) as Pending;
      if (name === "..") {
        if (way.length > 1) way.pop();
        continue;
      }
      const level = this.enter(at);
      if (!level) return undefined;
      try {
        const found = level.names.find((each) => each.name === name);
        if (!found) return undefined;
        if (found.type === DT.directory) {
          way.push({ path: joinPath(at.path, name), layers: found.layers });
          continue;
        }
        const target = found.type === DT.symlink ? this.#linkOf(found) : undefined;
        if (target === undefined || ++links > MAX_LINKS) return undefined;
        if (target.startsWith("/")) way = [this.root];
        rest.unshift(...partsOf(target));
      } finally {
        this.leave(level);
      }
    }
    return way.at(-1);
  }

  /** What a name stands for in a directory; undefined where there is nothing. */
  lookUp({ path, layers }: Pending, name: string): Found | undefined {
    const below: number[] = [];
    let first: Stated | undefined;
    for (const layer of layers) {
      const found = this.looker.find((this.#tops[layer] as Top).fd, path, name, this.where(path, layer));
      if (!found) continue;
      const { stated, isOpaque } = found;
      if (stated && stated.kind !== "directory") {
        if (first) break;
        return isWhiteout(stated) ? undefined : { stated, layers: [layer] };
      }
      if (stated) below.push(layer);
      first ??= stated;
      if (isOpaque) break;
    }
    return first && { stated: first, layers: below };
  }

  #linkOf(name: Merged): string | undefined {
    const [looked] = this.looker.look([name], (each) => each);
    if (!looked) return undefined;
    this.looker.close([looked.fd]);
    return looked.linkName;
  }

  /** Undefined for what is gone by now. */
  enter({ path, layers, covers = false }: Pending): Level | undefined {
    const level: Partial<Level> = { path, names: [], fds: [] };
    const fds = level.fds as number[];
    const found = new Map<string, Merged>();
    let isOpaque = covers;
    try {
      for (const layer of layers) {
        const where = this.where(path, layer);
        const entered = this.looker.enter((this.#tops[layer] as Top).fd, path, where);
        if (!entered) continue;
        fds.push(entered.directory.fd);
        const attributes = attributesOf(entered.directory.xattrs, where);
        level.layer ??= layer;
        level.directory ??= entered.directory;
        level.attributes ??= attributes;
        const from = entered.directory.fd;
        if (layers.length === 1)
          level.names = entered.names.map(({ name, type }) => ({ name, type, from, layer, layers, isClosed: true }));
        else for (const each of entered.names) addName(found, each, from, layer);
        isOpaque ||= attributes.isOpaque;
        if (attributes.isOpaque) break;
      }
    } catch (error) {
      this.looker.close(fds);
      throw error;
    }
    if (level.directory === undefined || !level.attributes) return undefined;
    // of all that it is made of: nothing below them is seen
    level.attributes = { ...level.attributes, isOpaque };
    if (found.size > 0) level.names = [...found.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1));
    return level as Level;
  }

  leave({ fds }: Level): void {
    this.looker.close(fds);
  }

  /** The directories in one, the last first: as a stack has them. @throws TsboxError `archive_refused` for what is too deep */
  below({ path, names }: Level): Pending[] {
    const pending: Pending[] = [];
    for (const { name, type, layers, covers = false } of names) {
      if (type !== DT.directory) continue;
      const whole = joinPath(path, name);
      if (whole.length > MAX_PATH_BYTES)
        throw refused(`${whole.slice(0, 80)}…`, `a path of more than ${MAX_PATH_BYTES} bytes`);
      pending.push({ path: whole, layers, covers });
    }
    return pending.toReversed();
  }
}

/** A directory goes on in the layers below until something else has its name there. */
function addName(found: Map<string, Merged>, { name, type }: Name, from: number, layer: number): void {
  const above = found.get(name);
  if (!above) found.set(name, { name, type, from, layer, layers: [layer], isClosed: type !== DT.directory });
  else if (type !== DT.directory) {
    above.covers ||= !above.isClosed;
    above.isClosed = true;
  } else if (!above.isClosed) above.layers.push(layer);
}
