/**
 * Which devices a control group may use: lines for version 1, a BPF program for version 2.
 * @module
 * @see https://docs.kernel.org/admin-guide/cgroup-v1/devices.html, bpf(2)
 */
import { BPF, instruction } from "../../syscalls/index.ts";
import type { DeviceRule } from "../spec/index.ts";

/** `BPF_DEVCG_ACC_MKNOD`, `…_READ`, `…_WRITE`. @see linux/bpf.h */
const ACCESSES: Record<string, number> = { m: 1, r: 2, w: 4 };
const ALL_ACCESSES = 7;

const anything = (rule: DeviceRule) => (rule.type ?? "a") === "a";
const accessOf = ({ access = "rwm" }: DeviceRule) => access;

/** Undefined where version 1 has no words for it: it only knows exceptions to one rule, and takes back whole ones. */
export function v1DeviceLines(rules: readonly DeviceRule[]): { file: string; value: string }[] | undefined {
  if (takesBackAPart(rules)) return undefined;
  return rules.map((rule) => {
    const number = (value: number | undefined) => (value === undefined || value < 0 ? "*" : value);
    const file = rule.allow ? "devices.allow" : "devices.deny";
    if (anything(rule)) return { file, value: "a" };
    return { file, value: `${rule.type} ${number(rule.major)}:${number(rule.minor)} ${accessOf(rule)}` };
  });
}

function takesBackAPart(rules: readonly DeviceRule[]): boolean {
  let usual = true;
  let exceptions: DeviceRule[] = [];
  return rules.some((rule) => {
    if (anything(rule)) [usual, exceptions] = [rule.allow, []];
    else if (rule.allow !== usual) exceptions.push(rule);
    else return exceptions.some((one) => overlaps(one, rule) && !isSame(one, rule));
    return false;
  });
}

const bitsOf = (rule: DeviceRule): number =>
  [...accessOf(rule)].reduce((sum, letter) => sum | (ACCESSES[letter] ?? 0), 0);

const isSame = (a: DeviceRule, b: DeviceRule) =>
  (a.major ?? -1) === (b.major ?? -1) && (a.minor ?? -1) === (b.minor ?? -1);
const meets = (a = -1, b = -1) => a < 0 || b < 0 || a === b;
const overlaps = (a: DeviceRule, b: DeviceRule) =>
  a.type === b.type && meets(a.major, b.major) && meets(a.minor, b.minor) && (bitsOf(a) & bitsOf(b)) !== 0;

/** `struct bpf_cgroup_dev_ctx`: access << 16 | type, major, minor. @see linux/bpf.h */
const [CONTEXT_ACCESS_TYPE, CONTEXT_MAJOR, CONTEXT_MINOR] = [0, 4, 8];
const TYPES = { b: 1, c: 2 } as const;
const [R0, R1, TYPE, ACCESS, MAJOR, MINOR] = [0, 1, 2, 3, 4, 5];

/**
 * The program that says 1 or 0 to the use of a device. Of each access that is asked for, the last rule about it decides,
 * as in version 1: so they are tried backwards, and what one allows is asked for no more. What no rule is about is left
 * to the groups above.
 */
export function deviceProgram(rules: readonly DeviceRule[]): Uint8Array {
  const code = [
    instruction(BPF.LDX_W, TYPE, R1, CONTEXT_ACCESS_TYPE),
    instruction(BPF.MOV_X, ACCESS, TYPE),
    instruction(BPF.AND_K, TYPE, 0, 0, 0xffff),
    instruction(BPF.RSH_K, ACCESS, 0, 0, 16),
    instruction(BPF.LDX_W, MAJOR, R1, CONTEXT_MAJOR),
    instruction(BPF.LDX_W, MINOR, R1, CONTEXT_MINOR),
  ];
  for (const rule of rules.toReversed()) {
    // nothing before it is reached, and the verifier refuses what is not
    if (anything(rule)) return join([...code, ...answer(rule.allow)]);
    code.push(...ruleCode(rule));
  }
  return join([...code, ...answer(true)]);
}

const answer = (allow: boolean) => [instruction(BPF.MOV_K, R0, 0, 0, allow ? 1 : 0), instruction(BPF.EXIT)];

function ruleCode(rule: DeviceRule): Uint8Array[] {
  const { type, major = -1, minor = -1, allow } = rule;
  const access = bitsOf(rule);
  const end = allow
    ? [
        instruction(BPF.AND_K, ACCESS, 0, 0, ALL_ACCESSES & ~access),
        instruction(BPF.JNE_K, ACCESS, 0, 2, 0),
        ...answer(true),
      ]
    : [
        instruction(BPF.MOV_X, R1, ACCESS),
        instruction(BPF.AND_K, R1, 0, 0, access),
        instruction(BPF.JEQ_K, R1, 0, 2, 0),
        ...answer(false),
      ];
  // each test skips the rest of the rule: built from its end
  let tests: Uint8Array[] = [];
  const before = (register: number, value: number) => {
    tests = [instruction(BPF.JNE_K, register, 0, tests.length + end.length, value), ...tests];
  };
  if (minor >= 0) before(MINOR, minor);
  if (major >= 0) before(MAJOR, major);
  before(TYPE, TYPES[type as "b" | "c"]);
  return [...tests, ...end];
}

function join(code: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(code.length * 8);
  code.forEach((one, index) => bytes.set(one, index * 8));
  return bytes;
}
