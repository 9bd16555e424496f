/** Layers as EROFS images: what is in them, what the kernel makes of them, and what hostile archives come to. @module */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { indexLayer, mountImage, type IndexOptions } from "../lib/erofs/index.ts";
import { imageOf } from "../lib/erofs/image.ts";
import { Node } from "../lib/erofs/node.ts";
import { digestOf } from "../lib/image/index.ts";
import { unpackLayer } from "../lib/layer/index.ts";
import { close } from "../syscalls/index.ts";
import { filesOf, type Found } from "./support/erofs.ts";
import { archive, directory, file, hardLink, layerOf, stateOf, symlink, xattrsOf } from "./support/layers.ts";
import type { Entry, Name } from "./support/layers.ts";
import { asRoot, testUnless } from "./support/machine.ts";

let folder = "";
let count = 0;
const fresh = (): string => join(folder, String(count++));
beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), "tsbox-erofs-"))));
afterAll(() => rmSync(folder, { recursive: true }));

const filesystems = readFileSync("/proc/filesystems", "utf8");
const noMounts = asRoot
  ? /\berofs$/m.test(filesystems)
    ? undefined
    : "the kernel has no EROFS"
  : "images are mounted by root";
const noLoops = noMounts ?? (readdirSync("/dev").includes("loop-control") ? undefined : "there are no loop devices");

async function index(tar: Uint8Array, options?: IndexOptions): Promise<string> {
  const image = fresh();
  expect(await indexLayer(layerOf(tar, { compression: "gzip", pieceBytes: 1000 }), image, options)).toBeDefined();
  return image;
}

const filesIn = async (...entries: Entry[]): Promise<Map<string, Found>> =>
  filesOf(readFileSync(await index(archive(...entries))));

/** Paths, with the type of each. */
async function namesIn(...entries: Entry[]): Promise<string[]> {
  const found = [...(await filesIn(...entries))].filter(([path]) => path !== "");
  return found.map(([path, { mode }]) => `${path} ${(mode >> 12).toString(8)}`).toSorted();
}

/** With an image mounted: a path of its root. */
async function mounted<T>(image: string, work: (root: string) => T | Promise<T>, loop = false): Promise<T> {
  const fd = mountImage(image, { loop });
  try {
    return await work(`/proc/${process.pid}/fd/${fd}/.`);
  } finally {
    close(fd);
  }
}

const long = "n".repeat(255);
const many = Array.from({ length: 3000 }, (_, number) => file(`many/file ${number}`, String(number)));
/** One of everything. */
const ALL: Entry[] = [
  directory("", { mode: 0o755, mtime: { seconds: 1_000_000_001, nanoseconds: 1 } }),
  directory("usr", { mode: 0o3771 }),
  file("usr/program", "#!".repeat(40_000), { mode: 0o4755, mtime: { seconds: 12, nanoseconds: 123_456_789 } }),
  file("empty"),
  file("before 1970", "x", { mtime: { seconds: -5, nanoseconds: 5 } }),
  file("block", "b".repeat(512)),
  file("more than a block", "b".repeat(513)),
  symlink("short", "usr/program"),
  symlink("long", `${"d/".repeat(2000)}x`),
  hardLink("same", "usr/program"),
  hardLink("short too", "short"),
  file(Uint8Array.of(0x66, 0xff, 0xfe), "not UTF-8"),
  file("\u{1f600}", "above U+FFFF"),
  file("\uffee", "below"),
  file("!", "before the dot"),
  directory(long),
  file(`${long}/${long}`, "long"),
  directory("many"),
  ...many,
  directory("empty directory"),
  { name: "pipe", type: "fifo", mode: 0o640 },
  file("attributes", "", {
    xattrs: new Map([
      ["user.one", new Uint8Array([1])],
      ["user.large", new Uint8Array(3000).fill(7)],
    ]),
  }),
  directory("of a directory", { xattrs: new Map([["user.d", new Uint8Array(700).fill(65)]]) }),
];
const DEVICES: Entry[] = [
  { name: "disk", type: "block device", mode: 0o660, major: 4000, minor: 70_000 },
  { name: "null", type: "character device", mode: 0o666, major: 1, minor: 3 },
  file("capable", "", {
    xattrs: new Map([["security.capability", Buffer.from("0100000200200000000000000000000000000000", "hex")]]),
  }),
  file("owned", "", { uid: 70_000, gid: 4_000_000_000 }),
];

test("an image has what the archive has", async () => {
  const files = await filesIn(...ALL);
  expect(files.size).toBe(ALL.length);
  expect(files.get("usr/program")).toMatchObject({ mode: 0o104755, links: 2, mtime: 12, size: 80_000 });
  expect(files.get("same")?.nid).toBe(files.get("usr/program")?.nid as number);
  expect(files.get("before 1970")).toMatchObject({ mtime: -5, content: "x" });
  expect(files.get("f\xff\xfe")?.content).toBe("not UTF-8");
  expect(files.get("long")?.content).toHaveLength(4001);
  expect(files.get("many/file 2999")?.content).toBe("2999");
  expect(files.get("many")?.links).toBe(2);
  expect(files.get("")?.links).toBe(2 + 5);
});

for (const loop of [false, true]) {
  testUnless(
    loop ? noLoops : noMounts,
    `what is mounted is what is unpacked${loop ? ", by a loop device" : ""}`,
    async () => {
      const tar = archive(...ALL, ...DEVICES);
      const unpacked = fresh();
      mkdirSync(unpacked);
      await unpackLayer(layerOf(tar), unpacked);
      await mounted(
        await index(tar),
        (root) => {
          expect(stateOf(root)).toEqual(stateOf(unpacked));
          const sorted = (text: string) => text.split("\n\n").toSorted();
          expect(sorted(xattrsOf(root))).toEqual(sorted(xattrsOf(unpacked)));
        },
        loop,
      );
    },
  );
}

describe("holes", () => {
  test.each([
    ["of GNU tar", "gnu"],
    ["of pax", "posix"],
  ])("%s are none of the image's bytes", async (_, format) => {
    const from = fresh();
    mkdirSync(from);
    Bun.spawnSync(
      [
        "sh",
        "-c",
        "printf begin >s; truncate -s 30M s; printf middle | dd of=s bs=4096 seek=100 conv=notrunc; printf end >>s; truncate -s 1M hole",
      ],
      { cwd: from, stderr: "ignore" },
    );
    const tar = Bun.spawnSync(["tar", `--format=${format}`, "-S", "-cf", "-", "s", "hole"], { cwd: from }).stdout;
    const image = readFileSync(await index(tar));
    expect(image.length).toBeLessThan(1024 * 1024);
    const files = filesOf(image);
    expect(Buffer.from(files.get("s")?.content ?? "", "latin1").equals(readFileSync(join(from, "s")))).toBe(true);
    expect(files.get("hole")?.size).toBe(2 ** 20);
  });

  test("parts that do not begin at blocks are for unpacking", async () => {
    const records = {
      "GNU.sparse.major": "0",
      "GNU.sparse.minor": "1",
      "GNU.sparse.size": "2000",
      "GNU.sparse.map": "7,3",
    };
    const pax = Object.entries(records).map(([key, value]) => {
      const rest = ` ${key}=${value}\n`;
      return `${rest.length + 2}${rest}`;
    });
    const header = archive(file("pax", pax.join(""))).slice(0, 1024);
    header[156] = 0x78;
    header.fill(0x20, 148, 156);
    const sum = header.subarray(0, 512).reduce((total, byte) => total + byte, 0);
    header.set(new TextEncoder().encode(`${sum.toString(8).padStart(6, "0")}\0 `), 148);
    const tar = Buffer.concat([header, archive(file("sparse", "abc"))]);
    expect(await indexLayer(layerOf(tar), fresh())).toBeUndefined();
  });
});

describe("entries in each other's way", () => {
  test.each<[string, Entry[], string[]]>([
    ["the last of two files", [file("a", "1"), file("a", "22")], ["a 10"]],
    ["a file over a directory", [directory("a"), file("a/b"), file("a")], ["a 10"]],
    [
      "a directory over a file",
      [file("a"), file("a/b")].slice(0, 1).concat(directory("a"), file("a/b")),
      ["a 4", "a/b 10"],
    ],
    ["a directory again", [directory("a"), file("a/b"), directory("a")], ["a 4", "a/b 10"]],
    ["parents that are missing", [file("a/b/c")], ["a 4", "a/b 4", "a/b/c 10"]],
    [
      "a symlink in the path",
      [directory("real"), symlink("link", "real"), file("link/x")],
      ["link 12", "real 4", "real/x 10"],
    ],
    ["a link's file that goes", [file("a"), hardLink("b", "a"), symlink("a", "x")], ["a 12", "b 10"]],
    ["a link to itself", [file("a"), hardLink("a", "a")], ["a 10"]],
    ["names that mean little", [file("/./a//b/../c")], ["a 4", "a/c 10"]],
  ])("%s", async (_, entries, expected) => {
    expect(await namesIn(...entries)).toEqual(expected);
  });
});

describe("hostile archives", () => {
  const outside: [string, Entry[]][] = [
    ["an absolute symlink as a parent", [symlink("out", "/etc"), file("out/passwd", "theirs")]],
    ["a symlink above the root as a parent", [symlink("out", "../../../etc"), file("out/passwd", "theirs")]],
    ["a symlink to the root", [symlink("out", "/"), file("out/etc/passwd", "theirs")]],
    ["an absolute name", [file("/etc/passwd", "theirs")]],
  ];
  test.each(outside)("%s stays inside", async (_, entries) => {
    const files = await filesIn(...entries);
    expect(files.get("etc/passwd")?.content).toBe("theirs");
  });

  test.each<[string, Entry[], RegExp]>([
    ["..", [file("../x")], /leads out/],
    [".. in the middle", [file("a/../../x")], /leads out/],
    ["a hard link to nowhere", [hardLink("a", "b")], /is not there/],
    ["a hard link out", [hardLink("a", "../../etc/passwd")], /leads out/],
    ["a hard link out by a symlink", [symlink("out", "/etc"), hardLink("a", "out/passwd")], /missing/],
    ["a hard link to a directory", [directory("d"), hardLink("a", "d")], /is a directory/],
    ["a file as a parent", [file("f"), file("f/x")], /not a directory/],
    ["symlinks in a circle", [symlink("a", "b"), symlink("b", "a"), file("a/x")], /too many symlinks/],
    ["a name of 256 bytes", [file("x".repeat(256))], /255 bytes/],
    ["a name of 256 bytes as a parent", [file(`${"é".repeat(128)}/x`)], /255 bytes/],
    ["a path of 5000 bytes", [file("x/".repeat(2500) + "y")], /4095 bytes/],
    ["a symlink of 5000 bytes", [symlink("x", "y".repeat(5000))], /4095 bytes/],
    ["a file below a whiteout", [file(".wh.d/x")], /means a whiteout/],
    ["a whiteout of nothing", [file(".wh..")], /of no file/],
    ["a root that is a file", [file("./")], /without a name/],
    ["a device that no kernel has", [{ name: "d", type: "block device", major: 70_000, minor: 1 }], /a device/],
  ])("%s is refused", async (_, entries, message) => {
    const image = fresh();
    const failure = await indexLayer(layerOf(archive(...entries)), image).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: "image_invalid", message: expect.stringMatching(message) as string });
    expect(() => filesOf(readFileSync(image))).toThrow("no superblock");
  });

  test("limits hold", async () => {
    const entries = Array.from({ length: 50 }, (_, number) => file(String(number), "x".repeat(600)));
    for (const limits of [{ entries: 49 }, { bytes: 20_000 }, { nameBytes: 1 }, { repairs: 3 }]) {
      const deep = limits.repairs ? [file("a/b/c/d/e")] : entries;
      const failure = await indexLayer(layerOf(archive(...deep)), fresh(), { limits }).catch((error: unknown) => error);
      expect(failure).toMatchObject({ code: "image_invalid" });
    }
  });

  test("any entries come to a sound image, or to an error", async () => {
    let seed = 12345;
    const below = (limit: number) => (seed = (seed * 1103515245 + 12345) % 2 ** 31) % limit;
    const names: Name[] = [
      "a",
      "b",
      "a/b",
      "b/a",
      "a/b/a",
      "/a",
      "./b",
      "a/../b",
      ".wh.a",
      "a/.wh..wh..opq",
      "..",
      "",
      Uint8Array.of(0xff),
    ];
    const pick = () => names[below(names.length)] as Name;
    const types = ["file", "directory", "symlink", "hard link", "fifo", "block device", "character device"] as const;
    let sound = 0;
    for (let round = 0; round < 400; round++) {
      const entries = Array.from({ length: 1 + below(7) }, (): Entry => {
        const type = types[below(types.length)] as (typeof types)[number];
        const links = type === "symlink" || type === "hard link";
        return {
          name: pick(),
          type,
          ...(links ? { linkName: pick() } : {}),
          content: type === "file" ? "x".repeat(below(3) * 300) : "",
        };
      });
      const image = fresh();
      try {
        await indexLayer(layerOf(archive(...entries)), image);
        filesOf(readFileSync(image));
        sound++;
      } catch (error) {
        expect(error).toMatchObject({ code: "image_invalid" });
      }
      rmSync(image);
    }
    expect(sound).toBeGreaterThan(50);
  });
});

describe("a layer that is not what it should be", () => {
  const tar = archive(file("a", "x".repeat(5000)));
  test.each([
    ["another tar", { diffId: digestOf("other") }],
    ["other bytes", { digest: digestOf("other") }],
    ["another size", { sizeBytes: 3 }],
  ])("%s is no image", async (_, lie) => {
    const image = fresh();
    const failure = await indexLayer({ ...layerOf(tar), ...lie }, image).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: "digest_mismatch" });
    expect(() => filesOf(readFileSync(image))).toThrow("no superblock");
    if (noMounts === undefined) expect(() => mountImage(image)).toThrow(`mount "${image}"`);
  });

  test("what is there already is not written to", async () => {
    const image = fresh();
    writeFileSync(image, "mine");
    expect(await indexLayer(layerOf(tar), image).catch((error: unknown) => error)).toMatchObject({ errno: 17 });
    expect(readFileSync(image, "utf8")).toBe("mine");
  });
});

describe("layers above each other", () => {
  const lower = archive(
    directory("kept", { mode: 0o700, uid: 5, gid: 6, mtime: { seconds: 77, nanoseconds: 7 } }),
    file("kept/one", "1"),
    file("kept/two", "2"),
    directory("opaque"),
    file("opaque/one", "1"),
    file("gone", "x"),
  );

  test("whiteouts are those of overlayfs, and an archive's own attributes are not", async () => {
    const fake = new Map([
      ["user.overlay.opaque", new Uint8Array([0x79])],
      ["trusted.overlay.opaque", new Uint8Array([0x79])],
    ]);
    const files = await filesIn(file(".wh.gone"), file("opaque/.wh..wh..opq"), directory("kept", { xattrs: fake }), {
      name: "0:0",
      type: "character device",
      major: 0,
      minor: 0,
    });
    expect(files.get("gone")).toMatchObject({ mode: 0o020000, device: 0 });
    expect(files.get("opaque")?.xattrs).toEqual({ "user.overlay.opaque": "y" });
    expect(files.get("kept")?.xattrs).toEqual({});
    expect(files.has("0:0")).toBe(false);
  });

  const merged = async (upper: string): Promise<string[]> => {
    const [below, point] = [await index(lower), fresh()];
    mkdirSync(point);
    return mounted(below, (low) =>
      mounted(upper, (up) => {
        const options = `userxattr,lowerdir=${up}:${low}`;
        // a mount namespace of its own, which is gone with the command
        const script = 'mount -t overlay overlay -o "$0" "$1" && cd "$1" && find . | sort';
        const { stdout, stderr } = Bun.spawnSync(["unshare", "-m", "sh", "-c", script, options, point]);
        return (stdout.toString() + stderr.toString()).trim().split("\n");
      }),
    );
  };

  testUnless(noMounts, "an overlay with userxattr shows what is left", async () => {
    const upper = await index(
      archive(file("kept/three"), file("kept/.wh.two"), file(".wh.gone"), file("opaque/.wh..wh..opq")),
    );
    expect(await merged(upper)).toEqual([".", "./kept", "./kept/one", "./kept/three", "./opaque"]);
  });

  testUnless(noMounts, "an attribute of overlayfs hides what is below, were it not left out", async () => {
    const xattrs = new Map([["user.overlay.opaque", new Uint8Array([0x79])]]);
    expect(await merged(await index(archive(directory("kept", { xattrs }))))).toContain("./kept/one");
    const [root, kept] = [new Node(0o040755), new Node(0o040755)];
    kept.xattrs = xattrs;
    root.children?.set("kept", kept);
    const { superBlock, metaAt, metadata } = imageOf(root, 0, new Uint8Array(16));
    const bytes = new Uint8Array(metaAt + metadata.length);
    bytes.set(superBlock, 1024);
    bytes.set(metadata, metaAt);
    const image = fresh();
    writeFileSync(image, bytes);
    expect(await merged(image)).not.toContain("./kept/one");
  });

  testUnless(noMounts, "directories that no entry is for are those of the layers below", async () => {
    await mounted(await index(lower), async (root) => {
      const image = await index(archive(file("kept/three"), file("new/x")), { lowers: [root] });
      const files = filesOf(readFileSync(image));
      expect(files.get("kept")).toMatchObject({ mode: 0o040700, uid: 5, gid: 6, mtime: 77 });
      expect(files.get("new")).toMatchObject({ mode: 0o040755, uid: 0, mtime: 0 });
    });
  });
});

testUnless(noLoops, "nothing is left of mounts and loop devices", async () => {
  const loops = () => Bun.spawnSync(["losetup", "--noheadings", "-O", "BACK-FILE"]).stdout.toString();
  const state = () => [readdirSync("/proc/self/fd").length, readFileSync("/proc/self/mountinfo", "utf8")];
  const image = await index(archive(file("a", "content")));
  const before = state();
  for (const loop of [false, true])
    await mounted(image, (root) => expect(readFileSync(join(root, "a"), "utf8")).toBe("content"), loop);
  expect(() => mountImage("/etc/passwd")).toThrow('mount "/etc/passwd"');
  expect(() => mountImage("/etc/passwd", { loop: true })).toThrow('mount "/etc/passwd"');
  expect(state()).toEqual(before);
  expect(loops()).not.toContain(image);
});
