/** Processes as their owner sees them: streams, signals, results, and how boxes live and end. @module */
import { afterAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { Sandbox, type RunOptions } from "../lib/index.ts";
import { killMember, membersOf, type Member } from "../lib/sandbox/members.ts";
import { failureOf } from "./support/failure.ts";
import { asRoot, noBusybox, SLOW, testUnless } from "./support/machine.ts";
import { descendants, eventually, reapOrphans } from "./support/processes.ts";
import { Folder, makeRootfs } from "./support/rootfs.ts";

const root = makeRootfs();
const outside = new Folder();
afterAll(() => [root, outside].forEach((folder) => folder.remove()));

const MIB = 2 ** 20;
const sandboxTest = (name: string, body: () => unknown, timeoutMs?: number) =>
  testUnless(noBusybox, name, body, timeoutMs);
const inRoot = (options: RunOptions = {}): RunOptions => ({ rootfs: root.path, ...options });
const run = (command: string[], options: RunOptions = {}) => Sandbox.run(command, inRoot(options));
const sh = (line: string, options: RunOptions = {}) => run(["sh", "-c", line], options);
const spawnSh = (line: string, options: RunOptions = {}) => Sandbox.spawn(["sh", "-c", line], inRoot(options));
const textOf = (stream: ReadableStream<Uint8Array> | undefined) => new Response(stream).text();

describe("result", () => {
  sandboxTest("exit codes, signals and reasons", async () => {
    for (const [line, result] of [
      ["exit 0", { exitCode: 0, signalCode: null, reason: "exit" }],
      ["exit 42", { exitCode: 42, signalCode: null, reason: "exit" }],
      ["exit 255", { exitCode: 255, signalCode: null, reason: "exit" }],
      ["kill -TERM $$", { exitCode: null, signalCode: "SIGTERM", reason: "signal" }],
      ["kill -SEGV $$", { exitCode: null, signalCode: "SIGSEGV", reason: "signal" }],
      ["kill -34 $$", { exitCode: null, signalCode: "SIG34", reason: "signal" }],
    ] as const) {
      expect(await sh(line)).toMatchObject(result);
    }
  });

  sandboxTest("stdout and stderr, as text and as bytes", async () => {
    const { stdout, stderr, stdoutBytes, stderrBytes } = await sh("printf 'é\\0\\377'; printf err >&2");
    expect([stdout, stderr]).toEqual(["é\0\ufffd", "err"]);
    expect([...stdoutBytes]).toEqual([0xc3, 0xa9, 0, 0xff]);
    expect([...stderrBytes]).toEqual([101, 114, 114]);
  });

  sandboxTest("stdin, stdout and stderr can be opened again by their names, as whoever", async () => {
    const line = "cat /dev/stdin >/dev/stdout; echo more | tee /dev/stderr >>/proc/self/fd/1";
    const expected = { exitCode: 0, stdout: "in\nmore\n", stderr: "more\n" };
    const options = { ...inRoot(), stdin: "in\n" };
    expect(await Sandbox.run(["sh", "-c", line], options)).toMatchObject(expected);
    if (asRoot) expect(await Sandbox.run(["sh", "-c", line], { ...options, user: "7:8" })).toMatchObject(expected);
    await using box = await Sandbox.create(inRoot());
    expect(await box.spawn(["sh", "-c", line], { stdin: "in\n", stderr: "pipe" }).result()).toMatchObject({
      exitCode: 0,
    });
  });

  sandboxTest("megabytes of both at a time are complete and in order", async () => {
    const { stdoutBytes, stderrBytes } = await sh("seq 1 400000 & seq 1 200000 >&2; wait");
    expect(new TextDecoder().decode(stdoutBytes)).toBe(sequence(400_000));
    expect(new TextDecoder().decode(stderrBytes)).toBe(sequence(200_000));
  });

  sandboxTest("usage: wall time, and CPU time of the process and of what it waited for", async () => {
    const { usage } = await sh("i=0; (while [ $i -lt 60000 ]; do i=$((i+1)); done); sleep 0.2");
    expect(usage.wallMs).toBeGreaterThan(200);
    expect(usage.cpuMs).toBeGreaterThan(5);
    expect(usage.cpuMs).toBeLessThan(usage.wallMs);
  });

  sandboxTest("a process of a box tells its peak of memory", async () => {
    await using box = await Sandbox.create(inRoot());
    const process = box.spawn(["dd", "if=/dev/zero", "of=/dev/null", "bs=20M", "count=1"], { stderr: "ignore" });
    const { usage } = await process.result();
    expect(usage.peakMemoryBytes).toBeGreaterThan(20 * MIB);
    expect(usage.peakMemoryBytes).toBeLessThan(40 * MIB);
    expect(process.resourceUsage()).toEqual(usage);
  });
});

describe("a box that is given up", () => {
  sandboxTest("while it is made rejects with the reason, and nothing is left", async () => {
    for (const delayMs of [0, 0.2, 1, 2, 5]) {
      const abort = new AbortController();
      const made = Sandbox.create(inRoot({ signal: abort.signal }));
      const reason = new Error(`after ${delayMs} ms`);
      if (delayMs > 0) await Bun.sleep(delayMs);
      abort.abort(reason);
      const box = await made.catch((error: unknown) => expect(error).toBe(reason));
      // one that was quicker ends with the signal
      await (box as Sandbox | undefined)?.stop();
    }
    expect(await eventually(() => descendants().length === 0)).toBe(true);
  });
});

describe("processes of a box", () => {
  sandboxTest("have what they are asked for each, although plans are kept", async () => {
    await using box = await Sandbox.create(inRoot({ env: { A: "box" } }));
    const say = async (command: string[], options = {}) => textOf(box.spawn(command, options).stdout);
    const long = "x".repeat(100_000);
    for (let round = 0; round < 2; round++) {
      for (const args of [[], ["a"], ["b c", ""], [long, "é"], Array.from({ length: 500 }, String)]) {
        expect(await say(["printf", "%s,", ...args])).toBe(`${(args.length > 0 ? args : [""]).join(",")},`);
      }
      expect(await say(["sh", "-c", "echo $A $PWD $0", "name"])).toBe("box / name\n");
      expect(await say(["sh", "-c", "echo $A $PWD"], { env: { A: "own" } })).toBe("own /\n");
      expect(await say(["sh", "-c", "echo $A $PWD"], { cwd: "/tmp" })).toBe("box /tmp\n");
      expect(await say(["busybox", "echo", "x"])).toBe("x\n");
    }
    const error = await failureOf(() => box.spawn(["echo", "a".repeat(200_000)]).result());
    expect([error.code, error.path]).toEqual(["argument_too_long", "echo"]);
  });
});

describe("a process that is to be killed", () => {
  const memberOf = (wanted: number) => membersOf([wanted]).find(({ pid }) => pid === wanted);

  test("takes along the group that it leads, and is left alone where its pid is another's by now", async () => {
    const leader = Bun.spawn(["setsid", "sh", "-c", "(sleep 1000 & echo $!); exec cat"], { stdin: "pipe" });
    const { value } = await leader.stdout.getReader().read();
    const orphan = Number(new TextDecoder().decode(value));
    const member = memberOf(leader.pid) as Member;
    killMember({ ...member, id: `${member.pid} 1` });
    expect([memberOf(leader.pid)?.id, memberOf(orphan)?.pid]).toEqual([member.id, orphan]);
    killMember(member);
    await leader.exited;
    expect(leader.signalCode).toBe("SIGKILL");
    expect(await eventually(() => memberOf(orphan) === undefined)).toBe(true);
  });
});

describe("a command that cannot be started", () => {
  const NOT_FOUND = "the command, or the interpreter or loader that it names, is not in the root filesystem";

  sandboxTest("is told by its path, with the errno and a hint", async () => {
    root.write("bin/not-executable", "#!/bin/sh\n", 0o644);
    root.write("bin/no-interpreter", "#!/no/such\n", 0o755);
    root.write("bin/no-format", "\0\0\0\0", 0o755);
    for (const [command, code, errno, hint] of [
      ["/no/such", "command_not_found", "ENOENT", NOT_FOUND],
      ["nosuch", "command_not_found", "ENOENT", NOT_FOUND],
      ["", "command_not_found", "ENOENT", NOT_FOUND],
      ["/etc/passwd/x", "command_not_found", "ENOTDIR", NOT_FOUND],
      ["no-interpreter", "command_not_found", "ENOENT", NOT_FOUND],
      ["/bin/not-executable", "command_not_executable", "EACCES", "execute permission"],
      ["/bin", "command_not_executable", "EACCES", "execute permission"],
      ["/bin/no-format", "command_not_executable", "ENOEXEC", "execute permission"],
    ] as const) {
      const error = await failureOf(() => run([command]));
      expect([command, error.code, error.path, error.message]).toEqual([
        command,
        code,
        command,
        `execute "${command}": ${errno}`,
      ]);
      expect(error.hint).toContain(hint);
      await using box = await Sandbox.create(inRoot());
      const joined = await failureOf(() => box.spawn([command]).result());
      expect([command, joined.code]).toEqual([command, code]);
    }
  });

  sandboxTest("its stdout ends, and whoever asks for nothing is not told by a crash", async () => {
    const process = Sandbox.spawn(["/no/such"], inRoot());
    expect(await textOf(process.stdout)).toBe("");
    expect((await failureOf(() => process.exited)).code).toBe("command_not_found");
    Sandbox.spawn(["/no/such"], inRoot({ stdout: "ignore" }));
    await Bun.sleep(50 * SLOW);
  });

  sandboxTest("10,000 variables and an argument of 100 KiB are fine, an argument of 2 MiB is an error", async () => {
    const env = Object.fromEntries(Array.from({ length: 10_000 }, (_, index) => [`VARIABLE_${index}`, "x".repeat(20)]));
    const { stdout } = await run(["sh", "-c", "env | grep -c ^VARIABLE_"], { env });
    expect(stdout).toBe("10000\n");
    const long = "y".repeat(100 * 1024);
    expect((await run(["echo", long])).stdout).toBe(`${long}\n`);
    const error = await failureOf(() => run(["true", "z".repeat(2 * MIB)]));
    expect([error.code, error.message]).toEqual(["argument_too_long", 'execute "true": E2BIG']);
    expect(error.hint).toContain("stdin");
  });

  sandboxTest("PATH is the sandbox's own", async () => {
    root.write("opt/tool", "#!/bin/sh\necho tool\n", 0o755);
    expect((await run(["tool"], { env: { PATH: "/bin:/opt" } })).stdout).toBe("tool\n");
    expect((await failureOf(() => run(["tool"]))).code).toBe("command_not_found");
  });
});

describe("stdin", () => {
  const bytes = new Uint8Array(300_000).map((_, index) => index * 7);
  const streamOf = (...chunks: string[]) =>
    new ReadableStream<Uint8Array>({
      async start(controller) {
        for (const chunk of chunks) {
          await Bun.sleep(1);
          controller.enqueue(new TextEncoder().encode(chunk));
        }
        controller.close();
      },
    });

  sandboxTest("a string, bytes, a Blob, a Response, a ReadableStream, or nothing", async () => {
    expect((await run(["cat"], { stdin: "é text" })).stdout).toBe("é text");
    expect((await run(["cat"], { stdin: bytes })).stdoutBytes).toEqual(bytes);
    expect((await run(["cat"], { stdin: new Blob(["a", "blob"]) })).stdout).toBe("ablob");
    expect((await run(["cat"], { stdin: new Response("a response") })).stdout).toBe("a response");
    expect((await run(["cat"], { stdin: streamOf("one ", "two ", "three") })).stdout).toBe("one two three");
    expect((await run(["cat"], { stdin: "" })).stdout).toBe("");
    expect((await run(["cat"])).stdout).toBe("");
    expect((await run(["readlink", "/proc/self/fd/0"])).stdout).toBe("/dev/null\n");
  });

  sandboxTest("a pipe: written to while the process runs, then ended", async () => {
    const process = Sandbox.spawn(["cat"], inRoot({ stdin: "pipe" }));
    const reader = process.stdout!.getReader();
    for (const line of ["one\n", "two\n"]) {
      expect(await process.stdin!.write(line)).toBe(line.length);
      expect(new TextDecoder().decode((await reader.read()).value)).toBe(line);
    }
    await process.stdin!.end();
    expect((await reader.read()).done).toBe(true);
    expect(await process.exited).toBe(0);
    expect((await failureOf(() => process.stdin!.write("late"))).code).toBe("sandbox_closed");
  });

  sandboxTest("writing waits for a process that does not read", async () => {
    const process = spawnSh("sleep 0.3; cat | wc -c", { stdin: "pipe" });
    let written = false;
    const writing = process.stdin!.write(new Uint8Array(MIB)).then((count) => ((written = true), count));
    await Bun.sleep(100);
    expect(written).toBe(false);
    expect(await writing).toBe(MIB);
    await process.stdin!.end();
    expect((await textOf(process.stdout)).trim()).toBe(String(MIB));
  });

  sandboxTest("a process that stops reading does no harm (EPIPE)", async () => {
    expect(await run(["head", "-c", "3"], { stdin: new Uint8Array(4 * MIB).fill(120) })).toMatchObject({
      exitCode: 0,
      stdout: "xxx",
    });
    expect(await run(["true"], { stdin: "x".repeat(4 * MIB) })).toMatchObject({ exitCode: 0 });
    const process = Sandbox.spawn(["true"], inRoot({ stdin: "pipe" }));
    await process.exited;
    const error = await process.stdin!.write("x").catch((e: unknown) => e);
    expect(error).toBeInstanceOf(Error);
    await process.stdin!.end();
  });

  sandboxTest("a source that is endless is cancelled when the process stops reading", async () => {
    let cancelled = false;
    let pulled = 0;
    const endless = new ReadableStream<Uint8Array>({
      pull: (controller) => void (pulled++, controller.enqueue(new Uint8Array(65536))),
      cancel: () => void (cancelled = true),
    });
    expect(await run(["head", "-c", "100000"], { stdin: endless })).toMatchObject({ exitCode: 0 });
    expect(await eventually(() => cancelled)).toBe(true);
    expect(pulled).toBeLessThan(100);
  });

  sandboxTest("a source that says nothing is cancelled when the process has ended", async () => {
    let cancelled = false;
    const silent = new ReadableStream<Uint8Array>({ cancel: () => void (cancelled = true) });
    expect(await run(["true"], { stdin: silent })).toMatchObject({ exitCode: 0 });
    expect(await eventually(() => cancelled)).toBe(true);
  });

  sandboxTest("a source that somebody else reads, or has read, is refused", async () => {
    const [locked, used] = [new Response("x").body!, new Response("x")];
    locked.getReader();
    await used.text();
    for (const stdin of [locked, used])
      expect(await failureOf(() => run(["cat"], { stdin }))).toMatchObject({ code: "invalid_option" });
  });

  sandboxTest("a source that fails is an end of file", async () => {
    const failing = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(new TextEncoder().encode("some")),
      pull: (controller) => controller.error(new Error("gone")),
    });
    expect(await run(["cat"], { stdin: failing })).toMatchObject({ exitCode: 0 });
    // which fails before anything is read of it
    expect(await run(["cat"], { stdin: Bun.file(join(outside.path, "missing")) })).toMatchObject({
      exitCode: 0,
      stdout: "",
    });
  });
});

describe("stdout", () => {
  sandboxTest("a producer is stopped while nobody reads: little is held", async () => {
    const process = spawnSh(
      "i=0; while [ $i -lt 4096 ]; do head -c 65536 /dev/zero || exit 3; i=$((i+1)); echo $i >&2; done",
      {
        stderr: "pipe",
      },
    );
    const reader = process.stdout!.getReader();
    await reader.read();
    await Bun.sleep(200 * SLOW);
    const before = globalThis.process.memoryUsage.rss();
    await Bun.sleep(200);
    expect(globalThis.process.memoryUsage.rss() - before).toBeLessThan(16 * MIB);
    expect(process.exitCode).toBeNull();
    await reader.cancel();
    expect(await process.exited).toBe(3);
    const progress = (await textOf(process.stderr)).trim().split("\n");
    expect(Number(progress.at(-1))).toBeLessThan(1000);
  });

  sandboxTest("a writer whose reader is gone gets SIGPIPE", async () => {
    const process = Sandbox.spawn(["yes"], inRoot());
    const reader = process.stdout!.getReader();
    await reader.read();
    await reader.cancel();
    expect(await process.result()).toMatchObject({ signalCode: "SIGPIPE", reason: "signal" });
  });

  sandboxTest("a reader can leave while it waits for a process that says nothing", async () => {
    await using process = spawnSh("sleep 100");
    const reader = process.stdout!.getReader();
    const reading = reader.read();
    // now it waits
    await Bun.sleep(0);
    await reader.cancel();
    expect(await reading).toEqual({ done: true, value: undefined });
    expect(process.exitCode).toBeNull();
  });

  sandboxTest("what nobody reads is no reason to wait for a process that ends", async () => {
    const process = spawnSh("echo unread; echo more >&2");
    expect(await process.exited).toBe(0);
    expect(await textOf(process.stdout)).toBe("unread\n");
  });

  sandboxTest(
    "read first when the process was disposed of already, it ends, and has nothing of another's",
    async () => {
      const given = spawnSh("echo one", { stderr: "pipe" });
      const { stdout } = given;
      await given.exited;
      await given[Symbol.asyncDispose]();
      // its pipe has the number that is free again
      await using another = spawnSh("echo two");
      expect(await textOf(stdout)).toBe("");
      expect(await textOf(given.stderr)).toBe("");
      expect(await textOf(another.stdout)).toBe("two\n");
    },
  );

  sandboxTest("can be ignored, or be the caller's own", async () => {
    const ignored = spawnSh("exec 3>&1 1>&2; readlink /proc/$$/fd/3", { stdout: "ignore", stderr: "pipe" });
    expect(ignored.stdout).toBeUndefined();
    expect(await textOf(ignored.stderr)).toBe("/dev/null\n");
    const script = scriptOf(
      `await Sandbox.run(["sh", "-c", "cat; echo out; echo err >&2"], { rootfs, stdin: "inherit", stdout: "inherit", stderr: "inherit" });`,
    );
    const { stdout, stderr, exitCode } = Bun.spawnSync([process.execPath, script], { stdin: Buffer.from("in\n") });
    expect([stdout.toString(), stderr.toString(), exitCode]).toEqual(["in\nout\n", "err\n", 0]);
  });

  sandboxTest("closed stdin, stdout and stderr of the owner are not confused with a sandbox's", async () => {
    const script = scriptOf(
      `const { stdout } = await Sandbox.run(["sh", "-c", "echo a; echo b >&2; ls /proc/self/fd"], { rootfs }); require("fs").writeFileSync(process.argv[2], stdout);`,
    );
    const file = join(outside.path, "closed.txt");
    Bun.spawnSync(["sh", "-c", `exec "$0" "$1" "$2" <&- >&- 2>&-`, process.execPath, script, file]);
    expect(await Bun.file(file).text()).toBe("a\n0\n1\n2\n3\n");
  });
});

describe("signals", () => {
  const READY = "echo ready; while :; do sleep 0.02; done";
  const ready = async (line: string, options: RunOptions = {}) => {
    const process = spawnSh(line, options);
    const reader = process.stdout!.getReader();
    await reader.read();
    reader.releaseLock();
    return process;
  };

  sandboxTest("by name and by number; SIGTERM where none is given", async () => {
    for (const [signal, signalCode] of [
      [undefined, "SIGTERM"],
      ["SIGKILL", "SIGKILL"],
      ["int", "SIGINT"],
      [10, "SIGUSR1"],
      ["SIG34", "SIG34"],
    ] as const) {
      const process = await ready(READY);
      process.kill(signal);
      expect(await process.result()).toMatchObject({ signalCode, exitCode: null });
      expect([process.killed, process.signalCode]).toEqual([true, signalCode]);
      process.kill(); // does no harm
    }
  });

  sandboxTest("one that is handled is the process's own affair", async () => {
    const process = await ready(`trap 'exit 9' TERM; ${READY}`);
    process.kill();
    expect(await process.result()).toMatchObject({ exitCode: 9, signalCode: null, reason: "exit" });
    expect([process.exitCode, process.killed]).toEqual([9, false]);
  });

  sandboxTest("exited is the exit code, or 128 and the signal", async () => {
    const process = await ready(READY);
    expect([process.exitCode, process.signalCode, process.resourceUsage()]).toEqual([null, null, undefined]);
    process.kill(9);
    expect(await process.exited).toBe(137);
  });

  sandboxTest("a process that is stopped can be killed", async () => {
    const process = await ready(READY);
    process.kill("STOP");
    await Bun.sleep(20);
    process.kill("KILL");
    expect(await process.exited).toBe(137);
  });

  sandboxTest("one that is unknown is an error", async () => {
    const process = await ready(READY);
    expect(() => process.kill("SIGNOPE")).toThrow('send the signal "SIGNOPE": there is none');
    expect(() => process.kill(65)).toThrow("there is none");
    process.kill(9);
    await process.exited;
  });

  sandboxTest("when the command ends, what it started ends", async () => {
    const started = performance.now();
    expect(await sh("sleep 1000 & sleep 1000 & exit 3")).toMatchObject({ exitCode: 3 });
    expect(performance.now() - started).toBeLessThan(5000);
  });
});

describe("AbortSignal", () => {
  sandboxTest("fired before: nothing is started, and its reason is thrown", async () => {
    const reason = new Error("not today");
    const signal = AbortSignal.abort(reason);
    expect(() => Sandbox.spawn(["true"], inRoot({ signal }))).toThrow(reason);
    expect(run(["true"], { signal })).rejects.toBe(reason);
    expect(Sandbox.create(inRoot({ signal }))).rejects.toBe(reason);
  });

  sandboxTest("fired while it runs: killed, and its reason is thrown by run", async () => {
    const controller = new AbortController();
    const reason = new Error("enough");
    const running = run(["sleep", "100"], { signal: controller.signal });
    setTimeout(() => controller.abort(reason), 50);
    expect(running).rejects.toBe(reason);
    await running.catch(() => {});
    const spawned = Sandbox.spawn(["sleep", "100"], inRoot({ signal: AbortSignal.timeout(50) }));
    expect(await spawned.result()).toMatchObject({ reason: "killed", signalCode: "SIGKILL" });
  });

  sandboxTest("fired afterwards: nothing happens, and no listener stays", async () => {
    const controller = new AbortController();
    expect(await run(["true"], { signal: controller.signal })).toMatchObject({ exitCode: 0 });
    controller.abort();
  });

  sandboxTest("of a box: ends it and everything in it", async () => {
    const controller = new AbortController();
    await using box = await Sandbox.create(inRoot({ signal: controller.signal }));
    const process = box.spawn(["sleep", "100"]);
    controller.abort();
    expect(await process.result()).toMatchObject({ reason: "killed" });
    expect((await failureOf(() => box.spawn(["true"]))).code).toBe("sandbox_closed");
  });

  sandboxTest("of a process in a box: ends only that", async () => {
    await using box = await Sandbox.create(inRoot());
    const other = box.spawn(["sh", "-c", "sleep 0.3; echo lives"]);
    const aborted = box.spawn(["sleep", "100"], { signal: AbortSignal.timeout(20) });
    expect(await aborted.result()).toMatchObject({ reason: "killed" });
    expect(await textOf(other.stdout)).toBe("lives\n");
  });
});

describe("a box", () => {
  sandboxTest("its processes share its files, its hostname and its network, and see each other", async () => {
    await using box = await Sandbox.create(inRoot({ hostname: "shared" }));
    await box.spawn(["sh", "-c", "echo kept >/tmp/file"]).exited;
    const sleeping = box.spawn(["sleep", "100"]);
    await eventually(() => descendants().some(({ name }) => name === "sleep"));
    const names = "for n in pid mnt uts ipc net user cgroup; do readlink /proc/self/ns/$n; done";
    const outputs = [box, box].map((each) =>
      textOf(each.spawn(["sh", "-c", `${names}; hostname; cat /tmp/file; pidof sleep | wc -w`]).stdout),
    );
    const [one, two] = await Promise.all(outputs);
    expect(one).toBe(two as string);
    expect(one).toEndWith("shared\nkept\n1\n");
    sleeping.kill();
    await sleeping.exited;
  });

  sandboxTest("its processes are as confined as a command of its own", async () => {
    const status =
      "grep -E '^(Cap|NoNew|Seccomp|Uid|Gid|Groups)' /proc/self/status; ls -A / /..; ulimit -n; pwd; umask; env | sort";
    const options = inRoot({ env: { A: "b" }, cwd: "/tmp", ulimits: { nofile: 99 } });
    await using box = await Sandbox.create(options);
    const joined = await textOf(box.spawn(["sh", "-c", status]).stdout);
    expect(joined).toBe((await Sandbox.run(["sh", "-c", status], options)).stdout);
    expect(joined).toContain("Seccomp:\t2\n");
  });

  sandboxTest("environment, directory and user of a single process", async () => {
    await using box = await Sandbox.create(inRoot({ env: { A: "box", B: "box" } }));
    const process = box.spawn(["sh", "-c", "echo $A $B; pwd"], { env: { B: "mine" }, cwd: "/made" });
    expect(await textOf(process.stdout)).toBe("box mine\n/made\n");
    const bad = { pid: 5 } as object;
    expect((await failureOf(() => box.spawn(["true"], bad))).message).toContain('"pid": unknown');
  });

  sandboxTest("a process that joined ends by itself, with the rest unharmed", async () => {
    await using box = await Sandbox.create(inRoot());
    for (let i = 0; i < 5; i++) expect(await box.spawn(["sh", "-c", `exit ${i}`]).exited).toBe(i);
    const killed = box.spawn(["sleep", "100"]);
    killed.kill("KILL");
    expect(await killed.exited).toBe(137);
    expect(await textOf(box.spawn(["echo", "alive"]).stdout)).toBe("alive\n");
  });

  sandboxTest("stop ends running processes; afterwards nothing is left, and more stops do no harm", async () => {
    const box = await Sandbox.create(inRoot());
    const processes = [box.spawn(["sleep", "100"]), box.spawn(["sh", "-c", "trap '' TERM; while :; do sleep 1; done"])];
    await Promise.all([box.stop(), box.stop()]);
    for (const process of processes)
      expect(await process.result()).toMatchObject({ reason: "killed", signalCode: "SIGKILL" });
    await box.stop();
    expect((await failureOf(() => box.spawn(["true"]))).code).toBe("sandbox_closed");
    expect(descendants().filter(({ name }) => name.startsWith("tsbox") || name === "sleep")).toEqual([]);
  });

  sandboxTest("await using ends boxes and processes at the end of their block", async () => {
    let process;
    {
      await using box = await Sandbox.create(inRoot());
      process = box.spawn(["sleep", "100"]);
      await using other = Sandbox.spawn(["sleep", "100"], inRoot());
      expect(other.pid).toBeGreaterThan(1);
    }
    expect(await process.result()).toMatchObject({ reason: "killed" });
    expect(descendants().filter(({ name }) => name.startsWith("tsbox"))).toEqual([]);
  });

  sandboxTest("whose init is killed from outside is closed, and tells so", async () => {
    await using box = await Sandbox.create(inRoot());
    const running = box.spawn(["sleep", "100"]);
    await Bun.sleep(50 * SLOW);
    process.kill(box.pid, "SIGKILL");
    expect(await running.result()).toMatchObject({ signalCode: "SIGKILL" });
    expect(["sandbox_closed", "system"]).toContain((await failureOf(() => box.spawn(["true"]).result())).code);
    for await (const _ of box.stats({ interval: "10ms" }));
    for (const attempt of [() => box.usage(), () => box.pause(), () => box.fs.readdir("/")])
      expect((await failureOf(attempt)).code).toBe("sandbox_closed");
    expect(box.paused).toBe(false);
  });

  sandboxTest("that is stopped tells so whatever is under way, at whatever moment", async () => {
    const codeOf = ({ code }: { code?: string }) => code ?? "none";
    for (let moment = 0; moment < 20; moment++) {
      const box = await Sandbox.create(inRoot());
      const under = [box.fs.readdir("/"), box.volume("/tmp"), box.fetch("http://localhost:1/")];
      const told = under.map((attempt) => Promise.resolve(attempt).then(() => "done", codeOf));
      for (let turn = 0; turn < moment; turn++) await Bun.sleep(0);
      await box.stop();
      expect(await told[0]).toBeOneOf(["done", "sandbox_closed"]);
      expect(await told[1]).toBeOneOf(["done", "sandbox_closed"]);
      expect(await told[2]).toBeOneOf(["fetch_failed", "sandbox_closed"]);
    }
  });

  sandboxTest("that cannot be made says why, and leaves nothing", async () => {
    const error = await failureOf(() =>
      Sandbox.create(inRoot({ mounts: [{ type: "tmpfs", target: "/etc/passwd/x" }] })),
    );
    expect([error.code, error.step]).toEqual(["mount_failed", 'mount on "/etc/passwd/x"']);
    expect(descendants().filter(({ name }) => name.startsWith("tsbox"))).toEqual([]);
  });
});

describe("many at a time", () => {
  sandboxTest("8 at once, 5 times: each its own", async () => {
    for (let round = 0; round < 5; round++) {
      const results = await Promise.all(
        Array.from({ length: 8 }, (_, index) =>
          sh(`echo $$ ${round} ${index}; hostname; echo ${index} >/tmp/x; cat /tmp/x`, { hostname: `h${index}` }),
        ),
      );
      results.forEach(({ stdout, exitCode }, index) => {
        expect([stdout, exitCode]).toEqual([`2 ${round} ${index}\nh${index}\n${index}\n`, 0]);
      });
    }
  });

  sandboxTest("8 processes in one box", async () => {
    await using box = await Sandbox.create(inRoot());
    const outputs = await Promise.all(
      Array.from({ length: 8 }, (_, index) => textOf(box.spawn(["sh", "-c", `sleep 0.1; echo ${index}`]).stdout)),
    );
    expect(outputs).toEqual(Array.from({ length: 8 }, (_, index) => `${index}\n`));
  });
});

/** A script with `Sandbox` and `rootfs`. @returns its path */
function scriptOf(body: string): string {
  return outside.script(`const rootfs = ${JSON.stringify(root.path)};\n${body}`);
}

describe("a script", () => {
  const within = 5000 * SLOW;
  const ends = (body: string) => {
    const started = performance.now();
    const { exitCode, stdout, stderr } = Bun.spawnSync([process.execPath, scriptOf(body)], { timeout: within + 5000 });
    expect([stderr.toString(), exitCode]).toEqual(["", 0]);
    expect(performance.now() - started).toBeLessThan(within);
    return stdout.toString();
  };

  sandboxTest("ends by itself after its last sandbox", () => {
    expect(ends(`console.log((await Sandbox.run(["echo", "one"], { rootfs })).stdout.trim());`)).toBe("one\n");
    expect(
      ends(
        `const p = Sandbox.spawn(["echo", "two"], { rootfs, limits: { time: "1h" } }); await p.exited; console.log("end");`,
      ),
    ).toBe("end\n");
    expect(
      ends(
        `const box = await Sandbox.create({ rootfs, limits: { time: "1h" } }); await box.spawn(["true"]).exited; await box.stop(); console.log("end");`,
      ),
    ).toBe("end\n");
    expect(
      ends(
        `const p = Sandbox.spawn(["cat"], { rootfs, stdin: "pipe" }); p.kill(); await p.exited; console.log("end");`,
      ),
    ).toBe("end\n");
  });

  sandboxTest("that forgets a box ends nevertheless, and the box with it", async () => {
    expect(ends(`const box = await Sandbox.create({ rootfs, hostname: "forgotten" }); console.log(box.pid);`)).toMatch(
      /^\d+\n$/,
    );
    const isGone = () => (reapOrphans(), !descendants().some(({ name }) => name === "tsbox-init"));
    expect(await eventually(isGone)).toBe(true);
  });

  sandboxTest("whose working directory is gone needs none, unless a path begins there", () => {
    const main = join(import.meta.dir, "../lib/cli/main.ts");
    const script = root.script(
      `const options = { rootfs: ${JSON.stringify(root.path)} };
       console.log((await Sandbox.run(["echo", "done"], options)).stdout.trim());
       const mounts = [{ type: "bind", source: ".", target: "/x" }];
       await Sandbox.run(["true"], { ...options, mounts }).catch(({ code }) => console.log(code));`,
    );
    const inGone = (...words: string[]) => {
      const gone = root.directory("gone");
      const go = ["sh", "-c", 'cd "$1" && rmdir "$1" && shift && exec "$@"', "sh", gone, process.execPath];
      const { stdout, stderr } = Bun.spawnSync([...go, ...words]);
      return stdout.toString() + stderr.toString();
    };
    expect(inGone(script)).toBe("done\nfile_not_found\n");
    expect(inGone(main, "run", "--rootfs", root.path, "-v", "/bin:/x", "--", "echo", "done")).toBe("done\n");
    expect(inGone(main, "run", "--rootfs", root.path, "-v", ".:/x", "--", "true")).toStartWith(
      "tsbox: find the working directory: it has been removed\n  hint: ",
    );
  });

  sandboxTest("waits for a process that it has not waited for, as it would for one of Bun.spawn", () => {
    const output = ends(
      `const p = Sandbox.spawn(["sh", "-c", "sleep 0.2; echo done"], { rootfs, stdout: "inherit" }); void p;`,
    );
    expect(output).toBe("done\n");
  });
});

function sequence(last: number): string {
  return Array.from({ length: last }, (_, index) => `${index + 1}\n`).join("");
}
