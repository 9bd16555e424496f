/**
 * The default filter in the real kernel, for every system call number: the kernel has to answer what the interpreter
 * says.
 *
 * A probe is an executor image that loads a filter and makes every call once. So that nothing really happens, each
 * answer of the filter is first replaced by an errno of its own (`ERRNO(3000 + n)`, "allow" and "kill" included):
 * searching and conditions stay as they are. Only calls with a cookie as their sixth argument get past it: those by
 * which the probe hands its results over and ends.
 * @module
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compileSeccomp, defaultProfile, denyLeavingGroup } from "../lib/seccomp/index.ts";
import type { SeccompProfile } from "../lib/spec/index.ts";
import { ARCH, buffer, elfImage, numberOf, Program, ref, SYSCALLS, type Data, type Op } from "../syscalls/index.ts";
import { AUDIT_ARCH, readVerdict, runFilter } from "./seccomp-bpf.ts";

const COOKIE = 0x7e57_c00c;
/** An argument that no condition looks at; the test finds the calls in the image by it. */
const MARK = 0x7e57_0000_0000;
const FIRST_ERRNO = 3000;
const [PR_SET_NO_NEW_PRIVS, SECCOMP_SET_MODE_FILTER] = [38, 1];
const hasSeccomp = existsSync("/proc/sys/kernel/seccomp/actions_avail");
const reason = hasSeccomp ? "" : " (skipped: this kernel has no seccomp filters)";

interface Probe {
  number: number;
  args: (number | bigint)[];
}

/** In front: `if (args[5] == COOKIE) return ALLOW`. `answers[n]` is what `ERRNO(3000 + n)` stands for. */
function harmless(filter: Uint8Array): { filter: Uint8Array; answers: number[] } {
  const prologue = [0x20, 16 + 5 * 8, 0x15 | (1 << 24), COOKIE, 0x06, 0x7fff0000];
  const words = new Uint32Array(prologue.length + filter.length / 4);
  words.set(prologue);
  words.set(new Uint32Array(filter.buffer, filter.byteOffset, filter.length / 4), prologue.length);
  const answers: number[] = [];
  for (let at = prologue.length; at < words.length; at += 2) {
    if (words[at] !== 0x06) continue;
    const answer = words[at + 1] as number;
    if (!answers.includes(answer)) answers.push(answer);
    words[at + 1] = 0x50000 | (FIRST_ERRNO + answers.indexOf(answer));
  }
  return { filter: new Uint8Array(words.buffer), answers };
}

/** `struct sock_fprog` */
function filterProgram(filter: Uint8Array): Data {
  const program = buffer("filter", 16);
  new DataView(program.data.buffer).setUint16(0, filter.length / 8, true);
  return { ...program, pointers: [{ offset: 8, to: { data: filter, text: "instructions" } }] };
}

/** The executor's image, with system call numbers that have no name put in afterwards. */
function probeImage(filter: Uint8Array, probes: Probe[]): Uint8Array {
  const results = buffer("results", probes.length * 8);
  const ops: Op[] = [
    { call: "prctl", args: [PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0] },
    { call: "seccomp", args: [SECCOMP_SET_MODE_FILTER, 0, filterProgram(filter)] },
    ...probes.flatMap(({ args: [a = 0, b = 0, c = 0] }, index): Op[] => [
      { call: "getppid", args: [a, b, c, 0, MARK + index, 0], out: "result", onError: "ignore" },
      { call: "store", args: [{ at: results, offset: index * 8 }, ref("result"), 8] },
    ]),
    { call: "write", args: [1, results, results.data.length, 0, 0, COOKIE] },
    { call: "exit_group", args: [0, 0, 0, 0, 0, COOKIE] },
  ];
  const image = elfImage(new Program([{ action: "probe", ops }], ARCH));
  const view = new DataView(image.buffer);
  for (let at = 0; at + 64 <= image.length; at += 8) {
    // the fifth argument of an op of 64 bytes: its number is 48 bytes before
    const mark = Number(view.getBigUint64(at, true)) - MARK;
    const probe = probes[mark];
    if (probe && view.getInt32(at - 48, true) === numberOf("getppid", ARCH)) view.setInt32(at - 48, probe.number, true);
  }
  return image;
}

function run(image: Uint8Array): Uint8Array {
  const folder = mkdtempSync(join(tmpdir(), "tsbox-seccomp-"));
  try {
    writeFileSync(join(folder, "probe"), image);
    chmodSync(join(folder, "probe"), 0o700);
    const result = Bun.spawnSync([join(folder, "probe")], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "inherit",
    });
    expect({ exitCode: result.exitCode, signal: result.signalCode ?? "" }).toEqual({ exitCode: 0, signal: "" });
    return new Uint8Array(result.stdout);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The kernel's answers, in the filter's own terms. */
function askKernel(filter: Uint8Array, probes: Probe[]): string[] {
  const { filter: loaded, answers } = harmless(filter);
  const bytes = run(probeImage(loaded, probes));
  const results = new BigInt64Array(bytes.buffer, bytes.byteOffset, probes.length);
  return [...results].map((result) => {
    const answer = answers[-Number(result) - FIRST_ERRNO];
    return answer === undefined ? `the call ran: ${result}` : readVerdict(answer);
  });
}

function compare(given: SeccompProfile, probes: Probe[]): void {
  const filter = compileSeccomp(given, ARCH);
  const expected = probes.map((call) => readVerdict(runFilter(filter, { ...call, arch: AUDIT_ARCH[ARCH] })));
  const answers = askKernel(filter, probes);
  const different = probes.flatMap((probe, i) =>
    answers[i] === expected[i] ? [] : [{ ...probe, kernel: answers[i], interpreter: expected[i] }],
  );
  expect(different).toEqual([]);
}

const last = Math.max(...Object.values(SYSCALLS).map((numbers) => numbers[ARCH === "x64" ? 0 : 1]));
/** uretprobe and uprobe: since Linux 6.13 no filter sees them; only the kernel's own trampoline may call them. */
const unfiltered = ARCH === "x64" ? [335, 336] : [];
const numbers = [...Array(last + 40).keys(), 1023, 0x3fffffff, 0x40000000, 0x40000001, 0x40000208, 0x7fffffff].filter(
  (number) => !unfiltered.includes(number),
);

describe.skipIf(!hasSeccomp)(`the kernel answers as the interpreter does${reason}`, () => {
  test.each([[[]], [["CAP_SYS_ADMIN"]], [["CAP_SYS_PTRACE", "CAP_BPF"]]])(
    "for every number, with %j",
    (capabilities) => {
      const everyNumber = numbers.map((number) => ({ number, args: [] }));
      compare(defaultProfile(capabilities, ARCH), everyNumber);
      compare(denyLeavingGroup(defaultProfile(capabilities, ARCH)), everyNumber);
      compare(denyLeavingGroup(), everyNumber);
    },
  );

  test("for calls that depend on arguments", () => {
    const values = [
      0,
      1,
      8,
      38,
      39,
      40,
      0x5412,
      0x541c,
      0x20008,
      0x10000000,
      0x7e020000,
      0xffffffff,
      0x1_0000_0028,
      -1n,
    ];
    const calls = ["clone", "socket", "ioctl", "personality"] as const;
    compare(
      defaultProfile([], ARCH),
      calls.flatMap((name) => values.map((value) => ({ number: numberOf(name, ARCH), args: [value, value, value] }))),
    );
  });

  test("for comparisons of 64 bits", () => {
    const values = [0n, 1n, 0xffff_ffffn, 0x1_0000_0000n, 0x1_0000_0001n, 0x2_0000_0000n, 0xffff_ffff_ffff_ffffn];
    for (const op of ["EQ", "NE", "LT", "LE", "GT", "GE"] as const) {
      const args = [{ index: 2, op: `SCMP_CMP_${op}` as const, value: 0x1_0000_0000n }];
      const syscalls = [{ names: ["getppid"], action: "SCMP_ACT_ALLOW" as const, args }];
      const probes = values.map((value) => ({ number: numberOf("getppid", ARCH), args: [0, 0, value] }));
      compare({ defaultAction: "SCMP_ACT_ERRNO", syscalls }, probes);
    }
  });
});

// the program reads how many calls there are, each an i386 number and its first argument, and a filter, which it loads;
// what it writes are the answers, made with a cookie that the filter lets through
const I386 = `
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
static struct sock_filter code[4096];
static struct { uint64_t number, argument; } calls[4096];
static int64_t answers[4096];
static int64_t i386(uint64_t nr, uint64_t argument)
{
	int64_t r;
	register uint64_t rbx __asm__("rbx") = argument;
	__asm__ volatile("int $0x80" : "=a"(r) : "a"(nr), "r"(rbx), "c"(0), "d"(0) : "memory", "r8", "r9", "r10", "r11");
	return r;
}
int main(void)
{
	uint64_t count;
	if (read(0, &count, 8) != 8 || read(0, calls, count * 16) != (long)count * 16) return 1;
	struct sock_fprog program = { read(0, code, sizeof code) / sizeof *code, code };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program)) return 2;
	for (uint64_t i = 0; i < count; i++) answers[i] = i386(calls[i].number, calls[i].argument);
	syscall(SYS_write, 1, answers, count * 8, 0, 0, ${COOKIE}L);
	syscall(SYS_exit_group, 0, 0, 0, 0, 0, ${COOKIE}L);
}`;

// the sysctl is there where the kernel has the i386 ABI
const noI386 = !hasSeccomp || !existsSync("/proc/sys/abi/vsyscall32") || !Bun.which("gcc");
const needsI386 = noI386 ? " (skipped: needs a kernel with the i386 ABI and seccomp, and gcc)" : "";

describe.skipIf(noI386)(`i386 calls of a 64-bit program${needsI386}`, () => {
  let [folder, program] = ["", ""];
  beforeAll(() => {
    if (noI386) return;
    folder = mkdtempSync(join(tmpdir(), "tsbox-seccomp-"));
    program = join(folder, "i386");
    writeFileSync(`${program}.c`, I386);
    expect(Bun.spawnSync(["gcc", "-O1", "-o", program, `${program}.c`], { stderr: "inherit" }).exitCode).toBe(0);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** The kernel has to answer what the interpreter says. @returns how often it said what */
  function compareI386(given: SeccompProfile, calls: [number: number, argument: number | bigint][]) {
    const filter = compileSeccomp(given, ARCH);
    const { filter: loaded, answers } = harmless(filter);
    const words = BigUint64Array.from([calls.length, ...calls.flat()].map(BigInt));
    const stdin = Buffer.concat([new Uint8Array(words.buffer), loaded]);
    const { stdout, exitCode } = Bun.spawnSync([program], { stdin, stdout: "pipe" });
    expect(exitCode).toBe(0);
    const told = [...new BigInt64Array(new Uint8Array(stdout).buffer)].map((result) => {
      const answer = answers[-Number(BigInt.asIntN(32, result)) - FIRST_ERRNO];
      return answer === undefined ? `the call ran: ${result}` : readVerdict(answer);
    });
    const expected = calls.map(([number, argument]) =>
      readVerdict(runFilter(filter, { number, args: [argument], arch: AUDIT_ARCH.i386 })),
    );
    expect(told.map((answer, i) => [...(calls[i] ?? []), answer])).toEqual(
      expected.map((answer, i) => [...(calls[i] ?? []), answer]),
    );
    return told;
  }

  const everyNumber = [...Array(520).keys(), 9999, 0x3fffffff, 0x40000000].map((n): [number, number] => [n, 0]);

  test("are not implemented by default, whatever their number", () => {
    expect(new Set(compareI386(defaultProfile([], ARCH), everyNumber))).toEqual(new Set(["ENOSYS"]));
  });

  test("are filtered with their own numbers where the profile lists them", () => {
    const listed = { ...defaultProfile([], ARCH), architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"] };
    const told = compareI386(listed, everyNumber);
    const [I386_UNSHARE, I386_GETPID, I386_MOUNT] = [310, 20, 21];
    expect([I386_UNSHARE, I386_GETPID, I386_MOUNT].map((number) => told[number])).toEqual(["EPERM", "allow", "EPERM"]);
  });

  test("are compared by the words that the kernel looks at", () => {
    const [PERSONALITY, above] = [136, 2n ** 32n];
    const listed = { ...defaultProfile([], ARCH), architectures: ["SCMP_ARCH_X86"] };
    const calls = [0, 8, 9, 0x20008].flatMap((value): [number, bigint][] => [
      [PERSONALITY, BigInt(value)],
      [PERSONALITY, BigInt(value) + above],
    ]);
    const told = compareI386(listed, calls);
    expect(told).toEqual(["allow", "allow", "allow", "allow", "EPERM", "EPERM", "allow", "allow"]);
  });
});
