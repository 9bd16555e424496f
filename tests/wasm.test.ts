/** The tar scanner against headers that GNU tar writes, against a plain sum, and against its own source. @module */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { mkdtempSync, readFileSync, rmSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compileModule } from "../wasm/build.ts";
import { fuzz, targets } from "./fuzz-wasm.ts";
import { createTarScanner, Inflate, TAR_BLOCK_BYTES, tarHeader, TarReader, Zstd } from "../wasm/index.ts";

const tar = createTarScanner();

/** The first header that GNU tar writes for a sparse file of `sizeBytes`; tar is stopped after it. */
async function gnuHeader(sizeBytes: number, ...flags: string[]): Promise<Uint8Array> {
  const folder = mkdtempSync(join(tmpdir(), "tsbox-tar-"));
  try {
    const file = join(folder, "file");
    writeFileSync(file, "", { mode: 0o640 });
    truncateSync(file, sizeBytes);
    utimesSync(file, 1_700_000_000, 1_700_000_000);
    const child = Bun.spawn(["sh", "-c", 'tar "$@" | head -c 512', "sh", "-c", "-f-", ...flags, "-C", folder, "file"], {
      stderr: "ignore",
    });
    return await new Response(child.stdout).bytes();
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The number in `field`, put at the end of memory so that reading past it would trap. */
function parse(field: string | number[]): number | undefined {
  const bytes = typeof field === "string" ? new TextEncoder().encode(field) : Uint8Array.from(field);
  const offset = tar.window.length - bytes.length;
  tar.window.set(bytes, offset);
  return tar.parseOctal(offset, bytes.length);
}

test.each([
  ["gnu", 1234],
  ["ustar", 8 * 2 ** 30 - 1], // the largest size that eleven octal digits hold
  ["gnu", 8 * 2 ** 30], // base-256
])("reads a %s header of a file of %d bytes", async (format, sizeBytes) => {
  const header = await gnuHeader(sizeBytes, `--format=${format}`, "--owner=user:1000");
  expect(header.length).toBe(TAR_BLOCK_BYTES);
  for (const offset of [0, TAR_BLOCK_BYTES]) {
    tar.window.set(header, offset);
    expect(tar.checksum(offset)).toBe(tar.parseOctal(offset + 148, 8)!);
    expect(tar.parseOctal(offset + 100, 8)).toBe(0o640);
    expect(tar.parseOctal(offset + 108, 8)).toBe(1000);
    expect(tar.parseOctal(offset + 124, 12)).toBe(sizeBytes);
    expect(tar.parseOctal(offset + 136, 12)).toBe(1_700_000_000);
  }
});

test("the checksum is the sum of the bytes with the checksum field as spaces", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 512, maxLength: 512 }), (block) => {
      tar.window.set(block);
      block.fill(0x20, 148, 156);
      expect(tar.checksum(0)).toBe(block.reduce((sum, byte) => sum + byte, 0));
    }),
  );
  tar.window.fill(0xff, 0, TAR_BLOCK_BYTES);
  expect(tar.checksum(0)).toBe(504 * 0xff + 8 * 0x20);
});

test.each<[string | number[], number | undefined]>([
  ["0000644\0", 0o644],
  ["   644 \0", 0o644],
  ["77777777", 0o77777777], // no terminator
  ["\0\0\0\0\0\0\0\0", 0],
  ["", 0],
  ["12\0junk", 0o12],
  ["0000648\0", undefined],
  ["-1", undefined],
  ["0x10", undefined],
  ["7".repeat(30), undefined],
  [[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3], 0x010203],
  [[0x80, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0], undefined], // 2^53
  [[0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], undefined], // overflow
  [[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], undefined], // -1
])("the field %j is %p", (field, expected) => {
  expect(parse(field)).toBe(expected);
});

test("every number survives the way through octal digits", () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), (value) => {
      expect(parse(value.toString(8).padStart(20, "0") + "\0")).toBe(value);
    }),
  );
});

test("module.wasm.ts is what its source compiles to", async () => {
  expect(await compileModule()).toBe(readFileSync(join(import.meta.dirname, "../wasm/module.wasm.ts"), "utf8"));
}, 60_000);

test.each(targets().map((target) => [target.name, target] as const))(
  "damaged %s: an output or a number, the same in any pieces",
  (_, target) => {
    // `bun tests/fuzz-wasm.ts 1000000` does more of it
    expect(fuzz(target, 10_000, Date.now()).get("output")).toBeGreaterThan(100);
  },
);

describe("what is no use is refused, and not taken for something else:", () => {
  const decoders = [() => new Inflate(), () => new Zstd(), () => new TarReader()];
  test.each<[string, unknown]>([
    ["a text", "text"],
    ["nothing", undefined],
    ["a list", [1, 2]],
    ["a buffer", new ArrayBuffer(8)],
    ["wider elements", new Uint16Array(8)],
    ["a view", new DataView(new ArrayBuffer(8))],
  ])("%s as bytes", (_, bytes) => {
    for (const make of decoders) expect(() => [...make().push(bytes as Uint8Array)]).toThrow(TypeError);
  });
  test("formats and windows that there are not", () => {
    for (const format of ["brotli", "__proto__", ""])
      expect(() => new Inflate({ format: format as "gzip" })).toThrow(TypeError);
    for (const maxWindowBytes of [0, -1, Number.NaN]) expect(() => new Zstd({ maxWindowBytes })).toThrow(RangeError);
  });
  test("names with a NUL byte, of which others would read the beginning", () => {
    const header = {
      type: "symlink",
      mode: 0,
      uid: 0,
      gid: 0,
      size: 0,
      mtime: { seconds: 0, nanoseconds: 0 },
    } as const;
    const [good, bad] = ["a", "a\0b"].map((name) => new TextEncoder().encode(name)) as [Uint8Array, Uint8Array];
    expect(() => tarHeader({ ...header, name: bad })).toThrow(TypeError);
    expect(() => tarHeader({ ...header, name: good, linkName: bad })).toThrow(TypeError);
    expect(tarHeader({ ...header, name: good, linkName: good }).length).toBe(512);
  });
});
