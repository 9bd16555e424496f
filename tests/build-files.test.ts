/** COPY as data: which files sources are, what they are called, and what becomes of them in a root filesystem. */
import { afterAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import * as fc from "fast-check";
import { BuildFiles, type CopyOptions, type FileTree, type SelectOptions } from "../lib/build/files/index.ts";
import { modeChange } from "../lib/build/files/mode.ts";
import { readIgnore } from "../lib/dockerfile/index.ts";
import { subordinateMaps } from "../lib/launch/index.ts";
import { failureOf } from "./support/failure.ts";
import { noMounts, smallDisk } from "./support/full-disk.ts";
import { stateOf } from "./support/layers.ts";
import { asRoot, testUnless } from "./support/machine.ts";
import { Folder } from "./support/rootfs.ts";

const folder = new Folder();
afterAll(() => folder.remove());
let made = 0;
const rootOnly = asRoot ? undefined : "needs root";
const userOnly = asRoot ? "about ordinary users" : undefined;
const noSubordinateIds = Bun.which("newuidmap") ? undefined : "newuidmap is not installed";

/** Files by their paths: text, `-> target` of a symlink, undefined for a directory. */
type Made = Record<string, string | undefined>;

function directoryOf(files: Made): string {
  const directory = folder.directory(`tree${made++}`);
  for (const [path, content] of Object.entries(files)) {
    const at = join(directory, path);
    mkdirSync(content === undefined ? at : dirname(at), { recursive: true });
    if (content?.startsWith("-> ")) symlinkSync(content.slice(3), at);
    else if (content !== undefined) writeFileSync(at, content);
  }
  return directory;
}

const contextOf = (files: Made): FileTree => ({ layers: [directoryOf(files)], isContext: true });
const treeOf = (...layers: string[]): FileTree => ({ layers, isContext: false });

/** What is in a directory, by its path: content, target, or its kind. */
function filesIn(directory: string): Made {
  const found: Made = {};
  const walk = (path: string) => {
    for (const entry of readdirSync(join(directory, path), { withFileTypes: true })) {
      const at = join(path, entry.name);
      if (entry.isDirectory()) {
        if (readdirSync(join(directory, at)).length === 0) found[at] = undefined;
        walk(at);
      } else if (entry.isSymbolicLink()) found[at] = `-> ${readlinkSync(join(directory, at))}`;
      else if (!at.includes("\ufffd"))
        found[at] = entry.isFile() ? readFileSync(join(directory, at), "utf8") : "special";
    }
  };
  walk("");
  return found;
}

interface Copy extends SelectOptions, Partial<CopyOptions> {
  lower?: Made[];
}

async function copied(context: Made | FileTree, { sources, exclude, parents, lower = [], ...options }: Copy) {
  const files = new BuildFiles();
  const tree =
    "layers" in context && Array.isArray(context.layers) ? (context as FileTree) : contextOf(context as Made);
  const selected = { sources, ...(exclude ? { exclude } : {}), ...(parents ? { parents } : {}) };
  const selection = await files.select(tree, selected);
  const upper = folder.directory(`upper${made++}`);
  const target = { lower: treeOf(...lower.map(directoryOf)), upper };
  const result = await files.copy(selection, target, { destination: "/", workingDirectory: "/", ...options });
  return { upper, files: filesIn(upper), selection, result };
}

const CONTEXT: Made = {
  "a.txt": "a",
  "b.txt": "b",
  "src/main.js": "main",
  "src/lib/x.js": "x",
  "src/lib/y.ts": "y",
  "src/empty": undefined,
  link: "-> src/main.js",
  dir: "-> src",
  "src/up": "-> ../a.txt",
};

describe("a destination", () => {
  test.each<[string, Copy, Made]>([
    ["is a file", { sources: ["a.txt"], destination: "/x" }, { x: "a" }],
    ["is a directory where it ends with a slash", { sources: ["a.txt"], destination: "/x/" }, { "x/a.txt": "a" }],
    [
      "is a directory where it ends with a dot",
      { sources: ["a.txt"], destination: ".", workingDirectory: "/w" },
      { "w/a.txt": "a" },
    ],
    [
      "is one where there is one",
      { sources: ["a.txt"], destination: "/x", lower: [{ x: undefined }] },
      { "x/a.txt": "a" },
    ],
    [
      "is below the working directory",
      { sources: ["a.txt"], destination: "x/y", workingDirectory: "/w" },
      { "w/x/y": "a" },
    ],
    [
      "does not lead above the root",
      { sources: ["a.txt"], destination: "../../x", workingDirectory: "/w" },
      { x: "a" },
    ],
    ["gets what is in a directory", { sources: ["src/lib"], destination: "/x" }, { "x/x.js": "x", "x/y.ts": "y" }],
    ["gets all of it", { sources: ["."], destination: "/" }, CONTEXT],
    [
      "is joined with what is there",
      { sources: ["src/lib"], destination: "/x", lower: [{ "x/z": "z" }] },
      { "x/x.js": "x", "x/y.ts": "y" },
    ],
    [
      "is where symlinks lead",
      { sources: ["a.txt"], destination: "/lib/x/", lower: [{ lib: "-> usr/lib", "usr/lib": undefined }] },
      { "usr/lib/x/a.txt": "a" },
    ],
    [
      "is where absolute ones lead in it",
      { sources: ["a.txt"], destination: "/etc/x/", lower: [{ etc: "-> /../../private/etc" }] },
      { "private/etc/x/a.txt": "a" },
    ],
    [
      "is where a symlink of another layer leads",
      { sources: ["a.txt"], destination: "/p/x/", lower: [{ p: "-> q" }, { q: "-> /r", r: undefined }] },
      { "r/x/a.txt": "a" },
    ],
    [
      "is a file that a symlink leads to",
      { sources: ["a.txt"], destination: "/l", lower: [{ l: "-> /deep/file", "deep/file": "old" }] },
      { "deep/file": "a" },
    ],
    [
      "is replaced where it is a symlink in a directory",
      { sources: ["a.txt"], destination: "/d/", lower: [{ "d/a.txt": "-> /etc/passwd", "etc/passwd": "root" }] },
      { "d/a.txt": "a" },
    ],
    [
      "of a link is no symlink",
      { sources: ["a.txt"], destination: "/lib/x/", link: true, lower: [{ lib: "-> usr/lib" }] },
      { "lib/x/a.txt": "a" },
    ],
  ])("%s", async (_, copy, expected) => {
    expect((await copied(CONTEXT, copy)).files).toEqual(expected);
  });
});

describe("sources", () => {
  test.each<[string, Copy, Made]>([
    [
      "may be several",
      { sources: ["a.txt", "src/lib"], destination: "/x/" },
      { "x/a.txt": "a", "x/x.js": "x", "x/y.ts": "y" },
    ],
    ["may be patterns", { sources: ["*.txt"], destination: "/x/" }, { "x/a.txt": "a", "x/b.txt": "b" }],
    ["may have patterns in their middle", { sources: ["s*/l[i]b/?.js"], destination: "/x/" }, { "x/x.js": "x" }],
    ["do not cross directories with a star", { sources: ["*.js"], destination: "/x/" }, {}],
    ["may be what a pattern finds nothing of", { sources: ["*.nothing"], destination: "/x/" }, {}],
    ["are where symlinks lead", { sources: ["link"], destination: "/x/" }, { "x/link": "main" }],
    [
      "may be in a directory that is a symlink",
      { sources: ["dir/lib"], destination: "/x/" },
      { "x/x.js": "x", "x/y.ts": "y" },
    ],
    [
      "begin at the context",
      { sources: ["../../a.txt", "/b.txt"], destination: "/x/" },
      { "x/a.txt": "a", "x/b.txt": "b" },
    ],
    [
      "keep directories above them",
      { sources: ["src/lib/x.js", "a.txt"], parents: true, destination: "/x/" },
      { "x/src/lib/x.js": "x", "x/a.txt": "a" },
    ],
    [
      "keep them from a point on",
      { sources: ["src/./lib/*.js"], parents: true, destination: "/x/" },
      { "x/lib/x.js": "x" },
    ],
    [
      "keep them below many",
      { sources: ["src/**/*.js"], parents: true, destination: "/x/" },
      { "x/src/main.js": "main", "x/src/lib/x.js": "x" },
    ],
    [
      "without what is excluded",
      { sources: ["src"], exclude: ["lib/*.ts", "up", "empty"], destination: "/x/" },
      { "x/main.js": "main", "x/lib/x.js": "x" },
    ],
    [
      "without what is excluded, with exceptions",
      { sources: ["src"], exclude: ["**", "!lib/x.js"], destination: "/x/" },
      { "x/lib/x.js": "x" },
    ],
    [
      "named ones are excluded as well",
      { sources: ["*.txt"], exclude: ["b*"], destination: "/x/" },
      { "x/a.txt": "a" },
    ],
  ])("%s", async (_, copy, expected) => {
    expect((await copied(CONTEXT, copy)).files).toEqual(expected);
  });

  test.each<[string, Copy, string]>([
    ["a file that is not there", { sources: ["nothing"] }, "file_not_found"],
    ["one that is not there with --parents", { sources: ["src/nothing"], parents: true }, "file_not_found"],
    ["a file below a file", { sources: ["a.txt/b"] }, "file_refused"],
    ["a directory over a file", { sources: ["src"], destination: "/f", lower: [{ f: "" }] }, "file_refused"],
    ["a directory over a file below", { sources: ["src"], destination: "/", lower: [{ lib: "" }] }, "file_refused"],
    [
      "a directory over a symlink below",
      { sources: ["src"], destination: "/", lower: [{ lib: "-> other", other: undefined }] },
      "file_refused",
    ],
    ["a file over a directory", { sources: ["src"], destination: "/", lower: [{ "main.js/x": "" }] }, "file_refused"],
    ["two files to one", { sources: ["a.txt", "b.txt"], destination: "/x" }, "file_refused"],
    ["a pattern that is none", { sources: ["[a"] }, "invalid_option"],
    ["a mode that is none", { sources: ["a.txt"], chmod: "rwx" }, "invalid_option"],
    ["a user that nobody knows", { sources: ["a.txt"], chown: "nobody-here" }, "user_not_found"],
  ])("%s is refused", async (_, copy, code) => {
    expect(await failureOf(() => copied(CONTEXT, copy))).toMatchObject({ code });
  });

  test("a symlink that leads out of the context is told of", async () => {
    for (const target of ["/etc/passwd", "../../etc/passwd"]) {
      const error = await failureOf(() => copied({ out: `-> ${target}` }, { sources: ["out"] }));
      expect(error).toMatchObject({
        code: "file_not_found",
        hint: expect.stringContaining(`"out" is a symlink to "${target}"`),
      });
    }
  });

  test("what is ignored is not there, and what is in it never read", async () => {
    const context = contextOf({ ...CONTEXT, "node_modules/m/index.js": "m", "secret/key": "k", "secret/public": "p" });
    const ignore = readIgnore("node_modules\nsecret\n!secret/public\n*.txt\n");
    const tree = { ...context, ignore };
    chmodSync(join(context.layers[0] as string, "node_modules"), 0);
    expect((await copied(tree, { sources: ["."], destination: "/" })).files).toEqual({
      "src/main.js": "main",
      "src/lib/x.js": "x",
      "src/lib/y.ts": "y",
      "src/empty": undefined,
      "src/up": "-> ../a.txt",
      link: "-> src/main.js",
      dir: "-> src",
      "secret/public": "p",
    });
    expect(await failureOf(() => copied(tree, { sources: ["a.txt"] }))).toMatchObject({ code: "file_not_found" });
    expect(await failureOf(() => copied(tree, { sources: ["node_modules"] }))).toMatchObject({
      code: "file_not_found",
    });
    chmodSync(join(context.layers[0] as string, "node_modules"), 0o755);
  });
});

describe("what is copied", () => {
  testUnless(rootOnly, "has owners by name, modes, times and other names as it should", async () => {
    const tree = contextOf({ "d/run": "#!", "d/other": "2", "d/e/f": "3", "d/l": "-> run" });
    const [root] = tree.layers as [string];
    chmodSync(join(root, "d/run"), 0o4750);
    chmodSync(join(root, "d/e"), 0o700);
    linkSync(join(root, "d/run"), join(root, "d/same"));
    for (const name of ["d/run", "d/other", "d/e/f", "d/e", "d"]) utimesSync(join(root, name), 1e9, 1e9);
    const lower = [{ "etc/passwd": "app:x:7:8::/:\n", "etc/group": "app:x:8:\nwheel:x:9:\n" }];
    const plain = await copied(tree, { sources: ["d"], destination: "/to" });
    expect(stateOf(join(plain.upper, "to"), { times: "files" }).filter((line) => !line.startsWith("l "))).toEqual([
      " d 755 0:0     ",
      "e d 700 0:0     ",
      `e/f f 644 0:0 1000000000.0000000000  1 ${md5("3")}  `,
      `other f 644 0:0 1000000000.0000000000  1 ${md5("2")}  `,
      `run f 4750 0:0 1000000000.0000000000  2 ${md5("#!")}  run`,
      `same f 4750 0:0 1000000000.0000000000  2 ${md5("#!")}  run`,
    ]);
    const changed = await copied(tree, {
      sources: ["d"],
      destination: "/to",
      chown: "app:wheel",
      chmod: "u=rwX,go=rX",
      latest: 5,
      lower,
    });
    expect(stateOf(join(changed.upper, "to"), { times: "all" })).toEqual([
      " d 755 7:9 5.0000000000    ",
      "e d 755 7:9 5.0000000000    ",
      `e/f f 644 7:9 5.0000000000  1 ${md5("3")}  `,
      "l l 777 7:9 5.0000000000 run   ",
      `other f 644 7:9 5.0000000000  1 ${md5("2")}  `,
      `run f 755 7:9 5.0000000000  2 ${md5("#!")}  run`,
      `same f 755 7:9 5.0000000000  2 ${md5("#!")}  run`,
    ]);
    expect(
      ownersOf(await copied(tree, { sources: ["d/run"], destination: "/run", chown: "app", lower }), "run"),
    ).toEqual([7, 8]);
    expect(ownersOf(await copied(tree, { sources: ["d/run"], destination: "/run", chown: "12" }), "run")).toEqual([
      12, 12,
    ]);
    expect(
      ownersOf(await copied(tree, { sources: ["d/run"], destination: "/a/b/run", chown: "12:13" }), "a/b"),
    ).toEqual([12, 13]);
  });

  testUnless(rootOnly, "leaves directories of the layers below as they are", async () => {
    const lower = directoryOf({ "var/tmp/x": "x" });
    chmodSync(join(lower, "var/tmp"), 0o1777);
    chmodSync(lower, 0o711);
    Bun.spawnSync(["chown", "5:6", join(lower, "var")]);
    Bun.spawnSync(["setfattr", "-n", "user.kept", "-v", "1", join(lower, "var")]);
    const files = new BuildFiles();
    const upper = folder.directory(`upper${made++}`);
    const selection = await files.select(contextOf({ a: "1" }), { sources: ["a"] });
    await files.copy(selection, { lower: treeOf(lower), upper }, { destination: "/var/tmp/", workingDirectory: "/" });
    expect(stateOf(upper, { times: "none" })).toEqual([
      " d 711 0:0     ",
      "var d 755 5:6     ",
      "var/tmp d 1777 0:0     ",
      `var/tmp/a f 644 0:0   1 ${md5("1")}  `,
    ]);
    expect(Bun.spawnSync(["getfattr", "--only-values", "-n", "user.kept", join(upper, "var")]).stdout.toString()).toBe(
      "1",
    );
  });

  test("goes over what an earlier step has written", async () => {
    const files = new BuildFiles();
    const upper = folder.directory(`upper${made++}`);
    const target = { lower: treeOf(directoryOf({ "app/old": "old" })), upper };
    const copy = async (context: Made, options: Partial<CopyOptions> = {}) =>
      files.copy(await files.select(contextOf(context), { sources: ["."] }), target, {
        destination: "/app",
        workingDirectory: "/",
        ...options,
      });
    await copy({ a: "1", "d/x": "1", l: "-> a" });
    await copy({ a: "22", "d/y": "2", l: "now a file" });
    await files.write([{ name: "EOF", content: new TextEncoder().encode("text") }], target, {
      destination: "/app/d/",
      workingDirectory: "/",
    });
    await files.write([], target, { destination: "/new/work/", workingDirectory: "/" });
    await files.write([], target, { destination: "/app/", workingDirectory: "/" });
    expect(filesIn(upper)).toEqual({
      "app/a": "22",
      "app/d/x": "1",
      "app/d/y": "2",
      "app/d/EOF": "text",
      "app/l": "now a file",
      "new/work": undefined,
    });
  });

  test("of another stage is what its layers show together, with its owners", async () => {
    const tree = treeOf(
      directoryOf({ "d/top": "top", "d/both": "above" }),
      directoryOf({ "d/both": "below", "d/low": "low" }),
    );
    expect((await copied(tree, { sources: ["/d"], destination: "/x" })).files).toEqual({
      "x/top": "top",
      "x/both": "above",
      "x/low": "low",
    });
  });

  testUnless(rootOnly, "of another stage is without what its whiteouts and opaque directories hide", async () => {
    const [top, low] = [
      directoryOf({ "d/x": "x", "o/new": "new" }),
      directoryOf({ "d/gone": "", "d/y": "y", "o/old": "" }),
    ];
    Bun.spawnSync(["mknod", join(top, "d/gone"), "c", "0", "0"]);
    Bun.spawnSync(["setfattr", "-n", "user.overlay.opaque", "-v", "y", join(top, "o")]);
    expect((await copied(treeOf(top, low), { sources: ["."], destination: "/" })).files).toEqual({
      "d/x": "x",
      "d/y": "y",
      "o/new": "new",
    });
    expect(await failureOf(() => copied(treeOf(top, low), { sources: ["d/gone"] }))).toMatchObject({
      code: "file_not_found",
    });
    expect((await copied(treeOf(top, low), { sources: ["o/o*", "d/g*"], destination: "/x/" })).files).toEqual({});
    // and a destination that they hide is not there
    const files = new BuildFiles();
    const upper = folder.directory(`upper${made++}`);
    await files.copy(
      await files.select(contextOf({ a: "1" }), { sources: ["a"] }),
      { lower: treeOf(top, low), upper },
      { destination: "/d/gone/", workingDirectory: "/" },
    );
    expect(filesIn(upper)).toEqual({ "d/gone/a": "1" });
  });

  test("keeps names that are not UTF-8, long ones, and holes", async () => {
    const tree = contextOf({ [`${"n".repeat(250)}`]: "long", ünï: "u" });
    const [root] = tree.layers as [string];
    writeFileSync(Buffer.concat([Buffer.from(`${root}/`), Buffer.from([0xff, 0x61])]), "bytes");
    writeFileSync(join(root, "sparse"), "begin");
    truncateSync(join(root, "sparse"), 64 * 2 ** 20);
    const { upper, selection } = await copied(tree, { sources: ["."], destination: "/" });
    expect(readFileSync(Buffer.concat([Buffer.from(`${upper}/`), Buffer.from([0xff, 0x61])]), "utf8")).toBe("bytes");
    expect(readFileSync(join(upper, "ünï"), "utf8")).toBe("u");
    expect(statSync(join(upper, "sparse"))).toMatchObject({ size: 64 * 2 ** 20 });
    expect(statSync(join(upper, "sparse")).blocks).toBeLessThan(64);
    expect(await selection.digest()).toMatch(/^[0-9a-f]{64}$/);
  });
});

describe("of an ordinary user", () => {
  const inside = ["unshare", "--user", "--map-root-user", "--map-auto"];
  const run = (...command: string[]) => Bun.spawnSync([...inside, ...command]).stdout.toString();

  testUnless(
    userOnly ?? noSubordinateIds,
    "with subordinate ids, owners are those of the image, and files of theirs are read",
    async () => {
      const ids = subordinateMaps(process.geteuid!(), process.getegid!());
      const context = contextOf({ a: "1", "d/b": "2" });
      chmodSync(join(context.layers[0] as string, "a"), 0o600);
      const lower = directoryOf({ "etc/passwd": "app:x:7:8::/:\n", "home/kept": "" });
      run("chown", "5:6", join(lower, "home"));
      run("chmod", "700", join(lower, "home"));
      const files = new BuildFiles();
      const upper = folder.directory(`upper${made++}`);
      const target = { lower: { layers: [lower], isContext: false, ids }, upper };
      const from = await files.select(context, { sources: ["."] });
      await files.copy(from, target, {
        destination: "/home/app",
        workingDirectory: "/",
        chown: "app",
        chmod: "go-rwx",
      });
      const told = (path: string) => run("stat", "-c", "%a %u:%g", join(upper, path)).trim();
      expect(["home", "home/app", "home/app/a", "home/app/d", "home/app/d/b"].map(told)).toEqual([
        "700 5:6",
        "755 7:8",
        "600 7:8",
        "700 7:8",
        "600 7:8",
      ]);
      // what only they can read is the source of another stage
      expect(() => readFileSync(join(upper, "home/app/a"))).toThrow("EACCES");
      const stage: FileTree = { layers: [upper, lower], isContext: false, ids };
      const again = await files.select(stage, { sources: ["/home"] });
      const second = folder.directory(`upper${made++}`);
      await files.copy(
        again,
        { lower: { layers: [], isContext: false, ids }, upper: second },
        { destination: "/", workingDirectory: "/" },
      );
      expect(run("cat", join(second, "app/a"))).toBe("1");
      expect(run("stat", "-c", "%a %u:%g", join(second, "app/a")).trim()).toBe("600 7:8");
      const same: FileTree = { layers: [second], isContext: false, ids };
      const [one, two] = [
        await files.select(stage, { sources: ["/home/app"] }),
        await files.select(same, { sources: ["/app"] }),
      ];
      expect(await one.digest()).toBe(await two.digest());
      for (const path of [upper, second, lower]) run("rm", "-rf", path);
    },
  );

  testUnless(userOnly, "what may not be read is told of, and what can be done", async () => {
    const tree = contextOf({ "secret/key": "k", a: "1" });
    const secret = join(tree.layers[0] as string, "secret");
    chmodSync(secret, 0);
    const digesting = async () => (await new BuildFiles().select(tree, { sources: ["."] })).digest();
    for (const failing of [digesting, () => copied(tree, { sources: ["."] })])
      expect(await failureOf(failing)).toMatchObject({
        code: "permission_denied",
        message: expect.stringContaining('"secret"'),
        hint: expect.stringContaining(".dockerignore"),
      });
    chmodSync(secret, 0o700);
  });

  testUnless(userOnly, "without others' ids all is their own", async () => {
    const { upper } = await copied({ a: "1" }, { sources: ["a"], chown: "7:8" });
    expect(statSync(join(upper, "a")).uid).toBe(process.geteuid!());
  });
});

test("what is stopped, or fails, leaves no descriptor open and no process behind", async () => {
  const open = () => readdirSync("/proc/self/fd").length;
  const children = () => readFileSync("/proc/thread-self/children", "utf8");
  const before = [open(), children()];
  const files = new BuildFiles();
  for (const at of ["z", "d/e"]) {
    const controller = new AbortController();
    const ignore = {
      isIgnored: (path: string) => (path === at && controller.abort(), false),
      isIgnoredWhole: () => false,
    };
    const tree = { ...contextOf({ a: "1", z: "2", "d/e": "3", "e/f": "4" }), ignore };
    const selection = await files.select(tree, { sources: ["."] });
    const target = { lower: treeOf(), upper: folder.directory(`upper${made++}`) };
    const copying = files.copy(selection, target, {
      destination: "/",
      workingDirectory: "/",
      signal: controller.signal,
    });
    expect(await copying.catch((error: unknown) => error)).toMatchObject({ name: "AbortError" });
  }
  expect(await failureOf(() => copied({ "d/a": "1" }, { sources: ["d"], lower: [{ "a/b": "" }] }))).toBeDefined();
  expect([open(), children()]).toEqual(before);
});

testUnless(noMounts, "a disk that is full, or only read, is told of as what it is", async () => {
  const files = new BuildFiles();
  const selection = await files.select(contextOf({ big: "x".repeat(300_000), small: "1" }), { sources: ["."] });
  using disk = smallDisk(folder, 100);
  const upper = join(disk.path, "upper");
  mkdirSync(upper);
  const copy = () => files.copy(selection, { lower: treeOf(), upper }, { destination: "/", workingDirectory: "/" });
  expect(await failureOf(copy)).toMatchObject({ code: "store_unavailable", hint: expect.stringContaining("full") });
  rmSync(join(upper, "big"));
  disk.readOnly();
  expect(await failureOf(copy)).toMatchObject({ code: "store_unavailable" });
});

/** Nothing is made through a symlink, nor in the place of anything: the trees here have symlinks that lead out. */
function makeBelow(root: string, path: string, what: string | undefined, mode: number): void {
  const names = path.split("/");
  for (const [index] of names.entries()) {
    const at = join(root, ...names.slice(0, index + 1));
    const there = lstatSync(at, { throwIfNoEntry: false });
    const isLast = index === names.length - 1;
    if (there && (isLast || !there.isDirectory())) return;
    if (there) continue;
    if (!isLast || what === undefined) mkdirSync(at);
    else if (what.startsWith("-> ")) symlinkSync(what.slice(3), at);
    else writeFileSync(at, what, { mode, flag: "wx" });
  }
}

test("any tree is copied as it is, and has the same digest there", async () => {
  const name = fc.constantFrom("a", "b", "é", "with space", "*", "-x", "\\n");
  const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((names) => names.join("/"));
  const content = fc.oneof(
    fc.string({ maxLength: 20 }).map((text) => `text ${text}`),
    fc.constantFrom("-> a", "-> ../..", "-> /etc", "-> nowhere"),
    fc.constant(undefined),
  );
  const modes = fc.constantFrom(0o644, 0o600, 0o755, 0o4711, 0o400);
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(path, content, modes), { maxLength: 12 }), async (entries) => {
      const [root, files] = [folder.directory(`tree${made++}`), new BuildFiles()];
      for (const [at, what, mode] of entries) makeBelow(root, at, what, mode);
      const selection = await files.select({ layers: [root], isContext: true }, { sources: ["."] });
      const isLate = entries.length % 2 === 0;
      const before = isLate ? undefined : await selection.digest();
      const upper = folder.directory(`upper${made++}`);
      await files.copy(selection, { lower: treeOf(), upper }, { destination: "/x", workingDirectory: "/" });
      const copy = join(upper, "x");
      const compared = { times: "files", owners: false } as const;
      expect(stateOf(copy, compared).slice(1)).toEqual(stateOf(root, compared).slice(1));
      const again = await files.select({ layers: [copy], isContext: true }, { sources: ["."] });
      expect(await again.digest()).toBe(before ?? (await selection.digest()));
    }),
    { numRuns: 60 },
  );
});

const md5 = (text: string) => new Bun.CryptoHasher("md5").update(text).digest("hex");
const ownersOf = ({ upper }: { upper: string }, path: string) => {
  const { uid, gid } = statSync(join(upper, path));
  return [uid, gid];
};

const noAttributes = Bun.which("setfattr") ? undefined : "attr is not installed";

describe("a digest", () => {
  const digestOf = async (tree: FileTree, sources = ["."], files = new BuildFiles()) =>
    (await files.select(tree, { sources })).digest();

  testUnless(
    noAttributes,
    "tells attributes apart, and files keep them, whatever letters they are called by",
    async () => {
      const digests: string[] = [];
      for (const name of ["user.A", "user.Ł", "user.é"]) {
        const tree = contextOf({ "d/f": "1" });
        for (const at of ["d", "d/f"])
          Bun.spawnSync(["setfattr", "-n", name, "-v", "1", join(tree.layers[0] as string, at)]);
        digests.push(await digestOf(tree), await digestOf(tree, ["d/f"]));
        const { upper } = await copied(tree, { sources: ["."] });
        for (const at of ["d", "d/f"])
          expect(Bun.spawnSync(["getfattr", "--only-values", "-n", name, join(upper, at)]).stdout.toString()).toBe("1");
      }
      expect(new Set(digests).size).toBe(digests.length);
    },
  );

  test("says names, types, modes and contents, and nothing of times or owners", async () => {
    const given = { a: "1", "d/b": "2", l: "-> a" };
    const base = await digestOf(contextOf(given));
    const other = contextOf(given);
    utimesSync(join(other.layers[0] as string, "a"), 1, 1);
    expect(await digestOf(other)).toBe(base);
    chmodSync(join(other.layers[0] as string, "a"), 0o600);
    const others = [
      other,
      contextOf({ ...given, a: "2" }),
      contextOf({ ...given, l: "-> d" }),
      contextOf({ ...given, l: "" }),
      contextOf({ ...given, new: "" }),
      contextOf({ a: "1", "d/c": "2", l: "-> a" }),
      contextOf({ ...given, empty: undefined }),
    ];
    const digests = new Set([base]);
    for (const each of others) digests.add(await digestOf(each));
    expect(digests.size).toBe(others.length + 1);
  });

  test("counts what a source is called only where it is a file", async () => {
    const tree = contextOf({ "d/x": "1", "e/x": "1", f: "1", g: "1" });
    expect(await digestOf(tree, ["d"])).toBe(await digestOf(tree, ["e"]));
    expect(await digestOf(tree, ["f"])).not.toBe(await digestOf(tree, ["g"]));
  });

  test("is found without reading what has not changed, and is another where that has", async () => {
    const root = folder.directory(`store${made++}`);
    const tree = contextOf({ a: "1", b: "2", c: "3" });
    const [context] = tree.layers as [string];
    // what was changed just now is not trusted to stay as it is
    await Bun.sleep(2100);
    const first = await digestOf(tree, ["."], new BuildFiles({ root }));
    const names = readdirSync(join(root, "build/hashes")).toSorted();
    const [kept, groups] = names.map((name) => join(root, "build/hashes", name)) as [string, string];
    const linesOf = (path: string) => readFileSync(path, "utf8").split("\n");
    const forge = (lines: string[]) => lines.map((line) => line.replace(/^[0-9a-f]{64}/, "0".repeat(64))).join("\n");
    const [lines, groupLines] = [linesOf(kept), linesOf(groups)];
    expect([lines.length, groupLines.length]).toEqual([5, 3]);
    // it believes what is kept of groups
    writeFileSync(groups, forge(groupLines));
    expect(await digestOf(tree, ["."], new BuildFiles({ root }))).not.toBe(first);
    // and of files, where that is gone
    rmSync(groups);
    writeFileSync(kept, forge(lines));
    expect(await digestOf(tree, ["."], new BuildFiles({ root }))).not.toBe(first);
    rmSync(groups);
    writeFileSync(kept, lines.join("\n"));
    expect(await digestOf(tree, ["."], new BuildFiles({ root }))).toBe(first);
    expect(linesOf(groups)).toEqual(groupLines);
    // the same length, and its time put back
    const { atime, mtime } = statSync(join(context, "a"));
    writeFileSync(join(context, "a"), "9");
    utimesSync(join(context, "a"), atime, mtime);
    expect(await digestOf(tree, ["."], new BuildFiles({ root }))).not.toBe(first);
    // what is young is not kept
    expect([linesOf(kept).length, linesOf(groups).length]).toEqual([5, 3]);
    for (const each of [kept, groups]) writeFileSync(each, "rubbish\n\0");
    writeFileSync(join(context, "a"), "1");
    expect(await digestOf(tree, ["."], new BuildFiles({ root }))).toBe(first);
  });

  const changes: [string, (root: string) => void, Record<string, string>][] = [
    ["nothing", () => {}, {}],
    ["a file's content", (root) => writeFileSync(join(root, "b"), "9"), { b: "9" }],
    ["a file's mode", (root) => chmodSync(join(root, "b"), 0o600), {}],
    ["a directory's mode", (root) => chmodSync(join(root, "d"), 0o700), {}],
    ["a file that is gone", (root) => rmSync(join(root, "d/e")), { "d/e": "" }],
    ["a file that is new", (root) => writeFileSync(join(root, "new"), "5"), { new: "5" }],
    [
      "a symlink",
      (root) => {
        rmSync(join(root, "l"));
        symlinkSync("b", join(root, "l"));
      },
      { l: "-> b" },
    ],
  ];

  const expectTold = async ([what, change, expected]: (typeof changes)[number]) => {
    const files = new BuildFiles();
    const before: Record<string, string> = { a: "1", b: "2", c: "3", "d/e": "4", l: "-> a" };
    const tree = contextOf(before);
    const selection = await files.select(tree, { sources: ["."] });
    const copy = async () => {
      const upper = folder.directory(`upper${made++}`);
      const target = { lower: treeOf(), upper };
      const { isSame } = await files.copy(selection, target, { destination: "/", workingDirectory: "/" });
      return [filesIn(upper), isSame];
    };
    await selection.digest();
    change(tree.layers[0] as string);
    // what was read for the digest is what is copied
    expect(await copy()).toEqual([before, true]);
    const after = Object.entries({ ...before, ...expected }).filter(([, content]) => content !== "");
    expect([what, ...(await copy())]).toEqual([what, Object.fromEntries(after), what === "nothing"]);
  };

  test("is of what is copied, and copying tells where that is not so", async () => {
    for (const each of changes) await expectTold(each);
  });
});

test.each<[string, number, boolean, number]>([
  ["755", 0o600, false, 0o755],
  ["4711", 0o600, false, 0o4711],
  ["u=rwX,go=rX", 0o600, false, 0o644],
  ["u=rwX,go=rX", 0o700, false, 0o755],
  ["u=rwX,go=rX", 0o600, true, 0o755],
  ["+x", 0o644, false, 0o755],
  ["g=u", 0o640, false, 0o660],
  ["a-w,u+s", 0o666, false, 0o4444],
  ["o-rwx,+t", 0o777, true, 0o1770],
])("the mode %s of %o is %#o", (text, mode, isDirectory, expected) => {
  expect(modeChange(text).of(mode, isDirectory)).toBe(expected);
});
