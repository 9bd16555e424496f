/**
 * Upper directories that hostile code has filled, or is changing while they are packed: nothing of the host gets into
 * the layer, nothing in it becomes something else where it is unpacked, and there is an end.
 * @module
 */
import { afterAll, describe, expect, test } from "bun:test";
import {
  closeSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { packLayer, packTree, type PackOptions } from "../../lib/layer/index.ts";
import { applyLayer, statesOfTar } from "../../wasm/index.ts";
import { cloneTree } from "../../syscalls/index.ts";
import { readTar } from "../../lib/tar/index.ts";
import { failureOf } from "../support/failure.ts";
import { notRoot, SLOW, testUnless } from "../support/machine.ts";
import { Folder } from "../support/rootfs.ts";

const folder = new Folder();
afterAll(() => folder.remove());
let made = 0;
const directory = () => folder.directory(`upper${made++}`);

const run = (...command: string[]) => {
  const { exitCode, stderr } = Bun.spawnSync(command, { stderr: "pipe" });
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${stderr.toString()}`);
};

async function packed(upper: string, options?: PackOptions): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  await packLayer(upper, (bytes) => void parts.push(bytes.slice()), options);
  return Buffer.concat(parts) as Uint8Array<ArrayBuffer>;
}

interface Entry {
  name: string;
  type: string;
  linkName: string;
  text: string;
}

async function entriesOf(tar: Uint8Array): Promise<Entry[]> {
  const entries: Entry[] = [];
  for await (const { name, type, linkName, body } of readTar([tar])) {
    const parts: Uint8Array<ArrayBuffer>[] = [];
    for await (const part of body) parts.push(part.slice());
    entries.push({ name, type, linkName, text: await new Blob(parts).text() });
  }
  return entries;
}

/** Does something again and again in a process of its own until the block ends. */
class Meanwhile implements Disposable {
  readonly #child;
  constructor(body: string, ...args: string[]) {
    const script = folder.write(
      `meanwhile${made++}.ts`,
      `import * as fs from "node:fs"; const [, , ...args] = process.argv;
       process.stdout.write("!"); for (let i = 0; ; i++) { try { ${body} } catch {} }`,
    );
    this.#child = Bun.spawn([process.execPath, script, ...args], { stdout: "pipe" });
  }
  async started(): Promise<void> {
    await this.#child.stdout.getReader().read();
  }
  [Symbol.dispose](): void {
    this.#child.kill(9);
  }
}

const SECRET = "secret of the host";

describe("while it is packed,", () => {
  test("a file that becomes a symlink, and back, is never what it leads to", async () => {
    const [upper, host] = [directory(), directory()];
    const secret = join(host, "secret");
    writeFileSync(secret, SECRET);
    for (let index = 0; index < 50; index++) writeFileSync(join(upper, `f${index}`), "own");
    writeFileSync(join(upper, "own"), "own");
    symlinkSync(secret, join(upper, "link"));
    const swap = `const f = args[0] + "/f" + (i % 50);
      fs.linkSync(args[0] + "/" + (i % 2 ? "own" : "link"), args[0] + "/next"); fs.renameSync(args[0] + "/next", f);`;
    using meanwhile = new Meanwhile(swap, upper);
    await meanwhile.started();
    const [end, found] = [Date.now() + 700 * SLOW, new Set<string>()];
    for (let rounds = 0; Date.now() < end || rounds < 5; rounds++)
      for (const { type, text } of await entriesOf(await packed(upper))) {
        found.add(type);
        expect(text).not.toContain(SECRET);
      }
    expect(found).toContain("symlink");
    // by its name, one is what it leads to
    let followed = "";
    for (let round = 0; round < 10_000 && followed !== SECRET; round++)
      followed = readFileSync(join(upper, `f${round % 50}`), "utf8");
    expect(followed).toBe(SECRET);
  });

  test("a directory that becomes a symlink is never what it leads to", async () => {
    const [upper, host] = [directory(), directory()];
    writeFileSync(join(host, "secret"), SECRET);
    mkdirSync(join(upper, "d/e"), { recursive: true });
    writeFileSync(join(upper, "d/e/own"), "own");
    symlinkSync(host, join(upper, "link"));
    const swap = `fs.renameSync(args[0] + "/d", args[0] + "/aside"); fs.renameSync(args[0] + "/link", args[0] + "/d");
      fs.renameSync(args[0] + "/d", args[0] + "/link"); fs.renameSync(args[0] + "/aside", args[0] + "/d");`;
    using meanwhile = new Meanwhile(swap, upper);
    await meanwhile.started();
    for (const end = Date.now() + 700 * SLOW; Date.now() < end;)
      for (const { text } of await entriesOf(await packed(upper))) expect(text).not.toContain(SECRET);
  });

  test("a file that grows and shrinks is as long as its header says", async () => {
    const upper = directory();
    for (const name of ["a", "b", "c"]) writeFileSync(join(upper, name), "x".repeat(100_000));
    const resize = `fs.truncateSync(args[0] + "/" + "abc"[i % 3], [0, 3000000, 10, 100000][i % 4]);`;
    using meanwhile = new Meanwhile(resize, upper);
    await meanwhile.started();
    const end = Date.now() + 700 * SLOW;
    for (let rounds = 0; Date.now() < end || rounds < 5; rounds++) {
      const entries = await entriesOf(await packed(upper));
      expect(entries.map(({ name }) => name)).toEqual(["a", "b", "c"]);
      for (const { text } of entries) expect(text).toMatch(/^[x\0]*$/);
    }
  });

  test("one that is cut off between its header and its bytes is zeros to the end", async () => {
    const upper = directory();
    const fd = openSync(join(upper, "cut"), "w+");
    ftruncateSync(fd, 5_000_000);
    writeFileSync(join(upper, "cut"), "y".repeat(5_000_000));
    let total = 0;
    const parts: Uint8Array<ArrayBuffer>[] = [];
    await packLayer(upper, (bytes) => {
      if (total === 0) truncateSync(join(upper, "cut"), 1_100_000);
      total += bytes.length;
      parts.push(bytes.slice());
    });
    closeSync(fd);
    const [{ text, name }] = (await entriesOf(Buffer.concat(parts))) as [Entry];
    expect([name, text.length]).toEqual(["cut", 5_000_000]);
    expect(text.slice(1_100_000)).toBe("\0".repeat(3_900_000));
  });

  test("what is gone, and what is there of late, hold nobody up", async () => {
    const upper = directory();
    const churn = `const d = args[0] + "/d" + (i % 20); fs.mkdirSync(d); fs.writeFileSync(d + "/f", "x");
      fs.rmSync(args[0] + "/d" + ((i + 10) % 20), { recursive: true, force: true });`;
    using meanwhile = new Meanwhile(churn, upper);
    await meanwhile.started();
    const end = Date.now() + 700 * SLOW;
    for (let rounds = 0; Date.now() < end || rounds < 5; rounds++) await entriesOf(await packed(upper));
  });

  test("a signal ends it", async () => {
    const upper = directory();
    writeFileSync(join(upper, "big"), "x".repeat(5_000_000));
    const abort = new AbortController();
    const packing = packLayer(upper, () => abort.abort(new Error("enough")), { signal: abort.signal });
    await expect(packing).rejects.toThrow("enough");
  });
});

describe("a fifo nobody writes to", () => {
  test("is a fifo, and holds nobody up", async () => {
    const upper = directory();
    run("mkfifo", join(upper, "fifo"));
    expect((await entriesOf(await packed(upper))).map(({ type }) => type)).toEqual(["fifo"]);
    // where it takes the place of a file that was one when its name was read
    using meanwhile = new Meanwhile(
      `fs.renameSync(args[0] + "/fifo", args[0] + "/x"); fs.writeFileSync(args[0] + "/fifo", "");
       fs.renameSync(args[0] + "/x", args[0] + "/fifo");`,
      upper,
    );
    await meanwhile.started();
    for (const end = Date.now() + 300 * SLOW; Date.now() < end;) await packed(upper);
  });
});

describe("in the layer there is", () => {
  testUnless(notRoot, "nothing of what is mounted in the directory", async () => {
    const upper = directory();
    mkdirSync(join(upper, "mounted"));
    const script = folder.write(
      "mounted.ts",
      `import { packLayer } from ${JSON.stringify(join(import.meta.dir, "../../lib/layer/index.ts"))};
       let text = ""; await packLayer(process.argv[2]!, (bytes) => void (text += new TextDecoder().decode(bytes)));
       console.log(text.includes("${SECRET}"));`,
    );
    const shell = 'mount -t tmpfs none "$1/mounted"; echo "$2" >"$1/mounted/f"; cat "$1/mounted/f"; "$3" "$4" "$1"';
    const { stdout } = Bun.spawnSync([
      "unshare",
      "-m",
      "sh",
      "-c",
      shell,
      "sh",
      upper,
      SECRET,
      process.execPath,
      script,
    ]);
    // it is there for whoever asks
    expect(stdout.toString().trim().split("\n")).toEqual([SECRET, "false"]);
  });

  testUnless(notRoot, "no device's content, and no device is opened", async () => {
    const upper = directory();
    for (const [name, minor] of [
      ["null", "3"],
      ["zero", "5"],
    ] as const)
      run("mknod", join(upper, name), "c", "1", minor);
    // by its name it opens; where packing looks, not even one that took a file's place would
    closeSync(openSync(join(upper, "zero"), "r"));
    const tree = cloneTree(upper);
    expect(tree).toBeGreaterThan(0);
    expect(() => openSync(`/proc/self/fd/${tree}/zero`, "r")).toThrow("EACCES");
    expect(() => writeFileSync(`/proc/self/fd/${tree}/new`, "")).toThrow("EROFS");
    closeSync(tree);
    const entries = await entriesOf(await packed(upper));
    expect(entries.map(({ type, text }) => [type, text])).toEqual(
      Array.from({ length: 2 }, () => ["character device", ""]),
    );
  });

  test("no name that is a whiteout elsewhere", async () => {
    for (const name of [".wh.etc", ".wh..wh..opq", "d/.wh..wh.aufs"]) {
      const upper = directory();
      folder.write(`${upper.slice(folder.path.length + 1)}/${name}`, "");
      expect(await failureOf(() => packed(upper))).toMatchObject({ code: "archive_refused", path: name });
    }
    const upper = directory();
    mkdirSync(join(upper, ".wh.etc"));
    // what others pack is a whiteout, for whoever applies it
    const plain = Bun.spawnSync(["tar", "-cf-", "-C", upper, "."]).stdout;
    const etc = (await statesOfTar([plain])).map((state) => ({ ...state, name: "etc", mode: 0o755 }));
    expect(applyLayer(etc, await statesOfTar([plain]))).toEqual([]);
    expect((await failureOf(() => packed(upper))).code).toBe("archive_refused");
    // a tree that is exported hides nothing
    let bytes = 0;
    await packTree([upper], undefined, (part) => void (bytes += part.length));
    expect(bytes).toBeGreaterThan(0);
  });

  test("no attribute of overlayfs, however it is called", async () => {
    for (const [key, value] of [
      ["user.overlay.redirect", "/etc"],
      ["user.overlay.metacopy", ""],
      ["user.overlay.whiteout", ""],
    ] as const) {
      const upper = directory();
      writeFileSync(join(upper, "f"), "");
      run("setfattr", "-n", key, "-v", value, join(upper, "f"));
      expect(await failureOf(() => packed(upper))).toMatchObject({
        code: "archive_refused",
        message: expect.stringContaining(key),
      });
    }
    const upper = directory();
    writeFileSync(join(upper, "f"), "");
    run("setfattr", "-n", "user.overlay.opaque", "-v", "y", join(upper, "f"));
    // others pack it
    const plain = Bun.spawnSync(["tar", "--xattrs", "-cf-", "-C", upper, "f"]).stdout;
    expect(plain.includes("SCHILY.xattr.user.overlay.opaque")).toBe(true);
    for (const key of ["user.overlay.overlay.opaque", "user.overlay.origin", "user.a=user.overlay.opaque"])
      run("setfattr", "-n", key, "-v", "y", join(upper, "f"));
    expect(Buffer.from(await packed(upper)).includes("SCHILY")).toBe(false);
  });

  test("no name that a record of another entry could be made of", async () => {
    const upper = directory();
    const name = `${"x".repeat(120)}\n13 path=evil\n`;
    writeFileSync(join(upper, name), "1");
    symlinkSync(`${"y".repeat(120)}\n22 linkpath=/etc/shadow\n`, join(upper, "\u001b]0;title\u0007"));
    writeFileSync(join(upper, "f"), "2");
    run("setfattr", "-n", "user.x", "-v", "\n13 path=evil\n", join(upper, "f"));
    const entries = await entriesOf(await packed(upper));
    expect(entries.map((entry) => entry.name).toSorted()).toEqual(["\u001b]0;title\u0007", "f", name]);
    const names = Bun.spawnSync(["tar", "--quoting-style=literal", "--null", "-tf-"], { stdin: await packed(upper) });
    expect(names.stdout.toString()).toContain(name);
  });
});

describe("an end is put to", () => {
  test("holes as long as a disk", async () => {
    const upper = directory();
    closeSync(openSync(join(upper, "sparse"), "w"));
    truncateSync(join(upper, "sparse"), 2 ** 42);
    expect(await failureOf(() => packed(upper))).toMatchObject({ code: "archive_refused", path: "sparse" });
    truncateSync(join(upper, "sparse"), 2 ** 34);
    const limited = { limits: { holeBytes: 2 ** 20 } };
    expect(await failureOf(() => packed(upper, limited))).toMatchObject({ hint: "limits.holeBytes" });
  });

  test("more files and bytes than were allowed", async () => {
    const upper = directory();
    for (let index = 0; index < 200; index++) writeFileSync(join(upper, `f${index}`), "x");
    linkSync(join(upper, "f1"), join(upper, "hard"));
    expect(await failureOf(() => packed(upper, { limits: { entries: 100 } }))).toMatchObject({
      hint: "limits.entries",
    });
    expect(await failureOf(() => packed(upper, { limits: { bytes: 100 } }))).toMatchObject({ hint: "limits.bytes" });
    await packed(upper, { limits: { entries: 201, bytes: 200 } });
  });

  test("directories deeper than any path, without running out of descriptors", async () => {
    const upper = directory();
    const [levels, deep] = [1900, "d/".repeat(1900)];
    const limit = Number(/Max open files +(\d+)/.exec(readFileSync("/proc/self/limits", "utf8"))?.[1]);
    const open = () => readdirSync("/proc/self/fd").length;
    mkdirSync(join(upper, deep), { recursive: true });
    const [before, most] = [open(), { open: 0 }];
    await packLayer(upper, () => void (most.open = Math.max(most.open, open())));
    expect(most.open - before).toBeLessThan(Math.min(limit, 100));
    const entries = await entriesOf(await packed(upper));
    expect(entries.at(-1)?.name).toBe(deep);
    // twice as deep: that is no path of anybody's
    mkdirSync(join(upper, "top", deep), { recursive: true });
    renameSync(join(upper, "top/d"), join(upper, deep, "d"));
    expect(await failureOf(() => packed(upper))).toMatchObject({
      code: "archive_refused",
      message: expect.stringContaining("more than 4095 bytes"),
    });
    // others may have closed theirs in the meantime
    expect(open()).toBeLessThanOrEqual(before);
    expect(entries.length).toBe(levels);
    // that of the runtime takes a minute
    run("rm", "-rf", upper);
  });
});

test("hard links are one file, whichever name comes first", async () => {
  const upper = directory();
  writeFileSync(join(upper, "z"), "content");
  for (const name of ["m", "a"]) linkSync(join(upper, "z"), join(upper, name));
  const [first, ...others] = await entriesOf(await packed(upper));
  expect([first?.name, first?.text]).toEqual(["a", "content"]);
  expect(others.map(({ type, linkName }) => [type, linkName])).toEqual(
    Array.from({ length: 2 }, () => ["hard link", "a"]),
  );
  unlinkSync(join(upper, "a"));
});
