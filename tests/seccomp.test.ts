/**
 * Profiles to filters: what they answer, run by a BPF interpreter and compared with tables, with a direct reading of
 * the profile, and with libseccomp where the machine has it.
 * @module
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import {
  compileSeccomp,
  defaultProfile,
  denyLeavingGroup,
  freezeProfile,
  resolveDockerProfile,
  seccompFlags,
} from "../lib/seccomp/index.ts";
import { defaultBlob } from "../lib/seccomp/build.ts";
import type { DockerProfile } from "../lib/seccomp/index.ts";
import { DEFAULT_CAPABILITIES } from "../lib/sandbox/index.ts";
import type { SeccompArgument, SeccompProfile, SeccompRule } from "../lib/spec/index.ts";
import { numberOf, SYSCALLS, TsboxError, type SyscallName } from "../syscalls/index.ts";
import { noLibseccomp, openLibseccomp } from "./libseccomp.ts";
import { ask, AUDIT_ARCH, readVerdict, runFilter } from "./seccomp-bpf.ts";

const ALL = 0xffff_ffff_ffff_ffffn;
const arg = (index: number, op: string, value: number | bigint, valueTwo?: number | bigint) =>
  ({ index, op: `SCMP_CMP_${op}`, value, valueTwo }) as SeccompArgument;
const rule = (name: string, action: string, args?: SeccompArgument[], errnoRet?: number) =>
  ({ names: [name], action: `SCMP_ACT_${action}`, args, errnoRet }) as SeccompRule;
const profile = (defaultAction: string, syscalls: SeccompRule[], rest: object = {}) =>
  ({ defaultAction: `SCMP_ACT_${defaultAction}`, syscalls, ...rest }) as SeccompProfile;

describe("the meaning of a profile", () => {
  test.each<[string, SeccompProfile, SyscallName, (number | bigint)[], string]>([
    ["default errno", profile("ERRNO", [rule("write", "ALLOW")]), "read", [], "EPERM"],
    ["defaultErrnoRet", profile("ERRNO", [rule("write", "ALLOW")], { defaultErrnoRet: 13 }), "read", [], "EACCES"],
    ["errnoRet", profile("ALLOW", [rule("read", "ERRNO", [], 13)]), "read", [], "EACCES"],
    ["errno 0 is success without a call", profile("ALLOW", [rule("read", "ERRNO", [], 0)]), "read", [], "errno 0"],
    ["trace", profile("ALLOW", [rule("read", "TRACE", [], 65535)]), "read", [], "trace 65535"],
    ["trace's default", profile("ALLOW", [rule("read", "TRACE")]), "read", [], "trace 1"],
    ["kill", profile("ALLOW", [rule("read", "KILL")]), "read", [], "kill thread"],
    ["kill process", profile("ALLOW", [rule("read", "KILL_PROCESS")]), "read", [], "kill process"],
    ["trap", profile("ALLOW", [rule("read", "TRAP")]), "read", [], "trap"],
    ["log", profile("LOG", []), "read", [], "log"],
    ["notify", profile("ALLOW", [rule("read", "NOTIFY")]), "read", [], "notify"],
    [
      "a rule that says the default is passed over",
      profile("ERRNO", [rule("read", "ERRNO"), rule("read", "ALLOW")]),
      "read",
      [],
      "allow",
    ],
    [
      "the first rule without conditions wins",
      profile("TRAP", [rule("read", "ALLOW"), rule("read", "ERRNO")]),
      "read",
      [],
      "allow",
    ],
    [
      "it beats conditions before it",
      profile("TRAP", [rule("read", "ERRNO", [arg(0, "EQ", 1)]), rule("read", "ALLOW")]),
      "read",
      [1],
      "allow",
    ],
    [
      "and after it",
      profile("TRAP", [rule("read", "ALLOW"), rule("read", "ERRNO", [arg(0, "EQ", 1)])]),
      "read",
      [1],
      "allow",
    ],
    [
      "a mask of no bits is no condition",
      profile("TRAP", [rule("read", "ERRNO", [arg(0, "EQ", 1)]), rule("read", "ALLOW", [arg(1, "MASKED_EQ", 0, 0)])]),
      "read",
      [1],
      "allow",
    ],
    [
      "equality goes before order",
      profile("TRAP", [rule("read", "ALLOW", [arg(0, "GE", 0)]), rule("read", "ERRNO", [arg(0, "EQ", 1)])]),
      "read",
      [1],
      "EPERM",
    ],
    [
      "else order decides",
      profile("TRAP", [rule("read", "ALLOW", [arg(0, "GE", 0)]), rule("read", "ERRNO", [arg(0, "EQ", 1)])]),
      "read",
      [2],
      "allow",
    ],
    ["no condition holds", profile("TRAP", [rule("read", "ALLOW", [arg(0, "EQ", 1)])]), "read", [2], "trap"],
    [
      "all conditions of a rule hold",
      profile("TRAP", [rule("read", "ALLOW", [arg(0, "EQ", 1), arg(2, "EQ", 3)])]),
      "read",
      [1, 2, 3],
      "allow",
    ],
    [
      "one does not",
      profile("TRAP", [rule("read", "ALLOW", [arg(0, "EQ", 1), arg(2, "EQ", 3)])]),
      "read",
      [1, 2, 4],
      "trap",
    ],
    [
      "two conditions on one argument are alternatives",
      profile("TRAP", [rule("read", "ALLOW", [arg(0, "EQ", 1), arg(0, "EQ", 2)])]),
      "read",
      [2],
      "allow",
    ],
    [
      "bits outside of the mask do not count",
      profile("TRAP", [rule("read", "ALLOW", [arg(0, "MASKED_EQ", 0xff, 0x1101)])]),
      "read",
      [0xee01],
      "allow",
    ],
    [
      "numbers unknown here are passed over",
      profile("TRAP", [rule("no_such_call", "ALLOW"), rule("constructor", "ALLOW")]),
      "read",
      [],
      "trap",
    ],
    ["calls beyond the profile are not implemented", profile("ERRNO", [rule("write", "ALLOW")]), "open", [], "ENOSYS"],
    ["beyond an allowing profile they are allowed", profile("ALLOW", [rule("write", "TRAP")]), "open", [], "allow"],
    [
      "null lists",
      profile("ALLOW", [rule("read", "TRAP", null as never)], { flags: null, architectures: null }),
      "read",
      [],
      "trap",
    ],
  ])("%s", (_, given, name, args, expected) => {
    expect(ask(compileSeccomp(given, "x64"), name, args)).toBe(expected);
  });

  test.each<[string, (have: bigint, want: bigint) => boolean]>([
    ["EQ", (have, want) => have === want],
    ["NE", (have, want) => have !== want],
    ["LT", (have, want) => have < want],
    ["LE", (have, want) => have <= want],
    ["GT", (have, want) => have > want],
    ["GE", (have, want) => have >= want],
  ])("%s compares 64 bits, unsigned", (op, holds) => {
    const words = [0n, 1n, 5n, 6n, 0xffff_ffffn];
    const values = words.flatMap((high) => words.map((low) => (high << 32n) | low));
    for (const want of values) {
      const filter = compileSeccomp(profile("ERRNO", [rule("read", "ALLOW", [arg(3, op, want)])]), "x64");
      const allowed = values.filter((value) => ask(filter, "read", [0, 0, 0, value]) === "allow");
      expect(allowed).toEqual(values.filter((have) => holds(have, want)));
    }
  });

  test("calls of another ABI, that the profile does not list, are not implemented", () => {
    const given = profile("ALLOW", [], { architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_S390X"] });
    const [x64, arm64] = [compileSeccomp(given, "x64"), compileSeccomp(given, "arm64")];
    const say = (filter: Uint8Array, number: number, arch: number) => readVerdict(runFilter(filter, { number, arch }));
    expect(say(x64, 0, AUDIT_ARCH.i386)).toBe("ENOSYS");
    expect(say(x64, 0x40000000, AUDIT_ARCH.x64)).toBe("ENOSYS");
    expect(say(x64, 0x40000000 + 520, AUDIT_ARCH.x64)).toBe("ENOSYS");
    expect([511, 512, 547, 548].map((number) => say(x64, number, AUDIT_ARCH.x64))).toEqual([
      "allow",
      "ENOSYS", // an old kernel takes it for x32's rt_sigaction
      "ENOSYS",
      "allow",
    ]);
    expect(say(x64, 0x3fffffff, AUDIT_ARCH.x64)).toBe("allow");
    expect(say(arm64, 0, AUDIT_ARCH.arm)).toBe("ENOSYS");
    expect(say(arm64, 0, AUDIT_ARCH.x64)).toBe("ENOSYS");
    expect(say(arm64, 0, AUDIT_ARCH.arm64)).toBe("allow");
  });

  test.each<[string[] | undefined, number]>([
    [undefined, 0],
    [[], 0],
    [["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"], 6],
    [["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"], 0],
  ])("the flags %j are %d for seccomp(2)", (flags, expected) => {
    expect(seccompFlags(profile("ALLOW", [], { flags }))).toBe(expected);
    const killable = flags?.some((flag) => flag.endsWith("WAIT_KILLABLE_RECV")) ? 32 : 0;
    const NEW_LISTENER = 8;
    const asking = profile("ALLOW", [rule("read", "NOTIFY")], { flags });
    expect(seccompFlags(asking)).toBe(expected | killable | NEW_LISTENER);
  });
});

describe("a bad profile is refused", () => {
  const condition = (part: object) => profile("ALLOW", [rule("read", "TRAP", [{ ...arg(0, "EQ", 1), ...part }])]);
  test.each<[string, unknown]>([
    ["it is null", null],
    ["it is [1]", [1]],
    ['it is "unconfined"', "unconfined"],
    ["the action of default is undefined", {}],
    ['the action of default is "ALLOW"', { defaultAction: "ALLOW" }],
    ['the action of default is "toString"', { defaultAction: "toString" }],
    ["defaultErrnoRet is 4096", profile("ERRNO", [], { defaultErrnoRet: 4096 })],
    ["defaultErrnoRet is -1", profile("ERRNO", [], { defaultErrnoRet: -1 })],
    ["defaultErrnoRet is set", profile("ALLOW", [], { defaultErrnoRet: 1 })],
    ["syscalls[0].errnoRet is set", profile("TRAP", [rule("read", "ALLOW", [], 1)])],
    ["syscalls[0].errnoRet is 1.5", profile("TRAP", [rule("read", "ERRNO", [], 1.5)])],
    ['syscalls[0].errnoRet is "1"', profile("TRAP", [rule("read", "ERRNO", [], "1" as never)])],
    ["syscalls[0].errnoRet is 65536", profile("TRAP", [rule("read", "TRACE", [], 65536)])],
    ["syscalls is {}", profile("ALLOW", {} as never)],
    ["syscalls[0] is null", profile("ALLOW", [null as never])],
    ["syscalls[0] has no names", profile("ALLOW", [{ action: "SCMP_ACT_TRAP" } as never])],
    ['syscalls[0].names is "read"', profile("ALLOW", [{ names: "read", action: "SCMP_ACT_TRAP" } as never])],
    ['syscalls[0].names has ""', profile("ALLOW", [rule("", "TRAP")])],
    ["syscalls[0].names has 3", profile("ALLOW", [rule(3 as never, "TRAP")])],
    ['the action of syscalls[0] is "SCMP_ACT_NO"', profile("ALLOW", [rule("read", "NO")])],
    ['syscalls[0].args is "x"', profile("ALLOW", [rule("read", "TRAP", "x" as never)])],
    ["syscalls[0].args[0] is 7", profile("ALLOW", [rule("read", "TRAP", [7 as never])])],
    ["syscalls[0].args[0].index is 6", condition({ index: 6 })],
    ["syscalls[0].args[0].index is -1", condition({ index: -1 })],
    ["syscalls[0].args[0].index is 0.5", condition({ index: 0.5 })],
    ["syscalls[0].args[0].index is undefined", condition({ index: undefined })],
    ['syscalls[0].args[0].op is "=="', condition({ op: "==" })],
    ["syscalls[0].args[0].value is undefined", condition({ value: undefined })],
    ["syscalls[0].args[0].value is -1", condition({ value: -1 })],
    ["syscalls[0].args[0].value is 18446744073709552000", condition({ value: 2 ** 64 })],
    ["syscalls[0].args[0].value is 18446744073709551616", condition({ value: ALL + 1n })],
    ['syscalls[0].args[0].valueTwo is "0"', condition({ op: "SCMP_CMP_MASKED_EQ", valueTwo: "0" })],
    ['architecture "amd64" is unknown', profile("ALLOW", [], { architectures: ["amd64"] })],
    ['flag "LOG" is unknown', profile("ALLOW", [], { flags: ["LOG"] })],
    ['flags is "LOG"', profile("ALLOW", [], { flags: "LOG" })],
    ['the profile has "archMap", which is Docker\'s format', profile("ALLOW", [], { archMap: [{}] })],
    [
      'syscalls[0] has "includes", which is Docker\'s format',
      profile("ERRNO", [{ ...rule("bpf", "ALLOW"), includes: { caps: ["CAP_BPF"] } } as never]),
    ],
    [
      "syscalls[0] and syscalls[1] have the same conditions and system call",
      profile("ALLOW", [rule("read", "TRAP", [arg(0, "EQ", 1)]), rule("read", "ERRNO", [arg(0, "EQ", 1)])]),
    ],
  ])("%s", (message, given) => {
    const compile = () => compileSeccomp(given as SeccompProfile, "x64");
    expect(compile).toThrow(TsboxError);
    try {
      compile();
    } catch (error) {
      const { code, hint, message: text } = error as TsboxError;
      expect(text).toBe(`use the seccomp profile: ${message}`);
      expect([code, typeof hint]).toEqual(["invalid_option", "string"]);
    }
  });

  test("too long for the kernel", () => {
    const many = Array.from({ length: 2000 }, (_, value) => rule("read", "TRAP", [arg(0, "EQ", value)]));
    expect(() => compileSeccomp(profile("ALLOW", many), "x64")).toThrow(/it compiles to \d+ instructions/);
  });
});

/** Reads the profile as it is written: no order, no halves, no BPF. Its rules all have the same action. */
function interpret(given: SeccompProfile, name: string, args: bigint[]): boolean {
  const holds = ({ index, op, value, valueTwo }: SeccompArgument) => {
    const [have, want] = [args[index] as bigint, BigInt(value)];
    if (op === "SCMP_CMP_MASKED_EQ") return (have & want) === (BigInt(valueTwo ?? 0) & want);
    if (op === "SCMP_CMP_EQ") return have === want;
    if (op === "SCMP_CMP_NE") return have !== want;
    if (op === "SCMP_CMP_LT") return have < want;
    if (op === "SCMP_CMP_LE") return have <= want;
    return op === "SCMP_CMP_GT" ? have > want : have >= want;
  };
  return (given.syscalls ?? []).some(({ names, args: conditions = [] }) => {
    const repeated = new Set(conditions.map(({ index }) => index)).size < conditions.length;
    return names.includes(name) && (repeated ? conditions.some(holds) : conditions.every(holds));
  });
}

const names = Object.keys(SYSCALLS) as SyscallName[];
/** Few different values, so that arguments meet conditions. */
const someValue = fc.oneof(
  fc.constantFrom(0n, 1n, 2n, 0xffff_ffffn, 0x1_0000_0000n, 0x1_0000_0001n, 0x2_0000_0001n, ALL - 1n, ALL),
  fc.bigInt({ min: 0n, max: ALL }),
);
const someOp = fc.constantFrom("EQ", "NE", "LT", "LE", "GT", "GE", "MASKED_EQ");
const someArgument = fc
  .tuple(fc.integer({ min: 0, max: 5 }), someOp, someValue, someValue)
  .map(([index, op, value, two]) => arg(index, op, value, two));
const someRule = fc
  .tuple(fc.array(fc.constantFrom(...names), { minLength: 1, maxLength: 8 }), fc.array(someArgument, { maxLength: 3 }))
  .map(([of, args]) => ({ ...rule("", "ALLOW", args), names: of }));
const someArgs = fc.array(someValue, { minLength: 6, maxLength: 6 });

describe("any profile", () => {
  test.each(["x64", "arm64"] as const)("is answered as it is written, on %s", (arch) => {
    const rules = fc.array(someRule, { minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(rules, fc.array(someArgs, { minLength: 1, maxLength: 4 }), (syscalls, calls) => {
        const given = profile("TRAP", syscalls);
        const filter = compileSeccomp(given, arch);
        const named = new Set(syscalls.flatMap((one) => one.names));
        for (const name of named) {
          if (numberOf(name, arch) < 0) continue;
          for (const args of calls) {
            expect(ask(filter, name, args, arch)).toBe(interpret(given, name, args) ? "allow" : "trap");
          }
        }
      }),
      { numRuns: 150 },
    );
  });

  test("jumps over more than a byte can say", () => {
    const far = Array.from({ length: 400 }, (_, value) => rule("read", "ALLOW", [arg(0, "EQ", 2 * value)]));
    const filter = compileSeccomp(profile("ERRNO", [...far, rule("write", "ALLOW"), rule("close", "TRAP")]), "x64");
    expect(filter.length / 8).toBeGreaterThan(1500);
    for (let value = 0; value < 802; value++) {
      expect(ask(filter, "read", [value])).toBe(value % 2 === 0 && value < 800 ? "allow" : "EPERM");
    }
    expect([ask(filter, "write"), ask(filter, "close"), ask(filter, "open")]).toEqual(["allow", "trap", "EPERM"]);
    expect(ask(filter, "bpf")).toBe("ENOSYS");
  });
});

function compileOrRefuse(given: SeccompProfile): Uint8Array | undefined {
  try {
    return compileSeccomp(given, "x64");
  } catch {
    return undefined;
  }
}

const askFive = (filter: Uint8Array | undefined) =>
  filter && [0, 1, 2, 3, 4].map((value) => ask(filter, "read", [value, 4 - value]));

describe.skipIf(noLibseccomp !== "")(`libseccomp answers the same${noLibseccomp}`, () => {
  /** Every number up to the last that the profile names; beyond them runc adds a rule of its own. */
  function compare(given: SeccompProfile, calls: (number | bigint)[][]): void {
    const [ours, theirs] = [compileSeccomp(given, "x64"), openLibseccomp()(given)] as const;
    if (!theirs) throw new Error("libseccomp refuses the profile");
    const last = Math.max(
      ...given.syscalls!.flatMap((one) => one.names.map((name) => SYSCALLS[name as SyscallName]?.[0] ?? 0)),
    );
    for (let number = 0; number <= last; number++) {
      for (const args of calls) {
        const say = (filter: Uint8Array) => readVerdict(runFilter(filter, { number, args }));
        if (say(ours) !== say(theirs)) expect([number, args, say(ours)]).toEqual([number, args, say(theirs)]);
      }
    }
    expect(runFilter(ours, { number: 0x40000000 })).toBe(runFilter(theirs, { number: 0x40000000 }));
    expect(runFilter(ours, { number: 0, arch: AUDIT_ARCH.i386 })).toBe(
      runFilter(theirs, { number: 0, arch: AUDIT_ARCH.i386 }),
    );
  }

  const telling = [0, 1, 8, 38, 39, 40, 0x5412, 0x541c, 0x20000, 0x20008, 0x10000000, 0xffffffff, 0x1_0000_0028, ALL];
  const calls = telling.flatMap((value) => [[value], [3, value], [16, 3, 9], [16, 3, value]]);

  test.each([[[]], [["CAP_SYS_ADMIN", "CAP_SYS_PTRACE"]]])("for the default profile with %j", (capabilities) => {
    compare(defaultProfile(capabilities, "x64"), calls);
    compare(denyLeavingGroup(defaultProfile(capabilities, "x64")), calls);
  });

  test.skipIf(!existsSync("/usr/share/containers/seccomp.json"))("for Podman's profile", () => {
    const given = JSON.parse(readFileSync("/usr/share/containers/seccomp.json", "utf8")) as DockerProfile;
    const { archMap: _, ...native } = given;
    compare(resolveDockerProfile(native, { arch: "x64", capabilities: ["CAP_CHOWN"], kernelRelease: "6.1" }), calls);
  });

  /**
   * All pairs of conditions, each in a rule of its own. Enumerated, not random: there are rules over which libseccomp
   * 2.5.4 never comes to an end; and with values above 32 bits it confuses upper halves ("less than 0" or "greater than
   * 2^32" holds for 1), so there only the reading above is a measure.
   */
  const conditions = [0, 1, 2, 3].flatMap((value) => [
    ...["EQ", "NE", "LT", "LE", "GT", "GE"].map((op) => arg(0, op, value)),
    arg(0, "MASKED_EQ", 0xffffffff, value),
    arg(0, "MASKED_EQ", 3, value),
    arg(1, "EQ", value),
    arg(1, "GT", value),
  ]);

  test.each([
    ["one action", "ALLOW", "ALLOW"],
    ["two actions", "ALLOW", "ERRNO"],
  ])("for two rules of %s", (_, ...actions) => {
    const load = openLibseccomp();
    for (const [first, second] of conditions.flatMap((one) => conditions.map((other) => [one, other] as const))) {
      // these stay in the profile's order there
      if ([first.op, second.op].toSorted().join() === "SCMP_CMP_MASKED_EQ,SCMP_CMP_NE") continue;
      const given = profile("TRAP", [
        rule("read", actions[0] as string, [first]),
        rule("read", actions[1] as string, [second]),
      ]);
      const [ours, theirs] = [compileOrRefuse(given), load(given)];
      expect([first, second, askFive(ours)]).toEqual([first, second, askFive(theirs)]);
    }
  });
});

describe("the default profile", () => {
  const NEWUSER = 0x10000000;
  const THREAD = 0x3d0f00; // what pthread_create passes
  /** No capability; and with the one that is named. */
  const table: [SyscallName, (number | bigint)[], string, string?][] = [
    ["mount", [], "EPERM", "CAP_SYS_ADMIN"],
    ["umount2", [], "EPERM", "CAP_SYS_ADMIN"],
    ["fsopen", [], "EPERM", "CAP_SYS_ADMIN"],
    ["open_tree", [], "EPERM", "CAP_SYS_ADMIN"],
    ["move_mount", [], "EPERM", "CAP_SYS_ADMIN"],
    ["mount_setattr", [], "EPERM", "CAP_SYS_ADMIN"],
    ["pivot_root", [], "EPERM"],
    ["chroot", [], "EPERM", "CAP_SYS_CHROOT"],
    ["bpf", [], "EPERM", "CAP_BPF"],
    ["bpf", [], "EPERM", "CAP_SYS_ADMIN"],
    ["perf_event_open", [], "EPERM", "CAP_PERFMON"],
    ["keyctl", [], "EPERM"],
    ["add_key", [], "EPERM"],
    ["request_key", [], "EPERM"],
    ["userfaultfd", [], "EPERM"],
    ["io_uring_setup", [], "EPERM"],
    ["io_uring_enter", [], "EPERM"],
    ["io_uring_register", [], "EPERM"],
    ["kexec_load", [], "EPERM"],
    ["kexec_file_load", [], "EPERM"],
    ["init_module", [], "EPERM", "CAP_SYS_MODULE"],
    ["finit_module", [], "EPERM", "CAP_SYS_MODULE"],
    ["delete_module", [], "EPERM", "CAP_SYS_MODULE"],
    ["open_by_handle_at", [], "EPERM", "CAP_DAC_READ_SEARCH"],
    ["setns", [], "EPERM", "CAP_SYS_ADMIN"],
    ["unshare", [NEWUSER], "EPERM", "CAP_SYS_ADMIN"],
    ["unshare", [0], "EPERM", "CAP_SYS_ADMIN"],
    ["clone", [NEWUSER], "EPERM", "CAP_SYS_ADMIN"],
    ["clone", [0x20000 | 17], "EPERM", "CAP_SYS_ADMIN"],
    ["clone", [THREAD], "allow"],
    ["clone", [17], "allow"],
    ["clone3", [], "ENOSYS", "CAP_SYS_ADMIN"],
    ["fork", [], "allow"],
    ["swapon", [], "EPERM"],
    ["swapoff", [], "EPERM"],
    ["reboot", [], "EPERM", "CAP_SYS_BOOT"],
    ["acct", [], "EPERM", "CAP_SYS_PACCT"],
    ["iopl", [], "EPERM", "CAP_SYS_RAWIO"],
    ["settimeofday", [], "EPERM", "CAP_SYS_TIME"],
    ["syslog", [], "EPERM", "CAP_SYSLOG"],
    ["sethostname", [], "EPERM", "CAP_SYS_ADMIN"],
    ["quotactl", [], "EPERM", "CAP_SYS_ADMIN"],
    ["mbind", [], "EPERM", "CAP_SYS_NICE"],
    ["kcmp", [], "EPERM", "CAP_SYS_PTRACE"],
    ["pidfd_getfd", [], "EPERM", "CAP_SYS_PTRACE"],
    ["ptrace", [], "allow"],
    ["process_vm_readv", [], "allow"],
    ["modify_ldt", [], "EPERM"],
    ["uselib", [], "EPERM"],
    ["personality", [0], "allow"],
    ["personality", [0xffffffff], "allow"],
    ["personality", [0x40000], "EPERM"], // ADDR_NO_RANDOMIZE
    ["socket", [1, 1, 0], "allow"],
    ["socket", [16, 3, 9], "allow"],
    ["socket", [38, 5, 0], "EAFNOSUPPORT"], // AF_ALG
    ["socket", [40, 1, 0], "EAFNOSUPPORT"], // AF_VSOCK
    ["socket", [0x1_0000_0028, 1, 0], "EAFNOSUPPORT"],
    ["socket", [39, 1, 0], "allow"],
    ["ioctl", [0, 0x5401], "allow"], // TCGETS
    ["ioctl", [0, 0x5412], "EIO"], // TIOCSTI
    ["ioctl", [0, 0x541c], "EIO"], // TIOCLINUX
    ["ioctl", [0, 0x1_0000_5412], "EIO"],
    ["ioctl", [0, 0xffff_ffff_8004_5430n], "allow"], // TIOCGPTN as musl passes it: sign-extended
    ["file_setattr", [], "ENOSYS"], // newer than the profile
  ];
  test.each(table.map((row) => [row] as const))("answers %p", ([name, args, expected, capability]) => {
    for (const arch of ["x64", "arm64"] as const) {
      if (numberOf(name, arch) < 0) continue;
      expect(ask(compileSeccomp(defaultProfile([], arch), arch), name, args, arch)).toBe(expected);
      if (!capability) continue;
      expect(ask(compileSeccomp(defaultProfile([capability], arch), arch), name, args, arch)).toBe("allow");
    }
  });

  test.each(["x64", "arm64"] as const)("lets everyday programs run on %s", (arch) => {
    const filter = compileSeccomp(defaultProfile([], arch), arch);
    const everyday =
      "read write openat close fstat mmap mprotect munmap brk rt_sigaction pread64 access pipe2 poll ppoll select execve exit_group wait4 kill getrandom statx newfstatat prlimit64 futex set_robust_list rseq clock_gettime clock_nanosleep epoll_create1 epoll_ctl epoll_pwait eventfd2 timerfd_create inotify_init1 sendmsg recvmsg connect bind listen accept4 getdents64 readlinkat faccessat2 fchownat renameat2 copy_file_range memfd_create pidfd_open sched_getaffinity sysinfo setsid setpgid mknodat chown setuid setgroups landlock_create_ruleset seccomp prctl statmount";
    const denied = everyday.split(" ").filter((name) => {
      return numberOf(name as SyscallName, arch) >= 0 && ask(filter, name as SyscallName, [], arch) !== "allow";
    });
    expect(denied).toEqual([]);
  });

  test("is short, made once for the same capabilities, and compiled once", () => {
    for (const arch of ["x64", "arm64"] as const) {
      const one = defaultProfile(["CAP_CHOWN", "CAP_SYS_ADMIN"], arch);
      expect(defaultProfile(["CAP_SYS_ADMIN", "CAP_KILL"], arch)).toBe(one);
      expect(defaultProfile([], arch)).not.toBe(one);
      expect(compileSeccomp(one, arch)).toBe(compileSeccomp(one, arch));
      expect(compileSeccomp(defaultProfile([], arch), arch).length / 8).toBeLessThan(150);
      expect(Object.isFrozen(one.syscalls![0]!.names)).toBe(true);
    }
  });

  test("a profile that may still change is compiled anew", () => {
    const given = profile("ALLOW", []);
    expect(ask(compileSeccomp(given, "x64"), "read")).toBe("allow");
    given.syscalls!.push(rule("read", "TRAP"));
    expect(ask(compileSeccomp(given, "x64"), "read")).toBe("trap");
    expect(compileSeccomp(freezeProfile(given), "x64")).toBe(compileSeccomp(given, "x64"));
  });
});

describe("denyLeavingGroup", () => {
  const conditional = [rule("setpgid", "ALLOW", [arg(0, "EQ", 0)])];
  test.each<[string, SeccompProfile | undefined, string]>([
    ["no profile", undefined, "allow"],
    ["the default profile", defaultProfile([], "x64"), "allow"],
    [
      "a profile that allows them",
      profile("ERRNO", [{ names: ["read", "setsid", "setpgid"], action: "SCMP_ACT_ALLOW" }]),
      "allow",
    ],
    ["a profile that allows them sometimes", profile("ERRNO", [...conditional, rule("read", "ALLOW")]), "allow"],
    ["a profile without rules", profile("LOG", []), "log"],
  ])("of %s", (_, given, others) => {
    const filter = compileSeccomp(denyLeavingGroup(given), "x64");
    expect([ask(filter, "setsid"), ask(filter, "setpgid"), ask(filter, "read")]).toEqual(["EPERM", "EPERM", others]);
  });

  test.each([null, { syscalls: 3 }, { syscalls: [null] }, { syscalls: [{}] }])("leaves %j to be refused", (given) => {
    const attempt = () => compileSeccomp(denyLeavingGroup(given as never), "x64");
    expect(attempt).toThrow(expect.objectContaining({ code: "invalid_option" }));
  });

  test("is the same object for the same frozen profile", () => {
    expect(denyLeavingGroup()).toBe(denyLeavingGroup());
    expect(denyLeavingGroup(defaultProfile([], "x64"))).toBe(denyLeavingGroup(defaultProfile([], "x64")));
  });
});

describe("Docker's format", () => {
  const facts = { arch: "x64", capabilities: ["CAP_BPF"], kernelRelease: "6.1.0-31-amd64" } as const;
  test.each<[string, object, string]>([
    ["no condition", { includes: {}, excludes: {} }, "allow"],
    ["a capability that is there", { includes: { caps: ["CAP_BPF"] } }, "allow"],
    ["all capabilities are needed", { includes: { caps: ["CAP_BPF", "CAP_SYS_ADMIN"] } }, "EPERM"],
    ["one of the architectures is enough", { includes: { arches: ["arm64", "amd64"] } }, "allow"],
    ["another architecture", { includes: { arches: ["s390x"] } }, "EPERM"],
    ["an older kernel", { includes: { minKernel: "4.8" } }, "allow"],
    ["a newer kernel", { includes: { minKernel: "6.2" } }, "EPERM"],
    ["excluded by a capability", { excludes: { caps: ["CAP_SYS_ADMIN", "CAP_BPF"] } }, "EPERM"],
    ["not excluded", { excludes: { caps: ["CAP_SYS_ADMIN"], arches: ["arm64"] } }, "allow"],
    ["a single name", { names: undefined, name: "bpf" }, "allow"],
    ["an errno by its name", { action: "SCMP_ACT_ERRNO", errno: "EACCES" }, "EACCES"],
  ])("%s", (_, part, expected) => {
    const given = {
      defaultAction: "SCMP_ACT_ERRNO",
      syscalls: [{ names: ["bpf"], action: "SCMP_ACT_ALLOW", ...part }],
    };
    expect(ask(compileSeccomp(resolveDockerProfile(given as DockerProfile, facts), "x64"), "bpf")).toBe(expected);
  });

  test("archMap becomes architectures", () => {
    const archMap = [{ architecture: "SCMP_ARCH_X86_64", subArchitectures: ["SCMP_ARCH_X86"] }];
    const resolved = resolveDockerProfile({ defaultAction: "SCMP_ACT_ALLOW", defaultErrno: "", archMap }, facts);
    expect(resolved).toEqual({
      defaultAction: "SCMP_ACT_ALLOW",
      architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
      syscalls: [],
    });
  });

  test.each<[object, string]>([
    [{ archMap: [{ architecture: "x" }], architectures: ["y"] }, "it has both architectures and archMap"],
    [{ syscalls: [{ name: "a", names: ["b"] }] }, "syscalls[0] has both name and names"],
    [null as never, "it is no object"],
    [{ syscalls: [null] }, "syscalls[0] is no object"],
    [{ syscalls: [{ names: ["a"], errno: "ENO" }] }, 'errno "ENO" is unknown'],
    [{ syscalls: [{ names: ["a"], includes: { minKernel: "new" } }] }, 'minKernel "new" is no version'],
  ])("%j is refused", (given, message) => {
    const error = { code: "invalid_option", message: `resolve the seccomp profile: ${message}` };
    expect(() => resolveDockerProfile(given as DockerProfile, facts)).toThrow(expect.objectContaining(error));
  });

  test.each([{ syscalls: 1 }, { archMap: "x" }, { syscalls: [{ includes: { caps: "CAP_BPF" } }] }])(
    "%j is refused",
    (given) => {
      const attempt = () => resolveDockerProfile(given as never, facts);
      expect(attempt).toThrow(expect.objectContaining({ code: "invalid_option" }));
    },
  );
});

test("default.blob.ts is what the default profile compiles to", () => {
  const file = join(import.meta.dirname, "../lib/seccomp/default.blob.ts");
  expect(readFileSync(file, "utf8")).toBe(defaultBlob());
  for (const arch of ["x64", "arm64"] as const) {
    const remembered = compileSeccomp(defaultProfile(DEFAULT_CAPABILITIES, arch), arch);
    const fresh = compileSeccomp(structuredClone(defaultProfile(DEFAULT_CAPABILITIES, arch)), arch);
    expect(remembered).toEqual(fresh);
  }
});
