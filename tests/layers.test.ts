/** Who may import what: the table behind "imports point down only", and the scan that holds the sources to it. @module */
import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** A file belongs to the first of these whose folder it is in; it may import its own folder, and these faces. */
const LAYERS: { folder: string; imports: string[] }[] = [
  { folder: "lib/cli", imports: ["lib/index.ts", "lib/*/index.ts", "package.json"] },
  { folder: "lib", imports: ["lib/*/index.ts", "syscalls/index.ts", "wasm/index.ts"] },
  { folder: "wasm", imports: [] },
  { folder: "syscalls", imports: [] },
];
/** Nobody imports the command line. */
const TOP = "lib/cli";

/** What only the two adapters may know: the JavaScript runtime they are on. */
const RUNTIME_ONLY: { word: RegExp; files: string[] }[] = [
  { word: /["']bun:ffi["']/, files: ["syscalls/ffi/bun.ts"] },
  { word: /\bDeno\b\s*[.[]/, files: ["syscalls/ffi/deno.ts"] },
];

/**
 * Loading one of the runtime's modules takes up to a millisecond and a half, so `tsbox run` does without: syscalls/files.ts
 * reads files, and what is rarely needed comes from `process.getBuiltinModule` when it is (measured: 17 ms, not 20).
 */
const LOADS_BUILTINS = /^(lib\/doctor\/|lib\/cli\/compile[^/]*\.ts|.*\/build\.ts$)/;
const BUILTIN_IMPORT = /^import (?!type\b).*["']node:/m;

type Sources = ReadonlyMap<string, string>;

const root = join(import.meta.dirname, "..");

/** Every TypeScript source of the layers, by its path. AssemblyScript is another language, with a build of its own. */
function readSources(): Sources {
  const sources = new Map<string, string>();
  for (const folder of ["lib", "syscalls", "wasm"]) {
    for (const name of readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })) {
      const file = `${folder}/${name}`;
      if (!file.endsWith(".ts") || file.startsWith("wasm/assembly/")) continue;
      sources.set(file, readFileSync(join(root, file), "utf8"));
    }
  }
  return sources;
}

/** Comments may mention anything; what looks like one inside a string is none. */
const withoutComments = (source: string) =>
  source.replace(/("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`)|\/\*[\s\S]*?\*\/|\/\/.*/g, "$1");

interface Import {
  /** Path from the root. */
  target: string;
  /** Erased before it runs. */
  typeOnly: boolean;
}

/** What a file imports or re-exports of ours; packages are not. */
function importsOf(file: string, source: string): Import[] {
  const statement = /\b(?:(?:import|export)\s+(type\b)?[^"';]*?\bfrom|import\s*\(|import)\s*(["'])(\.[^"']*)\2/g;
  return [...withoutComments(source).matchAll(statement)].map((match) => ({
    target: join(file, "..", match[3] as string),
    typeOnly: match[1] !== undefined,
  }));
}

const layerOf = (file: string) => LAYERS.find(({ folder }) => file.startsWith(`${folder}/`));

/** `lib/plan` of `lib/plan/compile.ts`. What stands straight in `lib` is a face over all of it, a folder of its own. */
function folderOf(file: string): string {
  const parts = file.split("/");
  return parts[0] === "lib" && parts.length > 2 ? `lib/${parts[1]}` : (parts[0] as string);
}

function mayImport(file: string, target: string): boolean {
  if (folderOf(file) === folderOf(target)) return true;
  if (folderOf(target) === TOP) return false;
  return layerOf(file)?.imports.some((face) => new Bun.Glob(face).match(target)) ?? false;
}

function violations(sources: Sources): string[] {
  const found: string[] = [];
  const files = new Map<string, string[]>();
  const folders = new Map<string, string[]>();
  for (const [file, source] of sources) {
    const imports = importsOf(file, source);
    for (const { target } of imports) if (!mayImport(file, target)) found.push(`${file} imports ${target}`);
    for (const { word, files: allowed } of RUNTIME_ONLY) {
      if (!allowed.includes(file) && word.test(withoutComments(source))) found.push(`${file} mentions ${word.source}`);
    }
    // types may go around in a circle within a folder: they are gone when the files run
    files.set(
      file,
      imports.filter(({ typeOnly }) => !typeOnly).map(({ target }) => target),
    );
    const others = imports.map(({ target }) => folderOf(target)).filter((folder) => folder !== folderOf(file));
    folders.set(folderOf(file), [...(folders.get(folderOf(file)) ?? []), ...others]);
  }
  return [...found, ...cycles(files), ...cycles(folders)];
}

/** Each cycle once, from the node where the search came upon it. */
function cycles(graph: ReadonlyMap<string, string[]>): string[] {
  const found: string[] = [];
  const done = new Set<string>();
  const visit = (node: string, path: string[]): void => {
    if (path.includes(node)) found.push(`cycle: ${[...path.slice(path.indexOf(node)), node].join(" → ")}`);
    if (done.has(node) || path.includes(node)) return;
    for (const next of graph.get(node) ?? []) visit(next, [...path, node]);
    done.add(node);
  };
  for (const node of graph.keys()) visit(node, []);
  return found;
}

test("the sources keep to the layers", () => {
  const sources = readSources();
  expect(sources.size).toBeGreaterThan(20);
  expect([...sources.keys()].filter((file) => !layerOf(file))).toEqual([]);
  expect(violations(sources)).toEqual([]);
});

const from = (path: string) => `import { x } from "${path}";`;

describe("the scan finds", () => {
  test.each<[string, Record<string, string>, string[]]>([
    [
      "nothing in imports that point down",
      {
        "syscalls/index.ts": from("./kernel.ts"),
        "syscalls/kernel.ts": from("./ffi/index.ts") + from("node:fs"),
        "lib/spec/index.ts": "",
        "lib/plan/index.ts": from("../spec/index.ts") + from("../../syscalls/index.ts") + from("./compile.ts"),
        "lib/plan/compile.ts": "// import('../../lib/cli/main.ts') and Deno.exit()\n/* from './index.ts' */",
        "lib/index.ts": from("./plan/index.ts"),
        "lib/cli/main.ts": from("../index.ts") + from("./verb.ts") + from("commander"),
      },
      [],
    ],
    [
      "the kernel layer importing the engine",
      { "syscalls/a.ts": from("../lib/index.ts") },
      ["syscalls/a.ts imports lib/index.ts"],
    ],
    [
      "wasm importing the kernel layer",
      { "wasm/a.ts": from("../syscalls/index.ts") },
      ["wasm/a.ts imports syscalls/index.ts"],
    ],
    [
      "the engine importing the command line",
      { "lib/plan/a.ts": from("../cli/index.ts") },
      ["lib/plan/a.ts imports lib/cli/index.ts"],
    ],
    [
      "a folder of the engine importing its face",
      { "lib/plan/a.ts": from("../index.ts") },
      ["lib/plan/a.ts imports lib/index.ts"],
    ],
    [
      "the command line reaching around the engine",
      { "lib/cli/a.ts": from("../../syscalls/index.ts") + from("../plan/index.ts") + from("../plan/compile.ts") },
      ["lib/cli/a.ts imports syscalls/index.ts", "lib/cli/a.ts imports lib/plan/compile.ts"],
    ],
    [
      "an import behind a folder's face",
      { "lib/plan/a.ts": from("../../syscalls/kernel.ts") + from("../spec/spec.ts") },
      ["lib/plan/a.ts imports syscalls/kernel.ts", "lib/plan/a.ts imports lib/spec/spec.ts"],
    ],
    [
      "types, re-exports, dynamic and bare imports, over several lines",
      {
        "wasm/a.ts": "import type {\n  A,\n} from '../lib/a/index.ts';",
        "wasm/b.ts": 'export * from "../lib/b/index.ts";',
        "wasm/c.ts": 'await import("../lib/c/index.ts");',
        "wasm/d.ts": 'import "../lib/d/index.ts";',
      },
      ["a", "b", "c", "d"].map((name) => `wasm/${name}.ts imports lib/${name}/index.ts`),
    ],
    [
      "another runtime than the adapters'",
      {
        "syscalls/ffi/deno.ts": "Deno.dlopen();",
        "syscalls/ffi/bun.ts": 'import("bun:ffi"); Deno.exit();',
        "lib/a/a.ts": 'import { dlopen } from "bun:ffi";',
      },
      ["syscalls/ffi/bun.ts mentions \\bDeno\\b\\s*[.[]", `lib/a/a.ts mentions ["']bun:ffi["']`],
    ],
    [
      "a cycle of files",
      { "lib/a/a.ts": from("./b.ts"), "lib/a/b.ts": from("./a.ts") },
      ["cycle: lib/a/a.ts → lib/a/b.ts → lib/a/a.ts"],
    ],
    ["no cycle in types", { "lib/a/a.ts": from("./b.ts"), "lib/a/b.ts": 'import type { A } from "./a.ts";' }, []],
    [
      "imports behind what looks like a comment",
      { "wasm/a.ts": 'const a = "lib/*/x"; const b = "http://";\nawait import("../lib/a/index.ts"); /* */' },
      ["wasm/a.ts imports lib/a/index.ts"],
    ],
    [
      "a cycle of folders",
      {
        "lib/a/a.ts": from("../b/index.ts"),
        "lib/a/index.ts": "",
        "lib/b/b.ts": from("../a/index.ts"),
        "lib/b/index.ts": "",
      },
      ["cycle: lib/a → lib/b → lib/a"],
    ],
  ])("%s", (_, sources, expected) => {
    expect(violations(new Map(Object.entries(sources)))).toEqual(expected);
  });
});

test("what a command line loads imports none of the runtime's modules", () => {
  const importing = [...readSources()].filter(([, source]) => BUILTIN_IMPORT.test(source)).map(([file]) => file);
  expect(importing.filter((file) => !LOADS_BUILTINS.test(file))).toEqual([]);
  // the scan sees them where they are
  expect(importing).toContain("lib/cli/compile.ts");
});
