/** Archives of GNU tar and bsdtar, out of compressed streams, in pieces of every size. @module */
import { afterAll, describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import {
  closeSync,
  ftruncateSync,
  lutimesSync,
  mkdirSync,
  openSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import tarStream from "tar-stream";
import { FormatError, Inflate, tarEnd, tarHeader, tarPadding, TarReader, Zstd, type TarRecord } from "../wasm/index.ts";
import { Folder } from "./support/rootfs.ts";

const folder = new Folder();
afterAll(() => folder.remove());
const top = folder.directory("tree");
const LONG = `${"d".repeat(90)}/${"é".repeat(100)}/${"f".repeat(90)}`;
folder.write("tree/file", "content\n", 0o640);
folder.write(`tree/${LONG}`, "long");
folder.write("tree/big", "x".repeat(700_000));
symlinkSync("t".repeat(200), join(top, "link"));
mkdirSync(join(top, "dir"));
lutimesSync(join(top, "file"), 1_234_567_890.123456, 1_234_567_890.123456);
Bun.spawnSync(["touch", "-d", "@-1000.25", join(top, "dir")]);
/** Data, a hole, data, a hole. */
function makeSparse(path: string, parts: number): void {
  const fd = openSync(path, "w");
  for (let part = 0; part < parts; part++) writeSync(fd, `part ${part}`.padEnd(4096, "."), part * 1_000_000);
  ftruncateSync(fd, parts * 1_000_000 + 123);
  closeSync(fd);
}
makeSparse(join(top, "sparse"), 3);
makeSparse(join(top, "sparser"), 60);

const archive = (command: string, ...args: string[]): Uint8Array => {
  const { stdout, stderr, exitCode } = Bun.spawnSync([command, ...args], {
    cwd: top,
    env: { ...process.env, LC_ALL: "C.UTF-8" },
  });
  expect([stderr.toString(), exitCode]).toEqual(["", 0]);
  return new Uint8Array(stdout);
};

interface File extends TarRecord {
  content: Buffer;
}
/** @param sizes of the pieces, by turns @param mostBytes of content that are kept: damage makes sizes of gigabytes */
function filesOf(
  bytes: Uint8Array,
  sizes = [bytes.length],
  decoder?: Inflate | Zstd,
  mostBytes = Infinity,
): Map<string, File> {
  const files = new Map<string, File>();
  const reader = new TarReader(decoder?.headers);
  let file: File | undefined;
  const take = (part: Uint8Array) => {
    for (const { entry, bytes: data, offset } of reader.push(part)) {
      if (entry) {
        const content = Buffer.alloc(Math.min(entry.size, mostBytes));
        files.set(entry.name.replace("./", ""), (file = { ...entry, content }));
      } else if (offset + data.length <= mostBytes) file?.content.set(data, offset);
    }
  };
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const piece = bytes.subarray(at, (at += sizes[turn % sizes.length] as number));
    if (decoder) for (const part of decoder.push(piece)) take(part);
    else take(piece);
  }
  if (decoder) for (const part of decoder.end()) take(part);
  reader.end();
  return files;
}

const FORMATS: [string, string, string[]][] = [
  ["GNU tar, gnu", "tar", ["--format=gnu", "--sparse", "-cf-", "."]],
  ["GNU tar, oldgnu", "tar", ["--format=oldgnu", "--sparse", "-cf-", "."]],
  ...["0.0", "0.1", "1.0"].map((version): [string, string, string[]] => [
    `GNU tar, pax, sparse ${version}`,
    "tar",
    ["--format=pax", "--sparse", `--sparse-version=${version}`, "-cf-", "."],
  ]),
  ["bsdtar, pax", "bsdtar", ["--format=pax", "-cf-", "."]],
  ["bsdtar, gnutar", "bsdtar", ["--format=gnutar", "-cf-", "."]],
];

describe("an archive of", () => {
  for (const [name, command, args] of FORMATS) {
    test.skipIf(Bun.which(command) === null)(name, () => {
      const bytes = archive(command, ...args);
      for (const sizes of [[bytes.length], [511], [7, 10_000]]) {
        const files = filesOf(bytes, sizes);
        expect(files.get("file")).toMatchObject({
          type: "file",
          mode: 0o640,
          size: 8,
          content: Buffer.from("content\n"),
        });
        expect(files.get(LONG)?.content.toString()).toBe("long");
        expect(files.get("link")).toMatchObject({ type: "symlink", linkName: "t".repeat(200) });
        for (const each of ["sparse", "sparser", "big"])
          expect(Buffer.compare(files.get(each)?.content ?? Buffer.of(), readFileSync(join(top, each)))).toBe(0);
        if (command === "tar") expect(files.get("sparser")?.segments?.length).toBeGreaterThan(50);
        const exact = args.includes("--format=pax");
        expect(files.get("file")?.mtime.seconds).toBe(1_234_567_890);
        if (exact) expect(files.get("file")?.mtime.nanoseconds).toBeWithin(123_455_000, 123_457_000);
        // bsdtar writes the fraction of the second below behind the sign: -1001.75
        if (exact && command === "tar")
          expect(files.get("dir/")?.mtime).toEqual({ seconds: -1001, nanoseconds: 750_000_000 });
        if (args.includes("--format=gnu")) expect(files.get("dir/")?.mtime.seconds).toBe(-1001);
      }
    });
  }

  test.skipIf(process.getuid?.() !== 0)("devices, fifos, ids and extended attributes", () => {
    const bytes = archive(
      "sh",
      "-c",
      `mkdir odd && cd odd && mknod null c 1 3 && mknod loop b 7 300 && mkfifo fifo && echo x >x && chown 3000000:4000000 x &&
       (command -v setfattr >/dev/null && setfattr -n user.name -v 'a=b
c' x; true) && tar --format=pax --xattrs -cf- . && rm -r ../odd`,
    );
    const files = filesOf(bytes);
    expect(files.get("null")).toMatchObject({ type: "character device", major: 1, minor: 3 });
    expect(files.get("loop")).toMatchObject({ type: "block device", major: 7, minor: 300 });
    expect(files.get("fifo")?.type).toBe("fifo");
    expect(files.get("x")).toMatchObject({ uid: 3_000_000, gid: 4_000_000 });
    if (Bun.which("setfattr"))
      expect(files.get("x")?.xattrs?.get("user.name")).toEqual(new TextEncoder().encode("a=b\nc"));
  });

  test("names that are not UTF-8 keep their bytes", () => {
    writeFileSync(Buffer.concat([Buffer.from(`${top}/odd-`), Buffer.of(0xff)]), "");
    const [file] = [...filesOf(archive("sh", "-c", "tar -cf- odd-* && rm odd-*")).values()];
    expect(file?.nameBytes).toEqual(Uint8Array.of(...Buffer.from("odd-"), 0xff));
  });
});

test("a compressed archive, read in the decoder's window, in any pieces", () => {
  const bytes = archive("tar", "--format=pax", "--sparse", "-cf-", ".");
  const wanted = filesOf(bytes);
  const sizes = fc.array(fc.integer({ min: 1, max: 100_000 }), { minLength: 1, maxLength: 4 });
  const packed = [
    [gzipSync(bytes), new Inflate()],
    [Bun.zstdCompressSync(bytes.slice()), new Zstd()],
  ] as const;
  fc.assert(
    fc.property(sizes, fc.constantFrom(...packed), (pieces, [content, decoder]) => {
      decoder.reset();
      expect(filesOf(content, pieces, decoder)).toEqual(wanted);
    }),
    { numRuns: 20 },
  );
});

test("damage: any bytes are entries or an error", () => {
  const bytes = archive("tar", "--format=pax", "--sparse", "-cf-", "file", "sparse", "link", "dir").subarray(0, 20_000);
  fc.assert(
    fc.property(
      fc.nat(bytes.length - 1),
      fc.integer({ min: 0, max: 255 }),
      fc.integer({ min: 1, max: 3000 }),
      (at, byte, size) => {
        const damaged = bytes.slice();
        damaged[at] = byte;
        const attempt = (sizes: number[]) => {
          try {
            return JSON.stringify([...filesOf(damaged, sizes, undefined, 0).keys()]);
          } catch (error) {
            expect(error).toBeInstanceOf(FormatError);
            return (error as Error).message.replace(/ \(at byte.*/, "");
          }
        };
        expect(attempt([size])).toBe(attempt([damaged.length]));
      },
    ),
    { numRuns: 100 },
  );
}, 120_000);

describe("tar-stream", () => {
  interface Plain {
    name: string;
    type: "file" | "directory" | "symlink" | "hard link";
    mode: number;
    uid: number;
    seconds: number;
    link: string;
    content: Uint8Array;
  }
  const THEIRS = { file: "file", directory: "directory", symlink: "symlink", "hard link": "link" } as const;
  const path = fc
    .array(fc.string({ unit: fc.constantFrom(..."aZ9.-_é "), minLength: 1, maxLength: 60 }), {
      minLength: 1,
      maxLength: 6,
    })
    .map((parts) => `x${parts.join("/x")}x`);
  const entries = fc.uniqueArray(
    fc.record<Plain>({
      name: path,
      type: fc.constantFrom("file", "directory", "symlink", "hard link"),
      // and takes 0 for nothing said
      mode: fc.integer({ min: 1, max: 0o7777 }),
      // tar-stream knows no more digits than ustar has
      uid: fc.integer({ min: 0, max: 0o777777 }),
      seconds: fc.integer({ min: 0, max: 2 ** 31 - 1 }),
      link: path,
      content: fc.uint8Array({ maxLength: 3000 }),
    }),
    { maxLength: 8, selector: ({ name }) => name },
  );
  /** What both know of an entry. */
  const shown = ({ name, type, mode, uid, seconds, link, content }: Plain) => ({
    name: name.replace(/\/$/, ""),
    type,
    mode,
    uid,
    seconds,
    link: type === "symlink" || type === "hard link" ? link : "",
    content: type === "file" ? Buffer.from(content).toString("base64") : "",
  });

  test("writes what is read as it was meant", async () => {
    await fc.assert(
      fc.asyncProperty(entries, fc.integer({ min: 1, max: 2000 }), async (wanted, size) => {
        const pack = tarStream.pack();
        for (const { name, type, mode, uid, seconds, link, content } of wanted) {
          const header = { name, mode, uid, type: THEIRS[type], linkname: link, mtime: new Date(seconds * 1000) };
          pack.entry(header, Buffer.from(type === "file" ? content : []));
        }
        pack.finalize();
        const read = filesOf(new Uint8Array(await new Response(pack as never).bytes()), [size]);
        const found = [...read.values()].map((file) =>
          shown({
            ...file,
            type: file.type as Plain["type"],
            seconds: file.mtime.seconds,
            link: file.linkName,
          }),
        );
        expect(found).toEqual(wanted.map(shown));
      }),
      { numRuns: 100 },
    );
  }, 120_000);

  test("reads what is written as it was meant", async () => {
    await fc.assert(
      fc.asyncProperty(entries, async (wanted) => {
        const encode = (text: string) => new TextEncoder().encode(text);
        const bytes = Buffer.concat([
          ...wanted.flatMap(({ name, type, mode, uid, seconds, link, content }) => {
            const body = type === "file" ? content : new Uint8Array();
            const header = { mode, uid, gid: 0, mtime: { seconds, nanoseconds: 0 }, size: body.length, type };
            const linkName = encode(type === "symlink" || type === "hard link" ? link : "");
            return [tarHeader({ ...header, name: encode(name), linkName }), body, tarPadding(body.length)];
          }),
          tarEnd(),
        ]);
        const found: Plain[] = [];
        const extract = tarStream.extract();
        extract.on("entry", (header, stream, next) => {
          const parts: Buffer[] = [];
          stream.on("data", (part) => parts.push(part as Buffer));
          stream.on("end", () => {
            const type = Object.entries(THEIRS).find(([, theirs]) => theirs === header.type)?.[0] as Plain["type"];
            const { name, mode = 0, uid = 0, mtime = new Date(0), linkname } = header;
            const seconds = mtime.getTime() / 1000;
            found.push({ name, type, mode, uid, seconds, link: linkname ?? "", content: Buffer.concat(parts) });
            next();
          });
        });
        const over = new Promise<void>((resolve, reject) => extract.on("finish", () => resolve()).on("error", reject));
        extract.end(bytes);
        await over;
        expect(found.map(shown)).toEqual(wanted.map(shown));
      }),
      { numRuns: 100 },
    );
  });
});
