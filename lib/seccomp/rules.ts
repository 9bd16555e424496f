/**
 * What a seccomp profile says about each system call number: names, actions and conditions checked and put in the
 * order in which they apply, which is that of libseccomp as runc calls it.
 * @module
 * @see https://github.com/opencontainers/runtime-spec/blob/v1.2.0/config-linux.md#seccomp, seccomp_rule_add(3)
 */
import { show, TsboxError, type Arch } from "../../syscalls/index.ts";
import type { SeccompAction, SeccompArgument, SeccompOperator, SeccompProfile, SeccompRule } from "../spec/index.ts";
import { ABIS, type Abi, type Multiplexer } from "./abi.ts";

/** `SECCOMP_RET_*`. KILL is KILL_THREAD, as in libseccomp. */
const ACTIONS = new Map([
  ["SCMP_ACT_KILL", 0],
  ["SCMP_ACT_KILL_THREAD", 0],
  ["SCMP_ACT_KILL_PROCESS", 0x80000000],
  ["SCMP_ACT_TRAP", 0x00030000],
  ["SCMP_ACT_ERRNO", 0x00050000],
  ["SCMP_ACT_NOTIFY", 0x7fc00000],
  ["SCMP_ACT_TRACE", 0x7ff00000],
  ["SCMP_ACT_LOG", 0x7ffc0000],
  ["SCMP_ACT_ALLOW", 0x7fff0000],
]);
/** The actions that carry a number to the caller or the tracer, and how large it may be (`MAX_ERRNO`, 16 bits). */
const WITH_DATA = new Map([
  ["SCMP_ACT_ERRNO", 4095],
  ["SCMP_ACT_TRACE", 0xffff],
]);
/** After these the call runs, or somebody else decides: runc answers unknown calls with ENOSYS after all others. */
const PERMISSIVE = ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE", "SCMP_ACT_NOTIFY"];
const [EPERM, ENOSYS] = [1, 38];
/** SECCOMP_RET_ERRNO with ENOSYS. */
export const NOT_IMPLEMENTED = 0x00050000 | ENOSYS;

const ARCHITECTURES =
  "X86 X86_64 X32 ARM AARCH64 MIPS MIPS64 MIPS64N32 MIPSEL MIPSEL64 MIPSEL64N32 PPC PPC64 PPC64LE RISCV64 S390 S390X PARISC PARISC64 LOONGARCH64 M68K SH SHEB"
    .split(" ")
    .map((name) => `SCMP_ARCH_${name}`);

const [NEW_LISTENER, WAIT_KILLABLE_RECV] = [8, 32];
/** `SECCOMP_FILTER_FLAG_*`: what seccomp(2) is given for each. */
const FLAGS = new Map([
  // a fresh process has one thread
  ["SECCOMP_FILTER_FLAG_TSYNC", 0],
  ["SECCOMP_FILTER_FLAG_LOG", 2],
  ["SECCOMP_FILTER_FLAG_SPEC_ALLOW", 4],
  ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", WAIT_KILLABLE_RECV],
]);

/** The comparisons by which libseccomp orders conditions: the larger, the earlier. */
const OPERATORS = new Map([
  ["SCMP_CMP_EQ", 3],
  ["SCMP_CMP_NE", 3],
  ["SCMP_CMP_MASKED_EQ", 3],
  ["SCMP_CMP_LT", 2],
  ["SCMP_CMP_LE", 2],
  ["SCMP_CMP_GT", 1],
  ["SCMP_CMP_GE", 1],
]);

/** What profiles may say. */
export const SECCOMP_WORDS = {
  actions: [...ACTIONS.keys()] as SeccompAction[],
  operators: [...OPERATORS.keys()] as SeccompOperator[],
  architectures: ARCHITECTURES,
  flags: [...FLAGS.keys()],
};

/**
 * A condition on one argument: `(argument & mask) op value`, unsigned, 64 bits in halves. Without any bit of the upper
 * half in its mask it is about the lower one.
 */
export interface Condition {
  index: number;
  op: SeccompArgument["op"];
  high: number;
  low: number;
  maskHigh: number;
  maskLow: number;
}

/** An answer (`SECCOMP_RET_*` with its data) and the conditions that must all hold for it. */
export interface Alternative {
  /** The rule it comes from, for errors. */
  where: string;
  conditions: Condition[];
  verdict: number;
}

/** What a profile says of the calls of one ABI. */
export interface Rules {
  abi: Abi;
  /** The default action. */
  otherwise: number;
  /** The answer to numbers beyond all that the profile names: calls newer than the profile. */
  beyond: number;
  /** By number: one answer, or alternatives, the first of which whose conditions hold decides; else the default. */
  calls: ReadonlyMap<number, Answer>;
}

export type Answer = number | Alternative[];

const bad = (what: string, hint: string) =>
  new TsboxError(`use the seccomp profile: ${what}`, { code: "invalid_option", hint });

/** A list that may be left out. @throws TsboxError `invalid_option` where it is something else */
export function listOf<T>(value: readonly T[] | null | undefined, where: string): readonly T[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw bad(`${where} is ${show(value)}`, "it has to be a list");
  return value;
}

/**
 * For each ABI that the profile lists, the machine's own before all.
 * @throws TsboxError `invalid_option`
 */
export function readRules(profile: SeccompProfile, arch: Arch): Rules[] {
  if (typeof profile !== "object" || profile === null || Array.isArray(profile)) {
    throw bad(`it is ${show(profile)}`, "an object with a defaultAction");
  }
  refuseDockerFormat(profile, "the profile", ["archMap"]);
  const otherwise = readVerdict(profile.defaultAction, profile.defaultErrnoRet, "default", "defaultErrnoRet");
  const architectures = listOf(profile.architectures, "architectures");
  const odd = architectures.findIndex((name) => !ARCHITECTURES.includes(name));
  if (odd >= 0) throw bad(`architecture ${show(architectures[odd])} is unknown`, ARCHITECTURES.join(", "));
  seccompFlags(profile);
  const byName = new Map<string, Alternative[]>();
  Array.from(listOf(profile.syscalls, "syscalls")).forEach((rule, index) => {
    const alternatives = readRule(rule, `syscalls[${index}]`);
    for (const name of new Set(rule.names)) byName.set(name, [...(byName.get(name) ?? []), ...alternatives]);
  });
  const strict = !PERMISSIVE.includes(profile.defaultAction);
  const [native, ...others] = ABIS[arch];
  return [native, ...others.filter(({ name }) => architectures.includes(name))].map((abi) => {
    const calls = callsOf(abi, byName, otherwise);
    return { abi, otherwise, beyond: strict && calls.size > 0 ? NOT_IMPLEMENTED : otherwise, calls };
  });
}

/** A name that the ABI lacks is passed over, as by runc: profiles are written for many machines. */
function callsOf(abi: Abi, byName: ReadonlyMap<string, Alternative[]>, otherwise: number): Map<number, Answer> {
  const found = new Map<number, Alternative[]>();
  const words = abi.bits === 32 ? lowerWords : (alternatives: Alternative[]) => alternatives;
  for (const [name, alternatives] of byName) {
    for (const number of abi.numbers(name)) found.set(number, [...(found.get(number) ?? []), ...words(alternatives)]);
  }
  const calls = new Map<number, Answer>();
  for (const [number, alternatives] of found) calls.set(number, decide(alternatives, otherwise));
  for (const multiplexer of abi.multiplexers) {
    const [number] = abi.numbers(multiplexer.name) as [number];
    const parts = partsOf(multiplexer, byName, otherwise);
    const whole = calls.get(number) ?? [];
    const rest = typeof whole === "number" ? [{ where: multiplexer.name, conditions: [], verdict: whole }] : whole;
    if (parts.length > 0) calls.set(number, [...parts, ...rest]);
  }
  return calls;
}

const lowerWords = (alternatives: Alternative[]): Alternative[] =>
  alternatives.map((one) => ({
    ...one,
    conditions: one.conditions
      .map((condition) => ({ ...condition, high: 0, maskHigh: 0 }))
      .filter(({ maskLow }) => maskLow !== 0),
  }));

/**
 * What a multiplexer does goes by the rules of the calls that it stands for. Conditions of theirs would be about
 * memory, where no filter can look: the strictest of their answers stands for all.
 */
function partsOf(
  { name: where, mask, calls }: Multiplexer,
  byName: ReadonlyMap<string, Alternative[]>,
  otherwise: number,
): Alternative[] {
  return [...calls].flatMap(([name, low]) => {
    const alternatives = byName.get(name);
    if (!alternatives) return [];
    const answer = decide(alternatives, otherwise);
    const verdict = typeof answer === "number" ? answer : strictest([otherwise, ...answer.map((one) => one.verdict)]);
    const condition = { index: 0, op: "SCMP_CMP_MASKED_EQ", high: 0, low, maskHigh: 0, maskLow: mask } as const;
    return [{ where, conditions: [condition], verdict }];
  });
}

/** As the kernel chooses among filters: the smallest, as signed numbers. */
const strictest = (verdicts: number[]): number =>
  verdicts.reduce((least, verdict) => ((verdict | 0) < (least | 0) ? verdict : least));

/**
 * The `flags` that seccomp(2) has to be called with. No `flags` means none (runc then sets SPEC_ALLOW, which
 * before Linux 5.16 takes a protection against speculative execution away).
 * @param heard somebody is to have its listener
 * @throws TsboxError `invalid_option`
 */
export function seccompFlags(profile: SeccompProfile, heard = notifies(profile)): number {
  const given = listOf(profile.flags, "flags").reduce((flags, name) => {
    const flag = FLAGS.get(name);
    if (flag === undefined) throw bad(`flag ${show(name)} is unknown`, [...FLAGS.keys()].join(", "));
    return flags | flag;
  }, 0);
  // EINVAL without a listener
  return heard ? given | NEW_LISTENER : given & ~WAIT_KILLABLE_RECV;
}

/** Whether somebody outside decides about some calls. */
export const notifies = ({ defaultAction, syscalls }: SeccompProfile): boolean =>
  defaultAction === NOTIFY || listOf(syscalls, "syscalls").some((rule) => rule?.action === NOTIFY);
const NOTIFY = "SCMP_ACT_NOTIFY";

/** Docker's profiles have conditions of their own; passing over them would allow what they forbid. */
function refuseDockerFormat(value: object, where: string, fields: string[]): void {
  for (const field of fields) {
    const content: unknown = value[field as keyof typeof value];
    if (content && Object.keys(content as object).length > 0) {
      throw bad(`${where} has "${field}", which is Docker's format`, "resolve it with resolveDockerProfile first");
    }
  }
}

function readRule(rule: SeccompRule, where: string): Alternative[] {
  if (typeof rule !== "object" || rule === null) throw bad(`${where} is ${show(rule)}`, "an object with names, action");
  refuseDockerFormat(rule, where, ["includes", "excludes", "name"]);
  const names = listOf(rule.names, `${where}.names`);
  if (names.length === 0) throw bad(`${where} has no names`, "list the system calls that the rule is for");
  const odd = names.findIndex((name) => typeof name !== "string" || name === "");
  if (odd >= 0) throw bad(`${where}.names has ${show(names[odd])}`, "a name is a text that is not empty");
  const verdict = readVerdict(rule.action, rule.errnoRet, where, `${where}.errnoRet`);
  const args = listOf(rule.args, `${where}.args`);
  const conditions = Array.from(args, (arg, index) => readCondition(arg, `${where}.args[${index}]`));
  // runc: conditions on the same argument are alternatives, not a range
  if (new Set(conditions.map(({ index }) => index)).size < conditions.length) {
    return conditions.map((condition) => ({ where, conditions: constrain([condition]), verdict }));
  }
  return [{ where, conditions: constrain(conditions), verdict }];
}

/** In the order of arguments, without those that look at no bit. */
const constrain = (conditions: Condition[]) =>
  conditions.filter((c) => c.maskHigh !== 0 || c.maskLow !== 0).toSorted((a, b) => a.index - b.index);

function readVerdict(action: unknown, errnoRet: unknown, where: string, field: string): number {
  const base = ACTIONS.get(action as string);
  if (base === undefined) throw bad(`the action of ${where} is ${show(action)}`, [...ACTIONS.keys()].join(", "));
  const largest = WITH_DATA.get(action as string);
  if (errnoRet === undefined || errnoRet === null) return largest === undefined ? base : (base | EPERM) >>> 0;
  // the specification: "when the action doesn't support an errno, the runtime MUST print and error and fail"
  if (largest === undefined) throw bad(`${field} is set`, `${action as string} answers with no number: leave it out`);
  if (!Number.isInteger(errnoRet) || (errnoRet as number) < 0 || (errnoRet as number) > largest) {
    throw bad(`${field} is ${show(errnoRet)}`, `an integer, 0 to ${largest}`);
  }
  return (base | (errnoRet as number)) >>> 0;
}

function readCondition(arg: SeccompArgument, where: string): Condition {
  if (typeof arg !== "object" || arg === null) throw bad(`${where} is ${show(arg)}`, "an object with index, value, op");
  if (!Number.isInteger(arg.index) || arg.index < 0 || arg.index > 5) {
    throw bad(`${where}.index is ${show(arg.index)}`, "an integer, 0 to 5");
  }
  if (!OPERATORS.has(arg.op)) throw bad(`${where}.op is ${show(arg.op)}`, [...OPERATORS.keys()].join(", "));
  const [high, low] = halves(arg.value, `${where}.value`);
  if (arg.op !== "SCMP_CMP_MASKED_EQ") {
    return { index: arg.index, op: arg.op, high, low, maskHigh: 0xffffffff, maskLow: 0xffffffff };
  }
  // the mask is `value`, what is left has to be `valueTwo`
  const [wantHigh, wantLow] = halves(arg.valueTwo ?? 0, `${where}.valueTwo`);
  const masked = { high: (wantHigh & high) >>> 0, low: (wantLow & low) >>> 0 };
  return { index: arg.index, op: arg.op, ...masked, maskHigh: high, maskLow: low };
}

/** An unsigned 64-bit number as its upper and lower word. */
function halves(value: unknown, where: string): [high: number, low: number] {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) {
    return [Math.floor(value / 2 ** 32), value >>> 0];
  }
  if (typeof value === "bigint" && value >= 0n && value < 1n << 64n) {
    return [Number(value >> 32n), Number(value & 0xffffffffn)];
  }
  const hint = typeof value === "number" && value > Number.MAX_SAFE_INTEGER ? "pass it as a bigint: " : "";
  throw bad(`${where} is ${show(value)}`, `${hint}an integer, 0 to 2^64-1`);
}

/**
 * What counts among several rules for one call:
 * - a rule whose action is the default is passed over (runc);
 * - a rule without conditions beats all that have some, the first of them the others;
 * - among rules with conditions the order is libseccomp's, whatever the profile's: see {@link byPrecedence}.
 */
function decide(alternatives: Alternative[], otherwise: number): Answer {
  const [first] = alternatives as [Alternative];
  if (alternatives.length === 1 && first.conditions.length === 0) return first.verdict;
  const telling = alternatives.filter(({ verdict }) => verdict !== otherwise);
  const plain = telling.find(({ conditions }) => conditions.length === 0);
  if (plain) return plain.verdict;
  if (telling.length === 0) return otherwise;
  const ordered = telling.toSorted(byPrecedence);
  return ordered.filter((one, index) => {
    const before = ordered[index - 1];
    if (!before || JSON.stringify(before.conditions) !== JSON.stringify(one.conditions)) return true;
    if (before.verdict === one.verdict) return false;
    throw bad(
      `${before.where} and ${one.where} have the same conditions and system call`,
      "keep one of the two actions",
    );
  });
}

/**
 * The order of libseccomp's tree: later arguments first, equality before "less" before "greater", then the larger
 * value (of "less" the smaller). Where one rule continues another, the shorter one decides.
 */
function byPrecedence(a: Alternative, b: Alternative): number {
  for (const [i, one] of a.conditions.entries()) {
    const other = b.conditions[i];
    if (!other) return 1;
    const rank = OPERATORS.get(one.op) as number;
    const order =
      other.index - one.index ||
      (OPERATORS.get(other.op) as number) - rank ||
      (rank === 2 ? one.high - other.high || one.low - other.low : other.high - one.high || other.low - one.low);
    if (order !== 0) return order;
  }
  return a.conditions.length - b.conditions.length;
}
