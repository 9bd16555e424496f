/**
 * Entries of a tar archive, as they come: POSIX ustar and pax, GNU tar's long names and base-256 numbers, and what was
 * there before. Archives may be hostile: every length is bounded, and what is not understood is refused.
 * @module
 * @see https://www.gnu.org/software/tar/manual/html_node/Standard.html
 */
import { TAR_BLOCK_BYTES } from "../../wasm/index.ts";
import { Bytes, refused } from "./blocks.ts";
import { readPax, text, type PaxRecords } from "./pax.ts";
import { tarScanner } from "./scanner.ts";

export type TarType = "file" | "directory" | "symlink" | "hard link" | "character device" | "block device" | "fifo";

export interface TarEntry {
  /** As it is in the archive: it may be absolute, and have `..` in it. */
  name: string;
  type: TarType;
  /** Of a symlink or a hard link. */
  linkName: string;
  mode: number;
  uid: number;
  gid: number;
  size: number;
  mtimeMs: number;
  /** The bytes of a file, to be read before the next entry is asked for; what is not read is skipped. */
  body: AsyncIterable<Uint8Array>;
}

const TYPES: Record<string, TarType> = {
  "\0": "file",
  "0": "file",
  "7": "file", // contiguous
  "1": "hard link",
  "2": "symlink",
  "3": "character device",
  "4": "block device",
  "5": "directory",
  "6": "fifo",
};

/** Of one extended header or long name. */
const MAX_EXTENSION_BYTES = 1024 * 1024;
/** Extended headers in front of one entry. */
const MAX_EXTENSIONS = 8;

const FIELDS = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  checksum: [148, 8],
  linkName: [157, 100],
  magic: [257, 8],
  prefix: [345, 155],
} as const;

/** @throws TsboxError `archive_refused` */
export async function* readTar(
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<TarEntry, void> {
  const bytes = new Bytes(source);
  const global: PaxRecords = new Map();
  let [own, extensions]: [PaxRecords, number] = [new Map(), 0];
  for (;;) {
    const block = await bytes.take(TAR_BLOCK_BYTES);
    const header = block && readHeader(block);
    if (!header) {
      if (extensions > 0) throw refused("it ends behind an extended header");
      return;
    }
    const { flag, entry: plain } = header;
    if ("xgLK".includes(flag)) {
      if (++extensions > MAX_EXTENSIONS) throw refused("too many extended headers in front of one entry");
      const content = await extension(bytes, plain.size);
      if (flag === "g") for (const [key, value] of readPax(content)) global.set(key, value);
      else if (flag === "x") for (const [key, value] of readPax(content)) own.set(key, value);
      else own.set(flag === "L" ? "path" : "linkpath", text(beforeNul(content)));
      continue;
    }
    const entry = withRecords(plain, new Map([...global, ...own]));
    [own, extensions] = [new Map(), 0];
    let left = entry.size;
    const body = bytes.parts(entry.size);
    yield {
      ...entry,
      body: (async function* () {
        for await (const part of body) {
          left -= part.length;
          yield part;
        }
      })(),
    };
    await bytes.skip(left + padding(entry.size));
  }
}

const padding = (size: number): number => (TAR_BLOCK_BYTES - (size % TAR_BLOCK_BYTES)) % TAR_BLOCK_BYTES;

async function extension(bytes: Bytes, size: number): Promise<Uint8Array> {
  if (size > MAX_EXTENSION_BYTES) throw refused(`an extended header of ${size} bytes`);
  const content = size === 0 ? new Uint8Array() : await bytes.take(size);
  if (!content) throw refused("it ends in the middle");
  await bytes.skip(padding(size));
  return content;
}

type Bodiless = Omit<TarEntry, "body">;

/** Undefined for the block that ends an archive. @throws TsboxError `archive_refused` */
function readHeader(block: Uint8Array): { flag: string; entry: Bodiless } | undefined {
  const scanner = tarScanner();
  scanner.window.set(block);
  if (scanner.isZero(0)) return undefined;
  const number = (name: keyof typeof FIELDS) => scanner.parseOctal(FIELDS[name][0], FIELDS[name][1]);
  if (number("checksum") !== scanner.checksum(0)) throw refused("not a tar header", compressed(block));
  // what does not fit is cut off, in the middle of a character as well; the whole of it is in an extended header then
  const string = (name: keyof typeof FIELDS) =>
    new TextDecoder().decode(beforeNul(block.subarray(FIELDS[name][0], FIELDS[name][0] + FIELDS[name][1])));
  const flag = String.fromCharCode(block[156] as number);
  const prefix = string("magic") === "ustar" ? string("prefix") : "";
  const name = prefix === "" ? string("name") : `${prefix}/${string("name")}`;
  const type = TYPES[flag];
  if (type === undefined && !"xgLK".includes(flag)) {
    throw refused(
      `"${name}" is of the type ${JSON.stringify(flag)}`,
      "a sparse file, a part of an archive, or unknown",
    );
  }
  const size = number("size");
  if (size === undefined) throw refused(`"${name}" has a malformed size`);
  const entry: Bodiless = {
    name,
    // before there were directories
    type: flag === "\0" && name.endsWith("/") ? "directory" : (type ?? "file"),
    linkName: string("linkName"),
    mode: (number("mode") ?? 0) & 0o7777,
    uid: number("uid") ?? 0,
    gid: number("gid") ?? 0,
    size,
    mtimeMs: (number("mtime") ?? 0) * 1000,
  };
  return { flag, entry };
}

function compressed(block: Uint8Array): string | undefined {
  const starts = (...magic: number[]) => magic.every((byte, index) => block[index] === byte);
  if (starts(0x1f, 0x8b)) return 'it is compressed: pipe it through new DecompressionStream("gzip")';
  return starts(0x28, 0xb5, 0x2f, 0xfd) ? "it is compressed with zstd" : undefined;
}

function beforeNul(bytes: Uint8Array): Uint8Array {
  const end = bytes.indexOf(0);
  return end < 0 ? bytes : bytes.subarray(0, end);
}

function whole(name: string): string {
  if (name.includes("\ufffd")) throw refused("a name that is not UTF-8");
  return name;
}

/** What extended headers say goes before what fits into the header. @throws TsboxError `archive_refused` */
function withRecords(header: Bodiless, records: PaxRecords): Bodiless {
  const number = (key: string, otherwise: number): number => {
    const value = records.get(key);
    if (value === undefined || value === "") return otherwise;
    if (!/^-?\d{1,15}(\.\d*)?$/.test(value)) throw refused(`a malformed ${key} in an extended header`);
    return Number(value);
  };
  const name = records.get("path") || whole(header.name);
  const size = number("size", header.size);
  if (size < 0 || !Number.isInteger(size)) throw refused(`"${name}" has a malformed size`);
  const linkName = records.get("linkpath") || whole(header.linkName);
  if (name.includes("\0") || linkName.includes("\0")) throw refused("a name with a NUL byte in it");
  return {
    ...header,
    name,
    linkName,
    size: header.type === "file" ? size : 0,
    uid: number("uid", header.uid),
    gid: number("gid", header.gid),
    mtimeMs: number("mtime", header.mtimeMs / 1000) * 1000,
  };
}
