/** What is different between two states of a directory, and the way back. @module */
import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { join } from "node:path";
import { applyLayer, compareStates, diffStates, statesOfTar, type FileState } from "../wasm/index.ts";

const file = (name: string, rest: Partial<FileState> = {}): FileState => ({
  name,
  type: "file",
  linkName: "",
  mode: 0o644,
  uid: 0,
  gid: 0,
  size: 1,
  mtime: { seconds: 1, nanoseconds: 0 },
  major: 0,
  minor: 0,
  ...rest,
});
const directory = (name: string, rest: Partial<FileState> = {}) => file(name, { type: "directory", size: 0, ...rest });
const names = (files: FileState[]) => files.map(({ name }) => name);

describe("the layer between two states has", () => {
  const lower = [directory("d"), file("d/a"), file("d/b"), directory("e"), file("e/x"), file("f")];
  test.each<[string, FileState[], string[]]>([
    ["nothing, where nothing is different", lower, []],
    ["what is new", [...lower, file("d/c")], ["d/c"]],
    ["what has another size", [...lower.slice(0, -1), file("f", { size: 2 })], ["f"]],
    ["what was touched", [...lower.slice(0, -1), file("f", { mtime: { seconds: 1, nanoseconds: 1 } })], ["f"]],
    [
      "another attribute",
      [...lower.slice(0, -1), file("f", { xattrs: new Map([["user.a", Uint8Array.of(1)]]) })],
      ["f"],
    ],
    ["a whiteout for what is gone", lower.filter(({ name }) => name !== "d/a"), ["d/.wh.a"]],
    ["one whiteout for a whole directory", lower.filter(({ name }) => !name.startsWith("d")), [".wh.d"]],
    ["no whiteouts in what is a file now", [file("d"), ...lower.slice(3)], ["d"]],
    ["the files of what is a directory now", [...lower.slice(0, -1), directory("f"), file("f/y")], ["f", "f/y"]],
    ["a whiteout for each file", lower.filter(({ name }) => !name.startsWith("d/")), ["d/.wh.a", "d/.wh.b"]],
  ])("%s", (_, upper, expected) => {
    expect(names(diffStates(lower, upper))).toEqual(expected);
  });

  test("one opaque whiteout, where that is asked for", () => {
    const upper = lower.filter(({ name }) => !name.startsWith("d/"));
    expect(names(diffStates(lower, [...upper, file("d/new")], { opaque: true }))).toEqual(["d/.wh..wh..opq", "d/new"]);
  });

  test("no names that mean whiteouts", () => {
    expect(() => diffStates([], [file("a/.wh.b")])).toThrow("means a whiteout");
  });
});

describe("applying", () => {
  const lower = [directory("d"), file("d/a"), directory("d/s"), file("d/s/x"), file("f")];
  test.each<[string, FileState[], string[]]>([
    ["a whiteout hides what is below, with all in it", [file("d/.wh.s")], ["d", "d/a", "f"]],
    ["an opaque whiteout leaves the directory", [file("d/.wh..wh..opq")], ["d", "f"]],
    [
      "whiteouts do not hide their own layer, before or behind it",
      [file("d/a"), file("d/.wh.a"), file("d/.wh..wh..opq"), file("d/z")],
      ["d", "d/a", "d/z", "f"],
    ],
    ["a file takes a directory's place", [file("d")], ["d", "f"]],
    ["names of archives", [file("./d/"), file("/f"), file("./")], ["d", "f"]],
    [
      "of two with one name the last counts",
      [file("g", { size: 5 }), file("g", { size: 7 })],
      ["d", "d/a", "d/s", "d/s/x", "f", "g"],
    ],
  ])("%s", (_, layer, expected) => {
    expect(names(applyLayer(lower, layer))).toEqual(expected);
  });
});

/** The definitions, plainly: by maps, each path asked for by itself. */
const reference = {
  compare(lower: FileState[], upper: FileState[]) {
    const [before, after] = [byName(lower), byName(upper)];
    const isIn = (path: string) =>
      [...after.values()].some((each) => each.type !== "directory" && path.startsWith(`${each.name}/`));
    const isStill = ({ name: path, type }: FileState) =>
      after.has(path) || (type === "directory" && [...after.keys()].some((each) => each.startsWith(`${path}/`)));
    return {
      added: [...after.keys()].filter((name) => !before.has(name)),
      changed: [...after.keys()].filter(
        (name) => before.has(name) && !Bun.deepEquals(before.get(name), after.get(name)),
      ),
      removed: lower.filter((each) => !isStill(each) && !isIn(each.name)).map((each) => each.name),
    };
  },
  apply(lower: FileState[], layer: FileState[]): Map<string, FileState> {
    const own = byName(layer.filter(({ name }) => !name.includes(".wh.")));
    const kept = byName(lower);
    for (const { name: whiteout } of layer.filter(({ name }) => name.includes(".wh."))) {
      const hidden = whiteout.endsWith(".wh..wh..opq") ? whiteout.slice(0, -12) : whiteout.replace(".wh.", "");
      for (const name of kept.keys())
        if (name === hidden || `${name}/`.startsWith(hidden.endsWith("/") || hidden === "" ? hidden : `${hidden}/`))
          if (`${name}/` !== hidden) kept.delete(name);
    }
    for (const { name: path, type } of own.values())
      for (const name of kept.keys()) if (type !== "directory" && name.startsWith(`${path}/`)) kept.delete(name);
    return new Map([...kept, ...own]);
  },
};
const byName = (files: FileState[]) => new Map(files.map((each) => [each.name, each]));
/** A slash before anything else. */
const inOrder = (paths: string[]) =>
  paths.toSorted((a, b) => Buffer.compare(Buffer.from(a.replaceAll("/", "\0")), Buffer.from(b.replaceAll("/", "\0"))));

const name = fc.constantFrom("a", "b", "b-c", "b!", "é", "\u{1f600}", "long name of more than eight bytes", "wh");
const path = fc.array(name, { minLength: 1, maxLength: 4 });
const leaf = fc.record({ path, size: fc.nat(2), isDirectory: fc.boolean(), seconds: fc.nat(1) });
/** In any order; with directories that are told of, or only have something in them. */
const state = fc
  .tuple(fc.array(leaf, { maxLength: 14 }), fc.boolean())
  .map(([leaves, areTold]) => {
    const files = new Map<string, FileState>();
    const implied = new Set<string>();
    for (const { path: parts, size, isDirectory, seconds } of leaves) {
      const parents = parts.slice(1).map((_, depth) => parts.slice(0, depth + 1).join("/"));
      if (parents.some((parent) => files.has(parent) && files.get(parent)?.type !== "directory")) continue;
      for (const parent of parents) {
        implied.add(parent);
        if (areTold && !files.has(parent)) files.set(parent, directory(parent));
      }
      const whole = parts.join("/");
      const mtime = { seconds, nanoseconds: 0 };
      if (files.has(whole) || (implied.has(whole) && !isDirectory)) continue;
      files.set(whole, isDirectory ? directory(whole, { mtime }) : file(whole, { size, mtime }));
    }
    return [...files.values()];
  })
  .chain((files) => fc.shuffledSubarray(files, { minLength: files.length }));

test("what is different is what the definition says", () => {
  fc.assert(
    fc.property(state, state, (lower, upper) => {
      const { added, changed, removed, emptied } = compareStates(lower, upper);
      const wanted = reference.compare(lower, upper);
      expect(names(added)).toEqual(inOrder(wanted.added));
      expect(names(changed)).toEqual(inOrder(wanted.changed));
      // what has gone with what it was in is not told of by itself
      const tops = wanted.removed.filter((each) => !wanted.removed.some((other) => each.startsWith(`${other}/`)));
      expect(names(removed)).toEqual(inOrder(tops));
      expect(emptied).toEqual([]);
    }),
    { numRuns: 2000 },
  );
});

/** Without directories that something is in: they are there whether they are told of or not. */
const ends = (files: FileState[]) =>
  files.filter(({ name: path }) => !files.some((other) => other.name.startsWith(`${path}/`)));

test("a layer makes the one state of the other", () => {
  fc.assert(
    fc.property(state, state, fc.boolean(), (lower, upper, opaque) => {
      const layer = diffStates(lower, upper, { opaque });
      const [applied, wanted] = [applyLayer(lower, layer), applyLayer([], upper)];
      expect(ends(applied)).toEqual(ends(wanted));
      if (!isTold(lower) || !isTold(upper)) return;
      expect(applied).toEqual(wanted);
      expect(diffStates(upper, applied)).toEqual([]);
    }),
    { numRuns: 2000 },
  );
});

const isTold = (files: FileState[]) =>
  files.every(({ name: path }) => !path.includes("/") || byName(files).has(path.slice(0, path.lastIndexOf("/"))));

test("applying is what the definition says, for any whiteouts in any order", () => {
  const hidden = fc.tuple(path, fc.boolean()).map(([parts, isOpaque]) => {
    const above = parts.slice(0, -1);
    return file((isOpaque ? [...parts, ".wh..wh..opq"] : [...above, `.wh.${parts.at(-1)}`]).join("/"));
  });
  const layer = fc.tuple(state, fc.array(hidden, { maxLength: 6 })).chain(([files, marks]) => {
    const all = [...files, ...marks];
    return fc.shuffledSubarray(all, { minLength: all.length });
  });
  fc.assert(
    fc.property(state, layer, (lower, entries) => {
      const wanted = reference.apply(lower, entries);
      const applied = applyLayer(lower, entries);
      expect(names(applied)).toEqual(inOrder([...wanted.keys()]));
      for (const each of applied) expect(each).toEqual(wanted.get(each.name) as FileState);
    }),
    { numRuns: 2000 },
  );
});

test("each attribute makes a file another one", () => {
  const old = file("f", { digest: "sha256:a", xattrs: new Map([["user.a", Uint8Array.of(1)]]) });
  const others: Partial<FileState>[] = [
    { type: "fifo" },
    { mode: 0o600 },
    { uid: 2 ** 32 - 1 },
    { gid: 1 },
    { size: 2 ** 33 },
    { mtime: { seconds: -1, nanoseconds: 0 } },
    { mtime: { seconds: 1, nanoseconds: 999_999_999 } },
    { major: 1 },
    { minor: 1 },
    { linkName: "x" },
    { digest: "sha256:b" },
    { xattrs: new Map([["user.b", Uint8Array.of(1)]]) },
    { xattrs: new Map([["user.a", Uint8Array.of(2)]]) },
    { xattrs: new Map([["user.a", Uint8Array.of(1, 1)]]) },
    { xattrs: new Map() },
  ];
  for (const rest of others) expect(names(compareStates([old], [{ ...old, ...rest }]).changed)).toEqual(["f"]);
  const { digest: _, ...unknown } = old;
  expect(compareStates([old], [unknown])).toEqual({ added: [], changed: [], removed: [], emptied: [] });
  const [ab, ba] = [
    ["a", "b"],
    ["b", "a"],
  ].map((keys) => new Map(keys.map((key) => [key, Uint8Array.of(1)])));
  expect(diffStates([file("f", { xattrs: ab as never })], [file("f", { xattrs: ba as never })])).toEqual([]);
});

const archive = (content: string) => new Bun.Archive({ "d/f": content, "d/g": "same" }).bytes();

test("two archives: contents are compared where size and time are the same", async () => {
  const [before, after] = [await statesOfTar([await archive("one")]), await statesOfTar([await archive("two")])];
  for (const each of [...before, ...after]) each.mtime = { seconds: 0, nanoseconds: 0 };
  expect(names(diffStates(before, after))).toEqual(["d/f"]);
  for (const each of before) delete each.digest;
  expect(diffStates(before, after)).toEqual([]);
});

test("texts that are not well-formed are refused, as they would be the same", () => {
  expect(() => diffStates([], [file("a\ud800")])).toThrow("not well-formed");
  expect(() => applyLayer([file("\udc00")], [])).toThrow("not well-formed");
  expect(() => diffStates([file("a", { linkName: "\udc00" })], [])).toThrow("not well-formed");
});

test("states of many files, and of long paths", () => {
  const deep = Array.from({ length: 2000 }, (_, depth) =>
    directory(
      Array(depth + 1)
        .fill("d")
        .join("/"),
    ),
  );
  expect(names(diffStates(deep, deep.slice(0, 1000), { opaque: true }))).toEqual([
    `${Array(1000).fill("d").join("/")}/.wh..wh..opq`,
  ]);
  const many = Array.from({ length: 50_000 }, (_, index) => file(`${index % 100}/${index}`));
  expect(diffStates(many, many.toReversed())).toEqual([]);
  expect(diffStates([], many).length).toBe(many.length);
  expect(applyLayer(many, [file(".wh..wh..opq")])).toEqual([]);
});

test("all of it works under Deno", async () => {
  const module = Bun.pathToFileURL(join(import.meta.dirname, "../wasm/index.ts")).href;
  const script = `import { applyLayer, diffStates, statesOfTar } from ${JSON.stringify(module)};
    const before = await statesOfTar([Uint8Array.fromBase64(${JSON.stringify((await archive("one")).toBase64())})]);
    const after = before.slice(1).map((each) => ({ ...each, mode: 0o600 }));
    const layer = diffStates(before, after);
    console.log(layer.map(({ name }) => name).join(), applyLayer(before, layer).length, typeof before[0].digest);`;
  const deno = join(import.meta.dirname, "../node_modules/.bin/deno");
  const { stdout, stderr } = Bun.spawnSync([deno, "run", "--quiet", "--no-lock", "--allow-read", "-"], {
    stdin: new TextEncoder().encode(script),
    env: { ...process.env, DENO_NO_UPDATE_CHECK: "1" },
  });
  expect([stdout.toString(), stderr.toString()]).toEqual(["d/.wh.f,d/g 1 string\n", ""]);
});
