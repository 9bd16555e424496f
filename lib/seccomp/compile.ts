/**
 * Compiles an OCI seccomp profile to a classic BPF program: a binary search over ranges of system call numbers.
 *
 * The filter speaks of the machine's own 64-bit system calls. Those of another ABI (i386 and x32 on x86-64, 32-bit ARM
 * on aarch64) fail with ENOSYS whatever `architectures` lists, so 32-bit programs do not run under a filter: their
 * numbers mean other calls, and no table of them is here.
 * @module
 * @see seccomp(2)
 */
import { TsboxError, type Arch } from "../../syscalls/index.ts";
import type { SeccompProfile } from "../spec/index.ts";
import { AND, Assembler, JEQ, JGE, JGT, LD, type Label } from "./assembler.ts";
import { NOT_IMPLEMENTED, readRules, type Alternative, type Condition, type Rules } from "./rules.ts";

const AUDIT_ARCH = { x64: 0xc000003e, arm64: 0xc00000b7 };
/** `__X32_SYSCALL_BIT` */
const X32 = 0x40000000;
/** Offsets in `struct seccomp_data`; an argument is two words, the lower one first. */
const [NUMBER, ARCHITECTURE, ARGUMENTS] = [0, 4, 16];
/** `BPF_MAXINSNS` */
const MAX_INSTRUCTIONS = 4096;

const compiled = new WeakMap<SeccompProfile, Partial<Record<Arch, Uint8Array>>>();

/**
 * An array of `struct sock_filter`. A profile that is frozen ({@link freezeProfile}; the default ones are) is compiled
 * once: the array is shared, do not write to it.
 * @throws TsboxError `invalid_option`; `unsupported` for SCMP_ACT_NOTIFY
 */
export function compileSeccomp(profile: SeccompProfile, arch: Arch): Uint8Array {
  const known = compiled.get(profile)?.[arch];
  if (known) return known;
  const filter = compileRules(readRules(profile, arch), arch);
  if (isFrozen(profile)) rememberFilter(profile, arch, filter);
  return filter;
}

/** What a frozen profile compiles to, known beforehand. */
export function rememberFilter(profile: SeccompProfile, arch: Arch, filter: Uint8Array): void {
  compiled.set(profile, { ...compiled.get(profile), [arch]: filter });
}

/** Those that nothing in can change any more; one that somebody froze may be open further down. */
const frozen = new WeakSet<SeccompProfile>();

/** Whether {@link freezeProfile} made it: what has been made of it once is true for ever. */
export const isFrozen = (profile: SeccompProfile): boolean => frozen.has(profile);

/** Freezes a profile and all in it, so that it is compiled only once. */
export function freezeProfile(profile: SeccompProfile): SeccompProfile {
  const freeze = (value: unknown): void => {
    if (typeof value !== "object" || value === null) return;
    Object.values(value).forEach(freeze);
    Object.freeze(value);
  };
  freeze(profile);
  frozen.add(profile);
  return profile;
}

/** @internal */
export function compileRules(rules: Rules, arch: Arch): Uint8Array {
  const out = new Assembler();
  const foreign = out.answer(NOT_IMPLEMENTED);
  const search = out.step(LD, NUMBER, searchNumber(out, rangesOf(rules, arch), rules.otherwise));
  out.step(LD, ARCHITECTURE, out.test(JEQ, AUDIT_ARCH[arch], search, foreign));
  if (out.length > MAX_INSTRUCTIONS) {
    throw new TsboxError(`use the seccomp profile: it compiles to ${out.length} instructions`, {
      code: "invalid_option",
      hint: `the kernel takes ${MAX_INSTRUCTIONS}: use fewer conditions`,
    });
  }
  return out.bytes();
}

/** The system calls from a number on, up to the next range. */
interface Range {
  from: number;
  answer: number | Alternative[];
}

/** All numbers; neighbours with the same answer share a range. */
function rangesOf({ calls, otherwise, beyond }: Rules, arch: Arch): Range[] {
  const ranges: Range[] = [];
  const add = (from: number, answer: Range["answer"]) => {
    if (ranges.at(-1)?.answer !== answer) ranges.push({ from, answer });
  };
  for (let number = 0; number < calls.length; number++) add(number, calls[number] ?? otherwise);
  add(calls.length, beyond);
  if (arch === "x64") add(X32, NOT_IMPLEMENTED);
  return ranges;
}

/** Finds the range of the number in A, from ranges[first] up to ranges[end]. */
function searchNumber(out: Assembler, ranges: Range[], otherwise: number, first = 0, end = ranges.length): Label {
  const middle = (first + end) >> 1;
  const { from, answer } = ranges[middle] as Range;
  if (middle === first) return typeof answer === "number" ? out.answer(answer) : testAll(out, answer, otherwise);
  const above = searchNumber(out, ranges, otherwise, middle, end);
  const below = searchNumber(out, ranges, otherwise, first, middle);
  return out.test(JGE, from, above, below);
}

/** One alternative after the other. */
function testAll(out: Assembler, alternatives: Alternative[], otherwise: number): Label {
  return alternatives.reduceRight(
    (no, { conditions, verdict }) =>
      conditions.reduceRight((yes, condition) => test(out, condition, yes, no), out.answer(verdict)),
    out.answer(otherwise),
  );
}

function test(out: Assembler, condition: Condition, yes: Label, no: Label): Label {
  switch (condition.op) {
    case "SCMP_CMP_EQ":
    case "SCMP_CMP_MASKED_EQ":
      return testEqual(out, condition, yes, no);
    case "SCMP_CMP_NE":
      return testEqual(out, condition, no, yes);
    case "SCMP_CMP_GT":
      return testGreater(out, condition, JGT, yes, no);
    case "SCMP_CMP_GE":
      return testGreater(out, condition, JGE, yes, no);
    case "SCMP_CMP_LE":
      return testGreater(out, condition, JGT, no, yes);
    case "SCMP_CMP_LT":
      return testGreater(out, condition, JGE, no, yes);
  }
}

const offsetOf = (index: number) => ({ low: ARGUMENTS + index * 8, high: ARGUMENTS + index * 8 + 4 });

function testEqual(out: Assembler, condition: Condition, yes: Label, no: Label): Label {
  const { index, high, low, maskHigh, maskLow } = condition;
  const at = offsetOf(index);
  return testWord(out, at.high, maskHigh, high, testWord(out, at.low, maskLow, low, yes, no), no);
}

function testWord(out: Assembler, at: number, mask: number, value: number, yes: Label, no: Label): Label {
  if (mask === 0) return yes;
  if (mask === 0xffffffff) {
    return out.step(LD, at, out.test(JEQ, value, out.loaded(at, yes), out.loaded(at, no)));
  }
  return out.step(LD, at, out.step(AND, mask, out.test(JEQ, value, yes, no)));
}

/** Upper word greater, or equal and the lower word greater (or equal, with JGE). */
function testGreater(out: Assembler, condition: Condition, code: number, yes: Label, no: Label): Label {
  const { index, high, low } = condition;
  // every number is at least 0
  if (code === JGE && high === 0 && low === 0) return yes;
  const at = offsetOf(index);
  const lower = out.step(LD, at.low, out.test(code, low, out.loaded(at.low, yes), out.loaded(at.low, no)));
  const [greater, less] = [out.loaded(at.high, yes), out.loaded(at.high, no)];
  return out.step(LD, at.high, out.test(JGT, high, greater, out.test(JEQ, high, lower, less)));
}
