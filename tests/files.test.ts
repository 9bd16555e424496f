/** Files of a box: what is read and written, by whom, and what is refused. @module */
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { Sandbox, type FileContent, type SandboxOptions } from "../lib/index.ts";
import { failureOf } from "./support/failure.ts";
import { asRoot, noBusybox, noLimits, testUnless } from "./support/machine.ts";
import { descendants, descriptors, eventually } from "./support/processes.ts";
import { Folder, makeRootfs } from "./support/rootfs.ts";

const root = makeRootfs();
const outside = new Folder();
let box: Sandbox;
beforeAll(async () => {
  root.write("etc/owned", "root's\n");
  if (noBusybox === undefined) box = await Sandbox.create({ rootfs: root.path });
});
afterAll(async () => {
  await box?.stop();
  [root, outside].forEach((folder) => folder.remove());
});

const boxTest = (name: string, body: () => unknown) => testUnless(noBusybox, name, body, 60_000);
const MIB = 2 ** 20;
const bytes = (...values: number[]) => Uint8Array.from(values);

describe("write and read", () => {
  boxTest("what is written is there for processes inside, and the other way round", async () => {
    expect(await box.fs.write("/tmp/file", "one\ntwo\n")).toBe(8);
    expect(await box.$`wc -l < /tmp/file`.text()).toBe("2\n");
    await box.$`echo three >>/tmp/file`;
    const file = box.fs.file("/tmp/file");
    expect([file.name, await file.text(), await file.exists()]).toEqual(["/tmp/file", "one\ntwo\nthree\n", true]);
    await file.write("{}");
    expect([await file.json(), (await file.arrayBuffer()).byteLength]).toEqual([{}, 2]);
    await file.delete();
    expect(await file.exists()).toBe(false);
    expect(await Bun.file(join(root.path, "tmp/file")).exists()).toBe(false);
  });

  boxTest("anything that has content can be written", async () => {
    const data = bytes(0, 255, 10);
    const contents: FileContent[] = [
      data,
      data.slice().buffer,
      new Blob([data]),
      new Response(data),
      new Response(data).body as ReadableStream<Uint8Array>,
      box.fs.file("/tmp/copied"),
    ];
    await box.fs.write("/tmp/copied", data);
    for (const content of contents) {
      expect(await box.fs.write("/tmp/content", content)).toBe(3);
      expect([...(await box.fs.file("/tmp/content").bytes())]).toEqual([0, 255, 10]);
    }
    expect(await box.fs.write("/tmp/content", "")).toBe(0);
    expect(await box.fs.write("/tmp/content", new Response(null))).toBe(0);
    expect(await box.fs.file("/tmp/content").text()).toBe("");
  });

  boxTest(
    "one that is longer than the caller wants in memory is refused, also where it grows or does not tell",
    async () => {
      await box.fs.write("/tmp/long", "0123456789");
      const file = box.fs.file("/tmp/long");
      expect([await file.text({ limit: 10 }), (await file.bytes({ limit: Infinity })).length]).toEqual([
        "0123456789",
        10,
      ]);
      for (const attempt of [
        () => file.text({ limit: 9 }),
        () => file.bytes({ limit: "9" }),
        () => file.json({ limit: 0 }),
        () => file.arrayBuffer({ limit: 9 }),
      ]) {
        const { code, message, path, hint } = await failureOf(attempt);
        expect([code, message]).toEqual(["file_refused", expect.stringContaining('read "/tmp/long": more than ')]);
        expect([path, hint]).toEqual(["/tmp/long", expect.stringContaining("stream()")]);
      }
      // its size is 0
      expect((await failureOf(() => box.fs.file("/proc/self/status").text({ limit: 100 }))).code).toBe("file_refused");
      // nothing has to be there for a file to be long
      await box.fs.write("/tmp/sparse", "");
      await box.$`dd if=/dev/null of=/tmp/sparse bs=1M seek=100000 2>/dev/null`;
      expect((await box.fs.stat("/tmp/sparse")).size).toBe(100_000 * 2 ** 20);
      expect((await failureOf(() => box.fs.file("/tmp/sparse").bytes())).message).toContain(
        `more than ${2 ** 30} bytes`,
      );
      const { value } = await box.fs.file("/tmp/sparse").stream().getReader().read();
      expect(value?.length).toBeGreaterThan(0);
      for (const limit of ["many", -1, Number.NaN, null] as unknown as number[])
        expect((await failureOf(() => file.text({ limit }))).code).toBe("invalid_option");
    },
  );

  boxTest("directories on the way are made, unless that is not wanted", async () => {
    await box.fs.write("/tmp/a/b/c", "x");
    expect(await box.$`find /tmp/a 2>/dev/null || ls -R /tmp/a`.nothrow().text()).toContain("b");
    const error = await failureOf(() => box.fs.write("/tmp/z/b", "x", { createPath: false }));
    expect([error.code, error.errno, error.path, error.message]).toEqual([
      "file_not_found",
      2,
      "/tmp/z/b",
      'write "/tmp/z/b": ENOENT',
    ]);
  });

  boxTest("files of /proc, whose size says nothing, are read to their end", async () => {
    expect(await box.fs.file("/proc/self/status").text()).toContain("NoNewPrivs:\t1");
    expect((await box.fs.file("/proc/mounts").text()).length).toBeGreaterThan(100);
  });

  boxTest("several at a time do not get into each other's way", async () => {
    const names = Array.from({ length: 20 }, (_, index) => `/tmp/many/${index}`);
    await Promise.all(names.map((name) => box.fs.write(name, name.repeat(20_000))));
    const texts = await Promise.all(names.map((name) => box.fs.file(name).text()));
    texts.forEach((text, index) => expect(text === names[index]!.repeat(20_000)).toBe(true));
    expect((await box.fs.readdir("/tmp/many")).toSorted()).toEqual(names.map((name) => name.slice(10)).toSorted());
  });

  boxTest("a huge file is a stream that takes no memory, and goes from box to box", async () => {
    await using other = await Sandbox.create({ rootfs: root.path });
    await box.$`dd if=/dev/zero of=/tmp/huge bs=1M count=0 seek=512`.quiet();
    Bun.gc(true);
    const before = process.memoryUsage.rss();
    let [length, peak, looked] = [0, 0, 0];
    for await (const chunk of box.fs.file("/tmp/huge").stream()) {
      length += chunk.length;
      if (length - looked < 32 * MIB) continue;
      looked = length;
      // what is held counts, not what nobody has collected yet
      Bun.gc(true);
      peak = Math.max(peak, process.memoryUsage.rss());
    }
    expect(length).toBe(512 * MIB);
    expect(peak - before).toBeLessThan(200 * MIB);
    await box.$`dd if=/dev/urandom of=/tmp/random bs=1M count=5`.quiet();
    expect(await other.fs.write("/tmp/random", box.fs.file("/tmp/random"))).toBe(5 * MIB);
    const sums = await Promise.all([box, other].map((each) => each.fs.file("/tmp/random").bytes().then(Bun.hash)));
    expect(sums[0]).toBe(sums[1]!);
    await box.$`rm /tmp/huge`;
  });
});

describe("directories", () => {
  boxTest("are made, read and removed", async () => {
    await box.fs.mkdir("/tmp/dir");
    expect((await failureOf(() => box.fs.mkdir("/tmp/dir"))).errno).toBe(17);
    await box.fs.mkdir("/tmp/dir/x/y", { recursive: true, mode: 0o700 });
    await box.fs.mkdir("/tmp/dir/x/y", { recursive: true });
    await box.fs.write("/tmp/dir/file", "x");
    await box.$`ln -s file /tmp/dir/link; touch /tmp/dir/é`;
    const types: Record<string, string | undefined> = {};
    for await (const { name, type } of box.fs.entries("/tmp/dir")) types[name] = type;
    expect(types).toEqual({ file: "file", link: "symlink", x: "directory", é: "file" });
    expect([(await failureOf(() => box.fs.rm("/tmp/dir"))).errno, await box.fs.exists("/tmp/dir/x/y")]).toEqual([
      21,
      true,
    ]);
    await box.fs.rm("/tmp/dir", { recursive: true });
    expect((await failureOf(() => box.fs.rm("/tmp/dir", { recursive: true }))).code).toBe("file_not_found");
    await box.fs.rm("/tmp/dir", { recursive: true, force: true });
    expect((await failureOf(() => box.fs.readdir("/tmp/dir"))).code).toBe("file_not_found");
    expect((await failureOf(() => box.fs.readdir("/etc/passwd"))).code).toBe("file_not_found");
    expect((await failureOf(() => box.fs.mkdir("/etc/passwd", { recursive: true }))).errno).toBe(17);
    expect((await failureOf(() => box.fs.rm("/"))).code).toBe("invalid_option");
  });

  boxTest("of thousands, with names of any bytes, below each other, are read and removed", async () => {
    await box.$`mkdir -p /tmp/full/sub; cd /tmp/full; seq 1 3000 | xargs touch; touch "$(printf 'b\\377d')" "a
b" -- '-rf' '*'; ln -s /etc /tmp/full/sub/etc; i=0; while [ $i -lt 100 ]; do mkdir d; cd d; i=$((i+1)); done; touch end`;
    expect((await box.fs.readdir("/tmp/full")).length).toBe(3006);
    await box.fs.rm("/tmp/full", { recursive: true });
    expect(await box.fs.exists("/tmp/full")).toBe(false);
    // a symlink is removed, not what it leads to
    expect(await box.fs.file("/etc/owned").text()).toBe("root's\n");
  });

  boxTest("more than 500 below each other are refused", async () => {
    const deep = "d/".repeat(100);
    await box.$`mkdir /tmp/deep; cd /tmp/deep; i=0; while [ $i -lt 6 ]; do mkdir -p ${deep}; cd ${deep}; i=$((i+1)); done`;
    const attempts = [
      () => box.fs.rm("/tmp/deep", { recursive: true }),
      () => new Response(box.fs.tar("/tmp/deep")).bytes(),
    ];
    for (const attempt of attempts) expect((await failureOf(attempt)).code).toBe("file_refused");
    await box.$`rm -rf /tmp/deep`;
  });
});

describe("stat", () => {
  boxTest("tells of what a path leads to, and of a link itself", async () => {
    await box.$`cd /tmp; printf 12345 >sized; chmod 4750 sized; ln -s sized link; ln sized other; touch -d @1000000000 sized`;
    const stat = await box.fs.stat("/tmp/link");
    expect([stat.type, stat.size, stat.mode, stat.uid, stat.gid, stat.nlink, stat.mtime.getTime()]).toEqual([
      "file",
      5,
      0o4750,
      0,
      0,
      2,
      1_000_000_000_000,
    ]);
    expect([stat.isFile(), stat.isDirectory(), stat.isSymbolicLink()]).toEqual([true, false, false]);
    const other = await box.fs.file("/tmp/other").stat();
    expect([other.ino, other.dev]).toEqual([stat.ino, stat.dev]);
    expect((await box.fs.lstat("/tmp/link")).isSymbolicLink()).toBe(true);
    expect((await box.fs.stat("/")).isDirectory()).toBe(true);
    expect((await box.fs.stat("/dev/null")).type).toBe("character device");
    expect((await failureOf(() => box.fs.stat("/tmp/none"))).code).toBe("file_not_found");
    expect(await Promise.all(["/tmp/link", "/tmp/none", "/tmp/link/x"].map((path) => box.fs.exists(path)))).toEqual([
      true,
      false,
      false,
    ]);
  });
});

describe("whose files they are", () => {
  boxTest("the sandbox's user's, with the umask; a mode can be given", async () => {
    await box.fs.write("/tmp/plain", "x");
    await box.fs.write("/tmp/script", "#!/bin/sh\necho ran\n", { mode: 0o755 });
    await box.fs.mkdir("/tmp/private", { mode: 0o700 });
    expect(await box.$`stat -c '%a %u:%g' /tmp/plain /tmp/script /tmp/private`.text()).toBe(
      "644 0:0\n755 0:0\n700 0:0\n",
    );
    expect(await box.$`/tmp/script`.text()).toBe("ran\n");
  });

  testUnless(
    noBusybox ?? (asRoot ? undefined : "an ordinary user maps one id"),
    "another user's may be no business of it",
    async () => {
      await using users = await Sandbox.create({ rootfs: root.path, user: "app" });
      await users.fs.write("/tmp/mine", "x");
      expect(await users.$`stat -c %u:%g /tmp/mine`.text()).toBe("1000:1001\n");
      for (const attempt of [
        () => users.fs.write("/etc/owned", "x"),
        () => users.fs.rm("/etc/owned"),
        () => users.fs.mkdir("/etc/dir"),
        () => users.fs.write("/etc/new", "x"),
      ])
        expect((await failureOf(attempt)).code).toBe("permission_denied");
      expect(await users.fs.file("/etc/owned").text()).toBe("root's\n");
    },
  );

  boxTest("a read-only mount is one, and a full file system is full", async () => {
    outside.write("kept", "host's");
    await using other = await Sandbox.create({
      rootfs: root.path,
      mounts: [
        { type: "bind", source: outside.path, target: "/in", readOnly: true },
        { type: "tmpfs", target: "/small", size: "1mb" },
      ],
    });
    expect((await failureOf(() => other.fs.write("/in/kept", "x"))).code).toBe("permission_denied");
    expect((await failureOf(() => other.fs.rm("/in/kept"))).code).toBe("permission_denied");
    const error = await failureOf(() => other.fs.write("/small/file", new Uint8Array(2 * MIB)));
    expect([error.errno, error.syscall, error.hint]).toEqual([28, "write", expect.stringContaining("takes no more")]);
    expect((await other.fs.stat("/small/file")).size).toBeLessThanOrEqual(MIB);
    expect(readFileSync(join(outside.path, "kept"), "utf8")).toBe("host's");
  });

  boxTest("a limit of a file's size is an error, and not the end", async () => {
    await using other = await Sandbox.create({ rootfs: root.path, ulimits: { fsize: 65536 } });
    expect((await failureOf(() => other.fs.write("/tmp/file", new Uint8Array(MIB)))).errno).toBe(27);
    expect((await other.fs.stat("/tmp/file")).size).toBe(65536);
  });

  testUnless(noLimits, "what is written counts as the sandbox's memory", async () => {
    await using other = await Sandbox.create({ rootfs: root.path, limits: { memory: "32mb" } });
    const error = await failureOf(() => other.fs.write("/tmp/file", new Uint8Array(64 * MIB)));
    expect(["sandbox_closed", "system"]).toContain(error.code);
    expect(await other.fs.file("/etc/owned").text()).toBe("root's\n");
  });
});

describe("what is not a file", () => {
  boxTest("is refused at once: neither waited for nor read", async () => {
    await box.$`cd /tmp; mknod fifo p; ln -s fifo to-fifo; nc -lU /tmp/socket 2>/dev/null & true`.nothrow();
    for (const path of ["/tmp/fifo", "/tmp/to-fifo", "/dev/zero", "/dev/random", "/dev/tty", "/tmp", "/dev/ptmx"]) {
      const started = performance.now();
      for (const attempt of [() => box.fs.file(path).text(), () => box.fs.write(path, "x")]) {
        const { code } = await failureOf(attempt);
        // there may be no such terminal
        expect([path, code]).toEqual([path, expect.stringMatching(/file_refused|not_found/)]);
      }
      expect(performance.now() - started).toBeLessThan(2000);
    }
    // also where a reader waits
    await using reader = box.spawn(["cat", "/tmp/fifo"]);
    let message = "";
    while (!message.endsWith("it is a fifo")) ({ message } = await failureOf(() => box.fs.write("/tmp/fifo", "x")));
    expect(await new Response(reader.stdout).text()).toBe("");
  });

  boxTest("a magic link, which leads to what the agent has open, is not followed", async () => {
    for (const path of ["/proc/self/exe", "/proc/self/fd/0", "/proc/self/cwd/etc/passwd", "/proc/1/root/etc/passwd"]) {
      for (const attempt of [
        () => box.fs.file(path).text(),
        () => box.fs.write(path, "x"),
        () => box.fs.stat(path),
        () => box.fs.readdir(path),
      ])
        expect(["file_refused", "permission_denied", "file_not_found"]).toContain((await failureOf(attempt)).code);
    }
  });
});

describe("whatever the sandbox is like", () => {
  const denied = {
    defaultAction: "SCMP_ACT_ERRNO",
    syscalls: [{ names: ["execve", "exit_group"], action: "SCMP_ACT_ALLOW" }],
  };
  for (const options of [
    { network: "host" },
    { namespaces: { pid: "host" } },
    { namespaces: { cgroup: "host", ipc: "host", uts: "host" } },
    { security: { capabilities: [] } },
    { security: { seccomp: "none", noNewPrivileges: false } },
    { security: { seccomp: denied } },
    { ulimits: { nofile: 16 }, cwd: "/tmp" },
    ...(asRoot ? [{ namespaces: { user: "host" } }, { limits: { pids: 4, memory: "64mb" } }] : []),
  ] as SandboxOptions[]) {
    boxTest(`files are read and written: ${JSON.stringify(options).slice(0, 60)}`, async () => {
      await using other = await Sandbox.create({ rootfs: root.path, ...options });
      await other.fs.write("/tmp/a/b", "x");
      await other.fs.untar("/tmp/c", other.fs.tar("/tmp/a"));
      expect(await other.fs.file("/tmp/c/b").text()).toBe("x");
      await other.fs.rm("/tmp/a", { recursive: true });
      expect(await other.fs.readdir("/tmp")).toEqual(["c"]);
    });
  }
});

describe("the agent", () => {
  boxTest("ends when nothing is to be done, and comes back", async () => {
    await using other = await Sandbox.create({ rootfs: root.path });
    const count = () => descendants().length;
    // that of the other box ends as well
    await Bun.sleep(300);
    const before = [count(), descriptors().size];
    await other.fs.write("/tmp/x", "x");
    expect(count()).toBeGreaterThan(before[0]!);
    const stream = other.fs.file("/tmp/x").stream().getReader();
    await stream.read();
    await Bun.sleep(300);
    expect(count()).toBeGreaterThan(before[0]!);
    await stream.cancel();
    expect(await eventually(() => count() === before[0] && descriptors().size <= before[1]!)).toBe(true);
    expect(await other.fs.file("/tmp/x").text()).toBe("x");
  });

  boxTest("ends as well where a stream was read in part and forgotten", async () => {
    await using other = await Sandbox.create({ rootfs: root.path });
    await Bun.sleep(300);
    const before = descendants().length;
    await other.fs.write("/tmp/x", "x".repeat(1_000_000));
    const readSome = async () => void (await other.fs.file("/tmp/x").stream().getReader().read());
    for (let count = 0; count < 50; count++) await readSome();
    expect(descendants().length).toBeGreaterThan(before);
    expect(await eventually(() => (Bun.gc(true), descendants().length === before))).toBe(true);
  });

  boxTest("answers what takes longer than it would wait", async () => {
    await using other = await Sandbox.create({ rootfs: root.path });
    await other.fs.exists("/");
    const agents = descendants().filter(({ name }) => name.startsWith("tsbox-init"));
    expect(agents.length).toBeGreaterThan(0);
    await other.$`for p in /proc/[0-9]*; do [ $p = /proc/1 ] || [ $p = /proc/$$ ] || kill -STOP ${{ raw: "${p#/proc/}" }}; done`;
    const reading = other.fs.file("/etc/passwd").text();
    await Bun.sleep(500);
    await other.$`kill -CONT -1`.nothrow().quiet();
    expect(await reading).toContain("root");
  });

  boxTest("has closed what it has written by the time that is told: a program could not be executed", async () => {
    await using other = await Sandbox.create({ rootfs: root.path });
    const content = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(new TextEncoder().encode("#!/bin/sh\n")),
      async pull(controller) {
        // all has been written by now
        await Bun.sleep(100);
        await other.$`for p in /proc/[0-9]*; do [ $p = /proc/1 ] || [ $p = /proc/$$ ] || kill -STOP ${{ raw: "${p#/proc/}" }}; done`;
        controller.close();
      },
    });
    let told = false;
    const writing = other.fs.write("/tmp/program", content, { mode: 0o755 }).finally(() => (told = true));
    await Bun.sleep(500);
    expect(told).toBe(false);
    await other.$`kill -CONT -1`.nothrow().quiet();
    expect(await writing).toBe(10);
    expect(await other.spawn(["/tmp/program"]).exited).toBe(0);
  });

  boxTest("that is killed from inside is an error, and the next one works", async () => {
    await using other = await Sandbox.create({ rootfs: root.path });
    await other.fs.write("/tmp/x", "xy");
    const stream = other.fs.file("/tmp/x").stream().getReader();
    await stream.read();
    await other.$`${{ raw: "for p in /proc/[0-9]*; do p=${p#/proc/}; [ $p = 1 ] || [ $p = $$ ] || kill -9 $p; done" }}`;
    const error = await failureOf(() => stream.read());
    expect([error.code, error.message]).toEqual(["sandbox_closed", expect.stringContaining("has ended")]);
    expect(error.hint).toContain("the next call starts another");
    expect(await other.fs.file("/tmp/x").text()).toBe("xy");
  });

  boxTest("goes with the box, and with it what it was doing", async () => {
    const other = await Sandbox.create({ rootfs: root.path });
    const endless = new ReadableStream<Uint8Array>({ pull: (controller) => controller.enqueue(new Uint8Array(65536)) });
    const writing = failureOf(() => other.fs.write("/tmp/x", endless));
    await Bun.sleep(100);
    await other.stop();
    expect((await writing).code).toBe("sandbox_closed");
    for (const attempt of [() => other.fs.file("/x").text(), () => other.fs.stat("/"), () => other.fs.write("/x", "x")])
      expect((await failureOf(attempt)).code).toBe("sandbox_closed");
  });

  boxTest("a signal gives up: before, between, and while it waits for the caller's own stream", async () => {
    const reason = new Error("enough");
    const aborted = AbortSignal.abort(reason);
    for (const attempt of [
      () => box.fs.write("/tmp/aborted", "x", { signal: aborted }),
      () => box.fs.file("/etc/passwd").text({ signal: aborted }),
      () => box.fs.stat("/", { signal: aborted }),
      () => box.fs.mkdir("/tmp/m", { signal: aborted }),
      () => box.fs.rm("/tmp/m", { signal: aborted }),
      () => box.fs.readdir("/", { signal: aborted }),
    ])
      await expect(attempt()).rejects.toBe(reason);
    expect(await box.fs.exists("/tmp/aborted")).toBe(false);
    const abort = new AbortController();
    let cancelled = false;
    const silent = new ReadableStream<Uint8Array>({ cancel: () => void (cancelled = true) });
    const writing = box.fs.write("/tmp/aborted", silent, { signal: abort.signal });
    setTimeout(() => abort.abort(reason), 50);
    await expect(writing).rejects.toBe(reason);
    expect(await eventually(() => cancelled)).toBe(true);
  });

  boxTest("a stream that nobody reads opens nothing, and one that fails writes no further", async () => {
    const streams = Array.from({ length: 3000 }, () => box.fs.file("/etc/passwd").stream());
    expect(await box.fs.file("/etc/passwd").text()).toContain("root");
    await Promise.all(streams.map((stream) => stream.cancel()));
    const failing = new ReadableStream<Uint8Array>({
      pull(controller) {
        controller.enqueue(bytes(1));
        controller.error(new Error("no more"));
      },
    });
    await expect(box.fs.write("/tmp/failing", failing)).rejects.toThrow("no more");
  });
});

describe("bad input", () => {
  boxTest("is an error that names it, before anything is made", async () => {
    const { fs } = box;
    const bad = (value: unknown) => value as never;
    const attempts: [() => unknown, string][] = [
      ...[1, undefined, null, "", "relative", "/a/../b", "/\0", "/".padEnd(5000, "x"), {}].flatMap(
        (path): [() => unknown, string][] => [
          [() => fs.file(bad(path)), "path"],
          [() => fs.write(bad(path), "x"), "path"],
          [() => fs.readdir(bad(path)), "path"],
          [() => fs.mkdir(bad(path)), "path"],
          [() => fs.rm(bad(path)), "path"],
          [() => fs.stat(bad(path)), "path"],
          [() => fs.exists(bad(path)), "path"],
        ],
      ),
      ...[1, undefined, null, {}, [], () => 1].map((content): [() => unknown, string] => [
        () => fs.write("/tmp/bad", bad(content)),
        "not content",
      ]),
      ...[-1, 0o10000, 1.5, "755", NaN].flatMap((mode): [() => unknown, string][] => [
        [() => fs.write("/tmp/bad", "x", { mode: bad(mode) }), "mode"],
        [() => fs.mkdir("/tmp/bad", { mode: bad(mode) }), "mode"],
      ]),
      [() => fs.write("/tmp/bad", "x", { createPath: bad(1) }), "createPath"],
      [() => fs.write("/tmp/bad", "x", bad({ append: true })), "append"],
      [() => fs.write("/tmp/bad", "x", bad(1)), "option"],
      [() => fs.write("/tmp/bad", "x", { signal: bad({}) }), "signal"],
      [() => fs.mkdir("/tmp/bad", { recursive: bad("yes") }), "recursive"],
      [() => fs.rm("/tmp/bad", { recursive: bad(1) }), "recursive"],
      [() => fs.rm("/tmp/bad", { force: bad(1) }), "force"],
      [() => fs.file("/x").stream({ signal: bad(1) }), "signal"],
      [() => fs.file("/x").text(bad({ encoding: "latin1" })), "encoding"],
      [() => fs.stat("/x", bad({ bigint: true })), "bigint"],
    ];
    for (const [attempt, what] of attempts) {
      const error = await failureOf(attempt);
      expect([error.code, error.message]).toEqual(["invalid_option", expect.stringContaining(what)]);
    }
    const text = new ReadableStream({ start: (controller) => (controller.enqueue("text"), controller.close()) });
    expect((await failureOf(() => fs.write("/tmp/bad", text))).message).toContain("not bytes");
    expect(statSync(root.path).isDirectory()).toBe(true);
  });
});
