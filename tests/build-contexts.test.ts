/** Where files of a build come from: directories, archives, URLs and git repositories; and archives that ADD unpacks. */
import { afterAll, describe, expect, test } from "bun:test";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { bunzip2 } from "../lib/build/files/bzip2.ts";
import {
  createFiles,
  fetchSource,
  openContext,
  readInTree,
  remoteOf,
  type CopyOptions,
} from "../lib/build/files/index.ts";
import { unxz } from "../lib/build/files/xz.ts";
import { Contexts } from "../lib/build/contexts.ts";
import { Workspace } from "../lib/build/workspace.ts";
import { failureOf } from "./support/failure.ts";
import { archive, directory, file, hardLink, symlink } from "./support/layers.ts";
import { testUnless } from "./support/machine.ts";
import { Folder } from "./support/rootfs.ts";

const folder = new Folder();
afterAll(() => folder.remove());
let made = 0;
const fresh = () => folder.directory(`dir${made++}`);
const scratch = () => fresh();
const noGit = existsSync("/usr/lib/git-core/git-daemon") ? undefined : "git is not installed";
const missing = (program: string) => (Bun.which(program) ? undefined : `${program} is not installed`);

const run = (command: string[], stdin: Uint8Array = new Uint8Array()) => {
  const { exitCode, stdout, stderr } = Bun.spawnSync(command, {
    stdin: stdin as Uint8Array<ArrayBuffer>,
    stderr: "pipe",
  });
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${stderr.toString()}`);
  return stdout;
};

const textIn = ({ tree }: Awaited<ReturnType<typeof openContext>>, path: string) => {
  const bytes = readInTree(tree, path, 1000);
  return bytes && new TextDecoder().decode(bytes);
};

const TAR = archive(
  file("Dockerfile", "FROM scratch\n"),
  directory("src"),
  file("src/a", "a", { mode: 0o755, uid: 1234, gid: 1234 }),
  symlink("link", "src/a"),
  hardLink("same", "src/a"),
);

const streamOf = (pieces: AsyncIterable<Uint8Array>) => pieces as ReadableStream<Uint8Array>;
/** Headers of a file whose bytes are yet to come. */
const sized = (size: number) => archive(file("a", "", { size })).subarray(0, -1024);

describe("a context", () => {
  test("is a directory, as it is", async () => {
    const path = fresh();
    writeFileSync(join(path, "Dockerfile"), "FROM scratch");
    symlinkSync("Dockerfile", join(path, "link"));
    symlinkSync("/etc/hostname", join(path, "out"));
    symlinkSync(path, join(folder.path, "named"));
    const context = await openContext(join(folder.path, "named"), { scratch: () => expect.unreachable() });
    expect(context.tree).toEqual({ layers: [path], isContext: true });
    expect(textIn(context, "link")).toBe("FROM scratch");
    expect([textIn(context, "out"), textIn(context, "none"), textIn(context, ".")]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    expect(await failureOf(() => readInTree(context.tree, "Dockerfile", 3))).toMatchObject({ code: "file_refused" });
    expect(await failureOf(() => openContext(join(path, "none"), { scratch }))).toMatchObject({
      code: "file_not_found",
    });
  });

  test.each([
    ["an archive", TAR],
    ["a gzipped one", Bun.gzipSync(TAR as Uint8Array<ArrayBuffer>)],
    ["one of zstd", Bun.zstdCompressSync(TAR as Uint8Array<ArrayBuffer>)],
  ])("is %s", async (_, bytes) => {
    for (const source of [bytes, new Blob([bytes as Uint8Array<ArrayBuffer>]).stream()]) {
      const context = await openContext(source, { scratch });
      const [root] = context.tree.layers as [string];
      expect(textIn(context, "link")).toBe("a");
      expect(statSync(join(root, "src/a"))).toMatchObject({ mode: 0o100755, uid: process.geteuid?.(), nlink: 2 });
    }
  });

  test("is a Dockerfile alone", async () => {
    const context = await openContext(new TextEncoder().encode("FROM scratch\n"), { scratch });
    expect(textIn(context, "Dockerfile")).toBe("FROM scratch\n");
  });

  test("is what a URL gives, once", async () => {
    let count = 0;
    using server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: ({ url }) => (
        count++,
        url.endsWith("/gone") ? new Response("", { status: 404 }) : new Response(TAR as Uint8Array<ArrayBuffer>)
      ),
    });
    const context = await openContext(`${server.url}context.tar`, { scratch });
    expect([textIn(context, "src/a"), count]).toEqual(["a", 1]);
    expect(await failureOf(() => openContext(`${server.url}gone`, { scratch }))).toMatchObject({
      code: "download_failed",
      message: expect.stringContaining("404"),
    });
  });

  test.each([
    ["a name above it", file("../out", "x")],
    ["a device", { name: "null", type: "character device" as const, major: 1, minor: 3 }],
    ["a name that means a whiteout", file("d/.wh.x", "x")],
  ])("is no archive with %s", async (_, entry) => {
    const error = await failureOf(() => openContext(archive(file("first", ""), entry), { scratch }));
    expect(error).toMatchObject({ code: "archive_refused" });
  });

  test.each<[string, Uint8Array, Uint8Array, object]>([
    ["zeros without end", new Uint8Array(), new Uint8Array(1 << 20), { code: "archive_refused" }],
    ["bytes without end", new Uint8Array(), Buffer.alloc(1 << 20, "\xfb\0", "latin1"), { code: "archive_refused" }],
    ["a text without end", new Uint8Array(), Buffer.alloc(1 << 20, "RUN x\n"), { code: "file_refused" }],
    ["a file of a petabyte", sized(2 ** 50), new Uint8Array(1 << 20), { code: "archive_refused" }],
  ])("is not %s", async (_, first, more, expected) => {
    let taken = 0;
    const endless = async function* () {
      yield first;
      for (; taken < 1000; taken++) yield more;
      expect.unreachable();
    };
    const open = async () => textIn(await openContext(streamOf(endless()), { scratch }), "Dockerfile");
    expect(await failureOf(open)).toMatchObject(expected);
    expect(taken).toBeLessThan(100);
  });

  test("is an archive with anything behind its end, and packed in whatever pieces", async () => {
    const padded = async function* () {
      yield TAR;
      yield new Uint8Array(1 << 20);
    };
    expect(textIn(await openContext(streamOf(padded()), { scratch }), "src/a")).toBe("a");
    const large = Bun.gzipSync(
      archive(
        file("Dockerfile", "FROM x"),
        file("a", crypto.getRandomValues(new Uint8Array(65536))),
      ) as Uint8Array<ArrayBuffer>,
    );
    const single = async function* () {
      for (const byte of large) yield Uint8Array.of(byte);
    };
    expect(textIn(await openContext(streamOf(single()), { scratch }), "Dockerfile")).toBe("FROM x");
  });

  test("is no archive that is cut short", async () => {
    const cut = Bun.gzipSync(archive(file("a", "x".repeat(5000))) as Uint8Array<ArrayBuffer>).subarray(0, -20);
    expect(await failureOf(() => openContext(cut, { scratch }))).toMatchObject({ code: "archive_refused" });
  });
});

describe("an address", () => {
  test.each<[string, ReturnType<typeof remoteOf> extends infer R ? Partial<NonNullable<R>> | undefined : never]>([
    ["a/b", undefined],
    ["./a@b:c/d", undefined],
    ["https://host/a/b%20c.tgz?x#y", { kind: "http", name: "b c.tgz" }],
    ["https://host/", { kind: "http", name: "__unnamed__" }],
    ["https://host/a/%2e%2e", { kind: "http" }],
    ["https://host/a/x%2fy", { kind: "http", name: "__unnamed__" }],
    ["https://host/x.git", { kind: "git", url: "https://host/x.git" }],
    ["https://host/x.git#v1:sub/dir", { kind: "git", url: "https://host/x.git", ref: "v1", subdirectory: "sub/dir" }],
    ["git@host:a/b", { kind: "git", url: "git@host:a/b" }],
    ["ssh://git@host/a.git#:d", { kind: "git", url: "ssh://git@host/a.git", subdirectory: "d" }],
    ["git://host/a", { kind: "git", url: "git://host/a" }],
    [
      "https://host/x.git?branch=a/b&subdir=sub%2Fdir&commit=0a1b&keep-git-dir&submodules=0",
      {
        url: "https://host/x.git",
        ref: "refs/heads/a/b",
        subdirectory: "sub/dir",
        checksum: "0a1b",
        keepGitDirectory: true,
        submodules: false,
      },
    ],
    ["git@host:a/b?tag=v1#:d", { url: "git@host:a/b", ref: "refs/tags/v1", subdirectory: "d" }],
    ["git://host/a?ref=v1#v1", { url: "git://host/a", ref: "v1" }],
  ])("%s", (text, expected) => {
    const remote = remoteOf(text);
    if (expected === undefined) expect(remote).toBeUndefined();
    else expect(remote).toMatchObject(expected);
  });

  test.each([
    "file:///etc/passwd",
    "ext::sh -c id://",
    "https://host/x.git#--upload-pack=x",
    "git://host/x#a..b",
    "https://host/x.git#a b",
    "https://host/x.git?ref=--upload-pack=x",
    "https://host/x.git?ref=a#b",
    "https://host/x.git?tag=a&branch=a",
    "https://host/x.git?ref=a&ref=a",
    "https://host/x.git?ref=",
    "https://host/x.git?brnach=a",
    "https://host/x.git?commit=HEAD",
    "https://host/x.git?submodules=some",
  ])("%s is none", async (text) => {
    const remote = await failureOf(() => remoteOf(text)).catch(() => undefined);
    if (remote) expect(remote).toMatchObject({ code: "invalid_option" });
    else expect(remoteOf(text)).toBeUndefined();
  });

  test.each(["https", "git+https", "git+http"])(
    "by %s that is refused is shown without its password",
    async (scheme) => {
      const { message } = await failureOf(() => remoteOf(`${scheme}://user:secret@host/x.git?brnach=a`));
      expect(message).toContain(`use "${scheme}://host/x.git?brnach=a"`);
    },
  );
});

describe("ADD of a URL", () => {
  const CONTENT = "content";
  const DIGEST = `sha256:${new Bun.CryptoHasher("sha256").update(CONTENT).digest("hex")}`;

  test("is a file of nobody else's, with the server's time, compared with its checksum", async () => {
    using server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: () => new Response(CONTENT, { headers: { "last-modified": "Sun, 09 Sep 2001 01:46:40 GMT" } }),
    });
    const { tree, sources } = await fetchSource(`${server.url}dir/na%2Ame[1].txt`, { scratch, checksum: DIGEST });
    const upper = await copied(tree, sources, { destination: "/x/" });
    const { mode, mtimeMs } = statSync(join(upper, "x/na*me[1].txt"));
    expect([mode, mtimeMs]).toEqual([0o100600, 1e12]);
    const wrong = fetchSource(`${server.url}x`, { scratch, checksum: DIGEST.replace(/.$/, "g").replace("g", "0") });
    expect(await failureOf(() => wrong)).toMatchObject({ code: "digest_mismatch" });
    expect(await failureOf(() => fetchSource(`${server.url}x`, { scratch, checksum: "md5:1" }))).toMatchObject({
      code: "invalid_option",
    });
  });

  test("of a server that is not there is told", async () => {
    using server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response() });
    const url = `${server.url}x`;
    await server.stop(true);
    expect(await failureOf(() => fetchSource(url, { scratch }))).toMatchObject({ code: "download_failed" });
  });
});

async function copied(
  tree: { layers: readonly string[]; isContext: boolean },
  sources: string[],
  options: Partial<CopyOptions> = {},
  lower: string[] = [],
): Promise<string> {
  const files = createFiles({});
  const upper = fresh();
  const selection = await files.select(tree, { sources });
  await files.copy(
    selection,
    { lower: { layers: lower, isContext: false }, upper },
    { destination: "/", workingDirectory: "/", ...options },
  );
  return upper;
}

describe("ADD of an archive", () => {
  const contextWith = (name: string, bytes: Uint8Array) => {
    const path = fresh();
    writeFileSync(join(path, name), bytes);
    return { layers: [path], isContext: true };
  };
  const add = (bytes: Uint8Array, options: Partial<CopyOptions> = {}, lower: string[] = []) =>
    copied(contextWith("x.tar", bytes), ["x.tar"], { unpack: true, destination: "/to", ...options }, lower);
  const [BZIP2, XZ] = [missing("bzip2"), missing("xz")];

  test("unpacks it below the destination, whatever it is compressed with", async () => {
    for (const bytes of [
      TAR,
      Bun.gzipSync(TAR as Uint8Array<ArrayBuffer>),
      Bun.zstdCompressSync(TAR as Uint8Array<ArrayBuffer>),
    ]) {
      const upper = await add(bytes);
      expect(readFileSync(join(upper, "to/src/a"), "utf8")).toBe("a");
      expect(readlinkSync(join(upper, "to/link"))).toBe("src/a");
      expect(statSync(join(upper, "to/same")).ino).toBe(statSync(join(upper, "to/src/a")).ino);
      if (process.geteuid?.() === 0)
        expect(statSync(join(upper, "to/src/a"))).toMatchObject({ uid: 1234, mode: 0o100755 });
    }
  });

  testUnless(BZIP2 ?? XZ, "unpacks those of bzip2 and xz", async () => {
    for (const program of ["bzip2", "xz"]) {
      const upper = await add(run([program, "-c"], TAR));
      expect(readFileSync(join(upper, "to/src/a"), "utf8")).toBe("a");
    }
  });

  test("copies what is none, and what is not asked to be unpacked", async () => {
    expect(readFileSync(join(await add(new TextEncoder().encode("text")), "to"), "utf8")).toBe("text");
    expect(readFileSync(join(await add(new Uint8Array(10_240)), "to"))).toHaveLength(10_240);
    expect(readFileSync(join(await add(Bun.gzipSync("text")), "to"))).toHaveLength(Bun.gzipSync("text").length);
    expect(readFileSync(join(await add(TAR, { unpack: false }), "to"))).toHaveLength(TAR.length);
  });

  test("puts files where symlinks lead, in the destination; other things are replaced", async () => {
    const lower = fresh();
    mkdirSync(join(lower, "to/usr/lib"), { recursive: true });
    mkdirSync(join(lower, "to/dir/below"), { recursive: true });
    symlinkSync("/usr/lib", join(lower, "to/lib"));
    writeFileSync(join(lower, "to/was"), "a file");
    const tar = archive(
      file("lib/x", "1"),
      symlink("own", "lib"),
      file("own/y", "2"),
      file("dir", "now a file"),
      directory("was"),
      file("was/z", "3"),
      file("deep/below/w", "4"),
      file("/absolute", "5"),
      directory("./"),
    );
    const upper = await add(tar, {}, [lower]);
    expect(
      ["usr/lib/x", "usr/lib/y", "dir", "was/z", "deep/below/w", "absolute"].map((path) =>
        readFileSync(join(upper, "to", path), "utf8"),
      ),
    ).toEqual(["1", "2", "now a file", "3", "4", "5"]);
    expect(existsSync(join(upper, "to/lib"))).toBe(false);
  });

  test.each([
    ["a name above the destination", file("../x", "")],
    ["a hard link to what was there", hardLink("x", "was")],
    ["a hard link above the destination", hardLink("x", "../was")],
    ["a name that means a whiteout", file(".wh.x", "")],
    ["a file without a name", file(".", "")],
  ])("refuses %s", async (_, entry) => {
    const lower = fresh();
    mkdirSync(join(lower, "to"));
    writeFileSync(join(lower, "to/was"), "");
    expect(await failureOf(() => add(archive(file("first", ""), entry), {}, [lower]))).toMatchObject({
      code: "archive_refused",
    });
  });

  test("refuses one that is cut short", async () => {
    const cut = archive(file("a", "x".repeat(5000))).subarray(0, 3000);
    expect(await failureOf(() => add(cut))).toMatchObject({ code: "archive_refused" });
  });
});

describe("decoding", () => {
  const samples = (): Uint8Array[] => [
    new Uint8Array(),
    new TextEncoder().encode("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabcabcabcabcabc".repeat(50)),
    crypto.getRandomValues(new Uint8Array(60_000)),
    new Uint8Array(300_000),
    readFileSync(join(import.meta.dirname, "../package-lock.json")),
  ];
  const decode = { bzip2: bunzip2, xz: unxz };
  const whole = (pieces: Iterable<Uint8Array>) => Buffer.concat(Array.from(pieces, (piece) => Uint8Array.from(piece)));
  function* cut(bytes: Uint8Array, size: number) {
    for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
  }

  for (const [name, decoder] of Object.entries(decode)) {
    testUnless(missing(name), `${name} gives back what was compressed, in pieces and in several streams`, () => {
      for (const sample of samples()) {
        for (const level of ["-1", "-9"]) {
          const compressed = run([name, level, "-c"], sample);
          expect(whole(decoder(cut(compressed, 1000))).equals(sample)).toBe(true);
        }
      }
      const [one, two] = [
        run([name, "-c"], new TextEncoder().encode("one")),
        run([name, "-c"], new TextEncoder().encode("two")),
      ];
      expect(whole(decoder([Buffer.concat([one, two])])).toString()).toBe("onetwo");
    });

    testUnless(missing(name), `${name} that was changed or cut is refused or the same, and comes to an end`, () => {
      const text = new TextEncoder().encode("some text that is compressed, some text ".repeat(20));
      const compressed = run([name, "-c"], text);
      for (let at = 0; at < compressed.length; at++) {
        for (const changed of [
          compressed.subarray(0, at),
          compressed.map((byte, index) => (index === at ? byte ^ (1 << (at % 8)) : byte)),
        ]) {
          try {
            const result = whole(decoder([changed]));
            if (result.length > 0) expect(result.equals(text)).toBe(true);
          } catch (error) {
            expect(error).toMatchObject({ name: "Malformed" });
          }
        }
      }
    });
  }

  testUnless(missing("xz"), "xz is compared with each kind of checksum", () => {
    for (const check of ["none", "crc32", "crc64", "sha256"]) {
      const compressed = run(["xz", "-c", `--check=${check}`], new TextEncoder().encode("text"));
      expect(whole(unxz([compressed])).toString()).toBe("text");
    }
  });
});

describe("git", () => {
  const NAMED = ["-c", "user.name=a", "-c", "user.email=a@b"];
  const git = (cwd: string, ...words: string[]) =>
    run(["git", "-C", cwd, ...NAMED, "-c", "protocol.file.allow=always", ...words])
      .toString()
      .trim();

  function repositoryWith(files: Record<string, string>): { path: string; commit: string } {
    const path = join(fresh(), "repository.git");
    mkdirSync(path);
    git(path, "init", "-q", "-b", "main");
    for (const [name, content] of Object.entries(files)) {
      mkdirSync(dirname(join(path, name)), { recursive: true });
      if (content.startsWith("-> ")) symlinkSync(content.slice(3), join(path, name));
      else writeFileSync(join(path, name), content);
    }
    git(path, "add", "-A");
    git(path, "commit", "-q", "-m", "first");
    return { path, commit: git(path, "rev-parse", "HEAD") };
  }

  /** Gives it to whoever asks at an address of this machine's. */
  async function served(path: string) {
    const port = (() => {
      using listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
      const { port: free } = listener;
      listener.stop(true);
      return free;
    })();
    const daemon = Bun.spawn(
      [
        "/usr/lib/git-core/git-daemon",
        "--reuseaddr",
        "--export-all",
        "--listen=127.0.0.1",
        `--port=${port}`,
        `--base-path=${dirname(path)}`,
        dirname(path),
      ],
      { stdout: "ignore", stderr: "ignore" },
    );
    for (let count = 0; count < 200; count++) {
      if (
        Bun.spawnSync(["git", "ls-remote", `git://127.0.0.1:${port}/repository.git`], {
          stderr: "ignore",
          stdout: "ignore",
        }).exitCode === 0
      )
        break;
      await Bun.sleep(25);
    }
    return {
      url: `git://127.0.0.1:${port}/repository.git`,
      async [Symbol.asyncDispose]() {
        daemon.kill();
        await daemon.exited;
      },
    };
  }

  testUnless(noGit, "a repository is a context, at a branch, a tag or a commit, and in a directory of it", async () => {
    const { path, commit } = repositoryWith({
      Dockerfile: "FROM one",
      "sub/Dockerfile": "FROM sub",
      out: "-> ../../secret",
    });
    git(path, "tag", "v1");
    writeFileSync(join(path, "Dockerfile"), "FROM two");
    run(["env", "GIT_COMMITTER_DATE=1000000000 +0000", "git", "-C", path, ...NAMED, "commit", "-qam", "second"]);
    await using server = await served(path);
    const dockerfileOf = async (fragment: string) =>
      textIn(await openContext(server.url + fragment, { scratch }), "Dockerfile");
    expect(await dockerfileOf("")).toBe("FROM two");
    expect(await dockerfileOf("#main")).toBe("FROM two");
    expect(await dockerfileOf("#v1")).toBe("FROM one");
    expect(await dockerfileOf(`#${commit}`)).toBe("FROM one");
    expect(await dockerfileOf(`#${commit.slice(0, 7)}`)).toBe("FROM one");
    expect(await dockerfileOf(`?branch=main&commit=${commit}&fetch-by-commit=true`)).toBe("FROM one");
    expect(await dockerfileOf("#v1:sub")).toBe("FROM sub");
    expect(await dockerfileOf(`?tag=v1&subdir=sub&commit=${commit.slice(0, 7)}`)).toBe("FROM sub");
    expect(await dockerfileOf("?branch=main")).toBe("FROM two");
    const { tree } = await openContext(server.url, { scratch });
    expect(existsSync(join(tree.layers[0] as string, ".git"))).toBe(false);
    const old = (await openContext(`${server.url}?mtime=commit`, { scratch })).tree.layers[0] as string;
    expect(["Dockerfile", "sub", "sub/Dockerfile", "out"].map((name) => lstatSync(join(old, name)).mtimeMs)).toEqual(
      Array.from({ length: 4 }, () => 1_000_000_000_000),
    );
    for (const value of ["1", "0"]) {
      using workspace = new Workspace(fresh(), undefined);
      const args = { BUILDKIT_CONTEXT_KEEP_GIT_DIR: value };
      const contexts = new Contexts({ context: server.url, args }, workspace, new AbortController().signal);
      const { layers } = await contexts.tree(undefined);
      expect(existsSync(join(layers[0] as string, ".git"))).toBe(value === "1");
    }
    const added = await fetchSource(`${server.url}#v1`, {
      scratch,
      checksum: commit.slice(0, 8),
      keepGitDirectory: true,
    });
    expect(existsSync(join(await copied(added.tree, added.sources, { destination: "/x" }), "x/.git/HEAD"))).toBe(true);
    for (const [fragment, code] of [
      ["#nothing", "download_failed"],
      ["#main:none", "file_not_found"],
      ["#main:out", "file_not_found"],
      ["#main:../x", "file_not_found"],
      ["?tag=main", "download_failed"],
      [`?branch=main&commit=${commit}`, "digest_mismatch"],
    ] as const)
      expect(await failureOf(() => openContext(server.url + fragment, { scratch }))).toMatchObject({ code });
    expect(await failureOf(() => fetchSource(server.url, { scratch, checksum: "0123456" }))).toMatchObject({
      code: "digest_mismatch",
    });
    expect(
      await failureOf(() => fetchSource(`${server.url}?commit=${commit}#v1`, { scratch, checksum: "0123456" })),
    ).toMatchObject({ code: "invalid_option" });
  });

  testUnless(noGit, "submodules come along", async () => {
    const inner = repositoryWith({ inside: "of the submodule" });
    const { path } = repositoryWith({ Dockerfile: "FROM x" });
    git(path, "clone", "-q", "--bare", inner.path, join(dirname(path), "inner.git"));
    git(path, "submodule", "--quiet", "add", "../inner.git", "module");
    git(path, "commit", "-q", "-m", "module");
    await using server = await served(path);
    const context = await openContext(server.url, { scratch });
    expect(textIn(context, "module/inside")).toBe("of the submodule");
    expect(textIn(context, "module/.git")).toBeUndefined();
    const without = await openContext(`${server.url}?submodules=false&keep-git-dir`, { scratch });
    expect([textIn(without, "module/inside"), textIn(without, ".git/HEAD")]).toEqual([undefined, expect.any(String)]);
  });

  testUnless(noGit, "what is stopped ends with all that git has started", async () => {
    // accepts, and says nothing
    using listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const url = `git://127.0.0.1:${listener.port}/x.git`;
    const cloning = openContext(url, { scratch, signal: AbortSignal.timeout(300) });
    expect(await failureOf(() => cloning).catch((error: unknown) => error)).toBeDefined();
    expect(Bun.spawnSync(["pgrep", "-f", url]).stdout.toString()).toBe("");
  });
});
