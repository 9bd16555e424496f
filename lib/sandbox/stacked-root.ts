/** Root filesystems of layers that lie on each other: those of images. @module */
import type { RunOptions } from "./options.ts";

/** Not a plain object: what callers pass cannot be taken for one. */
export class StackedRoot {
  /** Absolute; that the layers are in. */
  readonly directory: string;
  /** Paths below it, top first. */
  readonly layers: readonly string[];
  /** Directories inside that can be written even where the rest cannot. */
  readonly writable: readonly string[];

  /** @param layers absolute paths, top first @param otherwise the directory where there are no layers */
  constructor(layers: readonly string[], writable: readonly string[] = [], otherwise = "/") {
    this.directory = layers.length === 0 ? otherwise : commonDirectory(layers);
    const below = this.directory === "/" ? 1 : this.directory.length + 1;
    this.layers = layers.map((layer) => layer.slice(below));
    this.writable = writable;
  }

  /** Absolute paths of the layers, top first. */
  get paths(): string[] {
    return this.layers.map((layer) => `${this.directory}/${layer}`);
  }
}

/** The deepest directory that all are in, and that none is itself. */
function commonDirectory(paths: readonly string[]): string {
  const [first = [], ...others] = paths.map((path) => path.split("/").slice(0, -1));
  let length = first.length;
  for (const parts of others) while (!isSame(parts, first, length)) length--;
  return first.slice(0, length).join("/") || "/";
}

const isSame = (parts: string[], others: string[], length: number): boolean =>
  parts.slice(0, length).join("/") === others.slice(0, length).join("/");

/** What callers ask for, once an image is found: its layers are the root filesystem then. */
export type Request = Omit<RunOptions, "image" | "entrypoint"> & { stack?: StackedRoot };

/** A directory of the host that the root filesystem is on. */
export function directoryOf({ rootfs, stack }: Request): string {
  if (stack) return stack.directory;
  return rootfs === undefined || rootfs === "host" ? "/" : rootfs;
}
