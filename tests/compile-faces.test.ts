/** The binary's imports, past the faces of folders. @module */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { withoutFaces } from "../lib/cli/compile-faces.ts";

const FILES = {
  "lib/a/index.ts": `export { one, two as second, type Three } from "./numbers.ts";
export type { Four } from "./numbers.ts";
export * from "./all.ts";
export { far } from "../b/index.ts";
export const own = 1;
`,
  "lib/a/numbers.ts": "export const one = 1, two = 2; export type Three = 3; export type Four = 4;",
  "lib/a/all.ts": "export const every = 1; export function each() {} export interface All {}",
  "lib/b/index.ts": `export {
  near as far,
} from "./near.ts";
`,
  "lib/b/near.ts": "export const near = 1;",
};

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "tsbox-faces-"));
  for (const [path, content] of Object.entries(FILES)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), content);
  }
});
afterAll(() => rmSync(root, { recursive: true }));

test.each([
  ['import { one } from "../a/index.ts";', 'import { one as one } from "./../a/numbers.ts";'],
  ['import { second as x } from "../a/index.ts";', 'import { two as x } from "./../a/numbers.ts";'],
  ['import { every } from "../a/index.ts";', 'import { every as every } from "./../a/all.ts";'],
  ['import { far } from "../a/index.ts";', 'import { near as far } from "./../b/near.ts";'],
  ['export { far as near } from "../b/index.ts";', 'export { near as near } from "./../b/near.ts";'],
  ['import { own } from "../a/index.ts";', 'import { own as own } from "./../a/index.ts";'],
  [
    'import {\n  one,\n  type Three,\n  each,\n} from "../a/index.ts";',
    'import { one as one } from "./../a/numbers.ts"; import { each as each } from "./../a/all.ts";',
  ],
  ['import { type Three } from "../a/index.ts";', ""],
])("%j", (source, expected) => expect(withoutFaces(join(root, "lib/c/c.ts"), source)).toBe(expected));

test.each([
  'import type { Three } from "../a/index.ts";',
  'import * as a from "../a/index.ts";',
  'const { one } = await import("../a/index.ts");',
  'import { one } from "../a/numbers.ts";',
])("%j stays as it is", (source) => expect(withoutFaces(join(root, "lib/c/c.ts"), source)).toBe(source));
