/** Tar archives as GNU tar writes and reads them, and as nobody should write them. @module */
import { afterAll, describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { linkSync, lstatSync, mkdirSync, readFileSync, readlinkSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { readTar, tarEnd, tarHeader, tarPadding, type TarEntry, type TarHeader } from "../lib/tar/index.ts";
import { writePax } from "../wasm/index.ts";
import { failureOf } from "./support/failure.ts";
import { Folder } from "./support/rootfs.ts";

const folder = new Folder();
afterAll(() => folder.remove());

const encode = (text: string) => new TextEncoder().encode(text);
const joined = async (parts: Iterable<Uint8Array> | AsyncIterable<Uint8Array>) => {
  const all: Uint8Array[] = [];
  for await (const part of parts) all.push(part);
  return new Uint8Array(await new Blob(all as never[]).arrayBuffer());
};
const chunked = async function* (bytes: Uint8Array, size = 1000) {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
};
type Read = Omit<TarEntry, "body"> & { text: string };
async function entriesOf(bytes: Uint8Array, chunkBytes = 1000): Promise<Read[]> {
  const entries: Read[] = [];
  for await (const { body, ...entry } of readTar(chunked(bytes, chunkBytes)))
    entries.push({ ...entry, text: new TextDecoder().decode(await joined(body)) });
  return entries;
}
const plain = { mode: 0o644, uid: 0, gid: 0, size: 0, mtime: { seconds: 0, nanoseconds: 0 } };
const time = (seconds: number) => ({ seconds, nanoseconds: 0 });
const archive = (...entries: [Partial<TarHeader> & { name: Uint8Array }, string?][]) =>
  joined([
    ...entries.flatMap(([header, content = ""]) => {
      const bytes = encode(content);
      const size = bytes.length;
      return [tarHeader({ ...plain, type: "file", size, ...header }), bytes, tarPadding(size)];
    }),
    tarEnd(),
  ]);

const LONG = "d".repeat(90) + "/" + "é".repeat(100) + "/" + "f".repeat(90);

function makeTree(): string {
  const top = folder.directory("tree");
  folder.write("tree/file", "content\n", 0o640);
  folder.write("tree/empty", "", 0o755);
  folder.write("tree/big", "x".repeat(100_000));
  folder.write(`tree/${LONG}`, "long");
  folder.link("tree/link", "file");
  folder.link("tree/long-link", "t".repeat(200));
  linkSync(join(top, "file"), join(top, "hard"));
  mkdirSync(join(top, "dir"));
  utimesSync(join(top, "file"), 1_234_567_890, 1_234_567_890);
  return top;
}
const top = makeTree();

describe("reading", () => {
  test.each(["gnu", "ustar", "pax", "oldgnu", "v7"])("what GNU tar writes as %s", async (format) => {
    const names = ["ustar", "v7"].includes(format) ? ["file", "empty", "big", "link", "hard", "dir"] : ["."];
    const command = [
      "tar",
      `--format=${format}`,
      "--owner=user:1000",
      "--group=users:100",
      "-cf-",
      "-C",
      top,
      ...names,
    ];
    const bytes = await new Response(Bun.spawn(command).stdout).bytes();
    for (const chunkBytes of [bytes.length, 511, 7]) {
      const entries = new Map(
        (await entriesOf(bytes, chunkBytes)).map((entry) => [entry.name.replace("./", ""), entry]),
      );
      const links = ["file", "hard"].map((name) => entries.get(name)!).toSorted((a, b) => b.type.localeCompare(a.type));
      expect(links.map(({ type, text }) => [type, text])).toEqual([
        ["hard link", ""],
        ["file", "content\n"],
      ]);
      const { mode, uid, gid, size, mtimeMs } = links[1]!;
      expect([mode, uid, gid, size, mtimeMs]).toEqual([0o640, 1000, 100, 8, 1_234_567_890_000]);
      expect(entries.get("big")?.text).toBe("x".repeat(100_000));
      expect(entries.get("empty")).toMatchObject({ type: "file", size: 0, mode: 0o755 });
      expect(entries.get("link")).toMatchObject({ type: "symlink", linkName: "file" });
      expect(entries.get("dir/")?.type).toBe("directory");
      if (names[0] !== ".") continue;
      expect(entries.get(LONG)?.text).toBe("long");
      expect(entries.get("long-link")?.linkName).toBe("t".repeat(200));
    }
  });

  test("a body that is not read, or not to its end, is skipped", async () => {
    const bytes = await archive([{ name: encode("a") }, "1".repeat(5000)], [{ name: encode("b") }, "2"]);
    const names: string[] = [];
    for await (const { name, body } of readTar(chunked(bytes))) {
      names.push(name);
      if (name === "a") for await (const _ of body) break;
    }
    expect(names).toEqual(["a", "b"]);
  });

  test("numbers of extended headers count, and a global one holds for all", async () => {
    const record = (text: string) => `${text.length + 4} ${text}\n`.replace(/^\d+/, String(text.length + 4));
    const pax = (flag: string, content: string) => flagged({ name: encode("x"), size: content.length }, flag, content);
    const bytes = await joined([
      await pax("g", record("uid=12345678")),
      await pax("x", record("mtime=12.5000")),
      await archive([{ name: encode("a") }, "1"], [{ name: encode("b") }, "2"]),
    ]);
    expect((await entriesOf(bytes)).map(({ uid, mtimeMs }) => [uid, mtimeMs])).toEqual([
      [12345678, 12500],
      [12345678, 0],
    ]);
  });
});

/** A global header of so many attributes. */
function headerForAll(count: number, value: string): Promise<Uint8Array> {
  const keys = Array.from({ length: count }, (_, at) => `SCHILY.xattr.user.k${at}`);
  const content = new TextDecoder().decode(writePax(keys.map((key) => [key, value])));
  return flagged({ name: encode("x"), size: content.length }, "g", content);
}

/** A header with another type flag. */
async function flagged(
  header: Partial<TarHeader> & { name: Uint8Array },
  flag: string,
  content = "",
): Promise<Uint8Array> {
  const block = tarHeader({ ...plain, type: "file", ...header });
  block.set(encode(flag), 156);
  return joined([withChecksum(block), encode(content), tarPadding(content.length)]);
}

function withChecksum(block: Uint8Array): Uint8Array {
  block.fill(0x20, 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.set(encode(`${sum.toString(8).padStart(6, "0")}\0 `), 148);
  return block;
}

const HOLES = "33 GNU.sparse.size=9999999999999\n22 GNU.sparse.map=0,0\n";

describe("refused is", () => {
  const name = encode("a");
  const whole = tarHeader({ ...plain, type: "file", name, size: 0 });
  test.each<[string, () => Uint8Array | Promise<Uint8Array>, string]>([
    ["what is no archive", () => new Uint8Array(512).fill(1), "not a tar header"],
    ["a compressed one", () => Bun.gzipSync(whole.slice()).slice(0, 512), "middle"],
    ["a header with a wrong checksum", () => whole.map((byte, at) => (at === 0 ? 98 : byte)), "not a tar header"],
    ["one that ends in a header", () => whole.subarray(0, 300), "middle"],
    ["one that ends in a file", () => tarHeader({ ...plain, type: "file", name, size: 1000 }), "middle"],
    ["one that ends behind an extended header", () => flagged({ name, size: 0 }, "x"), "extended header"],
    ["an endless extended header", () => flagged({ name, size: 2 ** 31 }, "x"), "extended header of"],
    ["an endless long name", () => flagged({ name, size: 2 ** 31 }, "L"), "extended header of"],
    ["ever more extended headers", async () => joined(Array(9).fill(await flagged({ name }, "x"))), "too many"],
    ["ever more for all entries", () => headerForAll(65, "v"), "global headers"],
    ["much for all entries", () => headerForAll(2, "v".repeat(40_000)), "global headers"],
    ["a malformed extended header", () => flagged({ name, size: 5 }, "x", "99 a=b"), "malformed"],
    ["one with a record of length 0", () => flagged({ name, size: 6 }, "x", "0 a=b\n"), "malformed"],
    [
      "one with a size that is no number",
      async () => joined([await flagged({ name, size: 11 }, "x", "11 size=x2\n"), whole]),
      "malformed size",
    ],
    [
      "a negative size",
      async () => joined([await flagged({ name, size: 11 }, "x", "11 size=-2\n"), whole]),
      "malformed size",
    ],
    ["a sparse file of which a part is missing", () => flagged({ name, size: 4 }, "S", "text"), "map of its holes"],
    [
      "holes without end",
      async () => joined([await flagged({ name, size: HOLES.length }, "x", HOLES), whole]),
      "too many holes",
    ],
    ["a part of another archive", () => flagged({ name }, "M"), "type"],
    [
      "a name that is not UTF-8",
      () => withChecksum(tarHeader({ ...plain, type: "file", name: Uint8Array.of(0x61) }).fill(0xff, 0, 1)),
      "UTF-8",
    ],
    ["a malformed size", () => withChecksum(whole.slice().fill(0x39, 124, 130)), "size"],
  ])("%s", async (_, bytes, message) => {
    const error = await failureOf(async () => entriesOf(await bytes()));
    expect([error.code, error.message]).toEqual(["archive_refused", expect.stringContaining(message)]);
  });

  test("damage: any bytes are entries or an error, and come to an end", async () => {
    const bytes = await archive(
      [{ name: encode(LONG) }, "text"],
      [{ name: encode("b"), type: "symlink", linkName: encode("x") }],
    );
    await fc.assert(
      fc.asyncProperty(
        fc.nat(bytes.length - 1),
        fc.integer({ min: 0, max: 255 }),
        fc.boolean(),
        async (at, byte, seal) => {
          const damaged = bytes.slice();
          damaged[at] = byte;
          if (seal)
            for (let header = 0; header < damaged.length; header += 512)
              withChecksum(damaged.subarray(header, header + 512));
          await entriesOf(damaged).catch((error: { code?: string }) => expect(error.code).toBe("archive_refused"));
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe("writing", () => {
  test("what GNU tar reads", async () => {
    const bytes = await archive(
      [{ name: encode("dir/"), type: "directory", mode: 0o750 }],
      [{ name: encode("dir/file"), mtime: time(1_000_000_000), uid: 3_000_000 }, "content"],
      [{ name: encode(LONG) }, "long"],
      [{ name: encode("link"), type: "symlink", linkName: encode("t".repeat(150)) }],
      [{ name: encode("hard"), type: "hard link", linkName: encode("dir/file") }],
    );
    const into = folder.directory("into");
    const child = Bun.spawn(["tar", "-xf-", "--no-same-owner", "-C", into], { stdin: bytes, stderr: "pipe" });
    expect([await child.stderr.text(), await child.exited]).toEqual(["", 0]);
    expect(readFileSync(join(into, LONG), "utf8")).toBe("long");
    expect(readlinkSync(join(into, "link"))).toBe("t".repeat(150));
    expect([lstatSync(join(into, "hard")).ino, lstatSync(join(into, "dir")).mode & 0o777]).toEqual([
      lstatSync(join(into, "dir/file")).ino,
      0o750,
    ]);
    expect(lstatSync(join(into, "dir/file")).mtimeMs).toBe(1_000_000_000_000);
  });

  test("devices, fifos, attributes and times to the nanosecond", async () => {
    const bytes = await archive(
      [{ name: encode("null"), type: "character device", major: 1, minor: 3 }],
      [{ name: encode("disk"), type: "block device", major: 259, minor: 70_000 }],
      [{ name: encode("fifo"), type: "fifo", mtime: { seconds: -2, nanoseconds: 250_000_000 } }],
      [{ name: encode("x"), mtime: { seconds: 5, nanoseconds: 7 }, xattrs: new Map([["user.a", encode("=\n")]]) }],
    );
    expect(await entriesOf(bytes)).toMatchObject([
      { type: "character device", major: 1, minor: 3 },
      { type: "block device", major: 259, minor: 70_000 },
      { type: "fifo", mtime: { seconds: -2, nanoseconds: 250_000_000 } },
      { mtime: { seconds: 5, nanoseconds: 7 }, xattrs: new Map([["user.a", encode("=\n")]]) },
    ]);
    const list = Bun.spawnSync(["tar", "--full-time", "--utc", "-tvf-"], { stdin: bytes }).stdout.toString();
    expect(list).toContain("259,70000");
    expect(list).toContain("1970-01-01 00:00:05.000000007 x");
  });

  test("times before 1970, and after what eleven octal digits hold", async () => {
    const times = [-1000, 0, 2 ** 33, 8.64e12];
    const all = await Promise.all(times.map((seconds) => archive([{ name: encode("a"), mtime: time(seconds) }])));
    const entries = await Promise.all(all.map((bytes) => entriesOf(bytes)));
    expect(entries.map(([entry]) => entry?.mtime.seconds)).toEqual(times);
  });

  test("what is read is what was written", async () => {
    const name = fc.string({ unit: "grapheme", minLength: 1, maxLength: 300 }).filter((text) => !text.includes("\0"));
    const header = fc.record({
      name: name.map(encode),
      mode: fc.nat(0o7777),
      uid: fc.nat(2 ** 32 - 2),
      gid: fc.nat(2 ** 32 - 2),
      mtime: fc.record({ seconds: fc.integer({ min: -(2 ** 40), max: 2 ** 40 }), nanoseconds: fc.nat(999_999_999) }),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(header, fc.string({ maxLength: 2000 })), { maxLength: 5 }),
        async (entries) => {
          const found = await entriesOf(await archive(...entries));
          const decode = (bytes: Uint8Array) => new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
          expect(found).toMatchObject(
            entries.map(([rest, text]) => ({ ...rest, name: decode(rest.name), text: decode(encode(text)) })),
          );
        },
      ),
      { numRuns: 100 },
    );
  });
});
