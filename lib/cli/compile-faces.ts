/**
 * For the binary: whoever imports a name from a folder's face (`index.ts`) imports it from the file that it is in. A
 * bundler that splits takes a face for all that it shows, and so each command would load the whole engine.
 * @module
 */
import type { BunPlugin } from "bun";
import { readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";

/** Where the names of a face are: itself where it is in none of these. */
type Face = Map<string, { file: string; name: string }>;

const transpiler = new Bun.Transpiler({ loader: "ts" });
const faces = new Map<string, Face>();

const RE_EXPORT = /^export (?:\{([^}]*)\}|\*) from "(\.[^"]*)";/gm;
const IMPORT = /^(import|export) \{([^}]*)\} from "(\.[^"]*\/index\.ts)";/gm;

/** `a, b as c, type D`: what is there when it runs, by what it is called behind. */
function namesIn(list: string): [name: string, as: string][] {
  return list
    .split(",")
    .map((word) => word.trim())
    .filter((word) => word !== "" && !word.startsWith("type "))
    .map((word) => word.split(" as "))
    .map(([name = "", as = name]) => [name, as]);
}

function faceOf(path: string): Face {
  const known = faces.get(path);
  if (known) return known;
  const face: Face = new Map();
  faces.set(path, face);
  for (const [, list, from = ""] of readFileSync(path, "utf8").matchAll(RE_EXPORT)) {
    const target = join(dirname(path), from);
    const names = list === undefined ? exportsOf(target).map((name) => [name, name] as const) : namesIn(list);
    for (const [name, as] of names) face.set(as, origin(target, name));
  }
  return face;
}

const exportsOf = (path: string): string[] => transpiler.scan(readFileSync(path, "utf8")).exports;

/** Through faces that show what other faces do. */
function origin(file: string, name: string): { file: string; name: string } {
  return (file.endsWith("/index.ts") ? faceOf(file).get(name) : undefined) ?? { file, name };
}

/** The source with each such import written as one from the file. */
export function withoutFaces(path: string, source: string): string {
  return source.replace(IMPORT, (_, verb: string, list: string, from: string) => {
    const face = join(dirname(path), from);
    return namesIn(list)
      .map(([name, as]) => {
        const { file, name: own } = origin(face, name);
        return `${verb} { ${own} as ${as} } from "./${relative(dirname(path), file)}";`;
      })
      .join(" ");
  });
}

export const namesFromTheirFiles: BunPlugin = {
  name: "names from their files",
  setup(build) {
    build.onLoad({ filter: /\/(?:lib|syscalls|wasm)\/[^?]*\.ts$/ }, ({ path }) => ({
      contents: withoutFaces(path, readFileSync(path, "utf8")),
      loader: "ts",
    }));
  },
};
