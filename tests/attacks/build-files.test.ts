/**
 * Hostile build contexts, archives, repositories and root filesystems: no file of the host gets into an image, none is
 * written outside the upper directory, nothing of theirs runs, and there is an end. Each attack is seen to succeed where
 * paths are followed as they are written.
 * @module
 */
import { afterAll, describe, expect, test } from "bun:test";
import {
  copyFileSync,
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { cloneRepository } from "../../lib/build/files/git.ts";
import {
  createFiles,
  fetchSource,
  openContext,
  remoteOf,
  type CopyOptions,
  type SelectOptions,
} from "../../lib/build/files/index.ts";
import { failureOf } from "../support/failure.ts";
import { archive, directory as folderEntry, file, hardLink, symlink, type Entry } from "../support/layers.ts";
import { asRoot, SLOW, testUnless } from "../support/machine.ts";
import { unpackNaively } from "../support/naive-unpack.ts";
import { Folder } from "../support/rootfs.ts";

const noGit = Bun.which("git") ? undefined : "git is not installed";
const folder = new Folder();
afterAll(() => folder.remove());
let made = 0;
const fresh = () => folder.directory(`dir${made++}`);
const rootOnly = asRoot ? undefined : "needs root";
const SECRET = "of the host";
const MARK = "from the context";

/** A directory of the host's, with a secret in it. */
function outside(): string {
  const path = fresh();
  writeFileSync(join(path, "secret"), SECRET);
  mkdirSync(join(path, "below"));
  return path;
}

/** Of plain files; no symlink is followed. */
const textsIn = (path: string): string =>
  Bun.spawnSync(["find", path, "-type", "f", "-exec", "cat", "{}", ";"]).stdout.toString();

interface Copy extends SelectOptions, Partial<CopyOptions> {
  lower?: string[];
  /** What is copied is read only then; otherwise for its digest. */
  isLate?: boolean;
}

async function copy(context: string, { sources, lower = [], isLate = false, ...options }: Copy): Promise<string> {
  const files = createFiles({});
  const upper = fresh();
  const selection = await files.select({ layers: [context], isContext: true }, { sources });
  if (!isLate) await selection.digest();
  const target = { lower: { layers: lower, isContext: false }, upper };
  await files.copy(selection, target, { destination: "/", workingDirectory: "/", ...options });
  return upper;
}

describe("a context", () => {
  test("with symlinks that lead out gives nothing of the host", async () => {
    const [host, context] = [outside(), fresh()];
    symlinkSync(join(host, "secret"), join(context, "file"));
    symlinkSync(host, join(context, "dir"));
    symlinkSync("../".repeat(30) + join(host, "secret").slice(1), join(context, "up"));
    mkdirSync(join(context, "in"));
    symlinkSync("../dir", join(context, "in/two"));
    const sources = ["file", "up", "dir", "dir/secret", "dir/*", "in/two/secret", "./in/../dir/secret", "in/two/s*"];
    for (const source of sources) {
      const upper = await copy(context, { sources: [source], destination: "/x/" }).catch((error: unknown) => {
        expect(error).toMatchObject({ code: "file_not_found" });
        return undefined;
      });
      if (upper !== undefined) expect(textsIn(upper)).not.toContain(SECRET);
    }
    // as links they may be copied
    expect(textsIn(await copy(context, { sources: ["."] }))).toBe("");
    // a path that is followed as it is written finds it
    expect(readFileSync(join(context, "in/two/secret"), "utf8")).toBe(SECRET);
    const naive = fresh();
    cpSync(join(context, "dir"), naive, { recursive: true, dereference: true });
    expect(textsIn(naive)).toContain(SECRET);
  });

  const noRacer = Bun.which("python3") ? undefined : "python3 is not installed";
  testUnless(noRacer, "whose directories become symlinks while it is copied gives nothing of the host", async () => {
    const [host, context] = [outside(), fresh()];
    for (let at = 0; at < 20; at++) {
      mkdirSync(join(context, `d${at}`));
      writeFileSync(join(context, `d${at}/secret`), MARK);
      symlinkSync(host, join(context, `l${at}`));
    }
    // names of directories and of symlinks are exchanged without an end
    const program = `import ctypes, sys
libc = ctypes.CDLL(None)
while True:
    for at in range(20):
        libc.renameat2(-100, b"d%d" % at, -100, b"l%d" % at, 2)`;
    const racer = Bun.spawn(["python3", "-c", program], { cwd: context });
    try {
      let [naive, there] = [0, 0];
      const until = Date.now() + 1500 * SLOW;
      while (Date.now() < until) {
        for (const isLate of [true, false]) {
          const upper = await copy(context, { sources: ["."], isLate });
          expect(textsIn(upper)).not.toContain(SECRET);
          if (textsIn(upper).includes(MARK)) there++;
        }
        for (let at = 0; at < 20; at++) {
          const path = join(context, `d${at}`);
          // looks first, and then follows
          if (!statSync(path).isDirectory()) continue;
          try {
            if (readFileSync(join(path, "secret"), "utf8") === SECRET) naive++;
          } catch {
            // gone for a moment
          }
        }
      }
      expect(there).toBeGreaterThan(0);
      expect(naive).toBeGreaterThan(0);
    } finally {
      racer.kill();
      await racer.exited;
    }
  });

  test("with pipes holds nobody up, and has no end of its own", async () => {
    const context = fresh();
    Bun.spawnSync(["mkfifo", join(context, "pipe")]);
    writeFileSync(join(context, "file"), MARK);
    const upper = await copy(context, { sources: ["."] });
    expect(statSync(join(upper, "pipe")).isFIFO()).toBe(true);
    expect(readFileSync(join(upper, "file"), "utf8")).toBe(MARK);
    // opened as it is, it waits for a writer
    const reader = Bun.spawnSync(["timeout", "0.3", "cat", join(context, "pipe")]);
    expect(reader.exitCode).toBe(124);
  });

  testUnless(rootOnly, "with devices is refused where they are asked for, and never opened", async () => {
    const context = fresh();
    Bun.spawnSync(["mknod", join(context, "device"), "c", "1", "3"]);
    Bun.spawnSync(["mknod", join(context, "whiteout"), "c", "0", "0"]);
    expect(await failureOf(() => copy(context, { sources: ["device"] }))).toMatchObject({ code: "file_refused" });
    expect(statSync(join(context, "device")).isCharacterDevice()).toBe(true);
    const lower = fresh();
    writeFileSync(join(lower, "whiteout"), MARK);
    const result = await copy(context, { sources: ["whiteou*"], lower: [lower] }).catch(() => fresh());
    expect(readdirSync(result)).toEqual([]);
  });

  test("with names that mean something in layers is refused", async () => {
    for (const name of [".wh.etc", ".wh..wh..opq"]) {
      const context = fresh();
      mkdirSync(join(context, "d"));
      writeFileSync(join(context, "d", name), "");
      expect(await failureOf(() => copy(context, { sources: ["d"] }))).toMatchObject({ code: "archive_refused" });
    }
  });

  test("with a hard link to a file of the host's own has it, as whoever made it could read it", async () => {
    const [host, context] = [outside(), fresh()];
    linkSync(join(host, "secret"), join(context, "same"));
    expect(readFileSync(join(await copy(context, { sources: ["same"] }), "same"), "utf8")).toBe(SECRET);
    expect(statSync(join(host, "secret")).nlink).toBe(2);
  });
});

describe("a root filesystem", () => {
  test("whose symlinks lead out is written to in the upper directory alone", async () => {
    const [host, context] = [outside(), fresh()];
    writeFileSync(join(context, "file"), MARK);
    const upwards = "../".repeat(30) + host.slice(1);
    for (const target of [host, upwards, `/proc/self/root${host}`, `/proc/self/cwd/${upwards}`]) {
      for (const destination of ["/out/", "/out/below/", "/out/secret", "/out/../out/new"]) {
        const lower = fresh();
        symlinkSync(target, join(lower, "out"));
        const upper = await copy(context, { sources: ["file"], destination, lower: [lower] });
        expect(textsIn(upper)).toBe(MARK);
        expect(textsIn(host)).toBe(SECRET);
      }
    }
    // also where they lie in the upper directory already
    const files = createFiles({});
    const upper = fresh();
    symlinkSync(host, join(upper, "out"));
    const selection = await files.select({ layers: [context], isContext: true }, { sources: ["file"] });
    const target = { lower: { layers: [], isContext: false }, upper };
    await files.copy(selection, target, { destination: "/out/", workingDirectory: "/" });
    expect(textsIn(host)).toBe(SECRET);
    // a path that is followed as it is written leads there
    copyFileSync(join(context, "file"), join(upper, "out/file"));
    expect(textsIn(host)).toContain(MARK);
  });

  test("whose symlinks go in circles, or never end, is refused", async () => {
    const [lower, context] = [fresh(), fresh()];
    writeFileSync(join(context, "file"), MARK);
    symlinkSync("b", join(lower, "a"));
    symlinkSync("a", join(lower, "b"));
    symlinkSync("self/self", join(lower, "self"));
    for (const destination of ["/a/", "/self/x"])
      expect(await failureOf(() => copy(context, { sources: ["file"], destination, lower: [lower] }))).toMatchObject({
        code: "file_refused",
      });
  });

  test("tells owners by its own accounts, wherever its symlinks lead", async () => {
    const [host, lower, context] = [fresh(), fresh(), fresh()];
    writeFileSync(join(host, "passwd"), "hostile:x:4242:4242::/:\n");
    mkdirSync(join(lower, "etc"));
    symlinkSync(join(host, "passwd"), join(lower, "etc/passwd"));
    writeFileSync(join(context, "file"), MARK);
    const failing = copy(context, { sources: ["file"], chown: "hostile", lower: [lower] });
    expect(await failureOf(() => failing)).toMatchObject({ code: "user_not_found" });
    expect(readFileSync(join(lower, "etc/passwd"), "utf8")).toContain("hostile");
  });
});

describe("an archive", () => {
  const hostile = (host: string): [string, Entry[]][] => [
    ["names that lead up", [file(`${"../".repeat(30)}${host.slice(1)}/new`, MARK)]],
    ["absolute names", [file(`${host}/new`, MARK)]],
    ["a symlink, and a file through it", [symlink("out", host), file("out/new", MARK)]],
    ["a symlink, and a file in its place", [symlink("new", `${host}/secret`), file("new", MARK)]],
    [
      "a symlink, and a directory through it",
      [symlink("out", host), folderEntry("out/made"), file("out/made/new", MARK)],
    ],
    ["symlinks one behind the other", [symlink("a", "b"), symlink("b", host), file("a/new", MARK)]],
    ["a hard link to a file of the host", [hardLink("same", `${host}/secret`), file("same", MARK)]],
    ["a hard link through a symlink", [symlink("out", host), hardLink("same", "out/secret"), file("same", MARK)]],
    ["a symlink by /proc", [symlink("out", `/proc/self/root${host}`), file("out/new", MARK)]],
  ];

  test.each(hostile("/").map(([name], at) => [name, at] as const))("with %s touches nothing else", async (_, at) => {
    const entriesFor = (host: string) => (hostile(host)[at] as [string, Entry[]])[1];
    for (const how of ["context", "add"] as const) {
      const host = outside();
      const tar = archive(...entriesFor(host));
      try {
        if (how === "context") {
          const { tree } = await openContext(tar, { scratch: fresh });
          expect(textsIn(tree.layers[0] as string)).not.toContain(SECRET);
        } else {
          const context = fresh();
          writeFileSync(join(context, "x.tar"), tar);
          const upper = await copy(context, { sources: ["x.tar"], unpack: true, destination: "/to" });
          expect(textsIn(upper)).not.toContain(SECRET);
        }
      } catch (error) {
        expect(error).toMatchObject({
          code: expect.stringMatching(/^(?:archive_refused|image_invalid|file_refused)$/),
        });
      }
      expect([readdirSync(host), textsIn(host)]).toEqual([["below", "secret"].toSorted(), SECRET]);
      expect(statSync(join(host, "secret")).nlink).toBe(1);
    }
    // whoever follows them as they are written changes the host
    const host = outside();
    try {
      unpackNaively(archive(...entriesFor(host)), fresh());
    } catch {
      // some only after they have done it
    }
    expect([readdirSync(host).join(), textsIn(host), statSync(join(host, "secret")).nlink]).not.toEqual([
      "below,secret",
      SECRET,
      1,
    ]);
  });

  test("is not followed out of the destination by symlinks that were there before", async () => {
    const [host, lower, context] = [outside(), fresh(), fresh()];
    mkdirSync(join(lower, "to"));
    symlinkSync(host, join(lower, "to/out"));
    writeFileSync(join(context, "x.tar"), archive(file("out/new", MARK)));
    const upper = await copy(context, { sources: ["x.tar"], unpack: true, destination: "/to", lower: [lower] });
    expect(textsIn(host)).toBe(SECRET);
    expect(readFileSync(join(upper, "to", host, "new"), "utf8")).toBe(MARK);
  });
});

describe("a server", () => {
  const fetched = async (respond: () => Response) => {
    using server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: respond });
    const { tree } = await fetchSource(`${server.url}x`, { scratch: fresh });
    return textsIn(tree.layers[0] as string);
  };

  test("that sends elsewhere sends to no file of the host", async () => {
    const host = outside();
    const location = `file://${join(host, "secret")}`;
    expect(
      await failureOf(() => fetched(() => new Response("", { status: 302, headers: { location } }))),
    ).toMatchObject({
      code: "download_failed",
    });
    // who asks for it where it is gets it
    expect(await (await fetch(location)).text()).toBe(SECRET);
  });

  test("that says its answer is compressed gives what it has sent, and no more", async () => {
    const zeros = Bun.gzipSync(new Uint8Array(2 ** 20));
    const headers = { "content-encoding": "gzip" };
    expect(await fetched(() => new Response(zeros, { headers }))).toHaveLength(new TextDecoder().decode(zeros).length);
    using server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response(zeros, { headers }) });
    expect(await (await fetch(server.url)).bytes()).toHaveLength(2 ** 20);
  });

  test("that gives something else than its checksum says has given nothing", async () => {
    using server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("hostile") });
    const checksum = `sha256:${"0".repeat(64)}`;
    const failing = fetchSource(`${server.url}x`, { scratch: fresh, checksum });
    expect(await failureOf(() => failing)).toMatchObject({ code: "digest_mismatch" });
  });
});

describe("a repository", () => {
  test.each(["ext::sh -c 'touch MARK'", "--upload-pack=touch MARK", "file:///etc", "-x@host:path", "fd::17/foo"])(
    "at %s is none",
    async (text) => {
      let remote: ReturnType<typeof remoteOf>;
      try {
        remote = remoteOf(text);
      } catch (error) {
        expect(error).toMatchObject({ code: "invalid_option" });
        return;
      }
      expect(remote).toBeUndefined();
    },
  );

  testUnless(noGit, "runs no program that the user's settings, or its submodules, name", async () => {
    const [mark, home, work] = [join(fresh(), "mark"), fresh(), join(fresh(), "x.git")];
    const git = (words: string[], env: Record<string, string> = {}) =>
      Bun.spawnSync(["git", "-c", "user.name=a", "-c", "user.email=a@b", ...words], {
        cwd: work,
        env: { PATH: process.env["PATH"] as string, HOME: home, GIT_CONFIG_NOSYSTEM: "1", ...env },
        stderr: "pipe",
      });
    mkdirSync(work);
    git(["init", "-q", "-b", "main"]);
    writeFileSync(join(work, ".gitattributes"), "* filter=hostile\n");
    writeFileSync(join(work, ".gitmodules"), `[submodule "s"]\n\tpath = s\n\turl = ext::touch ${mark}-module\n`);
    writeFileSync(join(work, "file"), MARK);
    git(["add", "."]);
    git(["update-index", "--add", "--cacheinfo", `160000,${"1".repeat(40)},s`]);
    git(["commit", "-q", "-m", "hostile"]);
    // what a user may have set up for repositories of their own
    writeFileSync(
      join(home, ".gitconfig"),
      `[filter "hostile"]\n\tsmudge = "touch ${mark}-filter; cat"\n[core]\n\thooksPath = ${home}/hooks\n[protocol]\n\tallow = always\n[protocol "ext"]\n\tallow = always\n`,
    );
    mkdirSync(join(home, "hooks"));
    writeFileSync(join(home, "hooks/post-checkout"), `#!/bin/sh\ntouch ${mark}-hook\n`, { mode: 0o755 });
    const port = await freePort();
    const daemon = Bun.spawn(
      [
        "/usr/lib/git-core/git-daemon",
        "--reuseaddr",
        "--export-all",
        "--listen=127.0.0.1",
        `--port=${port}`,
        `--base-path=${join(work, "..")}`,
        join(work, ".."),
      ],
      { stdout: "ignore", stderr: "ignore" },
    );
    const [url, before] = [`git://127.0.0.1:${port}/x.git`, process.env["HOME"]];
    const marks = () => ["filter", "hook", "module"].filter((what) => existsSync(`${mark}-${what}`));
    try {
      for (let count = 0; count < 200 && git(["ls-remote", url]).exitCode !== 0; count++) await Bun.sleep(25);
      process.env["HOME"] = home;
      expect(await failureOf(() => openContext(url, { scratch: fresh }))).toMatchObject({ code: "permission_denied" });
      expect(marks()).toEqual([]);
      // git as it is, in the same home
      git(["clone", "-q", "--recurse-submodules", url, join(fresh(), "clone")]);
      expect(marks()).toEqual(["filter", "hook", "module"]);
    } finally {
      process.env["HOME"] = before;
      daemon.kill();
      await daemon.exited;
    }
  });
});

testUnless(noGit, "submodules lead to no server that a build is not to reach", async () => {
  const work = fresh();
  const asked: string[] = [];
  // answers for repositories on one address, and counts what comes on another
  using other = Bun.serve({
    hostname: "127.0.0.2",
    port: 0,
    fetch(request) {
      asked.push(new URL(request.url).pathname);
      return new Response("", { status: 404 });
    },
  });
  using server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: (request) => backend(request, work) });
  const url = `http://127.0.0.1:${server.port}/.git/x.git`;
  const commitWith = (module: string) => {
    writeFileSync(join(work, ".gitmodules"), `[submodule "s"]\n\tpath = s\n\turl = ${module}\n`);
    const git = `rm -rf .git; git init -q -b main && git add .gitmodules && git update-index --add --cacheinfo 160000,${"1".repeat(40)},s`;
    const commit = "git -c user.name=a -c user.email=a@b commit -q -m x";
    Bun.spawnSync(["sh", "-c", `${git} && ${commit}`], { cwd: work, env: { PATH: process.env["PATH"], HOME: work } });
  };
  const onlyOwn = (ip: string) => ip === "127.0.0.1";
  const ways = [
    (reaches: (ip: string) => boolean) => fetchSource(url, { scratch: fresh, reaches }),
    (modulesReach: (ip: string) => boolean) => openContext(url, { scratch: fresh, modulesReach }),
  ];
  const elsewhere = `http://127.0.0.2:${other.port}/secret`;
  // curl takes what is before the question mark for the host
  const unclear = `http://127.0.0.2:${other.port}?@127.0.0.1:${server.port}/secret`;
  for (const way of ways) {
    for (const module of [elsewhere, "file:///etc", "/etc", "../../../../127.0.0.2/secret", "ext::true", unclear]) {
      commitWith(module);
      expect([module, await failureOf(() => way(onlyOwn))]).toMatchObject([module, { code: "permission_denied" }]);
    }
    expect(asked).toEqual([]);
    // control
    commitWith(elsewhere);
    expect(await failureOf(() => way(() => true))).toMatchObject({ code: "download_failed" });
    expect(asked.splice(0)[0]).toBe("/secret/info/refs");
  }
  // what stands behind a question mark is no address
  expect(await failureOf(() => fetchSource(`git+${unclear}`, { scratch: fresh }))).toMatchObject({
    code: "invalid_option",
  });
  expect(asked).toEqual([]);
  for (const text of [`git+${elsewhere}?tag=a`, `http:///127.0.0.2:${other.port}/x.git`]) {
    const refused = await failureOf(() => fetchSource(text, { scratch: fresh, reaches: onlyOwn }));
    expect(refused).toMatchObject({ code: "permission_denied" });
    expect(asked).toEqual([]);
    await failureOf(() => fetchSource(text, { scratch: fresh }));
    expect(asked.splice(0).length).toBeGreaterThan(0);
  }
  // more than is looked at
  writeFileSync(join(work, "x"), "");
  commitWith(`${elsewhere}\n${`[submodule "${"a".repeat(1000)}"]\n\tpath = s\n\turl = x\n`.repeat(200)}`);
  expect(await failureOf(() => ways[0]?.(onlyOwn) as Promise<unknown>)).toMatchObject({ code: "download_failed" });
  expect(asked).toEqual([]);
});

testUnless(noGit, "who is asked by git's own protocol is who was looked at", async () => {
  let request = "";
  using server = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data(socket, bytes) {
        // it may come in pieces
        request += bytes.toString("latin1");
        if (/host=[^\0]*\0/.test(request)) socket.end();
      },
    },
  });
  const url = `git://localhost:${server.port}/x.git`;
  const ask = async (reaches?: (ip: string) => boolean, from = url) => {
    request = "";
    const options = { scratch: fresh(), ...(reaches ? { reaches } : {}) };
    await failureOf(() => cloneRepository({ kind: "git", url: from }, options));
    return /host=([^:\0]*)/.exec(request)?.[1];
  };
  const local = (ip: string) => ip === "127.0.0.1";
  expect(await ask(local)).toBe("127.0.0.1");
  // what git understands, and would ask by its name
  const odd = url.replace(/:(?=\d)/, ":+");
  expect(await ask(local, odd)).toBeUndefined();
  // control
  expect([await ask(), await ask(undefined, odd)]).toEqual(["localhost", "localhost"]);
});

testUnless(noGit, "credentials of an address go to its server, and stay nowhere", async () => {
  const [scratch, work] = [fresh(), fresh()];
  const git = "git init -q -b main && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m x";
  Bun.spawnSync(["sh", "-c", git], { cwd: work, env: { PATH: process.env["PATH"], HOME: work } });
  const asked: (string | null)[] = [];
  using server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request) {
      asked.push(request.headers.get("authorization"));
      if (!asked.at(-1)) return new Response("", { status: 401, headers: { "www-authenticate": "Basic realm=x" } });
      return backend(request, work);
    },
  });
  const url = `http://user:pass-word@127.0.0.1:${server.port}`;
  const keepGitDirectory = true;
  const { tree } = await fetchSource(`${url}/.git/x.git`, { scratch: () => scratch, keepGitDirectory });
  // control
  expect(asked).toContain(`Basic ${btoa("user:pass-word")}`);
  const config = readFileSync(`${tree.layers[0]}/.git/config`, "utf8");
  expect(config).toContain(`url = http://127.0.0.1:${server.port}/.git/x.git`);
  expect(Bun.spawnSync(["grep", "-r", "pass-word", scratch]).stdout.toString()).toBe("");
  const wrong = [`${url}/.git/x.git#main:none`, `${url}/.git/x.git#-x`, `${url}/.git/other.git`];
  for (const each of wrong) {
    const { message } = await failureOf(() => fetchSource(each, { scratch: fresh, keepGitDirectory }));
    expect(message).not.toContain("pass-word");
  }
});

/** What git gives by HTTP of a repository, whatever it is called. */
async function backend(request: Request, work: string): Promise<Response> {
  const { pathname, search } = new URL(request.url);
  const header = (name: string) => request.headers.get(name) ?? "";
  const child = Bun.spawn(["git", "http-backend"], {
    stdin: new Uint8Array(await request.arrayBuffer()),
    stdout: "pipe",
    env: {
      PATH: process.env["PATH"],
      GIT_PROJECT_ROOT: work,
      GIT_HTTP_EXPORT_ALL: "1",
      PATH_INFO: pathname.replace("/.git/x.git", "/.git"),
      QUERY_STRING: search.slice(1),
      REQUEST_METHOD: request.method,
      CONTENT_TYPE: header("content-type"),
      HTTP_CONTENT_ENCODING: header("content-encoding"),
      GIT_PROTOCOL: header("git-protocol"),
      GIT_CONFIG_COUNT: "1",
      GIT_CONFIG_KEY_0: "safe.directory",
      GIT_CONFIG_VALUE_0: "*",
    },
  });
  const bytes = Buffer.from(await new Response(child.stdout).arrayBuffer());
  const end = bytes.indexOf("\r\n\r\n");
  const lines = bytes.subarray(0, end).toString().split("\r\n");
  const headers = Object.fromEntries(lines.map((line) => line.split(": ") as [string, string]));
  return new Response(bytes.subarray(end + 4), { headers, status: Number(headers["Status"]?.slice(0, 3) ?? 200) });
}

async function freePort(): Promise<number> {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = listener;
  listener.stop(true);
  return port;
}
