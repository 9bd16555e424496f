/** What an unpacker comes to that thinks of nothing: names are paths, and the kernel follows them. @module */
import {
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname } from "node:path";
import { TarReader, type TarRecord } from "../../wasm/index.ts";

export function unpackNaively(tar: Uint8Array, directory: string): void {
  const later: (() => void)[] = [];
  const at = (name: string) => (name.startsWith("/") ? name : `${directory}/${name}`);
  const write = (entry: TarRecord, content: Uint8Array) => {
    const path = at(entry.name);
    const name = basename(path);
    if (name === ".wh..wh..opq")
      return readdirSync(dirname(path)).forEach((each) => rmSync(`${dirname(path)}/${each}`, { recursive: true }));
    if (name.startsWith(".wh.")) return rmSync(`${dirname(path)}/${name.slice(4)}`, { recursive: true, force: true });
    mkdirSync(dirname(path), { recursive: true });
    switch (entry.type) {
      case "directory":
        mkdirSync(path, { recursive: true });
        later.push(() => chmodSync(path, entry.mode));
        later.push(() => utimesSync(path, entry.mtime.seconds, entry.mtime.seconds));
        break;
      case "symlink":
        if (lstatSync(path, { throwIfNoEntry: false })) rmSync(path, { recursive: true });
        symlinkSync(entry.linkName, path);
        break;
      case "hard link":
        linkSync(at(entry.linkName), path);
        break;
      case "character device":
        spawn("mknod", path, "c", String(entry.major), String(entry.minor));
        break;
      default:
        writeFileSync(path, content);
    }
    for (const [key, value] of entry.xattrs ?? [])
      spawn("setfattr", "-n", key, "-v", Buffer.from(value).toString(), path);
  };
  const reader = new TarReader();
  let entry: TarRecord | undefined;
  let parts: Uint8Array[] = [];
  const flush = () => entry && write(entry, Buffer.concat(parts));
  for (const piece of reader.push(tar)) {
    if (piece.entry) {
      flush();
      [entry, parts] = [piece.entry, []];
    } else parts.push(piece.bytes.slice());
  }
  flush();
  later.forEach((each) => each());
}

function spawn(...command: string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(command, { stderr: "pipe" });
  if (exitCode !== 0) throw new Error(stderr.toString());
}
