/** The list of differences, and the cases themselves, without any engine. @module */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CASES } from "./case.ts";
import { readDifferences } from "./differences.ts";
import "./cases/index.ts";

const names = CASES.map(({ name }) => name);
const differences = readDifferences();

test("there are two hundred cases and more, each with a name of its own", () => {
  expect(names.length).toBeGreaterThanOrEqual(200);
  expect(names.filter((name, at) => names.indexOf(name) !== at)).toEqual([]);
});

test("each difference is of a case that is there, is listed once, and has a reason", () => {
  expect(differences.filter((each) => !names.includes(each.case))).toEqual([]);
  const keys = differences.map((each) => `${each.engine}: ${each.case}`);
  expect(keys.filter((key, at) => keys.indexOf(key) !== at)).toEqual([]);
  expect(differences.filter(({ why }) => why.length < 10)).toEqual([]);
});

test("every row of the list is read", () => {
  const text = readFileSync(join(import.meta.dir, "differences.md"), "utf8");
  const rows = text.split("\n").filter((line) => line.startsWith("| ") && !/^\| (case|-+) \|/.test(line));
  expect(differences.length).toBe(rows.length);
});

test("all commands of containers and volumes have cases", () => {
  const folder = join(import.meta.dir, "cases");
  const text = [...new Bun.Glob("*.ts").scanSync(folder)]
    .map((name) => readFileSync(join(folder, name), "utf8"))
    .join();
  const verbs =
    "create start run ps exec attach logs stop kill restart pause unpause rm rename wait top stats inspect port update cp diff export commit events";
  expect(verbs.split(" ").filter((verb) => !text.includes(`"${verb}"`))).toEqual([]);
  for (const verb of ["create", "ls", "inspect", "rm", "prune"]) expect(text).toContain(`"volume", "${verb}"`);
});
