/**
 * The other ABIs of a machine: their numbers against C headers and libseccomp, and what a profile that lists them says
 * of their calls.
 * @module
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { existsSync, readFileSync } from "node:fs";
import { compileSeccomp, resolveDockerProfile, type DockerProfile } from "../lib/seccomp/index.ts";
// not a face: the tables are compared
import { ABIS, type Abi } from "../lib/seccomp/abi.ts";
import type { SeccompArgument, SeccompProfile, SeccompRule } from "../lib/spec/index.ts";
import { evaluate, macros, missingCompiler } from "./headers.ts";
import { noLibseccomp, numberAsLibseccomp, openLibseccomp } from "./libseccomp.ts";
import { AUDIT_ARCH, readVerdict, runFilter } from "./seccomp-bpf.ts";

const X32_BIT = 0x40000000;
const [, x32, i386] = ABIS.x64 as [Abi, Abi, Abi];
const [, arm] = ABIS.arm64 as [Abi, Abi];

function headerNumbers(header: string): Map<string, number> {
  const names = macros("x64", [header], "__NR_");
  // the first one has the bit of x32
  const values = evaluate("x64", ["asm/unistd.h", header], names);
  return new Map(names.map((name, index) => [name.slice("__NR_".length), values[index] as number]));
}

describe("numbers", () => {
  const reason = missingCompiler("x64");

  test.skipIf(reason !== "")(`of i386 are those of the headers${reason}`, () => {
    const theirs = headerNumbers("asm/unistd_32.h");
    expect(theirs.size).toBeGreaterThan(430);
    for (const [name, number] of theirs) expect([name, i386.numbers(name)]).toEqual([name, [number]]);
  });

  test.skipIf(reason !== "")(`of x32 are those of the headers, and of x86-64 where they have none${reason}`, () => {
    const theirs = headerNumbers("asm/unistd_x32.h");
    theirs.delete("_X32_SYSCALL_BIT");
    expect(theirs.size).toBeGreaterThan(340);
    for (const [name, number] of theirs) expect([name, x32.numbers(name).at(-1)]).toEqual([name, number - X32_BIT]);
  });

  test.skipIf(noLibseccomp !== "")(`of 32-bit ARM and i386 are those of libseccomp${noLibseccomp}`, () => {
    const numberOf = numberAsLibseccomp();
    const names = macros("x64", ["asm/unistd_32.h"], "__NR_").map((name) => name.slice("__NR_".length));
    names.push(..."send recv arm_fadvise64_64 arm_sync_file_range pciconfig_read".split(" "));
    names.push(..."breakpoint cacheflush usr26 usr32 set_tls get_tls futex_wait".split(" "));
    // ARM has a number for memfd_secret, and no such call
    for (const name of names.filter((one) => one !== "memfd_secret")) {
      for (const abi of [arm, i386]) {
        const number = numberOf(abi.name, name);
        // libseccomp has a number of its own for what it adds to a multiplexer as well
        if (number < 0 && abi.multiplexers.some(({ calls }) => calls.has(name))) continue;
        expect([abi.name, name, abi.numbers(name)]).toEqual([abi.name, name, number < 0 ? [] : [number]]);
      }
    }
  });
});

const arg = (index: number, op: string, value: number | bigint, valueTwo?: number | bigint) =>
  ({ index, op: `SCMP_CMP_${op}`, value, valueTwo }) as SeccompArgument;
const rule = (names: string, action: string, args?: SeccompArgument[], errnoRet?: number) =>
  ({ names: names.split(" "), action: `SCMP_ACT_${action}`, args, errnoRet }) as SeccompRule;
const listing = (defaultAction: string, syscalls: SeccompRule[]): SeccompProfile => ({
  defaultAction: `SCMP_ACT_${defaultAction}` as SeccompProfile["defaultAction"],
  architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
  syscalls,
});
const asI386 = (given: SeccompProfile, number: number, ...args: (number | bigint)[]) =>
  readVerdict(runFilter(compileSeccomp(given, "x64"), { number, args, arch: AUDIT_ARCH.i386 }));
const asX64 = (given: SeccompProfile, number: number, ...args: (number | bigint)[]) =>
  readVerdict(runFilter(compileSeccomp(given, "x64"), { number, args, arch: AUDIT_ARCH.x64 }));
const asArm = (given: SeccompProfile, number: number, ...args: (number | bigint)[]) =>
  readVerdict(runFilter(compileSeccomp(given, "arm64"), { number, args, arch: AUDIT_ARCH.arm }));

describe("a profile that lists other ABIs", () => {
  test("means a call by its name, whatever its number", () => {
    const given = listing("ERRNO", [rule("getpid", "ALLOW"), rule("kill", "TRAP"), rule("mseal", "LOG")]);
    expect([39, X32_BIT + 39].map((number) => asX64(given, number))).toEqual(["allow", "allow"]);
    expect([20, 37, 39, 462, 463].map((number) => asI386(given, number))).toEqual([
      "allow",
      "trap",
      "EPERM",
      "log",
      "ENOSYS",
    ]);
    expect([20, 37, 39, 462, 463].map((number) => asArm(given, number))).toEqual([
      "allow",
      "trap",
      "EPERM",
      "log",
      "ENOSYS",
    ]);
  });

  test("means both numbers that x32 has for a call", () => {
    const given = listing("ALLOW", [rule("execve", "TRAP")]);
    const numbers = [59, X32_BIT + 59, X32_BIT + 520, X32_BIT + 521];
    expect(numbers.map((number) => asX64(given, number))).toEqual(["trap", "trap", "trap", "allow"]);
    expect(asX64(given, 520)).toBe("ENOSYS");
  });

  test("does not let ARM's private numbers say how new the profile is", () => {
    const given = listing("ERRNO", [rule("read set_tls", "ALLOW")]);
    expect([3, 2, 4, 0xf0005, 0xf0004].map((number) => asArm(given, number))).toEqual([
      "allow",
      "EPERM",
      "ENOSYS",
      "allow",
      "ENOSYS",
    ]);
  });

  test.each(["EQ", "NE", "LT", "LE", "GT", "GE"])("%s compares the lower word of a 32-bit argument", (op) => {
    const words = [0, 1, 5, 6, 0xffffffff];
    const holds: Record<string, (a: number, b: number) => boolean> = {
      EQ: (a, b) => a === b,
      NE: (a, b) => a !== b,
      LT: (a, b) => a < b,
      LE: (a, b) => a <= b,
      GT: (a, b) => a > b,
      GE: (a, b) => a >= b,
    };
    for (const want of words) {
      const given = listing("ERRNO", [rule("kill", "ALLOW", [arg(1, op, want)])]);
      for (const have of words) {
        const expected = holds[op]?.(have, want) ? "allow" : "EPERM";
        // a 64-bit program that makes an i386 call: its registers are wider than what the kernel takes of them
        for (const above of [0n, 1n, 0xffffffffn]) {
          const value = (above << 32n) | BigInt(have);
          expect([op, want, value, asI386(given, 37, 0, value)]).toEqual([op, want, value, expected]);
        }
      }
    }
  });

  test("minus one is minus one for 32 bits, too", () => {
    const given = listing("ALLOW", [rule("kill", "TRAP", [arg(0, "EQ", 0xffff_ffff_ffff_ffffn)])]);
    expect([asI386(given, 37, 0xffffffff), asI386(given, 37, 1)]).toEqual(["trap", "allow"]);
  });
});

describe("socketcall and ipc, which stand for many calls", () => {
  const [SOCKETCALL, IPC] = [102, 117];
  const [SOCKET, CONNECT, SENDMSG] = [1, 3, 16];

  test("go by the rules of those", () => {
    const given = listing("ERRNO", [rule("socket semop", "ALLOW"), rule("connect shmget", "TRAP")]);
    const parts = [SOCKET, CONNECT, SENDMSG, 2 ** 32 + SOCKET];
    expect(parts.map((part) => asI386(given, SOCKETCALL, part))).toEqual(["allow", "trap", "EPERM", "allow"]);
    expect([1, 0x10001, 23, 2].map((part) => asI386(given, IPC, part))).toEqual(["allow", "allow", "trap", "EPERM"]);
  });

  test("are no way around a condition: the strictest answer stands", () => {
    const allowing = listing("ALLOW", [rule("socket", "ERRNO", [arg(0, "EQ", 40)], 13)]);
    expect([asI386(allowing, 359, 40), asI386(allowing, 359, 2)]).toEqual(["EACCES", "allow"]);
    expect([asI386(allowing, SOCKETCALL, SOCKET), asI386(allowing, SOCKETCALL, CONNECT)]).toEqual(["EACCES", "allow"]);
    const refusing = listing("ERRNO", [rule("socket", "ALLOW", [arg(0, "EQ", 1)])]);
    expect([asI386(refusing, 359, 1), asI386(refusing, SOCKETCALL, SOCKET)]).toEqual(["allow", "EPERM"]);
  });

  test("by a rule of their own mean what has none", () => {
    const given = listing("ERRNO", [rule("socketcall", "ALLOW"), rule("socket", "TRAP", [arg(0, "EQ", 40)])]);
    expect([SOCKET, CONNECT].map((part) => asI386(given, SOCKETCALL, part))).toEqual(["trap", "allow"]);
  });
});

describe.skipIf(noLibseccomp !== "")(`libseccomp answers the same for other ABIs${noLibseccomp}`, () => {
  const multiplexers = ["socketcall", "ipc"];
  const numberOf = noLibseccomp === "" ? numberAsLibseccomp() : () => -1;
  const load = noLibseccomp === "" ? openLibseccomp() : () => undefined;
  const known = (abi: string, names: string[]) =>
    names.filter((name) => numberOf("SCMP_ARCH_X86_64", name) !== -1 && numberOf(abi, name) >= 0);

  /** Every call of both tables that libseccomp knows, asked by its number. */
  function compare(given: SeccompProfile, names: string[], calls: number[][]): void {
    const [ours, theirs] = [compileSeccomp(given, "x64"), load(given)];
    if (!theirs) throw new Error("libseccomp refuses the profile");
    const ask = (name: string, number: number, arch: number) => {
      for (const args of calls) {
        const [mine, other] = [ours, theirs].map((filter) => readVerdict(runFilter(filter, { number, args, arch })));
        if (mine !== other) expect([name, number, args, mine]).toEqual([name, number, args, other]);
      }
    };
    for (const name of known("SCMP_ARCH_X86", names)) {
      if (!multiplexers.includes(name)) ask(name, numberOf("SCMP_ARCH_X86", name), AUDIT_ARCH.i386);
    }
    for (const name of known("SCMP_ARCH_X32", names)) ask(name, numberOf("SCMP_ARCH_X32", name), AUDIT_ARCH.x64);
  }

  const everyName = macros("x64", ["asm/unistd_32.h"], "__NR_").map((name) => name.slice("__NR_".length));
  const architectures = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"];
  const telling = [0, 1, 8, 38, 40, 0x20008, 0x10000000, 0xffffffff].flatMap((value) => [[value], [3, value, 1]]);

  test.skipIf(!existsSync("/usr/share/containers/seccomp.json"))("for Podman's profile", () => {
    const given = JSON.parse(readFileSync("/usr/share/containers/seccomp.json", "utf8")) as DockerProfile;
    const facts = { arch: "x64", capabilities: ["CAP_CHOWN"], kernelRelease: "6.1" } as const;
    const resolved = resolveDockerProfile(given, facts);
    expect(resolved.architectures).toEqual(architectures);
    compare(resolved, everyName, telling);
  });

  test("for any profile with one action", () => {
    // with a call that only i386 has, libseccomp 2.5.4 confuses conditions of others (waitid EQ 0 and umount)
    const everywhere = known("SCMP_ARCH_X86", everyName).filter((name) => numberOf("SCMP_ARCH_X86_64", name) >= 0);
    const someNames = fc.array(fc.constantFrom(...everywhere.filter(notMultiplexed)), {
      minLength: 1,
      maxLength: 12,
    });
    const someValue = fc.constantFrom(0, 1, 2, 3, 0xfffffffe, 0xffffffff);
    const someArg = fc
      .tuple(fc.integer({ min: 0, max: 2 }), fc.constantFrom("EQ", "NE"), someValue)
      .map(([index, op, value]) => arg(index, op, value));
    const someRule = fc
      .tuple(someNames, fc.array(someArg, { maxLength: 1 }))
      .map(([names, args]) => ({ ...rule("", "ALLOW", args), names }));
    fc.assert(
      fc.property(fc.array(someRule, { minLength: 1, maxLength: 8 }), (syscalls) => {
        const names = syscalls.flatMap((one) => one.names);
        compare({ defaultAction: "SCMP_ACT_TRAP", architectures, syscalls }, names, [[0], [1], [2, 1], [3, 3, 3]]);
      }),
      { numRuns: 60 },
    );
  });

  function notMultiplexed(name: string): boolean {
    return !multiplexers.includes(name) && !i386.multiplexers.some(({ calls }) => calls.has(name));
  }
});
