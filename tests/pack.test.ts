/** Directories as layers and as trees: against GNU tar, bsdtar, and what overlayfs makes of them. @module */
import { afterAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  closeSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  openSync,
  readFileSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { digestOf } from "../lib/image/index.ts";
import { packLayer, packTree, type Packed, type PackOptions } from "../lib/layer/index.ts";
import { readTar, type TarEntry } from "../lib/tar/index.ts";
import { failureOf } from "./support/failure.ts";
import { notRoot, testUnless } from "./support/machine.ts";
import { Folder } from "./support/rootfs.ts";

const folder = new Folder();
afterAll(() => folder.remove());

const run = (command: string[], options: object = {}) => {
  const { exitCode, stdout, stderr } = Bun.spawnSync(command, { stderr: "pipe", ...options });
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${stderr.toString()}`);
  return stdout?.toString() ?? "";
};
const set = (path: string, key: string, value: string) => run(["setfattr", "-h", "-n", key, "-v", value, path]);

/** What is handed over is good for a moment only. */
async function packed(
  pack: (sink: (bytes: Uint8Array) => void) => Promise<Packed>,
): Promise<Packed & { tar: Uint8Array<ArrayBuffer> }> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  const result = await pack((bytes) => {
    parts.push(bytes.slice());
    bytes.fill(0xff);
  });
  return { ...result, tar: await new Blob(parts).bytes() };
}
const layerOf = (upper: string, options?: PackOptions) => packed((sink) => packLayer(upper, sink, options));
const treeOf = (lowers: string[], upper?: string) => packed((sink) => packTree(lowers, upper, sink));

type Read = Omit<TarEntry, "body"> & { text: string };
async function entriesOf(tar: Uint8Array): Promise<Read[]> {
  const entries: Read[] = [];
  for await (const { body, ...entry } of readTar([tar])) {
    const parts: Uint8Array<ArrayBuffer>[] = [];
    for await (const part of body) parts.push(part.slice());
    entries.push({ ...entry, text: await new Blob(parts).text() });
  }
  return entries;
}
const namesOf = async (tar: Uint8Array) => (await entriesOf(tar)).map(({ name }) => name);

let made = 0;
/** A directory with files: a name that ends with a slash is a directory. */
function tree(files: Record<string, string>): string {
  const top = folder.directory(`tree${made++}`);
  for (const [name, content] of Object.entries(files))
    if (name.endsWith("/")) mkdirSync(join(top, name), { recursive: true });
    else folder.write(`${top.slice(folder.path.length + 1)}/${name}`, content);
  return top;
}

describe("a layer", () => {
  test("has what GNU tar reads back, byte for byte", async () => {
    const top = tree({
      "b/file": "content\n",
      "b/empty": "",
      "a/big": "x".repeat(3_000_000),
      [`${"d".repeat(90)}/${"é".repeat(100)}/${"f".repeat(90)}`]: "long",
      [`${"p".repeat(80)}/${"q".repeat(80)}`]: "prefix",
      "z\nnew line": "1",
    });
    folder.link(`${top.slice(folder.path.length + 1)}/link`, "b/file");
    folder.link(`${top.slice(folder.path.length + 1)}/long link`, "t".repeat(1000));
    linkSync(join(top, "b/file"), join(top, "b/hard"));
    chmodSync(join(top, "b/empty"), 0o4751);
    utimesSync(join(top, "b/file"), 1_234_567_890.123, 1_234_567_890.123);
    lutimesSync(join(top, "link"), 5, 5);
    const { tar, diffId, bytes } = await layerOf(top);
    expect([diffId, bytes]).toEqual([digestOf(tar), tar.length]);
    for (const reader of ["tar", "bsdtar"]) {
      const into = folder.directory(`into-${reader}`);
      run([reader, "-xpf-", "-C", into], { stdin: tar });
      // contents, modes, links and times are the same: packed again, it is the same archive
      expect((await layerOf(into)).diffId).toBe(diffId);
      run(["diff", "-r", "--no-dereference", top, into]);
    }
  });

  test("is sorted, each directory before what is in it, and files before directories", async () => {
    const top = tree({ "b/x": "", "b/c/y": "", "b-c": "", "a/": "", "b/z": "", c: "" });
    const { tar, entries } = await layerOf(top);
    expect(await namesOf(tar)).toEqual(["b-c", "c", "a/", "b/", "b/x", "b/z", "b/c/", "b/c/y"]);
    expect(entries).toBe(8);
    expect(await namesOf((await layerOf(top, { root: true })).tar)).toContain("./");
  });

  test("is the same whenever it is packed, where times are clamped", async () => {
    const files = { "a/b": "1", c: "2" };
    const [first, second] = [tree(files), tree(files)];
    utimesSync(join(second, "c"), 3_000_000_000, 3_000_000_000);
    utimesSync(join(first, "c"), 2_000_000_000, 2_000_000_000);
    const sourceDateEpoch = 1_000_000_000;
    const layer = await layerOf(first, { sourceDateEpoch });
    expect((await layerOf(second, { sourceDateEpoch })).diffId).toBe(layer.diffId);
    for (const { mtime } of await entriesOf(layer.tar))
      expect(mtime).toEqual({ seconds: sourceDateEpoch, nanoseconds: 0 });
  });

  test("has holes as zeros, which are not read", async () => {
    const top = tree({ sparse: "begin" });
    truncateSync(join(top, "sparse"), 40_000_000);
    const fd = openSync(join(top, "sparse"), "r+");
    writeSync(fd, "middle", 20_000_000);
    closeSync(fd);
    const [{ text, size }] = (await entriesOf((await layerOf(top)).tar)) as [Read];
    expect(size).toBe(40_000_000);
    expect(text === readFileSync(join(top, "sparse"), "utf8")).toBe(true);
  });

  test("has names that are no text as they are", async () => {
    const top = tree({});
    const name = Buffer.concat([Buffer.from(`${top}/`), Buffer.of(0xff, 0x41, 0x80)]);
    writeFileSync(name, "raw");
    const { tar } = await layerOf(top);
    const into = folder.directory("into-raw");
    run(["tar", "-xf-", "-C", into], { stdin: tar });
    expect(readFileSync(Buffer.concat([Buffer.from(`${into}/`), Buffer.of(0xff, 0x41, 0x80)]), "utf8")).toBe("raw");
  });

  test("is refused where it is missing", async () => {
    expect(await failureOf(() => layerOf("/nowhere"))).toMatchObject({ message: expect.stringContaining("/nowhere") });
  });

  testUnless(notRoot, "has whiteouts, opaque directories, devices, fifos and attributes; no sockets", async () => {
    const top = tree({ "d/new": "1", "e/": "", caps: "2" });
    const path = (name: string) => join(top, name);
    run(["mknod", path("gone"), "c", "0", "0"]);
    run(["mknod", path("null"), "c", "1", "3"]);
    run(["mknod", path("disk"), "b", "259", "70000"]);
    run(["mkfifo", path("fifo")]);
    using server = Bun.listen({ unix: path("socket"), socket: { data() {} } });
    set(path("d"), "trusted.overlay.opaque", "y");
    set(path("e"), "trusted.overlay.origin", "handle");
    set(path("e"), "trusted.overlay.impure", "y");
    set(path("caps"), "security.capability", "0x0100000200040000000000000000000000000000");
    set(path("caps"), "user.note", "text");
    const { tar } = await layerOf(top);
    server.stop();
    const entries = new Map((await entriesOf(tar)).map((entry) => [entry.name, entry]));
    expect([...entries.keys()]).toEqual([
      ".wh.gone",
      "null",
      "caps",
      "disk",
      "fifo",
      "d/",
      "d/.wh..wh..opq",
      "d/new",
      "e/",
    ]);
    expect(entries.get("disk")).toMatchObject({ type: "block device", major: 259, minor: 70_000 });
    expect(entries.get("null")).toMatchObject({ type: "character device", major: 1, minor: 3 });
    expect(entries.get("fifo")?.type).toBe("fifo");
    expect([...(entries.get("caps")?.xattrs?.keys() ?? [])]).toEqual(["security.capability", "user.note"]);
    expect([entries.get("e/")?.xattrs, entries.get("d/")?.xattrs]).toEqual([undefined, undefined]);
  });
});

describe("a tree", () => {
  testUnless(notRoot, "is what overlayfs shows", async () => {
    const [low, mid, top] = [
      tree({ "a/1": "low", "a/2": "low", "b/x/y": "low", f: "low", "o/old": "low", "file-then-dir": "low" }),
      tree({ "a/2": "mid", "c/3": "mid", "o/mid": "mid", "b/x/z": "mid" }),
      tree({ "a/4": "top", "o/new": "top", "file-then-dir/in": "top" }),
    ];
    run(["mknod", join(top, "f"), "c", "0", "0"]);
    run(["mknod", join(mid, "a/1"), "c", "0", "0"]);
    set(join(top, "o"), "trusted.overlay.opaque", "y");
    const { tar } = await treeOf([mid, low], top);
    const [into, merged] = [folder.directory("into-tree"), folder.directory("merged")];
    run(["tar", "-xpf-", "-C", into], { stdin: tar });
    run([
      "unshare",
      "-m",
      "sh",
      "-c",
      'mount -t overlay -o "lowerdir=$1:$2:$3" overlay "$4" && diff -r "$4" "$5"',
      "sh",
      top,
      mid,
      low,
      merged,
      into,
    ]);
    expect(await namesOf(tar)).not.toContain("f");
  });
});
