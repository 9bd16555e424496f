/** System call numbers, error numbers and constants against the C headers of both architectures. @module */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CAPABILITIES, flags, RLIMITS } from "../lib/plan/constants.ts";
import { ERRNO, errnoName } from "../syscalls/errno.ts";
import { SYSCALLS } from "../syscalls/numbers.ts";
import { ARCHES, evaluate, macros, missingCompiler } from "./headers.ts";

/** Values of the macros that begin with `prefix`, without the prefix. */
function valuesOf(arch: (typeof ARCHES)[number], headers: string[], prefix: string): Map<string, number> {
  const names = macros(arch, headers, prefix).filter((name) => !NOT_VALUES.has(name));
  const values = evaluate(arch, headers, names);
  return new Map(names.map((name, index) => [name.slice(prefix.length), values[index] as number]));
}
/** A count, and the begin of a range. */
const NOT_VALUES = new Set(["__NR_syscalls", "__NR_arch_specific_syscall"]);

describe.each(ARCHES)("%s", (arch) => {
  const column = arch === "x64" ? 0 : 1;
  const reason = missingCompiler(arch);
  const ours = Object.entries(SYSCALLS).map(([name, numbers]): [string, number] => [name, numbers[column]]);

  test("no two system calls have the same number", () => {
    const numbers = ours.map(([, number]) => number).filter((number) => number >= 0);
    expect(numbers.filter((number, index) => numbers.indexOf(number) !== index)).toEqual([]);
  });

  test.skipIf(reason !== "")(`every system call of the headers has their number${reason}`, () => {
    const theirs = valuesOf(arch, ["asm/unistd.h"], "__NR_");
    expect(theirs.size).toBeGreaterThan(300);
    expect(Object.fromEntries(theirs)).toEqual(Object.fromEntries(ours.filter(([name]) => theirs.has(name))));
  });

  test.skipIf(reason !== "")(`system calls that the headers lack are newer than they${reason}`, () => {
    const theirs = valuesOf(arch, ["asm/unistd.h"], "__NR_");
    const newest = Math.max(...theirs.values());
    const others = ours.filter(([name, number]) => number >= 0 && !theirs.has(name) && number <= newest);
    expect(others.filter(([name]) => !NEWER_WITH_OLD_NUMBERS.has(name))).toEqual([]);
  });

  test.skipIf(reason !== "")(`error numbers${reason}`, () => {
    const theirs = valuesOf(arch, ["errno.h"], "E");
    expect(theirs.size).toBeGreaterThan(130);
    for (const [name, errno] of Object.entries(ERRNO)) expect(theirs.get(name.slice(1)), name).toBe(errno);
    // what has several names is told by the one that strace(1) and the kernel's sources use
    const synonyms = ["WOULDBLOCK", "DEADLOCK", "NOTSUP"];
    const missing = [...theirs.keys()].filter((name) => !(`E${name}` in ERRNO) && !synonyms.includes(name));
    expect(missing).toEqual([]);
  });

  test.skipIf(reason !== "")(`the plan's constants, as far as the headers know them${reason}`, () => {
    const kernel = macros(arch, KERNEL_HEADERS, "").filter((name) => tableNames().includes(name));
    const library = macros(arch, LIBRARY_HEADERS, "").filter((name) => tableNames().includes(name));
    const enumerated = tableNames().filter((name) => name.startsWith("FSCONFIG_"));
    const unknown = tableNames().filter((name) => ![...kernel, ...library, ...enumerated].includes(name));
    expect(unknown.filter((name) => !NEWER_CONSTANTS.has(name))).toEqual([]);
    const groups: [string[], string[]][] = [
      [KERNEL_HEADERS, [...kernel, ...enumerated]],
      [LIBRARY_HEADERS, library],
    ];
    for (const [headers, names] of groups) {
      const values = evaluate(arch, headers, names);
      const theirs = Object.fromEntries(names.map((name, index) => [name, values[index] as number]));
      expect(Object.fromEntries(names.map((name) => [name, flags(name as Constant).value as number]))).toEqual(theirs);
    }
  });

  test.skipIf(reason !== "")(`capabilities and resource limits are in the order of their numbers${reason}`, () => {
    const last = evaluate(arch, KERNEL_HEADERS, ["CAP_LAST_CAP", "RLIM_NLIMITS"]);
    expect([CAPABILITIES.length - 1, RLIMITS.length]).toEqual(last);
    for (const names of [CAPABILITIES, RLIMITS])
      expect(evaluate(arch, KERNEL_HEADERS, names)).toEqual([...names.keys()]);
  });
});

/** x86-64 has a gap at 335, which newer calls fill. */
const NEWER_WITH_OLD_NUMBERS = new Set(["uretprobe", "uprobe"]);

/** Constants of lib/plan that Debian 12's headers do not know yet. */
const NEWER_CONSTANTS = new Set<string>([]);

/** The kernel's and the C library's headers redefine some of each other, so they are asked one after the other. */
const KERNEL_HEADERS = (
  "sched fcntl mount prctl seccomp sockios capability resource futex close_range openat2 stat wait memfd signal " +
  "securebits landlock magic"
)
  .split(" ")
  .map((name) => `linux/${name}.h`);
const LIBRARY_HEADERS = ["socket", "mount", "signalfd", "wait", "poll", "ioctl", "mman", "stat", "file", "eventfd"]
  .map((name) => `sys/${name}.h`)
  .concat("fcntl.h", "signal.h", "netinet/in.h", "net/if.h", "sys/un.h");

type Constant = Parameters<typeof flags>[number];

/** The names in the table of constants.ts. */
function tableNames(): string[] {
  const source = readFileSync(join(import.meta.dirname, "../lib/plan/constants.ts"), "utf8");
  return [...source.matchAll(/^ {2}([A-Z][A-Z0-9_]+): (?:-?\d|0x)/gm)].map((match) => match[1] as string);
}

test("a number without a name is told as a number", () => {
  expect([errnoName(2), errnoName(11), errnoName(95), errnoName(35), errnoName(999)]).toEqual([
    "ENOENT",
    "EAGAIN",
    "EOPNOTSUPP",
    "EDEADLK",
    "errno 999",
  ]);
});
