/** Layers to unpack: tar archives of any entries, and what became of them on the disk. @module */
import { createHash } from "node:crypto";
import { lstatSync, readFileSync } from "node:fs";
import { digestOf } from "../../lib/image/index.ts";
import type { LayerSource } from "../../lib/layer/index.ts";
import { tarEnd, tarHeader, tarPadding, type TarHeader } from "../../lib/tar/index.ts";

export type Name = string | Uint8Array;
export interface Entry extends Partial<Omit<TarHeader, "name" | "linkName">> {
  name: Name;
  linkName?: Name;
  content?: Name;
}

const bytesOf = (text: Name): Uint8Array => (typeof text === "string" ? new TextEncoder().encode(text) : text);

/** An uncompressed archive; what is not said of an entry is that of a plain file, of this user's. */
export function archive(...entries: Entry[]): Uint8Array {
  const own = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };
  const parts = entries.flatMap(({ name, linkName = "", content = "", ...rest }) => {
    const bytes = bytesOf(content);
    const fields = {
      type: "file" as const,
      mode: 0o644,
      ...own,
      mtime: { seconds: 1e9, nanoseconds: 0 },
      size: bytes.length,
    };
    const header = tarHeader({ ...fields, ...rest, name: bytesOf(name), linkName: bytesOf(linkName) });
    return [header, bytes, tarPadding(bytes.length)];
  });
  return Buffer.concat([...parts, tarEnd()]);
}

export const file = (name: Name, content: Name = "", rest: Partial<Entry> = {}): Entry => ({ name, content, ...rest });
export const directory = (name: Name, rest: Partial<Entry> = {}): Entry => ({
  name,
  type: "directory",
  mode: 0o755,
  ...rest,
});
export const symlink = (name: Name, linkName: Name): Entry => ({ name, type: "symlink", linkName, mode: 0o777 });
export const hardLink = (name: Name, linkName: Name): Entry => ({ name, type: "hard link", linkName });

const COMPRESS = {
  none: (tar: Uint8Array) => tar,
  gzip: (tar: Uint8Array) => Bun.gzipSync(tar as never),
  zstd: (tar: Uint8Array) => Bun.zstdCompressSync(tar as never),
};

/** The layer that an archive is, as a registry would send it in pieces of so many bytes. */
export function layerOf(
  tar: Uint8Array,
  { compression = "none", pieceBytes = 65536, stored = COMPRESS[compression](tar) }: LayerOptions = {},
): LayerSource {
  return {
    pieces: piecesOf(stored, pieceBytes),
    compression,
    digest: digestOf(stored),
    sizeBytes: stored.length,
    diffId: digestOf(tar),
  };
}
export interface LayerOptions {
  compression?: LayerSource["compression"];
  pieceBytes?: number;
  stored?: Uint8Array;
}

export async function* piecesOf(bytes: Uint8Array, pieceBytes: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
}

export interface StateOptions {
  owners?: boolean;
  times?: "files" | "all" | "none";
}

/**
 * All that is in a directory, and itself, a line each: path, type, mode, owner, time, link, content, and which of them
 * are one file.
 */
export function stateOf(path: string, { owners = true, times = "all" }: StateOptions = {}): string[] {
  const format = "%P\\0%y\\0%m\\0%U:%G\\0%s\\0%T@\\0%l\\0%i\\0%n\\0";
  const found = Bun.spawnSync(["find", path, "-printf", format], { env: { LC_ALL: "C" } }).stdout;
  const fields = Buffer.from(found).toString("latin1").split("\0");
  const rows = Array.from({ length: Math.floor(fields.length / 9) }, (_, row) => fields.slice(row * 9, row * 9 + 9));
  const first = new Map<string, string>();
  return rows
    .toSorted(([a = ""], [b = ""]) => (a < b ? -1 : 1))
    .map(([name = "", type = "", mode = "", owner = "", size, time, target, inode = "", links]) => {
      const full = Buffer.from(`${path}/${name}`, "latin1");
      const one = type !== "d" && links !== "1" ? (first.get(inode) ?? name) : "";
      first.set(inode, one);
      const content = type === "f" && `${size} ${createHash("md5").update(readFileSync(full)).digest("hex")}`;
      const device = "bc".includes(type) && String(lstatSync(full).rdev);
      const when = times === "all" || (times === "files" && type !== "d") ? time : "";
      return [name, type, mode, owners ? owner : "", when, target, content || "", device || "", one].join(" ");
    });
}

/** Extended attributes of all that is in a directory: `getfattr`'s lines. */
export const xattrsOf = (path: string): string =>
  Bun.spawnSync(["getfattr", "-R", "-h", "-P", "-d", "-m", "-", "-e", "hex", "."], { cwd: path }).stdout.toString();
