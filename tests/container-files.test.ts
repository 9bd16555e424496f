/** Files of containers: told, made images and archives, copied both ways; and what hostile ones come to. @module */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { planCopy, splitCopyWord, type Place } from "../lib/cli/containers/copy-plan.ts";
import type { Container } from "../lib/containers/index.ts";
import { archiveName } from "../lib/containers/copy.ts";
import { packHost, renamed, unpackHost } from "../lib/containers/host-files.ts";
import { readTar, tarEnd, tarHeader, tarPadding, type TarType } from "../lib/tar/index.ts";
import { CommandLine } from "./support/command-line.ts";
import { TestEngine } from "./support/engine.ts";
import { failureOf } from "./support/failure.ts";
import { asRoot, noBusybox, noLimits, notRoot, SLOW, testUnless } from "./support/machine.ts";
import { Folder } from "./support/rootfs.ts";

const TIMEOUT_MS = 30_000 * SLOW;
const folder = new Folder();
/** `"file_refused: why"` */
const refusal = async (work: () => unknown): Promise<string> => {
  const { code, message } = await failureOf(work);
  return `${code}: ${message}`;
};
let engine: TestEngine;
let made: CommandLine;
beforeAll(async () => {
  engine = new TestEngine();
  await engine.image("busy", ["CMD sh", "ENV PATH=/bin"]);
  made = await CommandLine.open();
}, TIMEOUT_MS);
afterAll(async () => {
  await engine[Symbol.asyncDispose]();
  await made?.[Symbol.asyncDispose]();
  folder.remove();
}, TIMEOUT_MS);

const fileTest = (name: string, body: () => Promise<void> | void) => testUnless(noBusybox, name, body, TIMEOUT_MS);

interface Item {
  name: string;
  type?: TarType;
  text?: string;
  linkName?: string;
  mode?: number;
  uid?: number;
}

/** An archive, entry by entry. */
async function* tar(...items: Item[]): AsyncGenerator<Uint8Array, void> {
  const bytes = (text: string) => new TextEncoder().encode(text);
  for (const { name, type = "file", text = "", linkName = "", mode = 0o644, uid = 0 } of items) {
    const mtime = { seconds: 1_000_000_000, nanoseconds: 0 };
    const size = bytes(text).length;
    yield tarHeader({ name: bytes(name), type, linkName: bytes(linkName), mode, uid, gid: uid, size, mtime });
    if (size > 0) yield bytes(text);
    yield tarPadding(size);
  }
  yield tarEnd();
}

const streamOf = (pieces: AsyncGenerator<Uint8Array, void>) =>
  new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { value, done } = await pieces.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
  });

/** `"d/"`, `"d/f=text"`, `"d/l->target"` */
async function listed(archive: AsyncIterable<Uint8Array>): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, type, linkName, body } of readTar(archive)) {
    let text = "";
    for await (const piece of body) text += new TextDecoder().decode(piece);
    const told = { file: `=${text}`, symlink: `->${linkName}`, "hard link": `=>${linkName}` };
    found.push(`${name}${told[type as keyof typeof told] ?? ""}`);
  }
  return found.toSorted();
}

/** Waits for the line to be done: its last word makes `/ready`. */
async function running(line: string): Promise<Container> {
  const container = await engine.run(`${line}; : >/ready; exec sleep 1000`, { image: "busy" });
  while (!(await container.stat("/ready"))) await Bun.sleep(5);
  return container;
}

/** In both states; the line has been run in either. */
function inBoth(name: string, line: string, body: (container: Container) => Promise<void>): void {
  fileTest(`${name}, of one that runs`, async () => await body(await running(line)));
  fileTest(`${name}, of one that is stopped`, async () => {
    const container = await running(line);
    await container.stop({ timeout: 0 });
    await body(container);
  });
}

describe("what was written", () => {
  const LINE = "echo new >/new; rm /bin/ls; mkdir -p /srv/a; echo b >/srv/a/b; : >/etc/passwd";

  inBoth("is told", LINE, async (container) => {
    const found = (await container.diff()).map(({ kind, path }) => `${kind} ${path}`);
    expect(found).toEqual(expect.arrayContaining(["A /new", "A /ready", "C /bin", "D /bin/ls", "C /etc/passwd"]));
    // nor what was made to be mounted on
    expect(found.filter((each) => /hosts|resolv|hostname|\/dev|\/proc/.test(each))).toEqual([]);
  });

  inBoth("is an archive with all that is below", LINE, async (container) => {
    const found = await listed(await container.export());
    expect(found).toEqual(expect.arrayContaining(["new=new\n", "srv/a/b=b\n", "bin/cat->busybox"]));
    expect(found.filter((each) => each.startsWith("bin/ls"))).toEqual([]);
  });

  inBoth("becomes an image, with the container's configuration", LINE, async (container) => {
    const { id } = await container.commit("committed", { message: "why", author: "me", changes: ["ENV X=1"] });
    const again = await engine.run(["cat", "/new"], { image: "committed" });
    expect(await again.wait()).toMatchObject({ exitCode: 0 });
    const { Image, Config } = await again.inspect();
    expect(Image).toBe(id);
    expect(Config.Env).toEqual(expect.arrayContaining(["X=1", "PATH=/bin"]));
    await again.remove();
  });

  fileTest("is nothing before the first start, and an image all the same", async () => {
    const container = await engine.create(["sh"], { image: "busy", labels: { a: "b" } });
    expect(await container.diff()).toEqual([]);
    expect(await listed(await container.export())).toContain("bin/cat->busybox");
    await container.commit("unstarted");
    const again = await engine.create([], { image: "unstarted" });
    expect((await again.inspect()).Config).toMatchObject({ Cmd: ["sh"], Labels: { a: "b" } });
  });

  fileTest("is an image or not where the container is removed meanwhile, and nothing is left", async () => {
    const container = await engine.create(["sh"], { image: "busy" });
    const place = engine.home.path(container.id);
    let isOver = false;
    const committed = container
      .commit("going")
      .finally(() => (isOver = true))
      .then(
        () => "made",
        (error: unknown) => (error as { code?: string }).code,
      );
    while (!isOver && !readdirSync(place).some((name) => name.startsWith("empty-"))) await new Promise(setImmediate);
    expect(isOver).toBe(false);
    rmSync(place, { recursive: true });
    expect(["made", "store_unavailable"]).toContain((await committed) ?? "");
    expect(existsSync(place)).toBe(false);
    await container.remove();
  });

  fileTest("is not told of a directory of the host", async () => {
    const container = await engine.create("true");
    expect(await refusal(() => container.diff())).toContain("it is not made of an image");
  });
});

describe("copied out", () => {
  const LINE =
    "mkdir -p /d/sub; echo one >/d/one; echo two >/d/sub/two; ln -s one /d/link; ln -s /d /d/up; ln /d/one /d/hard";
  const BELOW = ["hard", "link->one", "one", "sub/", "sub/two=two\n", "up->/d"];

  inBoth("a directory comes with its name, or without it", LINE, async (container) => {
    const plain = (lines: string[]) => lines.map((line) => line.replace(/=>.*|=one\n/, ""));
    expect(plain(await listed(await container.copyOut("/d")))).toEqual(["d/", ...BELOW.map((each) => `d/${each}`)]);
    expect(plain(await listed(await container.copyOut("/d/.")))).toEqual(["./", ...BELOW.map((each) => `./${each}`)]);
  });

  inBoth("a symlink is one, or what it leads to", LINE, async (container) => {
    expect(await listed(await container.copyOut("/d/link"))).toEqual(["link->one"]);
    expect(await listed(await container.copyOut("/d/link", { followLink: true }))).toEqual(["link=one\n"]);
    expect(await container.stat("/d/up/up/link")).toMatchObject({ path: "/d/up/up/one", type: "file", size: 4 });
    expect(await container.stat("/d/link", { follow: false })).toMatchObject({ type: "symlink" });
    expect(await container.stat("/d/none")).toBeUndefined();
  });

  fileTest("refuses what is not there, and what is no directory", async () => {
    const container = await running("ln -s loop /loop");
    expect(await refusal(() => container.copyOut("/none"))).toContain("Could not find the file /none in container");
    expect(await refusal(() => container.copyOut("/ready/."))).toContain("not a directory");
    expect(await refusal(() => container.stat("/loop"))).toStartWith("file_refused");
  });

  fileTest("what is mounted there comes along", async () => {
    const bound = folder.directory("bound");
    writeFileSync(join(bound, "inside"), "bound");
    const mounts = [{ type: "bind" as const, source: bound, target: "/m/b", readOnly: true }];
    const container = await engine.run("sleep 1000", { image: "busy", mounts });
    expect(await listed(await container.copyOut("/m"))).toEqual(["m/", "m/b/", "m/b/inside=bound"]);
    // but not what the kernel shows
    const all = await listed(await container.copyOut("/"));
    expect(all.filter((each) => /^\.\/(?:proc|sys|m)\//.test(each))).toEqual([
      "./m/",
      "./m/b/",
      "./m/b/inside=bound",
      "./proc/",
      "./sys/",
    ]);
    await container.stop({ timeout: 0 });
    expect(await listed(await container.copyOut("/m"))).toEqual(["m/", "m/b/", "m/b/inside=bound"]);
  });
});

describe("copied in", () => {
  inBoth("an archive is unpacked", "mkdir /in", async (container) => {
    const archive = tar(
      { name: "d/", type: "directory", mode: 0o750 },
      { name: "d/f", text: "hello" },
      { name: "d/out", type: "symlink", linkName: "/etc" },
      { name: "d/again", type: "hard link", linkName: "d/f" },
    );
    await container.copyIn("/in", streamOf(archive));
    const found = await listed(await container.copyOut("/in"));
    expect(found.map((each) => each.replace(/=.*/, ""))).toEqual([
      "in/",
      "in/d/",
      "in/d/again",
      "in/d/f",
      "in/d/out->/etc",
    ]);
    expect(await container.stat("/in/d")).toMatchObject({ mode: 0o750, mtimeMs: 1e12 });
  });

  inBoth("nothing replaces a directory, and no directory anything", "mkdir -p /in/d; : >/in/f", async (container) => {
    expect(await refusal(() => container.copyIn("/in", streamOf(tar({ name: "d", text: "x" }))))).toContain('"d"');
    const directory = tar({ name: "f/", type: "directory" });
    expect(await refusal(() => container.copyIn("/in", streamOf(directory)))).toContain('"f/"');
    expect(await container.stat("/in/d")).toMatchObject({ type: "directory" });
    expect(await refusal(() => container.copyIn("/in/f", streamOf(tar())))).toContain("not a directory");
    expect(await refusal(() => container.copyIn("/none", streamOf(tar())))).toContain("Could not find the file /none");
  });

  testUnless(notRoot, "files belong to root, or to whom the archive says", async () => {
    const container = await running("mkdir /in");
    const archive = () => streamOf(tar({ name: "f", text: "x", uid: 7, mode: 0o4755 }));
    const ownerOf = async () => {
      for await (const { uid, mode } of readTar(await container.copyOut("/in/f"))) return [uid, mode];
      return undefined;
    };
    await container.copyIn("/in", archive());
    expect(await ownerOf()).toEqual([0, 0o755]);
    await container.copyIn("/in", archive(), { archive: true });
    expect(await ownerOf()).toEqual([7, 0o4755]);
  });

  fileTest("a container whose files cannot be written is not written", async () => {
    const options = { image: "busy", security: { readOnly: true } };
    const created = await engine.create(["sleep", "1000"], options);
    expect(await refusal(() => created.copyIn("/", streamOf(tar({ name: "f" }))))).toContain("marked read-only");
    const container = await engine.run(["sleep", "1000"], options);
    expect(await refusal(() => container.copyIn("/", streamOf(tar({ name: "f" }))))).toContain("marked read-only");
  });

  testUnless(
    noLimits,
    "also while it is paused",
    async () => {
      const container = await running("mkdir /in");
      await container.pause();
      await container.copyIn("/in", streamOf(tar({ name: "f", text: "x" })));
      expect(await listed(await container.copyOut("/in"))).toEqual(["in/", "in/f=x"]);
      expect((await container.record()).status).toBe("paused");
      await container.unpause();
    },
    TIMEOUT_MS,
  );

  fileTest("of one that has ended just now, it is as of one that is known to have", async () => {
    const container = await running("[ -e /file ] || echo kept >/file");
    for (let round = 0; round < 10; round++) {
      await container.start();
      const { pid } = await container.record();
      process.kill(pid, "SIGKILL");
      // its supervisor writes that down a little later
      while (
        /^State:\t[^ZX]/m.test(
          await Bun.file(`/proc/${pid}/status`)
            .text()
            .catch(() => ""),
        )
      )
        Bun.sleepSync(0.1);
      expect(await listed(await container.copyOut("/file"))).toEqual(["file=kept\n"]);
    }
  });

  fileTest("before the first start, it is there at the first", async () => {
    const container = await engine.create(["cat", "/given"], { image: "busy" });
    await container.copyIn("/", streamOf(tar({ name: "given", text: "before" })));
    await container.start();
    expect(await container.wait()).toMatchObject({ exitCode: 0 });
    expect((await container.diff()).map(({ path }) => path)).toEqual(["/given"]);
  });
});

describe("hostile", () => {
  // a directory of the host that leads nowhere in the container: what is written there has come out
  const outside = () => folder.directory("outside");
  const LINKS = [
    "ln -s / /root1",
    "ln -s ../../../../../../../../../.. /root2",
    "ln -s /proc/1/root /root3",
    "ln -s /proc/self/cwd /root4",
    "ln -s /proc/self/fd/0 /root5",
    "mkdir /d",
  ].join("; ");

  inBoth("symlinks lead nowhere out of the container", LINKS, async (container) => {
    writeFileSync(join(outside(), "secret"), "of the host");
    for (const link of ["/root1", "/root2", "/root3", "/root4", "/root5"]) {
      const path = `${link}${outside()}`;
      const failed = await refusal(() => container.copyOut(`${path}/secret`));
      expect(failed).toMatch(/Could not find the file|file_refused|permission_denied/);
      expect(await refusal(() => container.copyIn(path, streamOf(tar({ name: "got-out", text: "x" }))))).not.toBe("");
    }
    expect(readdirSync(outside())).toEqual(["secret"]);
    // where a symlink leads to the root, that is the container's own
    await container.copyIn("/root2/d", streamOf(tar({ name: "f", text: "inside" })));
    expect(await listed(await container.copyOut("/d/f"))).toEqual(["f=inside"]);
  });

  inBoth("nor do those that an archive brings", "mkdir /in", async (container) => {
    const archive = tar(
      { name: "x", type: "symlink", linkName: `../../../../../..${outside()}` },
      { name: "x/got-out", text: "x" },
    );
    await failureOf(() => container.copyIn("/in", streamOf(archive)));
    for (const name of ["../up", "/abs", "a/../../up"])
      expect(await refusal(() => container.copyIn("/in", streamOf(tar({ name, text: "x" }))))).toStartWith(
        "archive_refused",
      );
    expect(readdirSync(outside()).filter((name) => name !== "secret")).toEqual([]);
    expect(existsSync(join(outside(), "../up"))).toBe(false);
  });

  fileTest("a path that changes all the time is inside at any time", async () => {
    writeFileSync(join(outside(), "secret"), "of the host");
    const swap = `mkdir -p /s${outside()}; while :; do rm -rf /s/t; ln -s ../../../../../../.. /s/t; rm /s/t; mkdir -p /s/t${outside()}; done`;
    const container = await engine.run(`(${swap}) & : >/ready; exec sleep 1000`, { image: "busy" });
    for (let turn = 0; turn < 15; turn++) {
      const archive = streamOf(tar({ name: "got-out", text: "x" }));
      await container.copyIn(`/s/t${outside()}`, archive).catch(() => {});
      const told = await container
        .copyOut(`/s/t${outside()}`)
        .then(listed)
        .catch(() => [] as string[]);
      expect(told.join()).not.toContain("of the host");
    }
    expect(readdirSync(outside())).toEqual(["secret"]);
  });

  const into = (name: string) => folder.directory(`into-${name}`);

  test.each<[string, Item[], string]>([
    [
      "a symlink, and a file below it",
      [
        { name: "x", type: "symlink", linkName: "OUTSIDE" },
        { name: "x/got-out", text: "x" },
      ],
      "is not a directory",
    ],
    [
      "a directory, then a symlink, then a file below it",
      [
        { name: "x/", type: "directory" },
        { name: "x", type: "symlink", linkName: "OUTSIDE" },
        { name: "x/got-out", text: "x" },
      ],
      "cannot overwrite directory",
    ],
    [
      "a symlink, and a directory of its name",
      [
        { name: "x", type: "symlink", linkName: "OUTSIDE" },
        { name: "x/", type: "directory", mode: 0o777 },
      ],
      "cannot overwrite non-directory",
    ],
    [
      "a symlink, and a hard link to what it leads to",
      [
        { name: "x", type: "symlink", linkName: "OUTSIDE/secret" },
        { name: "y", type: "hard link", linkName: "x" },
        { name: "y", text: "overwritten" },
      ],
      "which is no file",
    ],
    [
      "a hard link through a symlink",
      [
        { name: "x", type: "symlink", linkName: "OUTSIDE" },
        { name: "y", type: "hard link", linkName: "x/secret" },
      ],
      "is not a directory",
    ],
    ["..", [{ name: "../got-out", text: "x" }], '".." in its name'],
    ["an absolute name", [{ name: "/got-out", text: "x" }], "an absolute name"],
    ["a hard link to ..", [{ name: "y", type: "hard link", linkName: "../outside/secret" }], '".." in its name'],
    ["a device", [{ name: "y", type: "character device" }], "a character device"],
  ])("an archive for the host: %s", async (name, items, message) => {
    writeFileSync(join(outside(), "secret"), "of the host");
    const target = into(name.replaceAll(/\W/g, "-"));
    const placed = items.map((item) => ({
      ...item,
      ...(item.linkName ? { linkName: item.linkName.replace("OUTSIDE", outside()) } : {}),
    }));
    expect(await refusal(() => unpackHost(target, tar(...placed)))).toContain(message);
    expect(readdirSync(outside())).toEqual(["secret"]);
    expect(readFileSync(join(outside(), "secret"), "utf8")).toBe("of the host");
    expect(statSync(outside()).mode & 0o002).toBe(0);
  });

  test("a file for the host replaces a symlink, and writes nothing through it", async () => {
    const target = into("replaced");
    symlinkSync(join(outside(), "secret"), join(target, "x"));
    await unpackHost(target, tar({ name: "x", text: "new" }));
    expect([readFileSync(join(target, "x"), "utf8"), readFileSync(join(outside(), "secret"), "utf8")]).toEqual([
      "new",
      "of the host",
    ]);
  });

  testUnless(notRoot, "a file for the host replaces no device", async () => {
    const target = into("device");
    expect(Bun.spawnSync(["mknod", join(target, "null"), "c", "1", "3"]).exitCode).toBe(0);
    for (const item of [{ name: "null", text: "new" }, { name: "null", type: "symlink", linkName: "x" } as const])
      expect(await refusal(() => unpackHost(target, tar(item)))).toContain('cannot overwrite device "null"');
    expect(lstatSync(join(target, "null")).isCharacterDevice()).toBe(true);
  });
});

describe("the host's side", () => {
  test("files go there and back", async () => {
    const from = folder.directory("from");
    mkdirSync(join(from, "sub"), { recursive: true });
    writeFileSync(join(from, "sub/f"), "x".repeat(600_000));
    writeFileSync(join(from, "run"), "#!");
    chmodSync(join(from, "run"), 0o751);
    linkSync(join(from, "run"), join(from, "same"));
    symlinkSync("sub/f", join(from, "link"));
    utimesSync(join(from, "run"), 1_000_000, 1_234_567);
    const to = folder.directory("to");
    await unpackHost(to, renamed(packHost(from, "from", false), "named"));
    expect(readdirSync(join(to, "named")).toSorted()).toEqual(["link", "run", "same", "sub"]);
    expect(readFileSync(join(to, "named/sub/f"), "utf8").length).toBe(600_000);
    expect(readlinkSync(join(to, "named/link"))).toBe("sub/f");
    const run = lstatSync(join(to, "named/run"));
    expect([run.mode & 0o7777, run.nlink, run.mtimeMs / 1000]).toEqual([0o751, 2, 1_234_567]);
  });

  test("names are replaced at their beginning", async () => {
    const items: Item[] = [
      { name: "a/", type: "directory" },
      { name: "a/a/b", text: "1" },
      { name: "a/c", type: "hard link", linkName: "a/a/b" },
    ];
    expect(await listed(renamed(tar(...items), "x"))).toEqual(["x/", "x/a/b=1", "x/c=>x/a/b"]);
    expect(await listed(renamed(tar(...items), "."))).toEqual(["./", "./a/b=1", "./c=>./a/b"]);
    expect(await listed(renamed(tar({ name: "./", type: "directory" }, { name: "./b", text: "1" }), "x"))).toEqual([
      "x/",
      "x/b=1",
    ]);
  });

  test.each([
    ["/a/b", "b"],
    ["/a/b/", "b"],
    ["/a/.", "."],
    ["/", "."],
    ["/a/..", "."],
  ])("%s is packed as %s", (path, name) => {
    expect(archiveName(path)).toBe(name);
  });
});

describe("where what goes", () => {
  const file = (path: string): Place => ({ path, kind: "file" });
  const directory = (path: string): Place => ({ path, kind: "directory" });
  const missing = (path: string, parentKind: "directory" | "missing" = "directory"): Place => ({
    path,
    kind: "missing",
    parentKind,
  });

  // the rules of docs.docker.com/reference/cli/docker/container/cp
  test.each<[string, Place, Place, [directory: string, name: string] | string]>([
    ["a file, to a new name", file("/s/f"), missing("/d/new"), ["/d", "new"]],
    ["a file, to a directory that is not there", file("/s/f"), missing("/d/new/"), "destination directory must exist"],
    ["a file, over a file", file("/s/f"), file("/d/g"), ["/d", "g"]],
    ["a file, into a directory", file("/s/f"), directory("/d"), ["/d", "f"]],
    ["a file, into a directory that ends so", file("/s/f"), directory("/d/"), ["/d/", "f"]],
    ["a directory, to a new name", directory("/s/a"), missing("/d/new"), ["/d", "new"]],
    ["a directory, to a new name that ends so", directory("/s/a"), missing("/d/new/"), ["/d", "new"]],
    ["a directory, over a file", directory("/s/a"), file("/d/g"), "cannot copy directory"],
    ["a directory, into a directory", directory("/s/a"), directory("/d"), ["/d", "a"]],
    ["a directory that ends so, into a directory", directory("/s/a/"), directory("/d"), ["/d", "a"]],
    ["what is in a directory, into a directory", directory("/s/a/."), directory("/d"), ["/d", "."]],
    ["what is in a directory, to a new name", directory("/s/a/."), missing("/d/new"), ["/d", "new"]],
    ["what is not there", missing("/s/f"), directory("/d"), "Could not find the file /s/f"],
    [
      "to where there is no directory",
      file("/s/f"),
      missing("/none/new", "missing"),
      "Could not find the directory /none",
    ],
    ["a file that ends as a directory", file("/s/f/"), directory("/d"), "not a directory"],
    ["over a file that ends as a directory", file("/s/f"), file("/d/g/"), "not a directory"],
    ["a file, over a device", file("/s/f"), { path: "/dev/null", kind: "special" }, "a directory or a regular file"],
    ["a directory, over a pipe", directory("/s/a"), { path: "/d/p", kind: "special" }, "a directory or a regular file"],
    ["into the root", file("/s/f"), missing("/new"), ["/", "new"]],
  ])("%s", (_, source, target, expected) => {
    if (typeof expected === "string") return expect(() => planCopy(source, target)).toThrow(expected);
    const plan = planCopy(source, target);
    expect([plan.directory, plan.name]).toEqual(expected);
  });

  test.each([
    ["web:/etc", { container: "web", path: "/etc" }],
    ["web:rel", { container: "web", path: "rel" }],
    ["web:", { container: "web", path: "" }],
    ["web:/a:b", { container: "web", path: "/a:b" }],
    ["./a:b", { path: "./a:b" }],
    ["/a:b", { path: "/a:b" }],
    ["a", { path: "a" }],
    ["-", { path: "-" }],
  ])("%s", (word, expected) => expect(splitCopyWord(word)).toEqual(expected));
});

describe("tsbox cp", () => {
  test.each([
    ["web:", ".", 'the source can not be empty\n  hint: all of it: "web:/"'],
    ["", "web:/", "the source can not be empty"],
    ["web:/etc", "", "the destination can not be empty"],
    ["/etc", "web:", "the destination can not be empty"],
  ])("of %j to %j is refused: nothing is not everything", (source, target, message) => {
    const { status, stderr } = made.tsbox("cp", source, target);
    expect([status, stderr]).toEqual([1, expect.stringContaining(message)]);
  });

  const start = (name: string) => made.said("run", "-d", "--name", name, "busy", "sleep", "1000");
  const at = (path: string) => join(made.folder.path, path);

  fileTest("copies to a container and back", () => {
    start("copied");
    mkdirSync(at("src/sub"), { recursive: true });
    writeFileSync(at("src/sub/f"), "of the host");
    symlinkSync("sub", at("src/link"));
    Bun.spawnSync(["mkfifo", at("src/pipe")]);
    mkdirSync(at("src/shared"));
    chmodSync(at("src/shared"), 0o3777);
    chmodSync(at("src/sub/f"), 0o6755);
    expect(made.tsbox("cp", "src", "copied:/new")).toEqual({ status: 0, stdout: "", stderr: "" });
    made.said("cp", "src", "copied:/");
    made.said("cp", "src/.", "copied:new");
    made.said("cp", "src/sub/f", "copied:/etc/renamed");
    made.said("cp", "copied:/new", "back");
    expect(readFileSync(at("back/sub/f"), "utf8")).toBe("of the host");
    expect(readlinkSync(at("back/link"))).toBe("sub");
    expect(lstatSync(at("back/pipe")).isFIFO()).toBe(true);
    // a setuid bit is for its owner alone
    const modes = ["new/shared", "new/sub/f"].map((path) => made.said("exec", "copied", "stat", "-c", "%a", path));
    expect([...modes, statSync(at("back/shared")).mode & 0o7777]).toEqual(["1777", "755", 0o1777]);
    made.said("cp", "copied:/src/sub/.", "back");
    made.said("cp", "copied:/etc/renamed", "back/other");
    expect(readdirSync(at("back")).toSorted()).toEqual(["f", "link", "other", "pipe", "shared", "sub"]);
    made.said("cp", "-L", "copied:/new/link", "followed");
    expect(readdirSync(at("followed"))).toEqual(["f"]);
    expect(statSync(at("back/other")).uid).toBe(process.geteuid?.() as number);
  });

  fileTest("takes and gives archives", () => {
    start("streamed");
    mkdirSync(at("tarred"), { recursive: true });
    writeFileSync(at("tarred/f"), "in an archive");
    const archive = Bun.spawnSync(["tar", "-C", made.folder.path, "-cf", "-", "tarred"]).stdout;
    const given = Bun.spawnSync(made.command("cp", "-", "streamed:/etc"), {
      env: made.env,
      stdin: archive,
      stderr: "pipe",
    });
    expect(given.stderr.toString()).toBe("");
    const taken = Bun.spawnSync(made.command("cp", "streamed:/etc/tarred", "-"), { env: made.env });
    const names = Bun.spawnSync(["tar", "-tf", "-"], { stdin: taken.stdout }).stdout.toString();
    expect(names).toBe("tarred/\ntarred/f\n");
  });

  fileTest("says what is wrong in Docker's words", () => {
    start("wrong");
    writeFileSync(at("one"), "1");
    mkdirSync(at("folder"), { recursive: true });
    const said = (...words: string[]) => {
      const { status, stderr } = made.tsbox("cp", ...words);
      return `${status} ${stderr.split("\n")[0]}`;
    };
    expect(said("wrong:/none", ".")).toBe("1 tsbox: Could not find the file /none in container wrong");
    expect(said("none", "wrong:/")).toBe("1 tsbox: lstat none: no such file or directory");
    expect(said("one", "wrong:/none/")).toBe("1 tsbox: destination directory must exist");
    expect(said("folder", "wrong:/etc/passwd")).toBe("1 tsbox: cannot copy directory");
    expect(said("one", "two")).toBe("1 tsbox: copy: must specify at least one container source");
    expect(said("wrong:/a", "wrong:/b")).toBe("1 tsbox: copy: copying between containers is not supported");
    expect(said("one", "gone:/")).toBe("1 tsbox: No such container: gone");
    Bun.spawnSync(["mkfifo", at("a-pipe")]);
    expect(said("wrong:/etc/passwd", "a-pipe")).toContain("it must be a directory or a regular file");
    expect(lstatSync(at("a-pipe")).isFIFO()).toBe(true);
    expect(said("one", "wrong:/dev/null")).toContain("it must be a directory or a regular file");
    expect(said("-", "wrong:/etc/passwd")).toBe('1 tsbox: destination "wrong:/etc/passwd" must be a directory');
  });

  testUnless(
    asRoot ? noBusybox : "needs root",
    "-a keeps owners",
    () => {
      start("owned");
      writeFileSync(at("mine"), "x");
      Bun.spawnSync(["chown", "7:8", at("mine")]);
      made.said("cp", "-a", "mine", "owned:/etc/");
      made.said("cp", "-a", "owned:/etc/mine", "kept");
      made.said("cp", "owned:/etc/mine", "taken");
      expect([at("kept"), at("taken")].map((path) => [statSync(path).uid, statSync(path).gid])).toEqual([
        [7, 8],
        [0, 0],
      ]);
    },
    TIMEOUT_MS,
  );
});
