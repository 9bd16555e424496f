/**
 * Compiles an OCI seccomp profile to a classic BPF program: a binary search over ranges of system call numbers.
 *
 * Each ABI that the profile lists is searched with numbers of its own. Calls of others (i386 and x32 on x86-64, 32-bit
 * ARM on aarch64) fail with ENOSYS.
 * @module
 * @see seccomp(2)
 */
import { TsboxError, type Arch } from "../../syscalls/index.ts";
import type { SeccompProfile } from "../spec/index.ts";
import { AND, Assembler, JEQ, JGE, JGT, LD, type Label } from "./assembler.ts";
import { NOT_IMPLEMENTED, readRules, type Alternative, type Answer, type Condition, type Rules } from "./rules.ts";

/** Offsets in `struct seccomp_data`; an argument is two words, the lower one first. */
const [NUMBER, ARCHITECTURE, ARGUMENTS] = [0, 4, 16];
/** `BPF_MAXINSNS` */
const MAX_INSTRUCTIONS = 4096;

const compiled = new WeakMap<SeccompProfile, Partial<Record<Arch, Uint8Array>>>();

/**
 * An array of `struct sock_filter`. A profile that is frozen ({@link freezeProfile}; the default ones are) is compiled
 * once: the array is shared, do not write to it.
 * @throws TsboxError `invalid_option`
 */
export function compileSeccomp(profile: SeccompProfile, arch: Arch): Uint8Array {
  const known = compiled.get(profile)?.[arch];
  if (known) return known;
  const filter = compileRules(readRules(profile, arch));
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
export function compileRules(rules: readonly Rules[]): Uint8Array {
  const out = new Assembler();
  const byAudit = Map.groupBy(rules, ({ abi }) => abi.audit);
  let entry = out.answer(NOT_IMPLEMENTED);
  for (const [audit, abis] of [...byAudit].toReversed()) {
    const search = searchNumber(out, rangesOf(abis), (abis[0] as Rules).otherwise);
    entry = out.test(JEQ, audit, out.step(LD, NUMBER, search), entry);
  }
  out.step(LD, ARCHITECTURE, entry);
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
  answer: Answer;
}

/** All numbers; neighbours with the same answer share a range. */
function rangesOf(abis: readonly Rules[]): Range[] {
  const ranges: Range[] = [];
  const add = (from: number, answer: Answer) => {
    while ((ranges.at(-1)?.from ?? -1) >= from) ranges.pop();
    if (ranges.at(-1)?.answer !== answer) ranges.push({ from, answer });
  };
  for (const { abi, calls, otherwise, beyond } of abis) {
    const numbers = [...calls.keys()].toSorted((a, b) => a - b);
    const last = numbers.findLast((number) => number < PRIVATE) ?? -1;
    add(abi.base, otherwise);
    for (const number of numbers) {
      add(abi.base + number, calls.get(number) as Answer);
      add(abi.base + number + 1, number < last ? otherwise : beyond);
    }
    for (const { from, end } of abi.foreign ?? []) {
      add(from, NOT_IMPLEMENTED);
      if (end !== undefined) add(end, beyond);
    }
  }
  return ranges;
}

/** Numbers from here on say nothing of how new the others are: ARM's private ones. */
const PRIVATE = 0xf0000;

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
  const { index, high, low, maskHigh } = condition;
  // every number is at least 0
  if (code === JGE && high === 0 && low === 0) return yes;
  const at = offsetOf(index);
  const lower = out.step(LD, at.low, out.test(code, low, out.loaded(at.low, yes), out.loaded(at.low, no)));
  if (maskHigh === 0) return lower;
  const [greater, less] = [out.loaded(at.high, yes), out.loaded(at.high, no)];
  return out.step(LD, at.high, out.test(JGT, high, greater, out.test(JEQ, high, lower, less)));
}
