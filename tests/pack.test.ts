/** Directories as layers and as trees: against GNU tar, bsdtar, and what overlayfs makes of them. @module */
import { afterAll, describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import { digestOf } from "../lib/image/index.ts";
import { changesOf, packLayer, packTree, unpackLayer, type Packed, type PackOptions } from "../lib/layer/index.ts";
import { readTar, tarEnd, tarHeader, tarPadding, type TarEntry, type TarTime, type TarType } from "../lib/tar/index.ts";
import { subordinateMaps } from "../lib/launch/index.ts";
import { applyLayer, diffStates, statesOfTar } from "../wasm/index.ts";
import { failureOf } from "./support/failure.ts";
import { asRoot, notRoot, notUser, testUnless } from "./support/machine.ts";
import { Folder } from "./support/rootfs.ts";

const login = Bun.spawnSync(["id", "-un"]).stdout.toString().trim();
const hasRange = (file: string) =>
  existsSync(file) &&
  readFileSync(file, "utf8")
    .split("\n")
    .some((line) => line.startsWith(`${login}:`));
const noSubordinateIds =
  notUser ?? (hasRange("/etc/subuid") && hasRange("/etc/subgid") ? undefined : "this user has no subordinate ids");
const folder = new Folder();
afterAll(() => {
  // some keep themselves to themselves
  if (!asRoot) run(["find", folder.path, "-type", "d", "-exec", "chmod", "u+rwx", "{}", ";"]);
  folder.remove();
});
/** Of an ordinary user who has no ids but its own: with them, its files are root's, who may read all. */
const ownMap = (id: number) => [{ containerID: 0, hostID: id, size: 1 }];
const OWN: PackOptions = asRoot
  ? {}
  : { ids: { uidMappings: ownMap(userInfo().uid), gidMappings: ownMap(userInfo().gid) } };

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

interface Made {
  path: string[];
  kind: string;
  mode: number;
  uid: number;
  mtime: TarTime;
  content: string;
  xattr: Uint8Array | null;
}

/** Each in directories of its own: what is in the way of others is left out. */
function archiveOf(entries: Made[]): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  const kinds = new Map<string, string>();
  let file: string | undefined;
  for (const { path, kind, mode, uid, mtime, content, xattr } of entries) {
    const above = path.slice(1).map((_, depth) => path.slice(0, depth + 1).join("/"));
    const whole = path.join("/");
    if (kinds.has(whole) || above.some((each) => (kinds.get(each) ?? "directory") !== "directory")) continue;
    if (kind === "hard link" && file === undefined) continue;
    for (const each of above) kinds.set(each, "directory");
    kinds.set(whole, kind === "opaque" ? "directory" : kind);
    const types: Record<string, TarType> = { whiteout: "file", device: "block device", opaque: "directory" };
    const type = types[kind] ?? (kind as TarType);
    const bytes = kind === "file" ? new TextEncoder().encode(content) : new Uint8Array();
    const place = kind === "whiteout" ? [...path.slice(0, -1), `.wh.${path.at(-1)}`].join("/") : whole;
    const xattrs = xattr && type === "file" && kind === "file" ? { xattrs: new Map([["user.x", xattr]]) } : {};
    const header = {
      name: new TextEncoder().encode(place),
      type,
      mode,
      uid,
      gid: uid,
      size: bytes.length,
      mtime,
      ...(kind === "symlink" ? { linkName: new TextEncoder().encode(content || "x") } : {}),
      ...(kind === "hard link" ? { linkName: new TextEncoder().encode(file) } : {}),
      ...(kind === "device" ? { major: 7, minor: 300 } : {}),
      ...xattrs,
    };
    if (kind === "file") file ??= whole;
    parts.push(tarHeader(header), bytes, tarPadding(bytes.length));
    if (kind !== "opaque") continue;
    const marker = { name: new TextEncoder().encode(`${whole}/.wh..wh..opq`), type: "file" as const, size: 0 };
    parts.push(tarHeader({ ...marker, mode: 0, uid: 0, gid: 0, mtime: { seconds: 0, nanoseconds: 0 } }));
  }
  parts.push(tarEnd());
  return Buffer.concat(parts) as Uint8Array<ArrayBuffer>;
}

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
  test("has its maker's files as those of root, whoever that is", async () => {
    const { tar } = await layerOf(tree({ "a/b": "1" }));
    const owners = (await entriesOf(tar)).map(({ name, uid, gid }) => [name, uid, gid]);
    expect(owners).toEqual([
      ["a/", 0, 0],
      ["a/b", 0, 0],
    ]);
  });

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
    // bsdtar takes such a bit away where the owner is not what the archive says
    chmodSync(join(top, "b/empty"), asRoot ? 0o4751 : 0o751);
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

/** In an overlay, as tsbox mounts it: `userxattr`. @returns its upper directory */
function changed(lowers: string[], script: string): string {
  const [upper, work, merged] = ["upper", "work", "merged"].map((name) => folder.directory(`${name}${made++}`)) as [
    string,
    string,
    string,
  ];
  const mount =
    'mount -t overlay -o "userxattr,lowerdir=$1,upperdir=$2,workdir=$3" overlay "$4" && cd "$4" && eval "$5"';
  run(["unshare", "-m", "sh", "-ec", mount, "sh", lowers.join(":"), upper, work, merged, script]);
  return upper;
}

describe("what an overlay changes", () => {
  testUnless(notRoot, "is told as Docker does", () => {
    const [low, mid] = [
      tree({
        "a/b/old": "1",
        "a/kept": "1",
        "gone/x/y": "1",
        "again/z": "1",
        "again/sub/deep": "1",
        "to-dir": "1",
        "to-file/in": "1",
        same: "1",
      }),
      tree({ "a/b/mid": "2", mode: "1", "hidden/by": "1" }),
    ];
    run(["mknod", join(mid, "absent"), "c", "0", "0"]);
    const upper = changed(
      [mid, low],
      `echo 2 >>a/b/old; mkdir -p new/dir; echo 3 >new/dir/file; rm -r gone; rm -r again; mkdir again again/sub
      echo 4 >again/new; rm to-dir; mkdir to-dir; echo 5 >to-dir/f; rm -r to-file; echo 6 >to-file; chmod 600 mode
      mknod zero c 1 5; rm a/b/mid; echo 7 >absent; touch -r same temporary; rm temporary`,
    );
    expect(changesOf(upper, [mid, low]).map(({ kind, path }) => `${kind} ${path}`)).toEqual([
      "C /a",
      "C /a/b",
      "D /a/b/mid",
      "C /a/b/old",
      "A /absent",
      "C /again",
      "A /again/new",
      "C /again/sub",
      "D /again/sub/deep",
      "D /again/z",
      "D /gone",
      "C /mode",
      "A /new",
      "A /new/dir",
      "A /new/dir/file",
      "C /to-dir",
      "A /to-dir/f",
      "C /to-file",
      "A /zero",
    ]);
    expect(changesOf(tree({}), [low])).toEqual([]);
    expect(changesOf(tree({ "x/y": "" }), []).map(({ kind }) => kind)).toEqual(["A", "A"]);
  });

  testUnless(notRoot, "is a layer that makes the same of the layers below", async () => {
    const low = tree({ "a/b/old": "1", "gone/x": "1", "again/z": "1", "to-dir": "1", "to-file/in": "1" });
    const upper = changed(
      [low],
      `echo 2 >>a/b/old; rm -r gone again; mkdir again; echo 4 >again/new; rm to-dir; mkdir to-dir; rm -r to-file
      echo 6 >to-file; ln a/b/old hard; mkfifo pipe; ln -s nowhere link`,
    );
    const seen = (await treeOf([low], upper)).diffId;
    const into = await unpacked((await layerOf(upper)).tar);
    expect((await treeOf([low], into)).diffId).toBe(seen);
    // the change set, and its application, by what they are defined as
    const statesOf = async (tar: Uint8Array) => statesOfTar([tar.subarray(0, 700), tar.subarray(700)]);
    const below = await statesOf((await treeOf([low])).tar);
    const all = applyLayer([], await statesOf((await treeOf([low], upper)).tar));
    const layer = await statesOf((await layerOf(upper)).tar);
    expect(applyLayer(below, layer)).toEqual(all);
    const again = diffStates(below, all);
    expect(applyLayer(below, again)).toEqual(all);
    expect(again.map(({ name }) => name)).toContain(".wh.gone");
  });
});

async function unpacked(tar: Uint8Array<ArrayBuffer>): Promise<string> {
  const into = folder.directory(`unpacked${made++}`);
  const digest = digestOf(tar);
  const source = { pieces: [tar], compression: "none" as const, digest, sizeBytes: tar.length, diffId: digest };
  await unpackLayer(source, into, { ids: OWN.ids });
  return into;
}

describe("a layer that is unpacked and packed again is the same,", () => {
  test("whatever is in it", async () => {
    const name = fc.oneof(
      fc.constantFrom("a", "b", "c"),
      fc
        .string({ unit: "grapheme", minLength: 1, maxLength: 40 })
        .filter((text) => !/[/\0]|^\.{1,2}$|^\.wh\./.test(text)),
      fc.integer({ min: 101, max: 160 }).map((length) => "n".repeat(length)),
    );
    const kind = fc.constantFrom("file", "directory", "symlink", "hard link", "whiteout", "device", "fifo", "opaque");
    const mtime = fc.record({
      seconds: fc.integer({ min: -(2 ** 31), max: 2 ** 33 }),
      nanoseconds: fc.nat(999_999_999),
    });
    const entry = fc.record({
      path: fc.array(name, { minLength: 1, maxLength: 4 }),
      kind: asRoot ? kind : kind.filter((each) => each !== "device" && each !== "opaque"),
      mode: fc.nat(0o7777),
      uid: fc.nat(asRoot ? 2 ** 32 - 2 : 0),
      mtime,
      content: fc.string({ maxLength: 3000 }),
      xattr: fc.option(fc.uint8Array({ maxLength: 100 })),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(entry, { maxLength: 12 }), async (entries) => {
        const into = await unpacked(archiveOf(entries));
        const once = await layerOf(into, OWN);
        const again = await layerOf(await unpacked(once.tar), OWN);
        expect(again.diffId).toBe(once.diffId);
      }),
      { numRuns: 100 },
    );
  });
});

describe("ids of the host", () => {
  const maps = [{ containerID: 0, hostID: 100_000, size: 1000 }];
  const ids = { uidMappings: maps, gidMappings: maps };

  testUnless(notRoot, "are those of the image, in attributes as well", async () => {
    const top = tree({ own: "1", other: "1" });
    chownSync(join(top, "own"), 100_007, 100_000);
    chownSync(join(top, "other"), 5, 5);
    // version 3: of the root 100000; then of the root 5
    set(join(top, "own"), "security.capability", "0x0100000300040000000000000000000000000000a0860100");
    set(join(top, "other"), "security.capability", "0x010000030004000000000000000000000000000005000000");
    run(["setfacl", "-m", "u:100009:r", join(top, "own")]);
    const [other, own] = (await entriesOf((await layerOf(top, { ids })).tar)) as [Read, Read];
    expect([own.uid, own.gid, other.uid, other.gid]).toEqual([7, 0, 65534, 65534]);
    expect(own.xattrs?.get("security.capability")).toEqual(
      Uint8Array.fromHex("0100000200040000000000000000000000000000"),
    );
    const list = own.xattrs?.get("system.posix_acl_access") as Uint8Array;
    const named = [...list.keys()].filter((at) => at % 8 === 4 && list[at] === 2);
    expect(named.map((at) => new DataView(list.buffer, list.byteOffset).getUint32(at + 4, true))).toEqual([9]);
    expect(other.xattrs).toBeUndefined();
  });

  testUnless(noSubordinateIds, "of a user's subordinate ones, what they keep to themselves is read", async () => {
    const subordinate = subordinateMaps(process.getuid?.() as number, process.getgid?.() as number);
    const into = folder.directory(`subordinate${made++}`);
    const header = { size: 1, type: "file" as const, gid: 3, mtime: { seconds: 1, nanoseconds: 2 } };
    const files = [tarHeader({ ...header, name: Buffer.from("a"), mode: 0, uid: 7 }), Buffer.from("x"), tarPadding(1)];
    const tar = Buffer.concat([...files, tarEnd()]);
    const digest = digestOf(tar);
    const source = { pieces: [tar], compression: "none" as const, digest, sizeBytes: tar.length, diffId: digest };
    await unpackLayer(source, into, { ids: subordinate });
    expect((await failureOf(() => layerOf(into))).errno).toBe(13);
    expect((await layerOf(into, { ids: subordinate })).diffId).toBe(digest);
    expect(changesOf(into, [], { ids: subordinate })).toEqual([{ kind: "A", path: "/a" }]);
    const [{ containerID, hostID, size }] = [
      subordinate.uidMappings[1] as { containerID: number; hostID: number; size: number },
    ];
    expect(lstatSync(join(into, "a")).uid).toBe(hostID + 7 - containerID);
    expect(size).toBeGreaterThan(7);
    rmSync(join(into, "a"));
  });
});

testUnless(
  notRoot ?? (Bun.which("umoci") ? undefined : "umoci is not installed"),
  "umoci and skopeo take a layer, and make the same of it",
  async () => {
    const low = tree({ "a/b/old": "1", "gone/x": "1", "again/z": "1" });
    const upper = changed([low], `echo 2 >>a/b/old; rm -r gone again; mkdir again; echo 4 >again/new; ln a/b/old hard`);
    const layout = join(folder.path, "layout");
    run(["umoci", "init", "--layout", layout]);
    run(["umoci", "new", "--image", `${layout}:x`]);
    for (const top of [low, upper])
      run(["umoci", "raw", "add-layer", "--image", `${layout}:x`, folder.write("layer.tar", (await layerOf(top)).tar)]);
    run(["skopeo", "copy", "--quiet", `oci:${layout}:x`, `oci:${layout}-copy:x`]);
    const bundle = join(folder.path, "bundle");
    run(["umoci", "unpack", "--image", `${layout}-copy:x`, bundle]);
    const seen = folder.directory(`seen${made++}`);
    run(["tar", "-xpf-", "-C", seen], { stdin: (await treeOf([low], upper)).tar });
    run(["diff", "-r", "--no-dereference", seen, join(bundle, "rootfs")]);
  },
);

test("a layer is the same on Deno", async () => {
  const top = tree({ "a/b": "content", "a/big": "x".repeat(2_500_000), "é/\n": "1" });
  const { diffId, bytes, entries } = await layerOf(top);
  const deno = join(import.meta.dir, "../node_modules/.bin/deno");
  const script = join(import.meta.dir, "fixtures/pack.ts");
  const env = { ...process.env, DENO_NO_UPDATE_CHECK: "1" };
  const output = run([deno, "run", "--quiet", "--no-lock", "--allow-all", script, top], { env });
  expect(JSON.parse(output)).toEqual({ diffId, bytes, entries, read: [0, 0], isSame: true });
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
