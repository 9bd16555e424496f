/** Layers become files: all that an entry says of one, compared with what GNU tar and bsdtar make of it. */
import { afterAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import * as fc from "fast-check";
import { digestOf } from "../lib/image/index.ts";
import { adoptDirectories, LayerThreads, unpackLayer } from "../lib/layer/index.ts";
import type { LayerSource, UnpackOptions } from "../lib/layer/index.ts";
import { subordinateMaps } from "../lib/launch/index.ts";
import { failureOf } from "./support/failure.ts";
import { archive, directory, file, hardLink, layerOf, piecesOf, stateOf, symlink, xattrsOf } from "./support/layers.ts";
import type { Entry, LayerOptions } from "./support/layers.ts";
import { asRoot, testUnless } from "./support/machine.ts";
import { descendants, descriptors, eventually, reapOrphans } from "./support/processes.ts";
import { Folder } from "./support/rootfs.ts";

const folder = new Folder();
afterAll(() => {
  Bun.spawnSync(["chmod", "-R", "u+rwx", folder.path]);
  folder.remove();
});
let made = 0;
const fresh = (): string => folder.directory(`out-${made++}`);
const rootOnly = asRoot ? undefined : "needs root";
const noSubordinateIds = existsSync("/usr/bin/newuidmap") ? undefined : "newuidmap is not installed";
const userOnly = asRoot ? "about ordinary users" : undefined;

async function unpack(entries: Entry[] | Uint8Array, options: LayerOptions & UnpackOptions = {}) {
  const out = fresh();
  const tar = Array.isArray(entries) ? archive(...entries) : entries;
  const result = await unpackLayer(layerOf(tar, options), out, options);
  const text = (name: string) => readFileSync(join(out, name), "utf8");
  return { out, result, text, names: names(out) };
}
const names = (path: string): string[] =>
  sh("find . -mindepth 1 -printf '%P\\n'", path).split("\n").slice(0, -1).toSorted();

const sh = (script: string, cwd = folder.path): string => {
  const { exitCode, stdout, stderr } = Bun.spawnSync(["sh", "-ec", script], {
    cwd,
    env: { PATH: process.env["PATH"]!, LC_ALL: "C" },
  });
  if (exitCode !== 0) throw new Error(stderr.toString());
  return stdout.toString();
};

/** A tree with all that a layer may have in it. */
function makeTree(): string {
  const tree = folder.directory("tree");
  if (existsSync(join(tree, "dir"))) return tree;
  sh(
    `
    mkdir -p dir/sub empty private locked sticky
    echo content >dir/file
    head -c 3000000 /dev/urandom >dir/sub/large
    : >dir/nothing
    printf '#!/bin/sh\\n' >script && chmod 755 script
    echo suid >suid && chmod 4755 suid
    echo sgid >sgid && chmod 2711 sgid
    ln script dir/hard && ln suid dir/sub/hard2
    ln -s ../script dir/link && ln -s /absolute/target abs && ln -s missing dangling
    mkfifo pipe && chmod 622 pipe
    echo secret >private/key && chmod 600 private/key && chmod 700 private
    chmod 1777 sticky && chmod 2775 empty
    truncate -s 5M sparse && printf middle | dd of=sparse bs=1 seek=2000000 conv=notrunc status=none
    truncate -s 1M hole
    long=$(printf 'n%.0s' $(seq 200)); mkdir -p $long/$long; echo long >$long/$long/$long; ln -s $long/$long/$long to-long
    printf 'latin' >"$(printf 'caf\\351')"; mkdir "$(printf 'dir-\\377')"; echo in >"$(printf 'dir-\\377/f')"
    echo utf8 >ünï; echo space >'a b
c'
    ln -s file old; touch -h -d @-1000.5 old; touch -h -d @1600000000.123456789 dir/file dir/link; touch -d @1500000000.987654321 dir/sub
    touch -d @1400000000.5 dir private locked
    chmod 555 locked; chmod 400 dir/nothing
  `,
    tree,
  );
  if (asRoot)
    sh(
      "chown 1234:4321 dir/file dir/sub; chown -h 7:8 dir/link; mknod null c 1 3; mknod loop b 7 300; chmod 666 null",
      tree,
    );
  Bun.spawnSync(["setfattr", "-n", "user.note", "-v", "a value", join(tree, "dir/file")]);
  Bun.spawnSync(["setfattr", "-n", "user.dir", "-v", "of a directory", join(tree, "dir")]);
  Bun.spawnSync(["setfattr", "-n", "user.ro", "-v", "read-only", join(tree, "script")]);
  if (asRoot) Bun.spawnSync(["setcap", "cap_net_raw+ep", join(tree, "script")]);
  return tree;
}

describe("what GNU tar packed is what it unpacks", () => {
  test.each(["gnu", "posix", "oldgnu"])("%s", async (format) => {
    const words = ["--sparse", "--xattrs", "--xattrs-include=*"].slice(0, format === "posix" ? 3 : 1);
    const tar = Bun.spawnSync(["tar", "-c", `--format=${format}`, ...words, "-C", makeTree(), "."]).stdout;
    const theirs = fresh();
    const extract = ["tar", "-x", "-p", "--delay-directory-restore", ...words.slice(1), "-C", theirs];
    expect(Bun.spawnSync(extract, { stdin: new Uint8Array(tar) }).exitCode).toBe(0);
    for (const compression of ["none", "gzip", "zstd"] as const) {
      const { out, result } = await unpack(new Uint8Array(tar), { compression, pieceBytes: 100_003 });
      expect(stateOf(out)).toEqual(stateOf(theirs));
      if (format === "posix") expect(xattrsOf(out)).toEqual(xattrsOf(theirs));
      expect(result).toMatchObject({ bytes: tar.length, implied: [], isOpaque: false });
    }
    expect(xattrsOf(makeTree())).toContain("user.note");
    const blocks = (name: string) => lstatSync(join(theirs, name)).blocks;
    expect(blocks("sparse")).toBeLessThan(1000);
  });

  test("holes stay holes", async () => {
    const tar = Bun.spawnSync(["tar", "-c", "--sparse", "--format=posix", "-C", makeTree(), "sparse", "hole"]).stdout;
    const { out } = await unpack(new Uint8Array(tar));
    expect(lstatSync(join(out, "hole"))).toMatchObject({ size: 2 ** 20, blocks: 0 });
    expect(lstatSync(join(out, "sparse")).blocks).toBeLessThan(1000);
  });
});

describe("what bsdtar packed is what it unpacks", () => {
  test.each(["pax", "gnutar", "ustar"])("%s", async (format) => {
    // bsdtar leaves out what its formats cannot hold, and says so
    const words = ["-c", "-f", "-", "--format", format, "--no-xattrs", "--no-acls", "--no-fflags", "-C", makeTree()];
    const { stdout: tar } = Bun.spawnSync(["bsdtar", ...words, "dir", "suid", "pipe", "locked", "abs", "empty"]);
    const theirs = fresh();
    expect(
      Bun.spawnSync(["bsdtar", "-x", "-p", "-C", theirs, "-f", "-"], { stdin: new Uint8Array(tar) }).exitCode,
    ).toBe(0);
    const { out } = await unpack(new Uint8Array(tar), { compression: "gzip" });
    chmodSync(theirs, 0o755);
    const top = (lines: string[]) => lines.slice(1); // no entry is for it
    expect(top(stateOf(out))).toEqual(top(stateOf(theirs)));
  });
});

test("pieces may have any size", async () => {
  const tar = archive(directory("d"), file("d/a", "x".repeat(2000)), symlink("l", "d/a"), file("e", "y"));
  const whole = stateOf((await unpack(tar, { compression: "gzip" })).out, { times: "files" });
  for (const pieceBytes of [1, 7, 513])
    for (const compression of ["none", "gzip", "zstd"] as const)
      expect(stateOf((await unpack(tar, { compression, pieceBytes })).out, { times: "files" })).toEqual(whole);
});

test("times of directories and symlinks are kept to the nanosecond", async () => {
  const mtime = { seconds: 1_234_567_890, nanoseconds: 123_456_789 };
  const before = { seconds: -10, nanoseconds: 1 };
  const { out } = await unpack([
    directory("./", { mtime }),
    directory("d", { mtime }),
    directory("d/e", { mtime: before }),
    { ...symlink("d/l", "x"), mtime },
    file("d/e/f", "x", { mtime: before }),
  ]);
  const time = (name: string) => sh(`stat -c %.9Y '${join(out, name)}'`).trim();
  for (const name of ["", "d", "d/l"]) expect(time(name)).toBe("1234567890.123456789");
  for (const name of ["d/e", "d/e/f"]) expect(time(name)).toBe("-9.999999999");
});

test("a layer of many files and one of large ones come out whole", async () => {
  const many = Array.from({ length: 12_000 }, (_, index) => file(`d${index % 50}/f${index}`, `content ${index}`));
  const { out, result } = await unpack(many, { compression: "zstd" });
  expect(result.entries).toBe(12_000);
  expect(names(out).length).toBe(12_050);
  for (const index of [0, 4095, 4096, 11_999])
    expect(readFileSync(join(out, `d${index % 50}/f${index}`), "utf8")).toBe(`content ${index}`);
  const large = new Uint8Array(9_000_000).map((_, at) => (at * 7919) >> 5);
  const { out: other } = await unpack([file("large", large), file("after", "x")]);
  expect(digestOf(readFileSync(join(other, "large")))).toBe(digestOf(large));
  expect(readFileSync(join(other, "after"), "utf8")).toBe("x");
});

describe("of entries that are in each other's way", () => {
  const cases: [string, Entry[], string[]][] = [
    ["the last of two files counts", [file("a", "one"), file("a", "two")], ["a f two"]],
    [
      "a file takes the place of a directory, with all in it",
      [directory("a"), file("a/b/c"), file("a", "x")],
      ["a f x"],
    ],
    ["a directory takes the place of a file", [file("a", "x"), directory("a"), file("a/b", "y")], ["a d", "a/b f y"]],
    ["a directory stays, and what is in it", [directory("a"), file("a/b", "x"), directory("a")], ["a d", "a/b f x"]],
    [
      "a directory takes the place of a symlink",
      [directory("d"), symlink("a", "d"), directory("a"), file("a/b", "x")],
      ["a d", "a/b f x", "d d"],
    ],
    ["a file takes the place of a symlink", [file("t", "t"), symlink("a", "t"), file("a", "x")], ["a f x", "t f t"]],
    ["a symlink takes the place of a directory", [directory("a"), file("a/b"), symlink("a", "z")], ["a l z"]],
    ["a hard link takes the place of a file", [file("t", "t"), file("a", "x"), hardLink("a", "t")], ["a f t", "t f t"]],
    ["a link to itself changes nothing", [file("a", "x"), hardLink("a", "a")], ["a f x"]],
    ["the same link twice is one", [file("t", "t"), hardLink("a", "t"), hardLink("a", "t")], ["a f t", "t f t"]],
    ["a link may be to a symlink itself", [symlink("s", "gone"), hardLink("a", "s")], ["a l gone", "s l gone"]],
    [
      "a file goes through a symlink of the same layer",
      [directory("usr/lib"), symlink("lib", "usr/lib"), file("lib/x", "x")],
      ["lib l usr/lib", "usr d", "usr/lib d", "usr/lib/x f x"],
    ],
    [
      "an absolute symlink begins at the layer",
      [directory("r"), symlink("l", "/r"), file("l/x", "x")],
      ["l l /r", "r d", "r/x f x"],
    ],
    [
      "what a symlink leads to is made where it is missing",
      [symlink("l", "far/away"), file("l/x", "x")],
      ["far d", "far/away d", "far/away/x f x", "l l far/away"],
    ],
    [
      "where a symlink led is forgotten when it is replaced",
      [
        directory("d"),
        directory("e"),
        symlink("l", "d"),
        file("l/x", "x"),
        file("y", "y"),
        file("l/z", "z"),
        symlink("l", "e"),
        file("l/x", "X"),
        file("e/y", "Y"),
        file("l/z", "Z"),
      ],
      ["d d", "d/x f x", "d/z f z", "e d", "e/x f X", "e/y f Y", "e/z f Z", "l l e", "y f y"],
    ],
    [
      "a directory that went while it was written to is made anew",
      [directory("d"), symlink("s", "."), file("d/a"), file("s/d/b"), file("d", "x"), directory("d"), file("d/c", "c")],
      ["d d", "d/c f c", "s l ."],
    ],
    ["absolute names are the layer's", [file("/etc/x", "x")], ["etc d", "etc/x f x"]],
    ["dots and slashes mean nothing", [file(".//a/./b//../c", "x")], ["a d", "a/c f x"]],
  ];
  test.each(cases)("%s", async (_, entries, expected) => {
    const { out } = await unpack(entries);
    const state = stateOf(out, { owners: false, times: "none" }).slice(1);
    const found = state.map((line) => {
      const [name = "", type = "", , , , target = ""] = line.split(" ");
      return [name, type, type === "f" ? readFileSync(join(out, name), "utf8") : target].join(" ").trim();
    });
    expect(found).toEqual(expected);
  });

  test("a way through symlinks is found once", async () => {
    const links = Array.from({ length: 30 }, (_, at) => symlink(`l${at + 1}`, `l${at}`));
    const files = Array.from({ length: 100 }, (_, at) => [file(`l30/a${at}`), file(`b${at}`)]);
    const { out } = await unpack([directory("l0"), ...links, ...files.flat()], { limits: { repairs: 2_000 } });
    expect(readdirSync(join(out, "l0")).length).toBe(100);
  });

  test("a directory that is missing costs the same at any depth", async () => {
    const deep = "d/".repeat(300);
    const files = Array.from({ length: 50 }, (_, at) => file(`${deep}${at}/f`));
    const { out } = await unpack(files, { limits: { repairs: 3_000 } });
    expect(readdirSync(join(out, deep)).length).toBe(50);
  });

  test.each<[string, Entry[], string]>([
    ["below a file there is nothing", [file("a"), file("a/b")], "not a directory"],
    ["a hard link to what is not there", [hardLink("a", "b")], "not there"],
    ["a hard link to a directory", [directory("d"), hardLink("a", "d")], "is a directory"],
    ["symlinks that go around", [symlink("a", "b"), symlink("b", "a"), file("a/x")], "symlinks"],
    ["a file without a name", [file("./")], "without a name"],
    ["a symlink to nothing", [symlink("a", "")], "link to nothing"],
  ])("%s is an error", async (_, entries, message) => {
    const error = await failureOf(() => unpack(entries));
    expect(error).toMatchObject({ code: "image_invalid" });
    expect(error.message).toContain(message);
  });
});

describe("whiteouts", () => {
  const isWhiteout = (path: string) => lstatSync(path).isCharacterDevice() && lstatSync(path).rdev === 0;
  const opaque = (path: string) =>
    sh(`getfattr --absolute-names --only-values -n user.overlay.opaque '${path}' 2>/dev/null || true`);

  test("become overlayfs's own", async () => {
    const { out, result } = await unpack([file(".wh.top"), directory("d"), file("d/.wh.gone"), file("n/.wh.deep")]);
    for (const name of ["top", "d/gone", "n/deep"]) expect(isWhiteout(join(out, name))).toBe(true);
    expect(names(out)).toEqual(["d", "d/gone", "n", "n/deep", "top"]);
    expect(result.implied).toEqual(["", "n"]);
  });

  test("an opaque one makes its directory opaque; at the top, the layer", async () => {
    const { out, result } = await unpack([directory("d"), file("d/.wh..wh..opq"), file("d/a"), file("i/.wh..wh..opq")]);
    expect([opaque(join(out, "d")), opaque(join(out, "i")), opaque(out)]).toEqual(["y", "y", ""]);
    expect(result.isOpaque).toBe(false);
    expect((await unpack([file(".wh..wh..opq"), file("a")])).result.isOpaque).toBe(true);
  });

  test.each<[string, Entry[]]>([
    ["behind it", [directory("d"), file("d/x"), file(".wh.d"), file("f"), file(".wh.f")]],
    ["in front of it", [file(".wh.d"), directory("d"), file("d/x"), file(".wh.f"), file("f")]],
    ["in front of what only implies it", [file(".wh.d"), file("d/x"), file(".wh.f"), file("f")]],
    [
      "in front of what a file was first",
      [file(".wh.d"), file("d"), directory("d"), file("d/x"), file("f"), file(".wh.f")],
    ],
  ])("hide what is below, not their own layer: %s", async (_, entries) => {
    const { out } = await unpack(entries);
    expect(names(out)).toEqual(["d", "d/x", "f"]);
    expect(lstatSync(join(out, "f")).isFile()).toBe(true);
    expect(opaque(join(out, "d"))).toBe("y");
  });

  test("what AUFS kept for itself is left out", async () => {
    const { names: found } = await unpack([
      directory(".wh..wh.plnk"),
      file(".wh..wh.plnk/1.2"),
      file(".wh..wh.aufs"),
      file("a"),
    ]);
    expect(found).toEqual(["a"]);
  });

  test.each([".wh.", ".wh..", ".wh...", "d/.wh.", "d/.wh..", "d/.wh...", ".wh.d/x"])("%j is none", async (name) => {
    expect(await failureOf(() => unpack([file(name)]))).toMatchObject({ code: "image_invalid" });
  });

  testUnless(rootOnly, "an overlay of the layers shows what is left", async () => {
    const lower = await unpack([
      directory("d"),
      file("d/a", "below"),
      file("d/b"),
      directory("o"),
      file("o/x"),
      file("gone"),
    ]);
    const upper = await unpack([
      file(".wh.gone"),
      file("d/.wh.b"),
      directory("o"),
      file("o/.wh..wh..opq"),
      file("o/y"),
    ]);
    const merged = fresh();
    sh(`mount -t overlay -o userxattr,lowerdir=${upper.out}:${lower.out} overlay ${merged}`);
    try {
      expect(names(merged)).toEqual(["d", "d/a", "o", "o/y"]);
    } finally {
      sh(`umount ${merged}`);
    }
  });
});

describe("directories that no entry is for", () => {
  test("are told, and are plain", async () => {
    const { out, result } = await unpack([
      file("a/b/c"),
      directory("a/d"),
      file("x/y"),
      directory("x", { mode: 0o700 }),
    ]);
    expect(result.implied).toEqual(["", "a", "a/b"]);
    expect(["", "a", "a/b"].map((name) => lstatSync(join(out, name)).mode & 0o7777)).toEqual([0o755, 0o755, 0o755]);
    expect(lstatSync(join(out, "x")).mode & 0o7777).toBe(0o700);
  });

  test("become those of the layers below, unless they are hidden there", async () => {
    const mtime = { seconds: 1_000_000_000, nanoseconds: 5 };
    const xattrs = new Map([["user.note", new TextEncoder().encode("x")]]);
    const base = await unpack([
      directory("./", { mode: 0o711, mtime }),
      directory("a", { mode: 0o750, mtime, xattrs, ...(asRoot ? { uid: 12, gid: 34 } : {}) }),
      directory("a/b", { mode: 0o1777, mtime }),
      directory("h", { mode: 0o700 }),
      directory("h/i", { mode: 0o700 }),
      directory("w", { mode: 0o700 }),
      symlink("s", "a"),
      directory("o", { mode: 0o750 }),
      directory("o/p", { mode: 0o700 }),
      directory("p", { mode: 0o700 }),
    ]);
    const middle = await unpack([
      file(".wh.w"),
      file("h"),
      directory("o"),
      file("o/.wh..wh..opq"),
      directory("p", { mode: 0o770 }),
    ]);
    const top = await unpack([file("a/b/c"), file("h/i/x"), file("w/x"), file("s/x"), file("o/p/x"), file("p/x")]);
    adoptDirectories(top.out, [middle.out, base.out], top.result.implied);
    const modes = Object.fromEntries(
      ["", "a", "a/b", "h", "h/i", "w", "s", "o", "o/p", "p"].map((name) => [
        name,
        (lstatSync(join(top.out, name)).mode & 0o7777).toString(8),
      ]),
    );
    // the middle one's own directory is nearer
    expect(modes).toEqual({
      "": "755",
      a: "750",
      "a/b": "1777",
      h: "755",
      "h/i": "755",
      w: "755",
      s: "755",
      o: "755",
      "o/p": "755",
      p: "770",
    });
    expect(sh(`stat -c '%.9Y %u:%g' ${top.out}/a ${base.out}/a`).split("\n").slice(0, 2)).toEqual(
      Array(2).fill(`1000000000.000000005 ${asRoot ? "12:34" : `${process.geteuid!()}:${process.getegid!()}`}`),
    );
    expect(xattrsOf(join(top.out, "a"))).toContain("user.note");
    expect(sh(`stat -c %.9Y ${top.out}/a/b`)).toBe("1000000000.000000005\n");
  });
});

describe("a layer that is not what it should be", () => {
  const tar = archive(directory("d"), file("d/a", "x".repeat(5000)));
  const other = digestOf("other");
  const attempt = (change: Partial<LayerSource>, options: LayerOptions = { compression: "gzip" }) =>
    failureOf(() => unpackLayer({ ...layerOf(tar, options), ...change }, fresh()));

  test("other bytes than its digest's, or another tar than its diffId's, are told", async () => {
    expect(await attempt({ digest: other })).toMatchObject({ code: "digest_mismatch" });
    expect(await attempt({ diffId: other })).toMatchObject({ code: "digest_mismatch" });
    for (const change of [{ digest: other }, { diffId: other }])
      expect(await attempt(change, { compression: "none" })).toMatchObject({ code: "digest_mismatch" });
  });

  test("a size that is not the announced one is told", async () => {
    const { sizeBytes } = layerOf(tar, { compression: "gzip" });
    for (const off of [-1, 1])
      expect(await attempt({ sizeBytes: sizeBytes + off })).toMatchObject({ code: "digest_mismatch" });
  });

  test.each(["none", "gzip", "zstd"] as const)("one that ends early is told: %s", async (compression) => {
    const { stored } = {
      stored:
        compression === "none"
          ? tar
          : compression === "gzip"
            ? Bun.gzipSync(tar as never)
            : Bun.zstdCompressSync(tar as never),
    };
    const cut = stored.subarray(0, Math.floor(stored.length / 2));
    const source = {
      pieces: piecesOf(cut, 1000),
      compression,
      digest: digestOf(cut),
      sizeBytes: cut.length,
      diffId: other,
    };
    const error = await failureOf(() => unpackLayer(source, fresh()));
    expect(["image_invalid", "digest_mismatch"]).toContain(error.code);
  });

  test("noise, and a compression that it has not, are told", async () => {
    const noise = crypto.getRandomValues(new Uint8Array(5000));
    for (const compression of ["none", "gzip", "zstd"] as const) {
      const source = {
        pieces: piecesOf(noise, 1000),
        compression,
        digest: digestOf(noise),
        sizeBytes: 5000,
        diffId: digestOf(noise),
      };
      expect(await failureOf(() => unpackLayer(source, fresh()))).toMatchObject({ code: "image_invalid" });
    }
    expect(await attempt({ compression: "zstd" })).toMatchObject({ code: "image_invalid" });
  });

  test("a source that fails and a signal that fires end it", async () => {
    const broken = async function* () {
      yield Bun.gzipSync(tar as never).subarray(0, 50);
      throw new Error("the connection is gone");
    };
    const cut = unpackLayer({ ...layerOf(tar, { compression: "gzip" }), pieces: broken() }, fresh());
    await expect(cut).rejects.toThrow("is gone");
    const stopped = unpackLayer(layerOf(tar), fresh(), { signal: AbortSignal.abort(new Error("enough")) });
    await expect(stopped).rejects.toThrow("enough");
  });

  testUnless(rootOnly, "a disk that is full is told as such", async () => {
    const small = fresh();
    sh(`mount -t tmpfs -o size=64k tmpfs ${small}`);
    try {
      const full = layerOf(archive(file("a", new Uint8Array(300_000))));
      expect(await failureOf(() => unpackLayer(full, small))).toMatchObject({ code: "store_unavailable", errno: 28 });
    } finally {
      sh(`umount ${small}`);
    }
  });

  test("nothing is left of the process that writes, nor of what it had open", async () => {
    const open = () => readdirSync("/proc/self/fd").length;
    const children = () => readFileSync(`/proc/self/task/${process.pid}/children`, "utf8").split(" ").length;
    await unpack([file("a")]);
    const before = { open: open(), children: children() };
    for (let round = 0; round < 10; round++) {
      await unpack([file("a"), file("b/c"), symlink("s", "b"), file("s/d"), file("a", "again")]);
      await attempt({ digest: other });
      await failureOf(() => unpack([file("a"), file("a/b")]));
    }
    // others open and close a few as well; what is left each time would be ten
    expect(children()).toBeLessThan(before.children + 10);
    expect(open()).toBeLessThan(before.open + 10);
  });
});

describe("rights", () => {
  testUnless(rootOnly, "owners, devices, capabilities and setuid bits are those of the archive", async () => {
    const { out, result } = await unpack([
      file("s", "x", { uid: 1000, gid: 5, mode: 0o6755 }),
      { name: "null", type: "character device", mode: 0o666, major: 1, minor: 3, uid: 3, gid: 4 },
      { name: "b", type: "block device", mode: 0o660, major: 259, minor: 70_000, uid: 0, gid: 6 },
      { name: "p", type: "fifo", mode: 0o4711, uid: 0, gid: 0 },
    ]);
    expect(sh("stat -c '%n %a %u:%g %F %t:%T' s null b p", out).split("\n").slice(0, 4)).toEqual([
      "s 6755 1000:5 regular file 0:0",
      "null 666 3:4 character special file 1:3",
      "b 660 0:6 block special file 103:11170",
      "p 4711 0:0 fifo 0:0",
    ]);
    expect(result.leftOut).toBe(0);
  });

  testUnless(userOnly, "without root, all is the user's, and devices are left out", async () => {
    const { out, result } = await unpack([
      file("s", "x", { uid: 0, gid: 0, mode: 0o755 }),
      { name: "null", type: "character device", mode: 0o666, major: 1, minor: 3 },
      file("after", "y", {
        xattrs: new Map([
          ["trusted.x", Uint8Array.of(1)],
          ["user.x", Uint8Array.of(2)],
        ]),
        mode: 0o444,
      }),
    ]);
    expect(names(out)).toEqual(["after", "s"]);
    expect(lstatSync(join(out, "s")).uid).toBe(process.geteuid!());
    expect(xattrsOf(out)).toContain("user.x");
    expect(lstatSync(join(out, "after")).mode & 0o777).toBe(0o444);
    expect(result.leftOut).toBe(2);
  });

  testUnless(
    userOnly ?? noSubordinateIds,
    "with subordinate ids, owners are those of the archive in a namespace",
    async () => {
      const ids = subordinateMaps(process.geteuid!(), process.getegid!());
      const entries = [
        file("root", "x", { uid: 0, gid: 0 }),
        directory("d", { uid: 5, gid: 6 }),
        file("d/a", "x", { uid: 1, gid: 2, mode: 0o4755 }),
        file(".wh.gone"),
      ];
      const { out } = await unpack(entries, { ids });
      const [uids, gids] = [ids.uidMappings[1]!.hostID, ids.gidMappings[1]!.hostID];
      expect(sh("stat -c '%n %a %u:%g' root d gone", out).split("\n").slice(0, 2)).toEqual([
        `root 644 ${process.geteuid!()}:${process.getegid!()}`,
        `d 755 ${uids + 4}:${gids + 5}`,
      ]);
      const inside = ["unshare", "--user", "--map-root-user", "--map-auto"];
      expect(Bun.spawnSync([...inside, "stat", "-c", "%a %u:%g", join(out, "d/a")]).stdout.toString()).toBe(
        "4755 1:2\n",
      );
      Bun.spawnSync([...inside, "rm", "-rf", out]);
      expect(existsSync(out)).toBe(false);
      // the memory that was shared is still this user's to look at
      expect(lstatSync("/proc/self/environ").uid).toBe(process.geteuid!());
    },
  );

  testUnless(userOnly, "with one id, owners that cannot be had are left out", async () => {
    const one = (hostID: number) => [{ containerID: 0, hostID, size: 1 }];
    const ids = { uidMappings: one(process.geteuid!()), gidMappings: one(process.getegid!()) };
    const { out } = await unpack([file("a", "x", { uid: 5, gid: 6 }), file("b", "x", { uid: 0, gid: 0 })], { ids });
    for (const name of ["a", "b"]) expect(lstatSync(join(out, name)).uid).toBe(process.geteuid!());
  });

  testUnless(rootOnly, "of a user namespace, ids are those of its maps", async () => {
    const maps = [{ containerID: 0, hostID: 300_000, size: 1000 }];
    const ids = { uidMappings: maps, gidMappings: maps };
    const entries = [
      directory("d", { uid: 5, gid: 6 }),
      file("d/a", "x", { uid: 7, gid: 8, mode: 0o4755 }),
      file("r", "x", { uid: 0, gid: 0 }),
      { name: "null", type: "character device" as const, mode: 0o666, major: 1, minor: 3 },
      file(".wh.gone"),
    ];
    const { out, result } = await unpack(entries, { ids });
    expect(sh("stat -c '%n %a %u:%g' . d d/a r", out).split("\n").slice(0, 4)).toEqual([
      ". 755 300000:300000",
      "d 755 300005:300006",
      "d/a 4755 300007:300008",
      "r 644 300000:300000",
    ]);
    expect(names(out)).toEqual(["d", "d/a", "gone", "r"]);
    expect(result.leftOut).toBe(1);
    expect(await failureOf(() => unpack([file("a", "", { uid: 1000 })], { ids }))).toMatchObject({
      code: "unsupported",
    });
    expect(lstatSync("/proc/self/environ").uid).toBe(0);
  });

  test("what the directory above hands down stays away", async () => {
    const parent = folder.directory(`handed-${made++}`, 0o2777);
    if (asRoot) sh(`chgrp 777 ${parent}; chmod 2777 ${parent}`);
    const out = join(parent, "out");
    mkdirSync(out);
    await unpackLayer(layerOf(archive(directory("d"), file("d/a"), file("b"))), out);
    for (const name of ["", "d", "d/a", "b"]) {
      if (asRoot && name !== "") expect(lstatSync(join(out, name)).gid).toBe(0);
      expect(lstatSync(join(out, name)).mode & 0o7000).toBe(0);
    }
  });

  test("the caller's file mode mask changes nothing", async () => {
    const before = process.umask(0o077);
    try {
      const { out } = await unpack([file("a", "x", { mode: 0o666 }), directory("d", { mode: 0o777 })]);
      expect([lstatSync(join(out, "a")).mode & 0o777, lstatSync(join(out, "d")).mode & 0o777]).toEqual([0o666, 0o777]);
      writeFileSync(join(out, "mine"), "");
      expect(lstatSync(join(out, "mine")).mode & 0o777).toBe(0o600);
    } finally {
      process.umask(before);
    }
  });
});

/** What a tree of entries comes to, in memory: a symlink in a path is followed, whatever has an entry's name goes. */
class Model {
  readonly root = new Map<string, Node>();

  add({ name, type = "file", content = "", linkName = "" }: Entry): boolean {
    const parts = String(name).split("/");
    const own = parts.pop() as string;
    const parent = this.#directory(parts);
    if (!parent) return false;
    const there = parent.get(own);
    /** What an entry replaces must not be what led to it. */
    const put = (node: Node): boolean => {
      parent.delete(own);
      const isStillThere = there === undefined || this.#directory(parts, false) === parent;
      parent.set(own, node);
      return isStillThere;
    };
    if (type === "directory") return there instanceof Map || put(new Map());
    if (type === "hard link") {
      const [from, base] = [String(linkName).split("/"), String(linkName).split("/").pop() as string];
      const around = this.#directory(from.slice(0, -1), false);
      const target = around?.get(base);
      if (target !== undefined && parent.get(own) === target) return true;
      if (target === undefined || target instanceof Map) return false;
      // what is in the directory that it would replace goes with that
      if (there instanceof Map && around && holds(there, around)) return false;
      return put(target);
    }
    return put(type === "symlink" ? { to: String(linkName) } : { content: String(content) });
  }

  #directory(parts: string[], make = true): Map<string, Node> | undefined {
    let left = [...parts];
    let at: { name: string; node: Map<string, Node> }[] = [{ name: "", node: this.root }];
    for (let steps = 0; left.length > 0; steps++) {
      if (steps > 2000) return undefined;
      const name = left.shift() as string;
      const here = (at.at(-1) as (typeof at)[0]).node;
      if (name === "" || name === ".") continue;
      if (name === "..") {
        if (at.length > 1) at.pop();
        continue;
      }
      let node = here.get(name);
      if (node === undefined && make) here.set(name, (node = new Map()));
      if (node instanceof Map) at.push({ name, node });
      else if (node && "to" in node) {
        if (node.to.startsWith("/")) at = at.slice(0, 1);
        left = [...node.to.split("/"), ...left];
      } else return undefined;
    }
    return at.at(-1)?.node;
  }

  lines(node = this.root, above = ""): string[] {
    return [...node].flatMap(([name, each]) => {
      const path = `${above}${name}`;
      if (each instanceof Map) return [`${path} d`, ...this.lines(each, `${path}/`)];
      return ["to" in each ? `${path} l ${each.to}` : `${path} f ${each.content}`.trim()];
    });
  }
}
type Node = Map<string, Node> | { to: string } | { content: string };

const holds = (directory: Map<string, Node>, wanted: Map<string, Node>): boolean =>
  directory === wanted || [...directory.values()].some((each) => each instanceof Map && holds(each, wanted));

test("any entries come to what they come to in memory, in any pieces", async () => {
  const name = fc.constantFrom("a", "b", "c");
  const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/"));
  const target = fc.oneof(
    path,
    path.map((to) => `../${to}`),
    path.map((to) => `/${to}`),
    fc.constantFrom(".", "..", "../../.."),
  );
  const entry = fc.oneof(
    fc.record({ name: path, content: fc.constantFrom("", "x", "yy") }),
    path.map((each) => directory(each)),
    fc.tuple(path, target).map(([each, to]) => symlink(each, to)),
    fc.tuple(path, path).map(([each, to]) => hardLink(each, to)),
  );
  const property = fc.asyncProperty(
    fc.array(entry, { maxLength: 14 }),
    fc.integer({ min: 100, max: 3000 }),
    async (entries, pieceBytes) => {
      const model = new Model();
      const isSound = entries.every((each) => model.add(each));
      const out = fresh();
      try {
        await unpackLayer(layerOf(archive(...entries), { pieceBytes }), out);
      } catch (error) {
        expect(error).toMatchObject({ code: "image_invalid" });
        expect(isSound).toBe(false);
        return;
      }
      expect(isSound).toBe(true);
      const found = sh("find . -mindepth 1 -printf '%P %y %l\\n'", out).split("\n").slice(0, -1);
      const lines = found.map((line) => {
        const [each = "", type, to] = line.split(" ");
        return `${each} ${type} ${type === "f" ? readFileSync(join(out, each), "utf8") : to}`.trim();
      });
      expect(lines.toSorted()).toEqual(model.lines().toSorted());
    },
  );
  await fc.assert(property, { numRuns: 150 });
}, 60_000);

describe("several layers at once", () => {
  const tars = Array.from({ length: 5 }, (_, index) =>
    archive(
      directory("d"),
      ...Array.from({ length: 40 * (index + 1) }, (__, each) => file(`d/f${each}`, `${index} `.repeat(2000))),
    ),
  );
  const sources = () => tars.map((tar) => layerOf(tar, { compression: "gzip" }));
  const open = () => readdirSync("/proc/self/fd").length;
  const threadsFor = (layers: readonly LayerSource[], maxThreads: number) =>
    new LayerThreads(
      layers.map(({ sizeBytes }) => sizeBytes),
      { maxThreads, bytesPerThread: 1 },
    );

  test.each([0, 1, 3])("come to the same with %d threads", async (maxThreads) => {
    const layers = sources();
    await using threads = threadsFor(layers, maxThreads);
    const unpacked = layers.map(async (source) => {
      const [directory, told] = [fresh(), [] as number[]];
      const onProgress = (bytes: number) => void told.push(bytes);
      return { directory, told, result: await threads.unpack(source, directory, { onProgress }) };
    });
    for (const [index, { directory, told, result }] of (await Promise.all(unpacked)).entries()) {
      const tar = tars[index] as Uint8Array;
      expect(result).toMatchObject({ bytes: tar.length, entries: 40 * (index + 1) + 1 });
      expect(told.at(-1)).toBe(layers[index]?.sizeBytes as number);
      const alone = (await unpack(tar)).out;
      expect(stateOf(directory, { times: "files" })).toEqual(stateOf(alone, { times: "files" }));
    }
  });

  test("one that fails, or is aborted, leaves the others of its thread alone, and nothing behind", async () => {
    {
      await using threads = threadsFor(sources(), 1);
      await Promise.all(sources().map((source) => threads.unpack(source, fresh())));
    }
    const before = open();
    {
      const layers = sources();
      const slow = async function* ({ pieces }: LayerSource) {
        for await (const piece of pieces) {
          await Bun.sleep(20);
          yield piece;
        }
      };
      const [lies, endless, ...others] = layers as [LayerSource, LayerSource, ...LayerSource[]];
      await using threads = threadsFor(layers, 1);
      const results = await Promise.allSettled([
        threads.unpack({ ...lies, diffId: digestOf("other") }, fresh()),
        threads.unpack({ ...endless, pieces: slow(endless) }, fresh(), { signal: AbortSignal.timeout(5) }),
        ...others.map((source) => threads.unpack(source, fresh())),
      ]);
      const wanted = layers.map((_, index) => (index < 2 ? ("rejected" as const) : ("fulfilled" as const)));
      expect(results.map(({ status }) => status)).toEqual(wanted);
      expect(results[0]).toMatchObject({ reason: { code: "digest_mismatch" } });
      expect(results[1]).toMatchObject({ reason: { name: "TimeoutError" } });
    }
    await Bun.sleep(200);
    expect(open()).toBeLessThanOrEqual(before);
  });

  test("a thread that dies is told of, by layers that wait for it as well", async () => {
    const [source] = sources() as [LayerSource];
    const threads = threadsFor([source], 1);
    const never = async function* () {
      for await (const piece of source.pieces) yield piece;
      await Bun.sleep(300);
    };
    const [directory, before, processes] = [fresh(), descriptors(), descendants().length];
    const unpacking = threads.unpack({ ...source, pieces: never() }, directory);
    await Bun.sleep(100);
    await threads[Symbol.asyncDispose]();
    // a thread that dies closes nothing: the process that it had make the files ends with its socket
    for (const [fd, to] of descriptors())
      if (!before.has(fd) && (to.startsWith("socket:") || to === directory)) closeSync(fd);
    expect(await eventually(() => (reapOrphans(), descendants().length <= processes))).toBe(true);
    expect(await failureOf(() => unpacking)).toMatchObject({
      code: "system",
      message: expect.stringContaining("thread"),
    });
  });
});
