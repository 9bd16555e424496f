/** The archive of a layer that is made while files are copied: the same bytes as packing what was copied, or none. */
import { afterAll, describe, expect, test } from "bun:test";
import { linkSync, mkdirSync, symlinkSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import * as fc from "fast-check";
import { BuildFiles, type CopyOptions } from "../lib/build/files/index.ts";
import { packLayer, SortedArchive, type Packed } from "../lib/layer/index.ts";
import { archive, directory, file } from "./support/layers.ts";
import { asRoot } from "./support/machine.ts";
import { Folder } from "./support/rootfs.ts";

const folder = new Folder();
afterAll(() => folder.remove());
let made = 0;

type Files = Record<string, string>;

/** Text, `-> target` of a symlink; a path with a slash at its end is a directory. */
function contextOf(files: Files): string {
  const directory = folder.directory(`context${made++}`);
  for (const [path, content] of Object.entries(files)) {
    const at = join(directory, path);
    mkdirSync(path.endsWith("/") ? at : dirname(at), { recursive: true });
    if (content.startsWith("-> ")) symlinkSync(content.slice(3), at);
    else if (!path.endsWith("/")) writeFileSync(at, content);
  }
  return directory;
}

interface Result {
  archived: Packed | undefined;
  bytes: Buffer;
  packed: Packed;
  expected: Buffer;
}

/** @param isHashed files are read before they are copied */
async function copied(
  context: string,
  sources: string[],
  options: Partial<CopyOptions> = {},
  { lower = {}, isHashed = false }: { lower?: Files; isHashed?: boolean } = {},
): Promise<Result> {
  const files = new BuildFiles();
  const selection = await files.select({ layers: [context], isContext: true }, { sources });
  if (isHashed) await selection.digest();
  const upper = folder.directory(`upper${made++}`);
  const pieces: Buffer[] = [];
  const expected: Buffer[] = [];
  const archive = new SortedArchive((piece) => void pieces.push(Buffer.from(piece)));
  const target = { lower: { layers: [contextOf(lower)], isContext: false }, upper, archive };
  await files.copy(selection, target, { destination: "/", workingDirectory: "/", ...options });
  const archived = archive.end();
  const packed = await packLayer(upper, (piece) => void expected.push(Buffer.from(piece)));
  return { archived, bytes: Buffer.concat(pieces), packed, expected: Buffer.concat(expected) };
}

function expectSame({ archived, bytes, packed, expected }: Result): void {
  expect(archived).toEqual(packed);
  expect(bytes.equals(expected)).toBe(true);
}

const TREE: Files = {
  "a.txt": "a",
  b: "",
  "c/": "",
  "d/e": "x".repeat(700_000),
  "d/f/g": "y".repeat(512),
  "d/f.txt": "z",
  "d-e/h": "1",
  l: "-> ../../etc/passwd",
  "ü/ö": "2",
  z: "3".repeat(3_000_000),
};

describe.skipIf(!asRoot)("is the same as packing afterwards", () => {
  test.each<[string, Partial<CopyOptions>, Files]>([
    ["into the root", {}, {}],
    ["into directories that are made", { destination: "/srv/app/" }, {}],
    ["into directories that are there", { destination: "/srv/app/" }, { "srv/app/old": "1", "srv/other": "2" }],
    ["over files that are there", {}, { "a.txt": "old", "d/e": "old" }],
    ["through a symlink", { destination: "/link/x/" }, { "real/": "", link: "-> real" }],
    ["with an owner and a mode", { destination: "/x/", chown: "3:4", chmod: "2750" }, {}],
    ["without what is there", { destination: "/srv/x/", link: true }, { "srv/y": "1" }],
    ["with names of more than a header holds", { destination: `/${"n".repeat(120)}/${"ä".repeat(90)}/` }, {}],
  ])("%s", async (_, options, lower) => {
    const context = contextOf(TREE);
    utimesSync(join(context, "a.txt"), 1, 1_000_000_000.25);
    for (const isHashed of [false, true]) expectSame(await copied(context, ["."], options, { lower, isHashed }));
  });

  test("a file alone, and several in their order", async () => {
    const context = contextOf(TREE);
    expectSame(await copied(context, ["b"], { destination: "/x/y" }));
    expectSame(await copied(context, ["a.txt", "b", "z"], { destination: "/x/" }));
  });

  test("of an archive in which a file becomes a directory, it is none", async () => {
    const context = contextOf({});
    writeFileSync(
      join(context, "x.tar"),
      archive(directory("a"), file("a/b", "1"), directory("a/b"), file("a/b/c", "2")),
    );
    const { archived, packed } = await copied(context, ["x.tar"], { unpack: true });
    expect([archived, packed.entries]).toEqual([undefined, 3]);
  });

  test("of any tree, or it is none", async () => {
    const name = fc.constantFrom("a", "b", "a-", "a.b", "a0", "B", "é", "\u{1f600}", "\ufb01");
    const content = fc.oneof(fc.string({ maxLength: 1200 }), fc.constant("-> a"));
    const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("/"));
    const trees = fc.dictionary(path, content, { minKeys: 1, maxKeys: 12 }).map((files) => {
      const isAbove = (at: string) => Object.keys(files).some((other) => other.startsWith(`${at}/`));
      return Object.fromEntries(Object.entries(files).filter(([at]) => !isAbove(at)));
    });
    const property = fc.asyncProperty(
      trees,
      trees,
      fc.constantFrom("/", "/a/", "/a/b/"),
      async (files, lower, destination) => {
        const context = contextOf(files);
        const sources = Object.keys(files).map((at) => at.split("/")[0] as string);
        let result: Result;
        try {
          result = await copied(context, [...new Set(sources)], { destination }, { lower });
        } catch {
          // one kind over another
          return;
        }
        if (result.archived) expectSame(result);
      },
    );
    await fc.assert(property, { numRuns: 60 });
  });
});

describe.skipIf(!asRoot)("is none of", () => {
  test("sources in another order", async () => {
    const context = contextOf(TREE);
    for (const sources of [
      ["z", "b"],
      ["d", "a.txt"],
      ["d/f", "d"],
      ["b", "b"],
    ])
      expect((await copied(context, sources, { destination: "/x/" })).archived).toBeUndefined();
  });

  test("files with several names, holes, or a time that not every file system keeps", async () => {
    const context = contextOf({ "names/a": "1", old: "1" });
    linkSync(join(context, "names/a"), join(context, "names/b"));
    expect((await copied(context, ["names"])).archived).toBeUndefined();
    writeFileSync(join(context, "hole"), "x");
    truncateSync(join(context, "hole"), 2 ** 25);
    expect((await copied(context, ["hole"])).archived).toBeUndefined();
    utimesSync(join(context, "old"), 1, 5_000_000_000);
    expect((await copied(context, ["old"])).archived).toBeUndefined();
  });

  test("attributes", async () => {
    const context = contextOf({ a: "1" });
    const { exitCode } = Bun.spawnSync(["setfattr", "-n", "user.x", "-v", "1", join(context, "a")]);
    if (exitCode !== 0) return;
    const result = await copied(context, ["a"]);
    expect(result.archived).toBeUndefined();
    expect(result.packed.entries).toBe(1);
  });
});

test.skipIf(asRoot)("there is none where files cannot be given to those whom they are for", async () => {
  const result = await copied(contextOf({ a: "1" }), ["a"], { chown: "1:1" });
  expect(result.archived).toBeUndefined();
  expect(result.packed.entries).toBe(1);
});
