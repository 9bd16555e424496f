/**
 * Layers that want out of their directory, or all of a machine. Each is unpacked next to a victim, and then by an
 * unpacker that thinks of nothing, which shows that the attack is one.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, lstatSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { DEFAULT_LIMITS, unpackLayer, type UnpackLimits } from "../../lib/layer/index.ts";
import { failureOf } from "../support/failure.ts";
import { archive, directory, file, hardLink, layerOf, stateOf, symlink, xattrsOf } from "../support/layers.ts";
import type { Entry, LayerOptions } from "../support/layers.ts";
import { unpackNaively } from "../support/naive-unpack.ts";
import { Folder } from "../support/rootfs.ts";

const folders: Folder[] = [];
afterAll(() => folders.forEach((folder) => folder.remove()));

/** A directory to unpack to, with a victim beside it. */
function makeScene() {
  const folder = new Folder();
  folders.push(folder);
  folder.write("outside/victim", "safe");
  folder.directory("outside/inner", 0o700);
  Bun.spawnSync(["touch", "-d", "@1000000000", "outside/victim", "outside/inner", "outside"], { cwd: folder.path });
  const [out, outside] = [folder.directory("out"), join(folder.path, "outside")];
  const seen = () => (existsSync(outside) ? stateOf(outside) : []);
  return { out, outside, seen, before: seen() };
}

type Scene = ReturnType<typeof makeScene>;
const bad = "PWNED";

const escapes: [string, (scene: Scene) => Entry[]][] = [
  ["a name that leads up", () => [file("../outside/victim", bad)]],
  ["a name that leads up on its way", () => [directory("a"), file("a/../../outside/victim", bad)]],
  ["a directory's name that leads up", () => [directory("../outside/inner", { mode: 0o777 })]],
  ["an absolute name", ({ outside }) => [file(`${outside}/victim`, bad)]],
  ["a symlink above it", () => [symlink("l", "../outside"), file("l/victim", bad)]],
  ["a symlink above it that is absolute", ({ outside }) => [symlink("l", outside), file("l/victim", bad)]],
  [
    "a symlink that leads up from deep down",
    () => [directory("a/b"), symlink("a/b/l", "../../../outside"), file("a/b/l/victim", bad)],
  ],
  [
    "symlinks that lead up together",
    () => [directory("d"), symlink("d/a", ".."), symlink("d/b", "a/.."), file("d/b/outside/victim", bad)],
  ],
  ["a symlink to the end of it", () => [symlink("l", "../outside/victim"), file("l", bad)]],
  [
    "a symlink through a magic link",
    ({ outside }) => [symlink("l", `/proc/self/root${outside}`), file("l/victim", bad)],
  ],
  [
    "a symlink through an open directory",
    ({ outside }) => [symlink("l", `/proc/self/cwd/../../../../../../../../../..${outside}`), file("l/victim", bad)],
  ],
  [
    "a symlink that takes a directory's place",
    () => [directory("l"), symlink("l", "../outside"), file("l/victim", bad)],
  ],
  ["a hard link to above", () => [hardLink("h", "../outside/victim"), file("h", bad)]],
  ["a hard link to an absolute name", ({ outside }) => [hardLink("h", `${outside}/victim`), file("h", bad)]],
  ["a hard link through a symlink", () => [symlink("l", "../outside"), hardLink("h", "l/victim"), file("h", bad)]],
  ["a hard link to a symlink", () => [symlink("s", "../outside/victim"), hardLink("h", "s"), file("h", bad)]],
  ["a hard link below a symlink", () => [file("mine", bad), symlink("l", "../outside"), hardLink("l/new", "mine")]],
  ["a symlink below a symlink", () => [symlink("l", "../outside"), symlink("l/new", "x")]],
  ["a directory below a symlink", () => [symlink("l", "../outside"), directory("l/new")]],
  ["a directory that is a symlink", () => [symlink("l", "../outside/inner"), directory("l", { mode: 0o777 })]],
  [
    "a directory that is a symlink in the end",
    () => [directory("l", { mode: 0o777 }), symlink("l", "../outside/inner")],
  ],
  [
    "a directory that is below a symlink in the end",
    () => [directory("l/inner", { mode: 0o777 }), symlink("l", "../outside")],
  ],
  ["a whiteout of what is above", () => [file(".wh...")]],
  ["a whiteout of the directory above one", () => [symlink("d", "../outside"), file("d/.wh.victim")]],
  ["a whiteout with a name that leads up", () => [file("../outside/.wh.victim")]],
  ["an opaque one below a symlink", () => [symlink("l", "../outside"), file("l/.wh..wh..opq")]],
  ["a directory that an opaque one leads up to", () => [file("../outside/.wh..wh..opq")]],
];

describe("no way out:", () => {
  test.each(escapes)("%s", async (_, attack) => {
    const scene = makeScene();
    const tar = archive(...attack(scene));
    for (const compression of ["none", "gzip"] as const) {
      // refused or harmless
      await unpackLayer(layerOf(tar, { compression }), scene.out).catch((error: Error) => {
        expect(error).toMatchObject({ code: "image_invalid" });
      });
      expect(scene.seen()).toEqual(scene.before);
      expect(lstatSync(scene.out).isDirectory()).toBe(true);
      Bun.spawnSync(["find", scene.out, "-mindepth", "1", "-delete"]);
    }
    try {
      unpackNaively(tar, scene.out);
    } catch {
      // it may have broken something before it broke itself
    }
    expect(scene.seen()).not.toEqual(scene.before);
  });
});

describe("what only overlayfs may say does not come out of an archive:", () => {
  const text = (value: string) => new TextEncoder().encode(value);
  const lies = ["user.overlay.opaque", "user.overlay.redirect", "user.overlay.metacopy", "user.overlay.overlay.opaque"];
  test.each(lies)("%s", async (key) => {
    const { out } = makeScene();
    const entries = [
      directory("d", {
        xattrs: new Map([
          [key, text("y")],
          ["user.fine", text("y")],
        ]),
      }),
    ];
    await unpackLayer(layerOf(archive(...entries)), out);
    expect(xattrsOf(out)).toContain("user.fine");
    expect(xattrsOf(out)).not.toContain("overlay");
    const other = makeScene();
    unpackNaively(archive(...entries), other.out);
    expect(xattrsOf(other.out)).toContain(key);
  });

  test("a device that is a whiteout", async () => {
    const entries: Entry[] = [{ name: "shadow", type: "character device", major: 0, minor: 0 }];
    const { out } = makeScene();
    expect(await unpackLayer(layerOf(archive(...entries)), out)).toMatchObject({ leftOut: 1 });
    expect(existsSync(join(out, "shadow"))).toBe(false);
    const other = makeScene();
    unpackNaively(archive(...entries), other.out);
    expect(lstatSync(join(other.out, "shadow"))).toMatchObject({ rdev: 0, mode: 0o20644 });
  });
});

describe("a bomb goes off nowhere:", () => {
  const zeros = (length: number) => new Uint8Array(length);
  const many = <Each = Entry>(count: number, each: (index: number) => Each) =>
    Array.from({ length: count }, (_, index) => each(index));
  const xattrs = (count: number, length: number) =>
    new Map(many(count, String as never).map((_, index) => [`user.x${index}`, zeros(length).fill(65)]));
  const bombs: [string, Partial<UnpackLimits>, () => Entry[], LayerOptions["compression"]?][] = [
    ["too many entries", { entries: 100 }, () => many(101, (index) => file(`f${index}`))],
    ["too many bytes", { bytes: 200_000 }, () => many(5, (index) => file(`f${index}`, zeros(50_000)))],
    ["zeros that take no room", { ratio: 10, ratioFromBytes: 100_000 }, () => [file("z", zeros(500_000))], "gzip"],
    ["zeros of zstd", { ratio: 10, ratioFromBytes: 100_000 }, () => [file("z", zeros(500_000))], "zstd"],
    ["a long name", { nameBytes: 1000 }, () => [file("n/".repeat(600))]],
    ["a long link", { nameBytes: 1000 }, () => [symlink("l", "n/".repeat(600))]],
    ["a long hard link", { nameBytes: 1000 }, () => [hardLink("l", "n/".repeat(600))]],
    ["a large attribute", { xattrBytes: 100 }, () => [file("f", "", { xattrs: xattrs(1, 101) })]],
    ["directories to keep in mind", { directoryBytes: 10_000 }, () => many(40, (index) => directory(`d${index}`))],
    ["directories that a path implies", { directoryBytes: 10_000 }, () => [file(`${"d/".repeat(40)}f`)]],
    [
      "what is opaque",
      { directoryBytes: 10_000 },
      () => many(20, (index) => [directory(`d${index}`), file(`d${index}/.wh..wh..opq`)]).flat(),
    ],
    ["attributes to keep in mind", { directoryBytes: 2000 }, () => [directory("d", { xattrs: xattrs(3, 900) })]],
    ["names that are in each other's way", { repairs: 100 }, () => many(50, () => file("f"))],
    [
      "symlinks that lead through each other",
      { repairs: 100 },
      () => [...many(39, (index) => symlink(`l${index}`, `l${index + 1}`)), directory("l39"), file("l0/x")],
    ],
  ];
  test.each(bombs)("%s", async (_, limits, make, compression = "none") => {
    const tar = archive(...make());
    const error = await failureOf(() => unpackLayer(layerOf(tar, { compression }), makeScene().out, { limits }));
    expect(error).toMatchObject({ code: "image_invalid" });
    // without the limit
    const raised = Object.fromEntries(
      Object.keys(limits).map((key) => [key, DEFAULT_LIMITS[key as keyof UnpackLimits]]),
    );
    const unlimited = {
      ...raised,
      ...("xattrBytes" in limits || "directoryBytes" in limits ? {} : { nameBytes: 4095 }),
    };
    await unpackLayer(layerOf(tar, { compression }), makeScene().out, { limits: unlimited }).catch((each: Error) =>
      // what a link leads to need not be there
      expect(each.message).toMatch(/not there|not a directory|is missing/),
    );
  });

  test("the default limits let nobody fill a disk or a memory by a few bytes", () => {
    expect(DEFAULT_LIMITS).toMatchObject({
      bytes: 2 ** 38,
      entries: 4e6,
      ratio: 250,
      ratioFromBytes: 2 ** 32,
      nameBytes: 4095,
    });
  });

  test("a size that nothing stands behind takes no room", async () => {
    const { out } = makeScene();
    const huge = archive(file("huge", "", { size: 2 ** 52 }));
    expect(await failureOf(() => unpackLayer(layerOf(huge), out))).toMatchObject({ code: "image_invalid" });
    const cut = archive(file("large", "", { size: 2 ** 30 }));
    expect(await failureOf(() => unpackLayer(layerOf(cut), out))).toMatchObject({ code: "image_invalid" });
    expect(Bun.spawnSync(["du", "-s", out]).stdout.toString()).toMatch(/^\d{1,2}\t/);
  });

  test("a directory that is too deep for a path ends as an error, and can be removed", async () => {
    const { out } = makeScene();
    const deep = "d/".repeat(1000);
    const entries = [
      directory(deep),
      symlink("s", deep),
      directory(`s/${deep}`),
      symlink("t", `s/${deep}`),
      file(`t/${deep}x`),
    ];
    const error = await failureOf(() => unpackLayer(layerOf(archive(...entries)), out));
    expect(error).toMatchObject({ code: "image_invalid" });
    expect(Bun.spawnSync(["rm", "-rf", out]).exitCode).toBe(0);
  });

  test("a deep directory is removed in one go where a file takes its place", async () => {
    const { out } = makeScene();
    const deep = "d/".repeat(1900);
    await unpackLayer(layerOf(archive(file(`${deep}x`), file("d", "flat"))), out);
    expect(readFileSync(join(out, "d"), "utf8")).toBe("flat");
    expect(stateOf(out).length).toBe(2);
  });
});

test("a pipe or a device that has a file's name is not written to", async () => {
  const { out } = makeScene();
  await unpackLayer(layerOf(archive({ name: "p", type: "fifo" }, file("p", "x"))), out);
  expect(readFileSync(join(out, "p"), "utf8")).toBe("x");
});
