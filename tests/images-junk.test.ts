/** What nobody should hand over to `engine.images`: an error of the library's own, and nothing done. @module */
import { afterAll, expect, test } from "bun:test";
import { join } from "node:path";
import { Tsbox, TsboxError } from "../lib/index.ts";
import type { Images } from "../lib/images/index.ts";
import { JUNK } from "./support/junk.ts";
import { Folder } from "./support/rootfs.ts";

const folder = new Folder();
afterAll(() => folder.remove());
const engine = new Tsbox({ root: join(folder.path, "store") });
afterAll(() => engine[Symbol.dispose]());

type Junk = never;
const NOWHERE = "127.0.0.1:1/app";
const archive = new Uint8Array(1024);
/** Each gets one of them. */
const CALLS: Record<string, (images: Images, junk: Junk) => Promise<unknown>> = {
  ...Object.fromEntries(
    (["inspect", "history", "exists", "remove", "unpack", "pushAll"] as const).map((verb) => [
      verb,
      (images: Images, junk: Junk) => images[verb](junk),
    ]),
  ),
  "pull, platform": (images, junk) => images.pull(NOWHERE, { platform: junk }),
  "tag, from": (images, junk) => images.tag(junk, "app"),
  "tag, to": (images, junk) => images.tag("app", junk),
  save: (images, junk) => images.save(junk),
  "save, one": (images, junk) => images.save([junk]),
  load: (images, junk) => images.load(junk),
  commit: (images, junk) => images.commit(junk, junk),
  ...Object.fromEntries(
    ["signal", "onProgress", "platform", "reference", "changes", "message", "author"].map((option) => [
      `import, ${option}`,
      (images: Images, junk: Junk) => images.import(archive, { [option]: junk }),
    ]),
  ),
  ...Object.fromEntries(
    ["dangling", "label", "notLabel", "reference", "before", "since", "until", "all"].map((option) => [
      `prune, ${option}`,
      (images: Images, junk: Junk) => images.prune({ [option]: junk }),
    ]),
  ),
};

test.each(Object.entries(CALLS))("%s", async (_, call) => {
  const wrong: string[] = [];
  for (const [name, junk] of JUNK) {
    const failure = await call(engine.images, junk as Junk).then(
      () => undefined,
      (error: unknown) => error,
    );
    if (failure !== undefined && !(failure instanceof TsboxError)) wrong.push(`${name}: ${String(failure)}`);
  }
  expect(wrong).toEqual([]);
});

test("what is no flag does not force, nor mean all", async () => {
  await engine.images.import(archive, { reference: "app" });
  for (const junk of ["false", 0, null, []] as Junk[]) {
    for (const attempt of [engine.images.remove("app", { force: junk }), engine.images.prune({ all: junk })])
      expect(await attempt.catch((error: TsboxError) => error.code)).toBe("invalid_option");
  }
  expect(await engine.images.exists("app")).toBe(true);
});

test("an option that is misspelt is refused, and what is nearly it named", async () => {
  const { images } = engine;
  const kept = await images.list();
  const bad = (options: object) => options as never;
  for (const [misspelt, work] of [
    ["platfrom", (options) => images.pull(NOWHERE, options)],
    ["platfrom", (options) => images.pullAll(NOWHERE, options)],
    ["registery", (options) => images.push("app", options)],
    ["registery", (options) => images.pushAll("app", options)],
    ["signl", (options) => images.unpack("app", options)],
    ["formt", (options) => images.save(["app"], options)],
    ["platfrom", (options) => images.load(archive, options)],
    ["refrence", (options) => images.import(archive, options)],
    ["refrence", (options) => images.commit(undefined, folder.path, options)],
    ["dangeling", (options) => images.list(options)],
    ["labels", (options) => images.prune(options)],
    ["forced", (options) => images.remove("app", options)],
    ["olderThen", (options) => engine.pruneBuildCache(options)],
    ["rot", async (options) => new Tsbox(options)],
  ] as [string, (options: never) => Promise<unknown>][]) {
    const error = (await work(bad({ [misspelt]: "x" })).catch((failure: unknown) => failure)) as TsboxError;
    expect([error.code, error.message]).toEqual([
      "invalid_option",
      expect.stringMatching(new RegExp(`^use the option "${misspelt}" of \\S+: unknown$`)),
    ]);
    expect(error.hint).toMatch(/^did you mean \w+\? known: \w+/);
  }
  expect(await images.list()).toEqual(kept);
});
