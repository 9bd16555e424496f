/** What the executor's ops do in place, and in a cloned process. @module */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { ARCH, close, mapArena, pipe, runProgram, sealedFile, trySyscall, unmapArena } from "../syscalls/index.ts";
import { buffer, cstring, named, Program, readReport, ref, struct, words } from "../syscalls/index.ts";
import type { Data, Op, Plan } from "../syscalls/index.ts";
import { label, op, step } from "./ops.ts";

const arena = mapArena(65536);
/** Puts a number into a slot. */
const set = (out: string, value: number): Op[] => {
  const word = words(String(value), value);
  return [op("load", [word, 8], { out })];
};

const run = (ops: Op[], bound: Record<string, number> = {}) => runPlan(step(...ops), bound);

/** Runs a plan in this thread. */
function runPlan(plan: Plan, bound: Record<string, number> = {}, reportFd = -1) {
  const program = new Program(plan, ARCH);
  program.write(arena.bytes, arena.view, arena.address, bound, reportFd);
  const result = runProgram(arena.address, 0);
  const slot = (name: string) => program.result(arena, name);
  const bytes = (data: Data) => arena.bytes.slice(program.offset(data), program.offset(data) + data.data.length);
  return { result, slot, bytes, failure: readReport(arena.view, plan) };
}

describe("in place", () => {
  test("the result of a call lands in its slot, and others can refer to it", () => {
    const ends = buffer("pipe", 8);
    const got = buffer("got", 8);
    const { result, slot, bytes } = run([
      op("pipe2", [ends, named("O_CLOEXEC", 0o2000000)]),
      op("load", [ends, 4], { out: "read" }),
      op("load", [{ at: ends, offset: 4 }, 4], { out: "write" }),
      op("write", [ref("write"), cstring("hello"), 5], { out: "written" }),
      op("read", [ref("read"), got, 8], { out: "count" }),
      op("close", [ref("read")]),
      op("close", [ref("write")]),
    ]);
    expect(result).toBe(0);
    expect([slot("written"), slot("count")]).toEqual([5, 5]);
    expect(Buffer.from(bytes(got)).toString()).toBe("hello\0\0\0");
  });

  test("all six arguments arrive", () => {
    const { slot } = run(
      [
        op("mmap", [0, 4096, 3, 2, ref("fd"), ref("offset")], { out: "address" }),
        op("load", [ref("address"), 8], { out: "word" }),
        op("munmap", [ref("address"), 4096]),
      ],
      { fd: sealedFile("two pages", new Uint8Array(8192).fill(0x11, 4096, 4100)), offset: 4096 },
    );
    expect(slot("word")).toBe(0x11111111);
  });

  test("a bound number may be negative or wider than 32 bits", () => {
    for (const value of [-1, 2 ** 40 + 5, -(2 ** 40)]) {
      const word = buffer("word", 8);
      const { slot } = run([op("store", [word, ref("given"), 8]), op("load", [word, 8], { out: "taken" })], {
        given: value,
      });
      expect(slot("taken")).toBe(value);
    }
  });

  test("store and load 4 or 8 bytes; 4 are signed", () => {
    const target = words("target", -1, -1);
    const { slot, bytes } = run([
      op("store", [target, 0x1_0000_0002, 4]),
      op("load", [target, 8], { out: "wide" }),
      op("load", [{ at: target, offset: 4 }, 4], { out: "narrow" }),
      op("store", [{ at: target, offset: 8 }, -2, 8]),
    ]);
    expect([...new BigInt64Array(bytes(target).buffer)]).toEqual([BigInt("-4294967294"), -2n]);
    expect([slot("wide"), slot("narrow")]).toEqual([-4294967294, -1]);
  });

  test("the highest slot works, and is no other's", () => {
    const names = Array.from({ length: 255 }, (_, index) => `s${index}`);
    const { slot } = run(
      [op("getpid", [], { out: "s254" }), op("load", [words("7", 7), 8], { out: "s127" })],
      Object.fromEntries(names.map((name, index) => [name, index])),
    );
    expect([slot("s254"), slot("s127"), slot("s126"), slot("s0")]).toEqual([process.pid, 7, 126, 0]);
  });

  test.each<[string, Op["onError"], number[]]>([
    ["fails", undefined, [-9, 0]],
    ["goes on where it ignores everything", "ignore", [0, 1]],
    ["goes on where it ignores this errno", { ignore: "EBADF" }, [0, 1]],
    ["fails where it ignores another errno", { ignore: "ENOENT" }, [-9, 0]],
    ["jumps where it should", { jump: "caught" }, [0, 2]],
  ])("a call that fails: the plan %s", (_, onError, expected) => {
    const { result, slot } = run([
      op("close", [-1], { out: "closed", ...(onError ? { onError } : {}) }),
      ...set("went", 1),
      op("end"),
      label("caught"),
      ...set("went", 2),
    ]);
    expect([result, slot("went")]).toEqual(expected);
    expect(slot("closed")).toBe(-9);
  });

  test("results may be wider than 32 bits", () => {
    const fd = sealedFile("offset", new Uint8Array(1));
    const { result, slot } = run([op("lseek", [fd, 2 ** 52, 0], { out: "at" })]);
    close(fd);
    expect([result, slot("at")]).toEqual([0, 2 ** 52]);
  });

  test("a failure tells the step, the errno and the call", () => {
    const plan = [
      { action: "one", ops: [op("getpid"), label("here")] },
      { action: "two", ops: [label("there"), op("getuid"), op("fchdir", [-1]), op("getpid")] },
    ];
    const { result, failure } = runPlan(plan);
    expect(result).toBe(-9);
    expect(failure).toEqual({ step: plan[1]!, errno: 9, call: "fchdir" });
    expect(run([op("getpid")]).failure).toBeUndefined();
  });

  test("a failure is written to a descriptor as the same 16 bytes", () => {
    const [read, write] = pipe();
    const plan = [
      { action: "one", ops: [op("getpid")] },
      { action: "two", ops: [op("fail", [40])] },
    ];
    runPlan(plan, {}, write);
    close(write);
    const report = readFileSync(read);
    close(read);
    expect(new Uint8Array(report)).toEqual(arena.bytes.slice(0, 16));
    const view = new DataView(report.buffer, report.byteOffset, report.byteLength);
    expect(readReport(view, plan)).toEqual({ step: plan[1]!, errno: 40, call: "fail" });
  });

  test("fail ends the plan with its errno, given or in a slot, and can be caught", () => {
    expect(run([op("fail", [13])]).result).toBe(-13);
    expect(run([op("fail", [ref("why")])], { why: 2 }).result).toBe(-2);
    expect(run([op("fail", [13], { onError: { jump: "on" } }), label("on")]).result).toBe(0);
  });

  test("run walks another program, whose failure is a result", () => {
    const inner = mapArena(8192);
    const steps = step(op("getpid", [], { out: "pid" }), op("close", [-1]), op("getpid"));
    const program = new Program(steps, ARCH);
    program.write(inner.bytes, inner.view, inner.address, {}, -1);
    const ops = (first: number) => [
      op("run", [inner.address, first], { out: "ran", onError: "ignore" }),
      op("getpid", [], { out: "after" }),
    ];
    const { result, slot } = run(ops(0));
    expect([result, slot("ran"), slot("after")]).toEqual([0, -9, process.pid]);
    expect(program.result(inner, "pid")).toBe(process.pid);
    expect(run(ops(2)).slot("ran")).toBe(0);
    expect(run([op("run", [inner.address, 0])]).result).toBe(-9);
    unmapArena(inner);
  });

  test("jumps go forward, back and to the first op", () => {
    const count = words("count", 0);
    const { result, slot } = run([
      label("first"),
      op("load", [count, 8], { out: "count" }),
      op("jumpIf", [ref("count"), 1, 0], { label: "out" }),
      op("store", [count, 1, 8]),
      op("jump", [], { label: "skip" }),
      op("fail", [1]),
      label("skip"),
      op("jump", [], { label: "first" }),
      label("out"),
    ]);
    expect([result, slot("count")]).toEqual([0, 1]);
  });

  test.each([
    [5, 5, [true, false, false]],
    [4, 5, [false, true, true]],
    [5, 4, [false, true, false]],
    [-1, 0, [false, true, true]], // signed
    [0, -1, [false, true, false]],
    [2 ** 40, 1, [false, true, false]], // 64 bits
    [2 ** 32, 0, [false, true, false]],
  ])("jumpIf: %d and %d are equal, differ, less: %p", (a, b, expected) => {
    const jumped = [0, 1, 2].map((comparison) => {
      const ops = [op("jumpIf", [ref("a"), b, comparison], { label: "yes" }), op("fail", [1]), label("yes")];
      return run(ops, { a }).result === 0;
    });
    expect(jumped).toEqual(expected);
  });
});

const [CLONE_VM, CLONE_CLEAR_SIGHAND, SIGCHLD] = [0x100, 0x1_0000_0000, 17];

/** `struct clone_args` of a process with a stack of its own in this memory. */
function cloneArgs(flags: number): Data {
  const stack = buffer("stack", 4096, 16);
  return {
    data: struct("clone_args", { flags, exit_signal: SIGCHLD, stack_size: 4096 }),
    text: "clone_args",
    pointers: [{ offset: 40, to: stack }],
  };
}

/** Runs a plan in a process of its own that shares this memory. */
function spawn(ops: Op[], reportFd = -1) {
  const args = cloneArgs(CLONE_VM + CLONE_CLEAR_SIGHAND);
  const plan = step(op("spawn", [args, 88], { label: "child", out: "child" }), op("end", []), label("child"), ...ops);
  const program = new Program(plan, ARCH);
  program.write(arena.bytes, arena.view, arena.address, {}, reportFd);
  expect(runProgram(arena.address, 0)).toBe(0);
  const pid = program.result(arena, "child");
  const status = pid > 0 ? wait(pid) : -1;
  const bytes = (data: Data) => arena.bytes.slice(program.offset(data), program.offset(data) + data.data.length);
  return {
    pid,
    status,
    slot: (name: string) => program.result(arena, name),
    bytes,
    failure: readReport(arena.view, plan),
  };
}

/** The wait status; it lies beyond every program of this file. */
function wait(pid: number): number {
  const at = arena.size - 8;
  const __WALL = 0x40000000;
  expect(trySyscall("wait4", pid, arena.address + at, __WALL)).toBe(pid);
  return arena.view.getUint32(at, true);
}

describe("in a cloned process", () => {
  test("the child runs on its own stack, its results are in the shared memory", () => {
    const { pid, status, slot } = spawn([op("getpid", [], { out: "pid" }), op("exit_group", [7])]);
    expect(pid).toBeGreaterThan(0);
    expect([status >> 8, slot("pid")]).toEqual([7, pid]);
  });

  test("a plan that ends exits with 0, one that fails with 127 and a report", () => {
    expect(spawn([op("getpid")]).status).toBe(0);
    const [read, write] = pipe();
    const { status, failure } = spawn([op("fchdir", [-1]), op("exit_group", [0])], write);
    close(write);
    expect(status >> 8).toBe(127);
    expect(failure).toMatchObject({ errno: 9, call: "fchdir" });
    expect(readFileSync(read).length).toBe(16);
    close(read);
  });

  test("the executor itself can clone; both processes go on in the same memory", () => {
    const second = cloneArgs(CLONE_VM);
    const { status, slot } = spawn([
      op("spawn", [second, 88], { label: "grandchild", out: "grandchild" }),
      op("wait4", [ref("grandchild"), 0, 0, 0], { out: "waited" }),
      op("exit_group", [ref("value")]),
      label("grandchild"),
      ...set("value", 5),
      op("exit_group", [0]),
    ]);
    expect(status >> 8).toBe(5);
    expect(slot("waited")).toBe(slot("grandchild"));
  });

  test("the failure of one process is not the other's exit code", () => {
    const second = cloneArgs(CLONE_VM);
    const { status, failure } = spawn([
      op("spawn", [second, 88], { label: "grandchild", out: "grandchild" }),
      op("wait4", [ref("grandchild"), 0, 0, 0]),
      op("end"),
      label("grandchild"),
      op("fail", [5]),
    ]);
    expect(failure?.errno).toBe(5);
    expect(status).toBe(0);
  });
});
