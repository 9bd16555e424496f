/** All cases, put to the engine that `ENGINE` names. @module */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { noBusybox, noLimits, notRoot, SLOW } from "../support/machine.ts";
import { Folder } from "../support/rootfs.ts";
import { CASES, Context, type Case } from "./case.ts";
import { readDifferences, type Difference } from "./differences.ts";
import { engineMissing, engineName, startEngine, type Engine } from "./engine.ts";
import { makeArchive } from "./images.ts";
import "./cases/index.ts";

const NEEDS = { limits: noLimits, freezer: noLimits, root: notRoot };
const TIMEOUT_MS = 60_000 * SLOW;
const missing = noBusybox ?? engineMissing();
const listed = readDifferences().filter(({ engine }) => engine === engineName());

let engine: Engine;
let folder: Folder;

if (missing === undefined) {
  beforeAll(async () => {
    folder = new Folder();
    engine = await startEngine(folder);
    const context = new Context(engine, folder, 0);
    await context.ok("load", "--input", makeArchive(folder));
  }, TIMEOUT_MS);

  afterAll(async () => {
    const context = new Context(engine, folder, 0);
    const left = await context.call(["ps", "--all", "--quiet"]);
    const volumes = await context.call(["volume", "ls", "--quiet"]);
    await context.clean();
    await engine[Symbol.asyncDispose]();
    Bun.spawnSync(["chmod", "-R", "u+rwx", folder.path]); // overlayfs makes directories that nobody may enter
    folder.remove();
    expect([left.stdout, volumes.stdout]).toEqual(["", ""]);
  }, TIMEOUT_MS);
}

describe(engineName(), () => {
  for (const [at, each] of CASES.entries()) {
    const reason = missing ?? (each.needs && NEEDS[each.needs]);
    const difference = listed.find(({ case: name }) => name === each.name);
    const title = `${each.name}${difference ? " (differs)" : ""}${reason ? ` (skipped: ${reason})` : ""}`;
    test.skipIf(reason !== undefined)(title, () => tryOut(each, at + 1, difference), TIMEOUT_MS);
  }
});

/** Where a difference is listed, it has to be there, and to look as the list says. */
async function tryOut(each: Case, number: number, difference: Difference | undefined): Promise<void> {
  const context = new Context(engine, folder, number);
  const failure = await each.body(context).then(
    () => undefined,
    (error: unknown) => error,
  );
  await context.clean();
  if (difference === undefined) {
    if (failure !== undefined && process.env["E2E_VERBOSE"]) console.log(context.told.join("\n"));
    if (failure !== undefined) throw failure;
    return;
  }
  if (difference.isSometimes && failure === undefined) return;
  expect([each.name, failure === undefined ? "does as Docker" : "differs"]).toEqual([each.name, "differs"]);
  expect(`${context.told.join("\n")}\n${String(failure)}`).toContain(difference.prints);
}
