/** What is different between two states of a directory, and the way back. @module */
import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { applyLayer, diffStates, type FileState } from "../lib/layer/index.ts";

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

test("a layer makes the one state of the other", () => {
  const name = fc.constantFrom("a", "b", "b-c", "é");
  const path = fc.array(name, { minLength: 1, maxLength: 4 });
  const leaf = fc.record({ path, size: fc.nat(2), isDirectory: fc.boolean() });
  const state = fc.array(leaf, { maxLength: 12 }).map((leaves) => {
    const files = new Map<string, FileState>();
    for (const { path: parts, size, isDirectory } of leaves) {
      const parents = parts.slice(1).map((_, depth) => parts.slice(0, depth + 1).join("/"));
      if (parents.some((parent) => files.has(parent) && files.get(parent)?.type !== "directory")) continue;
      for (const parent of parents) if (!files.has(parent)) files.set(parent, directory(parent));
      const whole = parts.join("/");
      if (!files.has(whole)) files.set(whole, isDirectory ? directory(whole) : file(whole, { size }));
    }
    return [...files.values()];
  });
  fc.assert(
    fc.property(state, state, fc.boolean(), (lower, upper, opaque) => {
      const layer = diffStates(lower, upper, { opaque });
      expect(applyLayer(lower, layer)).toEqual(applyLayer([], upper));
      expect(diffStates(upper, applyLayer(lower, layer))).toEqual([]);
    }),
    { numRuns: 1000 },
  );
});
