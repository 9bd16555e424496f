/** `box.fs.tar` and `untar`: trees in and out of a box, and archives that want more than that. @module */
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Sandbox, type UntarOptions } from "../lib/index.ts";
import { Agent } from "../lib/sandbox/agent.ts";
import { tarEnd, tarHeader, tarPadding, type TarHeader } from "../lib/tar/index.ts";
import { failureOf } from "./support/failure.ts";
import { asRoot, noBusybox, testUnless } from "./support/machine.ts";
import { Folder, makeRootfs } from "./support/rootfs.ts";

const root = makeRootfs();
const outside = new Folder();
let box: Sandbox;
beforeAll(async () => {
  if (noBusybox === undefined) box = await Sandbox.create({ rootfs: root.path });
});
afterAll(async () => {
  await box?.stop();
  // an ordinary user cannot remove what is in a directory that it may not write to
  Bun.spawnSync(["chmod", "-R", "u+w", outside.path]);
  [root, outside].forEach((folder) => folder.remove());
});
const boxTest = (name: string, body: () => unknown) => testUnless(noBusybox, name, body, 60_000);

const encode = (text: string) => new TextEncoder().encode(text);
type Entry = [
  name: string,
  header?: Partial<Omit<TarHeader, "name" | "linkName">> & { linkName?: string },
  content?: string,
];
function archive(...entries: Entry[]): Blob {
  const parts = entries.flatMap(([name, { linkName = "", ...header } = {}, content = ""]) => [
    tarHeader({
      type: "file",
      mode: 0o644,
      uid: 0,
      gid: 0,
      mtime: { seconds: 0, nanoseconds: 0 },
      size: content.length,
      ...header,
      name: encode(name),
      linkName: encode(linkName),
    }),
    encode(content),
    tarPadding(content.length),
  ]);
  return new Blob([...parts, tarEnd()] as never[]);
}
const gnuTar = (...words: string[]) => new Response(Bun.spawn(["tar", ...words], { stderr: "inherit" }).stdout).blob();
const link = (name: string, linkName: string): Entry => [name, { type: "symlink", linkName }];
const hard = (name: string, linkName: string): Entry => [name, { type: "hard link", linkName }];

describe("many small files", () => {
  const namesIn = async (tar: Blob) => {
    const listing = Bun.spawn(["tar", "-tf", "-"], { stdin: tar });
    return (await new Response(listing.stdout).text()).trim().split("\n").toSorted();
  };

  boxTest("take several to a request, in and out", async () => {
    await box.$`mkdir -p /tmp/many/sub; cd /tmp/many; for i in $(seq 100); do echo $i >$i; done; ln 7 seven; ln -s 7 sub/link`;
    let requests = 0;
    const { request } = Agent.prototype;
    Agent.prototype.request = function (asked) {
      requests++;
      return request.call(this, asked);
    };
    try {
      const tar = await new Response(box.fs.tar("/tmp/many")).blob();
      expect(requests).toBeLessThan(30);
      requests = 0;
      expect((await box.fs.untar("/tmp/many2", tar)).entries).toBe(103);
      expect(requests).toBeLessThan(30);
    } finally {
      Agent.prototype.request = request;
    }
    const script = "cd $1; for i in *; do echo $i $(cat $i) $(stat -c '%h %a' $i); done; readlink sub/link";
    const [one, two] = ["/tmp/many", "/tmp/many2"].map((path) => box.$`sh -c ${script} - ${path} 2>/dev/null`.text());
    expect((await two)!).toBe((await one)!);
  });

  boxTest("and one that is gone by the time it is its turn is left out", async () => {
    await box.$`mkdir -p /tmp/going; cd /tmp/going; for i in $(seq 60); do echo $i >$i; mkdir d$i; done`;
    const chunks: Uint8Array[] = [];
    for await (const chunk of box.fs.tar("/tmp/going")) {
      if (chunks.length === 0) await box.$`cd /tmp/going; rm -r *; echo >/tmp/going/new`;
      chunks.push(chunk);
    }
    const names = await namesIn(new Blob(chunks as never[]));
    expect(names.length).toBeGreaterThan(0);
    expect(names.length).toBeLessThan(60);
  });

  boxTest("that become something else again and again are packed without waiting for any", async () => {
    const racing = box.spawn([
      "sh",
      "-c",
      `mkdir /tmp/race; cd /tmp/race; seq 1000 >long; ln -s /etc/owned link; mkfifo pipe
      while :; do for as in file long link pipe; do for i in 1 2 3 4 5; do
        case $as in file) echo x >n$i;; long) cp long n$i;; link) ln -s link n$i;; pipe) mkfifo n$i;; esac
        mv n$i f$i; done; done; done 2>/dev/null`,
    ]);
    for (let packed = 0; packed < 60; packed++) {
      const packing = new Response(box.fs.tar("/tmp", { signal: AbortSignal.timeout(10_000) })).blob();
      // a link that takes a file's place while that is opened is refused
      const tar = await packing.catch((error: { code?: string }) => void expect(error.code).toBe("file_refused"));
      if (tar) expect((await namesIn(tar)).length).toBeGreaterThan(1);
    }
    racing.kill("SIGKILL");
    await racing.exited;
    await box.$`rm -rf /tmp/race /tmp/many /tmp/many2`;
  });

  boxTest("the one that cannot be unpacked is named; those before it stay, and none is made behind it", async () => {
    await box.$`mkdir -p /tmp/part/b`;
    const error = await failureOf(() =>
      box.fs.untar("/tmp/part", archive(["a", {}, "one"], ["b", {}, "two"], ["c", {}, "three"])),
    );
    expect([error.message, error.code]).toEqual(['unpack "b": EEXIST', "system"]);
    expect(await box.$`cd /tmp/part; cat a; ls`.text()).toBe("onea\nb\n");
    const refused = await failureOf(() => box.fs.untar("/tmp/part", archive(["d", {}, "four"], ["../e", {}, "five"])));
    expect(refused.code).toBe("archive_refused");
    expect(await box.fs.file("/tmp/part/d").text()).toBe("four");
  });

  boxTest("and so is the one that has no room any more", async () => {
    await using other = await Sandbox.create({ mounts: [{ type: "tmpfs", target: "/w", size: "64k" }] });
    const entries = Array.from({ length: 10 }, (_, index): Entry => [`f${index}`, {}, "x".repeat(12_000)]);
    const error = await failureOf(() => other.fs.untar("/w", archive(...entries)));
    expect([error.message, error.errno]).toEqual(['unpack "f5": ENOSPC', 28]);
    expect((await other.fs.stat("/w/f4")).size).toBe(12_000);
    expect(await other.fs.exists("/w/f6")).toBe(false);
  });
});

describe("a tree", () => {
  boxTest("goes in as GNU tar packed it, and out as GNU tar unpacks it", async () => {
    const top = outside.directory("in");
    outside.write("in/file", "content\n", 0o640);
    outside.write("in/script", "#!/bin/sh\necho ran\n", 0o755);
    outside.write("in/big", "x".repeat(300_000));
    outside.write(`in/${"deep/".repeat(40)}end`, "deep");
    outside.write(`in/${"é".repeat(100)}`, "é");
    outside.link("in/link", "file");
    outside.directory("in/empty", 0o750);
    Bun.spawnSync(["sh", "-c", "ln file hard; touch -d @1000000000 file; chmod 500 deep"], { cwd: top });
    const packed = await gnuTar("-cf-", "-C", top, ".");
    const done = await box.fs.untar("/tmp/in", packed.stream());
    expect([done.entries, done.bytes]).toEqual([49, 8 + 19 + 300_000 + 4 + 2]);
    expect(await box.$`cd /tmp/in; cat file hard link; ./script; stat -c '%a %h %Y %u' file empty deep`.text()).toBe(
      "content\n".repeat(3) +
        "ran\n640 2 1000000000 0\n750 2 " +
        (await mtime("/tmp/in/empty")) +
        " 0\n500 3 " +
        (await mtime("/tmp/in/deep")) +
        " 0\n",
    );
    const into = join(outside.path, "out");
    mkdirSync(into);
    const child = Bun.spawn(["tar", "-xpf-", "--no-same-owner", "-C", into], {
      stdin: box.fs.tar("/tmp/in"),
      stderr: "pipe",
    });
    expect([await child.stderr.text(), await child.exited]).toEqual(["", 0]);
    const differ = Bun.spawnSync([
      "sh",
      "-c",
      'diff -r "$1" "$2"; cd "$2"; stat -c "%a %h %Y" file empty; readlink link',
      "sh",
      top,
      into,
    ]);
    expect(differ.stdout.toString().split("\n")[0]).toBe("640 2 1000000000");
    expect(differ.stdout.toString()).toContain("\nfile\n");
  });

  const mtime = async (path: string) => (await box.fs.stat(path)).mtime.getTime() / 1000;

  boxTest("goes from box to box as a stream, compressed on the way, and back to the same", async () => {
    await using other = await Sandbox.create({ rootfs: root.path });
    await box.$`mkdir -p /tmp/from/a; cd /tmp/from; seq 1 100000 >a/numbers; ln -s numbers a/link; mknod pipe p; i=0; while [ $i -lt 300 ]; do echo $i >$i; i=$((i+1)); done`;
    const packed = box.fs
      .tar("/tmp/from")
      .pipeThrough(new CompressionStream("gzip") as never) as ReadableStream<Uint8Array>;
    await other.fs.untar(
      "/tmp/to",
      packed.pipeThrough(new DecompressionStream("gzip") as never) as ReadableStream<Uint8Array>,
    );
    const sum = "cat a/numbers a/link [0-9]* | md5sum 2>/dev/null || cat a/numbers a/link [0-9]* | wc -c; ls | wc -l";
    const sums = await Promise.all([
      box.$`${{ raw: sum }}`.cwd("/tmp/from").text(),
      other.$`${{ raw: sum }}`.cwd("/tmp/to").text(),
    ]);
    // the pipe is left out
    expect(sums[1]).toBe(sums[0]!.replace("302\n", "301\n"));
  });

  boxTest("of the whole root leaves out what is mounted, and one file is an archive as well", async () => {
    const names = async (path: string) => {
      const list = Bun.spawn(["tar", "-tf-"], { stdin: box.fs.tar(path) });
      return (await list.stdout.text()).trim().split("\n");
    };
    const all = await names("/");
    expect(all).toContain("etc/passwd");
    expect(all).toContain("proc/");
    expect(all.filter((name) => /^(proc|sys|dev)\/./.test(name))).toEqual([]);
    expect(await names("/etc/passwd")).toEqual(["passwd"]);
    expect((await failureOf(() => new Response(box.fs.tar("/none")).bytes())).code).toBe("file_not_found");
  });

  boxTest("replaces files that are there, and keeps directories", async () => {
    await box.$`mkdir -p /tmp/there/dir; cd /tmp/there; echo old >file; echo kept >dir/kept; ln -s /etc/passwd link`;
    await box.fs.untar(
      "/tmp/there",
      archive(["file", {}, "new"], ["dir/", { type: "directory", mode: 0o755 }], ["link", {}, "own"]),
    );
    expect(await box.$`cd /tmp/there; cat file dir/kept link`.text()).toBe("newkept\nown");
    expect(await box.fs.file("/etc/passwd").text()).toContain("root");
    expect((await failureOf(() => box.fs.untar("/tmp/there", archive(["dir", {}, "x"])))).errno).toBe(17);
  });

  testUnless(
    noBusybox ?? (asRoot ? undefined : "an ordinary user maps one id"),
    "keeps its owners where that is asked for",
    async () => {
      const entry: Entry = ["x", { uid: 1000, gid: 2000, mode: 0o4755 }, "x"];
      await box.fs.untar("/tmp/own", archive(entry, ["l", { type: "symlink", linkName: "x", uid: 5, gid: 6 }]), {
        sameOwner: true,
      });
      expect(await box.$`stat -c '%u:%g %a' /tmp/own/x /tmp/own/l`.text()).toStartWith("1000:2000 4755\n5:6 ");
      await box.fs.untar("/tmp/own", archive(entry));
      expect(await box.$`stat -c '%u:%g %a' /tmp/own/x`.text()).toBe("0:0 755\n");
      await using users = await Sandbox.create({ rootfs: root.path, user: "app" });
      expect(
        (await failureOf(() => users.fs.untar("/tmp/o", archive(["x", { uid: 5 }]), { sameOwner: true }))).code,
      ).toBe("permission_denied");
    },
  );
});

describe("refused is", () => {
  const attempts: [string, Blob, UntarOptions, string][] = [
    ["a name with .. in it", archive(["../escape", {}, "x"]), {}, '".."'],
    ["one further in", archive(["a/../../escape", {}, "x"]), {}, '".."'],
    ["an absolute name", archive(["/tmp/escape", {}, "x"]), {}, "absolute"],
    ["a symlink out", archive(link("l", "../x")), {}, "outside"],
    ["a symlink out, further in", archive(link("a/l", "../../x")), {}, "outside"],
    ["an absolute symlink", archive(link("l", "/etc/passwd")), {}, "outside"],
    ["a symlink to next to it", archive(link("l", "/tmp/refused60")), {}, "outside"],
    ["an empty symlink", archive(link("l", "")), {}, "outside"],
    ["a hard link out", archive(hard("h", "../../etc/passwd")), {}, '".."'],
    ["a name that no kernel takes", archive(["n".repeat(100_000), {}, "x"]), {}, "too long"],
    ["a symlink that none takes", archive(link("l", "n".repeat(100_000))), {}, "too long"],
    ["a hard link to such a name", archive(hard("h", "n".repeat(100_000))), {}, "too long"],
    ["an absolute hard link", archive(hard("h", "/etc/passwd")), {}, "absolute"],
    ["too many entries", archive(["a"], ["b"], ["c"]), { limits: { entries: 2 } }, "2 entries"],
    [
      "too many bytes",
      archive(["a", {}, "x".repeat(600)], ["b", {}, "x".repeat(600)]),
      { limits: { bytes: "1k" } },
      "1024 bytes",
    ],
    ["a file that says it is huge", archive(["a", { size: 2 ** 40 }]), {}, "bytes"],
  ];
  for (const [index, [name, blob, options, message]] of attempts.entries()) {
    boxTest(name, async () => {
      const error = await failureOf(() => box.fs.untar(`/tmp/refused${index}`, blob, options));
      expect([error.code, error.message]).toEqual(["archive_refused", expect.stringContaining(message)]);
      expect(await box.fs.exists("/tmp/escape")).toBe(false);
    });
  }

  boxTest("a device or a pipe", async () => {
    for (const [flag, kind] of ["3 character device", "4 block device", "6 fifo"].map((words) => [
      words[0]!,
      words.slice(2),
    ])) {
      const bytes = new Uint8Array(await archive(["null"]).arrayBuffer());
      bytes.set(encode(flag!), 156);
      bytes.fill(0x20, 148, 156);
      const sum = bytes.subarray(0, 512).reduce((total, byte) => total + byte, 0);
      bytes.set(encode(`${sum.toString(8).padStart(6, "0")}\0 `), 148);
      const error = await failureOf(() => box.fs.untar("/tmp/refused", bytes));
      expect([error.code, error.message]).toEqual(["archive_refused", expect.stringContaining(`a ${kind}`)]);
    }
  });

  boxTest("what is no archive, with a word about compression", async () => {
    const error = await failureOf(() =>
      box.fs.untar("/tmp/refused", Bun.gzipSync("x".repeat(2000) + Math.random()).slice().buffer),
    );
    expect(error.code).toBe("archive_refused");
    const random = new Uint8Array(2048);
    random.set([0x1f, 0x8b]);
    expect((await failureOf(() => box.fs.untar("/tmp/refused", random))).hint).toContain("DecompressionStream");
  });
});

describe("links cannot be used to write elsewhere", () => {
  boxTest("neither one of the archive nor one that was there", async () => {
    await box.$`mkdir -p /tmp/links /tmp/victim; echo safe >/tmp/victim/file; ln -s /tmp/victim /tmp/links/old`;
    // each of them stays within by its text, and together they lead out
    const chain = archive(link("a", "."), link("b", "a/.."), ["b/victim/file", {}, "changed"]);
    await box.fs.untar("/tmp/links", chain).catch(() => {});
    await box.fs.untar("/tmp/links", archive(["old/file", {}, "changed"])).catch(() => {});
    await box.fs.untar("/tmp/links", archive(["d/", { type: "directory" }], link("d/up", ".."), ["d/up/x", {}, "in"]));
    expect([await box.$`cat /tmp/victim/file`.text(), await box.$`ls /tmp/victim`.text()]).toEqual([
      "safe\n",
      "file\n",
    ]);
    expect(await box.fs.file("/tmp/links/x").text()).toBe("in");
    // control: a program that follows them writes there
    await box.$`echo changed >/tmp/links/old/file`;
    expect(await box.$`cat /tmp/victim/file`.text()).toBe("changed\n");
  });

  boxTest("and whatever it is, the host's files are not reached", async () => {
    outside.write("kept", "host's");
    const up = "../".repeat(20).slice(0, -1);
    await using other = await Sandbox.create({ rootfs: root.path });
    for (const blob of [
      archive(link("l", outside.path), ["l/kept", {}, "x"]),
      archive(link("l", up + outside.path), ["l/kept", {}, "x"]),
    ])
      await other.fs.untar("/", blob).catch(() => {});
    expect(readFileSync(join(outside.path, "kept"), "utf8")).toBe("host's");
    expect(
      await other.fs
        .file(`${outside.path}/kept`)
        .text()
        .catch(() => "x"),
    ).toBe("x");
  });
});

describe("signals and bad input", () => {
  boxTest("a signal gives up, and frees what was open", async () => {
    const abort = new AbortController();
    const endless = new ReadableStream<Uint8Array>({ pull: () => new Promise(() => {}) });
    setTimeout(() => abort.abort(new Error("enough")), 50);
    await expect(box.fs.untar("/tmp/aborted", endless, { signal: abort.signal })).rejects.toThrow("enough");
    expect(() => box.fs.tar("/", { signal: AbortSignal.abort(new Error("early")) })).toThrow("early");
    const reader = box.fs.tar("/").getReader();
    await reader.read();
    await reader.cancel();
  });

  boxTest("options that are none", async () => {
    const bad = (value: unknown) => value as never;
    const empty = archive();
    for (const [attempt, what] of [
      [() => box.fs.tar(bad(1)), "path"],
      [() => box.fs.tar("/", bad({ gzip: true })), "gzip"],
      [() => box.fs.untar("relative", empty), "path"],
      [() => box.fs.untar("/x", bad(1)), "not content"],
      [() => box.fs.untar("/x", empty, bad({ strip: 1 })), "strip"],
      [() => box.fs.untar("/x", empty, { limits: bad(1) }), "limit"],
      [() => box.fs.untar("/x", empty, { limits: bad({ files: 1 }) }), "files"],
      [() => box.fs.untar("/x", empty, { limits: { entries: -1 } }), "entries"],
      [() => box.fs.untar("/x", empty, { limits: { entries: bad("1") } }), "entries"],
      [() => box.fs.untar("/x", empty, { limits: { bytes: "lots" } }), "bytes"],
      [() => box.fs.untar("/x", empty, { sameOwner: bad(1) }), "sameOwner"],
      [() => box.fs.untar("/x", empty, { signal: bad(1) }), "signal"],
    ] as [() => unknown, string][]) {
      const error = await failureOf(attempt);
      expect([error.code, error.message]).toEqual(["invalid_option", expect.stringContaining(what)]);
    }
  });
});
