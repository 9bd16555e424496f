/** `.dockerignore`: which paths are left out. @module */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { cleanPath, excluding, readIgnore } from "../lib/dockerfile/index.ts";

const ignored = (text: string, paths: string) => {
  const ignore = readIgnore(text);
  return paths.split(" ").filter((path) => ignore.isIgnored(path));
};

describe("of", () => {
  test.each<[string, string, string]>([
    ["", "a a/b", ""],
    ["# a\n  \n#b", "a #b", ""],
    ["\uFEFFa\r\n  b  \n #c", "a b c #c", "a b #c"],
    ["a", "a a/b b/a ab", "a a/b"],
    ["/a", "a b/a", "a"],
    ["./a/../b/", "b a b/c", "b b/c"],
    [".", "a .", "."],
    ["..", "a ../a", "../a"],
    ["*", "a a/b .c", "a a/b .c"],
    ["*/a", "a b/a b/c/a b/a/d", "b/a b/a/d"],
    ["*.md", "a.md b/a.md .md a.mdx", "a.md .md"],
    ["a?c", "abc a/c ac abbc", "abc"],
    ["**", "a a/b", "a a/b"],
    ["**/a", "a b/a b/c/a/d ba", "a b/a b/c/a/d"],
    ["**a", "a ba b/ca b/c", "a ba b/ca"],
    ["**/*.go", "a.go b/a.go b/c/a.go a.c", "a.go b/a.go b/c/a.go"],
    ["a/**", "a a/b a/b/c ab/c", "a/b a/b/c"],
    ["a/**/b", "a/b a/x/b a/x/y/b ab a/xb", "a/b a/x/b a/x/y/b"],
    ["a**/b", "ab a/b ax/b a/x/b axx", "ab ax/b a/b a/x/b"],
    ["**/a/**", "a a/b x/a/b", "a/b x/a/b"],
    ["[a-c]x", "ax bx dx", "ax bx"],
    ["[^a-c]x", "ax dx", "dx"],
    ["[\\]]", "] [", "]"],
    ["\\*", "* a", "*"],
    ["a.c(d)|e{f}+$", "a.c(d)|e{f}+$ axc", "a.c(d)|e{f}+$"],
    ["ä?", "äö ä", "äö"],
    ["?", "𝒳 ab", "𝒳"],
    ["a\n!a/b", "a a/b a/c", "a a/c"],
    ["a\n!a/b\na/b/c", "a/b a/b/c a/b/d", "a/b/c"],
    ["*\n!a", "a a/b c", "c"],
    ["!a\na", "a", "a"],
    ["*.md\n!README*.md\nREADME-secret.md", "a.md README.md README-secret.md", "a.md README-secret.md"],
    ["**/x\n!**/x/keep", "a/x a/x/keep a/x/b", "a/x a/x/b"],
    ["! a", "a", ""],
    ["a\n!./a/", "a", ""],
  ])("%j", (text, paths, expected) => {
    expect(new Set(ignored(text, paths))).toEqual(new Set(expected.split(" ").filter((path) => path !== "")));
  });
});

test.each<[string, string[], string[]]>([
  ["a\nb\n!b/c/d", ["a", "b"], ["a"]],
  ["*\n!a/**/b", ["a", "a/x", "c"], ["c"]],
  ["*\n!**/b", ["a", "a/x"], []],
  ["*\n!a*/b?/c", ["ax", "ax/by", "ax/cy", "b"], ["b", "ax/cy"]],
  ["!a/b\na", ["a", "a/b"], ["a", "a/b"]],
  ["a\n!b", ["a", "c"], ["a"]],
])("directories that need not be read: %j", (text, directories, expected) => {
  const ignore = readIgnore(text);
  expect(new Set(directories.filter((path) => ignore.isIgnoredWhole(path)))).toEqual(new Set(expected));
});

test("--exclude is the same", () => {
  const ignore = excluding(["*.o", "!keep.o"]);
  expect(["a.o", "keep.o", "a.c"].map((path) => ignore.isIgnored(path))).toEqual([true, false, false]);
});

test.each([
  ["a\n[", ".dockerignore:2: "],
  ["[]a]", ".dockerignore:1: "],
  ["[a-", ".dockerignore:1: "],
  ["[-a]", ".dockerignore:1: "],
  ["[b-a]", ".dockerignore:1: "],
  ["a\\", ".dockerignore:1: "],
  ["!", ".dockerignore:1: "],
  ["!/../", ".dockerignore:1: "],
  ["a\n".repeat(10_001), ".dockerignore:10000: "],
])("%j is refused", (text, message) => {
  expect(() => readIgnore(text)).toThrow(message);
});

test("paths are cleaned as Go does, and relative", () => {
  const cleaned = ["", ".", "/", "a/", "./a//b/.", "a/../b", "/../a", "../../a", "a/../.."].map(cleanPath);
  expect(cleaned).toEqual(["", ".", ".", "a", "a/b", "b", "a", "../../a", ".."]);
});

/** Milliseconds that `act` takes. */
function timeOf(act: () => unknown): number {
  const start = performance.now();
  act();
  return performance.now() - start;
}

test("a pattern that an expression takes for ever over is done with at once", () => {
  const ignore = readIgnore(`${"*a".repeat(30)}b\n${"**/a".repeat(30)}/b\n${"a*".repeat(1000)}b`);
  const ours = timeOf(() => {
    expect(ignore.isIgnored("a".repeat(255))).toBe(false);
    expect(ignore.isIgnored(`${"a/".repeat(200)}c`)).toBe(false);
  });
  // what an expression takes over far less
  const theirs = timeOf(() => expressionOf(`${"*a".repeat(5)}b`).test("a".repeat(110)));
  expect(theirs).toBeGreaterThan(30);
  expect(ours).toBeLessThan(4_000);
});

/** The same language as an expression, which is fine for short texts. */
function expressionOf(pattern: string): RegExp {
  const source = pattern.replace(/\[[^]*?\]|\*\*\/?$|\*\*\/?|\*|\?|[.+()|{}$^]/g, (token, at: number) => {
    if (token.startsWith("**")) return at + token.length === pattern.length ? ".*" : "(?:.*/)?";
    if (token.startsWith("[")) return token;
    return token === "*" ? "[^/]*" : token === "?" ? "[^/]" : `\\${token}`;
  });
  return new RegExp(`^${source}$`, "su");
}

const part = fc.constantFrom("a", "b", "*", "?", "**", ".", "[ab]", "[^a]");
const pattern = fc
  .array(fc.array(part, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 4 })
  .map((parts) => cleanPath(parts.map((each) => each.join("").replace(/\*{3,}/g, "**")).join("/")))
  // `**x` also ends names: a table above has it
  .filter((written) => !/^\*\*[^/]/.test(written) && written !== ".");
const path = fc
  .array(fc.stringMatching(/^[ab.]{1,3}$/), { minLength: 1, maxLength: 4 })
  .map((names) => cleanPath(names.join("/")))
  .filter((cleaned) => !/^\.\.?(?:\/|$)/.test(cleaned));

test("whatever the patterns, paths match as by expressions, in whichever order they come", () => {
  const patterns = fc.array(fc.tuple(fc.boolean(), pattern), { minLength: 1, maxLength: 6 });
  fc.assert(
    fc.property(patterns, fc.array(path, { minLength: 1, maxLength: 6 }), (written, paths) => {
      const lines = written.map(([isException, text]) => (isException ? `!${text}` : text));
      const ignore = readIgnore(lines.join("\n"));
      const expressions = written.map(([, text]) => expressionOf(text));
      const isLeftOut = (each: string) => {
        const names = each.split("/");
        const ways = names.map((_, at) => names.slice(0, at + 1).join("/"));
        const last = expressions.findLastIndex((expression) => ways.some((way) => expression.test(way)));
        return last >= 0 && !written[last]?.[0];
      };
      for (const each of paths) expect([lines, each, ignore.isIgnored(each)]).toEqual([lines, each, isLeftOut(each)]);
      for (const directory of paths.filter((each) => ignore.isIgnoredWhole(each)))
        for (const each of [directory, ...paths.map((below) => `${directory}/${below}`)])
          expect([lines, directory, each, isLeftOut(each)]).toEqual([lines, directory, each, true]);
    }),
    { numRuns: 2_000 },
  );
});

test("thousands of patterns, or of directories above, are done with at once", () => {
  const directories = readIgnore(`${"**/a/".repeat(100)}b`);
  expect(directories.isIgnored(`${"a/".repeat(2000)}c`)).toBe(false);
  expect(directories.isIgnored(`${"a/".repeat(2000)}b`)).toBe(true);
  const names = Array.from({ length: 10_000 }, (_, at) => `**/x${at}*`);
  const many = readIgnore(names.join("\n"));
  const paths = Array.from({ length: 5_000 }, (_, at) => `a/b/c/${at % 2 === 0 ? "x" : "y"}${at}`);
  expect(paths.filter((each) => many.isIgnored(each)).length).toBe(2_500);
});
