/** What is in an EROFS image, read without the kernel: every number is looked at, and has to lead into the image. @module */
export interface Found {
  mode: number;
  links: number;
  size: number;
  uid: number;
  gid: number;
  mtime: number;
  nid: number;
  /** Of a file or a symlink. */
  content: string;
  device: number;
  xattrs: Record<string, string>;
}

const BLOCK = 512;
const PREFIXES = ["", "user.", "system.posix_acl_access", "system.posix_acl_default", "trusted.", "", "security."];
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1");

/** Files by their paths, "" being the root; names as Latin-1. Throws where the image is not sound. */
export function filesOf(image: Uint8Array): Map<string, Found> {
  const view = new DataView(image.buffer, image.byteOffset, image.length);
  const u16 = (at: number) => view.getUint16(at, true);
  const u32 = (at: number) => view.getUint32(at, true);
  const u64 = (at: number) => Number(view.getBigUint64(at, true));
  const sound = (holds: boolean, what: string) => {
    if (!holds) throw new Error(`the image is not sound: ${what}`);
  };
  sound(image.length >= 4096 && u32(1024) === 0xe0f5e1e2 && image[1036] === 9, "no superblock");
  sound(u32(1060) * BLOCK === image.length, "its size");
  const meta = u32(1064) * BLOCK;
  const found = new Map<string, Found>();
  const inode = (nid: number): Found & { bytes: Uint8Array } => {
    const at = meta + nid * 32;
    sound(nid > 0 && at + 64 <= image.length, `inode ${nid}`);
    const [format, count, mode, size, union] = [u16(at), u16(at + 2), u16(at + 4), u64(at + 8), u32(at + 16)];
    sound((format & ~0xe) === 1, `format ${format} of inode ${nid}`);
    const xattrBytes = count === 0 ? 0 : 12 + (count - 1) * 4;
    const xattrs: Record<string, string> = {};
    for (let entry = at + 76; entry < at + 64 + xattrBytes;) {
      const [name, index, value] = [image[entry] as number, image[entry + 1] as number, u16(entry + 2)];
      const start = entry + 4 + name;
      sound(start + value <= at + 64 + xattrBytes, "an attribute");
      xattrs[PREFIXES[index] + text(image.subarray(entry + 4, start))] = text(image.subarray(start, start + value));
      entry = (start + value + 3) & ~3;
    }
    const tail = at + 64 + xattrBytes;
    const isSpecial = [0o010000, 0o020000, 0o060000].includes(mode & 0o170000);
    let bytes = new Uint8Array(0);
    if (format >> 1 === 4) {
      bytes = new Uint8Array(size);
      const chunk = BLOCK << union;
      for (let index = 0; index * chunk < size; index++) {
        const block = u32(tail + index * 4);
        const piece = Math.min(chunk, size - index * chunk);
        sound(block === 0xffffffff || block * BLOCK + piece <= meta, "a chunk");
        if (block !== 0xffffffff) bytes.set(image.subarray(block * BLOCK, block * BLOCK + piece), index * chunk);
      }
    } else if (!isSpecial && size > 0) {
      const isInline = format >> 1 === 2;
      const from = isInline ? tail : union * BLOCK;
      sound(from + size <= image.length && from >= 4096, "where data is");
      if (isInline) sound(Math.floor(at / BLOCK) === Math.floor((from + size - 1) / BLOCK), "data over a block's end");
      bytes = image.slice(from, from + size);
    }
    const rest = {
      uid: u32(at + 24),
      gid: u32(at + 28),
      links: u32(at + 44),
      mtime: Number(view.getBigInt64(at + 32, true)),
    };
    return { ...rest, mode, size, nid, content: text(bytes), device: isSpecial ? union : 0, xattrs, bytes };
  };
  const left: [path: string, nid: number, above: number][] = [["", u16(1038), u16(1038)]];
  for (let each; (each = left.pop());) {
    const [path, nid, above] = each;
    const { bytes, ...file } = inode(nid);
    const isDirectory = (file.mode & 0o170000) === 0o040000;
    found.set(path, { ...file, content: isDirectory ? "" : file.content });
    if (!isDirectory) continue;
    const names: string[] = [];
    for (const { name, child, kind } of entriesOf(bytes)) {
      names.push(name);
      if (name === "." || name === "..") sound(child === (name === "." ? nid : above), `where ${name} leads`);
      else {
        sound(name !== "" && !/[/\0]/.test(name) && name.length <= 255, `the name ${JSON.stringify(name)}`);
        sound(kind === KINDS[inode(child).mode >> 12], `the kind of ${name}`);
        left.push([path === "" ? name : `${path}/${name}`, child, nid]);
      }
    }
    sound(names.includes(".") && names.includes("..") && new Set(names).size === names.length, "names of a directory");
    sound(
      names.every((name, index) => index === 0 || (names[index - 1] as string) < name),
      "the order of names",
    );
  }
  return found;
}

const KINDS: Record<number, number> = { 1: 5, 2: 3, 4: 2, 6: 4, 8: 1, 10: 7 };

function* entriesOf(bytes: Uint8Array): Generator<{ name: string; child: number; kind: number }> {
  for (let at = 0; at < bytes.length; at += BLOCK) {
    const block = bytes.subarray(at, at + BLOCK);
    const view = new DataView(block.buffer, block.byteOffset, block.length);
    const count = view.getUint16(8, true) / 12;
    for (let index = 0; index < count; index++) {
      const start = view.getUint16(index * 12 + 8, true);
      const isLast = index === count - 1;
      const end = isLast ? block.length : view.getUint16(index * 12 + 20, true);
      const name = text(block.subarray(start, end));
      const child = Number(view.getBigUint64(index * 12, true));
      yield { name: isLast ? (name.split("\0")[0] as string) : name, child, kind: block[index * 12 + 10] as number };
    }
  }
}
