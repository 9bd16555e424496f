/** How a plan becomes bytes, and how it is printed: pure, nothing runs. @module */
import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { SYSCALLS } from "../syscalls/numbers.ts";
import {
  buffer,
  cstring,
  named,
  printPlan,
  Program,
  readReport,
  ref,
  stringArray,
  words,
} from "../syscalls/program.ts";
import type { Data, Op, Plan } from "../syscalls/program.ts";
import { label, op, step } from "./ops.ts";

const ADDRESS = 0x1234_5678_9000;
const [HEAD, OP_BYTES, SLOTS_AT] = [4096, 64, 16];

function layOut(steps: Plan, bound: Record<string, number> = {}, reportFd = -1) {
  const program = new Program(steps, "x64");
  const bytes = new Uint8Array(program.size).fill(0xee);
  const view = new DataView(bytes.buffer);
  program.write(bytes, view, ADDRESS, bound, reportFd);
  return { program, bytes, view };
}

/** An op as executor.c draws it. */
function readOp(view: DataView, index: number) {
  const at = HEAD + index * OP_BYTES;
  return {
    nr: view.getInt32(at, true),
    dst: view.getUint8(at + 4),
    onError: view.getUint8(at + 5),
    refs: view.getUint16(at + 6, true),
    error: view.getUint32(at + 8, true),
    step: view.getUint32(at + 12, true),
    args: [0, 1, 2, 3, 4, 5].map((i) => view.getBigInt64(at + 16 + i * 8, true)),
  };
}

describe("layout", () => {
  test("a system call: its number, its arguments, its step, and the end behind it", () => {
    const { view, bytes, program } = layOut([
      { action: "one", ops: [op("getpid")] },
      { action: "two", ops: [op("openat", [-100, named("all ones", -1n), 2 ** 40 + 1, 2n ** 64n - 1n])] },
    ]);
    expect(readOp(view, 0)).toMatchObject({ nr: SYSCALLS.getpid[0], dst: 0, onError: 0, refs: 0, error: 0, step: 0 });
    const second = readOp(view, 1);
    expect(second).toMatchObject({ nr: SYSCALLS.openat[0], step: 1 });
    expect(second.args).toEqual([-100n, -1n, 2n ** 40n + 1n, -1n, 0n, 0n]);
    expect(readOp(view, 2).nr).toBe(-1);
    expect(program.size).toBe(HEAD + 3 * OP_BYTES);
    expect(bytes.subarray(0, HEAD).some((byte, at) => byte !== (at >= 8 && at < 12 ? 0xff : 0))).toBe(false);
  });

  test("the number is that of the program's architecture", () => {
    const program = new Program(step(op("execve")), "arm64");
    const bytes = new Uint8Array(program.size);
    const view = new DataView(bytes.buffer);
    program.write(bytes, view, ADDRESS, {}, -1);
    expect(readOp(view, 0).nr).toBe(SYSCALLS.execve[1]);
  });

  test("results are slots from 1 on, in the same slot wherever they are named; slot 0 is nobody's", () => {
    const steps = step(
      op("getpid", [], { out: "pid" }),
      op("kill", [ref("pid"), ref("signal")]),
      op("getuid", [], { out: "pid" }),
    );
    const { view, program } = layOut(steps, { signal: 9 }, 7);
    const [pid, signal] = [program.slot("pid"), program.slot("signal")];
    expect([pid, signal].toSorted()).toEqual([1, 2]);
    expect(readOp(view, 0).dst).toBe(pid);
    expect(readOp(view, 1)).toMatchObject({ dst: 0, refs: 0b11 });
    expect(readOp(view, 1).args.slice(0, 2)).toEqual([BigInt(pid), BigInt(signal)]);
    expect(readOp(view, 2).dst).toBe(pid);
    expect(view.getBigInt64(SLOTS_AT + signal * 8, true)).toBe(9n);
    expect(view.getInt32(8, true)).toBe(7);
  });

  test("refs are bits of the arguments they stand for", () => {
    const { view } = layOut(step(op("mmap", [0, ref("a"), 0, 0, ref("b"), ref("a")])));
    expect(readOp(view, 0).refs).toBe(0b110010);
  });

  test.each<[Op["onError"], number, number]>([
    [undefined, 0, 0],
    ["ignore", 1, 0],
    [{ ignore: "EEXIST" }, 2, 17],
    [{ jump: "there" }, 3, 2],
  ])("on an error %j", (onError, code, target) => {
    const { view } = layOut(step(op("getpid", [], onError ? { onError } : {}), op("getpid"), label("there")));
    expect(readOp(view, 0)).toMatchObject({ onError: code, error: target });
  });

  test("labels are no ops: jumps lead to the op behind them, and several may mark one place", () => {
    const { view, program } = layOut(
      step(
        label("first"),
        op("jump", [], { label: "last" }),
        op("jumpIf", [1, 2, 0], { label: "first" }),
        op("spawn", [1, 88], { label: "middle" }),
        label("middle"),
        label("also"),
        op("getpid"),
        label("last"),
      ),
    );
    expect(["first", "middle", "also", "last"].map((name) => program.label(name))).toEqual([0, 3, 3, 4]);
    expect(readOp(view, 0)).toMatchObject({ nr: -2, error: 4 });
    expect(readOp(view, 1)).toMatchObject({ nr: -5, error: 0 });
    expect(readOp(view, 2)).toMatchObject({ nr: -6 });
    expect(readOp(view, 2).args.slice(0, 3)).toEqual([1n, 88n, 3n]);
    expect(readOp(view, 4).nr).toBe(-1);
  });
});

describe("data", () => {
  test("what two calls share is placed once; equal bytes of different data are not shared", () => {
    const [shared, other] = [buffer("shared", 8), buffer("other", 8)];
    const { view, program } = layOut(step(op("read", [0, shared]), op("write", [1, shared]), op("write", [1, other])));
    const addresses = [0, 1, 2].map((index) => readOp(view, index).args[1]);
    expect(addresses[0]).toBe(BigInt(ADDRESS + program.offset(shared)));
    expect(addresses[1]).toBe(addresses[0]!);
    expect(addresses[2]).toBe(BigInt(ADDRESS + program.offset(other)));
    expect(Math.abs(program.offset(shared) - program.offset(other))).toBe(8);
  });

  test("pointers hold addresses, also of what only they point to", () => {
    const list = stringArray(["one", "two"]);
    const { view, bytes, program } = layOut(step(op("execve", [list, list, list])));
    const at = program.offset(list);
    const strings = [0, 8].map((offset) => {
      const start = Number(view.getBigUint64(at + offset, true)) - ADDRESS;
      return Buffer.from(bytes.subarray(start, start + 4)).toString();
    });
    expect(strings).toEqual(["one\0", "two\0"]);
    expect(view.getBigUint64(at + 16, true)).toBe(0n);
  });

  test("a word inside a buffer has the address of the buffer plus its offset", () => {
    const target = buffer("target", 32);
    const { view, program } = layOut(step(op("store", [{ at: target, offset: 24 }, 1, 8])));
    expect(readOp(view, 0).args[0]).toBe(BigInt(ADDRESS + program.offset(target) + 24));
  });

  test("everything has its alignment, lies behind the ops and does not overlap", () => {
    const size = fc.record({ size: fc.integer({ min: 0, max: 40 }), align: fc.constantFrom(8, 16, 64) });
    fc.assert(
      fc.property(fc.array(size, { maxLength: 20 }), (sizes) => {
        const all = sizes.map((each, index): Data => buffer(String(index), each.size, each.align));
        const { program } = layOut(step(...all.map((data) => op("read", [0, data]))));
        let end = HEAD + (all.length + 1) * OP_BYTES;
        for (const data of all.toSorted(
          (a, b) => program.offset(a) - program.offset(b) || a.data.length - b.data.length,
        )) {
          expect(program.offset(data) % data.align!).toBe(0);
          expect(program.offset(data)).toBeGreaterThanOrEqual(end);
          end = program.offset(data) + data.data.length;
        }
        expect(program.size).toBe(end);
      }),
    );
  });

  test("a program that is written again at another address has nothing of its last run", () => {
    const cell = words("cell", 1);
    const program = new Program(step(op("write", [1, cell], { out: "n" })), "x64");
    const bytes = new Uint8Array(program.size);
    const view = new DataView(bytes.buffer);
    program.write(bytes, view, ADDRESS, { given: 5 }, -1);
    const fresh = bytes.slice();
    view.setUint32(0, 1, true); // a failure
    view.setBigInt64(SLOTS_AT + program.slot("n") * 8, 99n, true);
    bytes.fill(9, program.offset(cell), program.size);
    program.write(bytes, view, ADDRESS, { given: 5 }, -1);
    expect(bytes).toEqual(fresh);
    program.write(bytes, view, 4096, { given: 5 }, -1);
    expect(readOp(view, 0).args[1]).toBe(BigInt(4096 + program.offset(cell)));
  });
});

describe("data by kind", () => {
  test("a string ends with NUL, and is UTF-8", () => {
    expect([...cstring("é").data]).toEqual([0xc3, 0xa9, 0]);
    expect(cstring('a "b"').text).toBe('"a \\"b\\""');
  });

  test("words are signed or unsigned 64-bit numbers", () => {
    const { data } = words("w", -1, 2 ** 40, 2n ** 64n - 1n, -2n);
    expect([...new BigInt64Array(data.buffer)]).toEqual([-1n, 2n ** 40n, -1n, -2n]);
  });
});

describe("errors", () => {
  test("a NUL in a string", () => {
    expect(() => cstring("a\0b")).toThrow('use "a\\u0000b": it contains a NUL byte');
    expect(() => stringArray(["ok", "\0"])).toThrow("NUL");
  });

  test.each<[string, Op]>([
    ["a jump", op("jump", [], { label: "nowhere" })],
    ["a spawn", op("spawn", [0, 88], { label: "nowhere" })],
    ["an error handler", op("getpid", [], { onError: { jump: "nowhere" } })],
  ])("a label that is not there: %s", (_, bad) => {
    expect(() => layOut(step(bad))).toThrow('no label "nowhere"');
  });

  test("more results than slots", () => {
    const ops = Array.from({ length: 255 }, (_, index) => op("getpid", [], { out: `r${index}` }));
    expect(() => layOut(step(...ops))).not.toThrow();
    expect(() => layOut(step(...ops, op("getpid", [], { out: "one more" })))).toThrow("more than 255 results");
  });

  test("a call that the architecture lacks", () => {
    const program = new Program(step(op("arch_prctl")), "arm64");
    const bytes = new Uint8Array(program.size);
    expect(() => program.write(bytes, new DataView(bytes.buffer), ADDRESS, {}, -1)).toThrow(
      "plan arch_prctl: arm64 has no such system call",
    );
  });

  test("data that is not part of the plan has no place", () => {
    expect(() => new Program(step(op("getpid")), "x64").offset(buffer("stray", 8))).toThrow("stray");
  });
});

const report = (...words32: number[]) => new DataView(Uint32Array.from(words32).buffer);

test("a report tells the step and the call, counting ops as the executor does", () => {
  const steps: Plan = [
    { action: "one", ops: [label("a"), op("getpid"), label("b")] },
    { action: "two", ops: [label("c"), op("getuid"), op("fchdir", [-1])] },
  ];
  expect(readReport(report(2, 9, 0xffffffff, 2), steps)).toEqual({ step: steps[1]!, errno: 9, call: "fchdir" });
  expect(readReport(report(0, 0, 0, 0), steps)).toBeUndefined();
  expect(readReport(report(9, 1, 0, 0), steps)).toBeUndefined();
});

test("a printed plan has a call per line, each step headed by its reason", () => {
  const target = buffer("siginfo", 128);
  const steps: Plan = [
    { action: 'open "/etc"', ops: [op("openat", [named("AT_FDCWD", -100), cstring("/etc"), 0], { out: "dir" })] },
    {
      action: "loop",
      ops: [
        label("again"),
        op("read", [ref("dir"), { at: target, offset: 8 }, 8n], { onError: "ignore" }),
        op("mkdirat", [ref("dir"), cstring("x")], { onError: { ignore: "EEXIST" } }),
        op("close", [ref("dir")], { onError: { jump: "again" } }),
        op("jumpIf", [ref("dir"), 0, 0], { label: "again" }),
        op("spawn", [target, 88], { label: "again", out: "pid" }),
      ],
    },
  ];
  expect(printPlan(steps)).toBe(`\
# open "/etc"
  dir = openat(AT_FDCWD, "/etc", 0)
# loop
again:
  read(dir, &siginfo[8], 8)  [may fail]
  mkdirat(dir, "x")  [EEXIST is fine]
  close(dir)  [on an error → again]
  jumpIf(dir, 0, 0, → again)
  pid = spawn(siginfo, 88, → again)
`);
});
