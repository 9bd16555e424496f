/**
 * Compiles an OCI seccomp profile to a classic BPF program: a binary search over ranges of system call numbers.
 * @module
 * @see seccomp(2), https://github.com/opencontainers/runtime-spec/blob/v1.2.0/config-linux.md#seccomp
 */
import { SYSCALLS, TsboxError, type Arch, type SyscallName } from "../../syscalls/index.ts";
import type { SeccompArgument, SeccompProfile, SeccompRule } from "../spec/index.ts";

const [LD_ABS, JEQ, JGE, JGT, ALU_AND, RET] = [0x20, 0x15, 0x35, 0x25, 0x54, 0x06];
const AUDIT_ARCH = { x64: 0xc000003e, arm64: 0xc00000b7 };
const X32_BIT = 0x40000000;
/** Offsets in `struct seccomp_data`. */
const [NR_AT, ARCH_AT, ARGS_AT] = [0, 4, 16];
const KILL_PROCESS = 0x80000000;
const MAX_INSTRUCTIONS = 4096;

const ACTIONS: Record<string, number> = {
  SCMP_ACT_KILL: 0,
  SCMP_ACT_KILL_THREAD: 0,
  SCMP_ACT_KILL_PROCESS: KILL_PROCESS,
  SCMP_ACT_TRAP: 0x30000,
  SCMP_ACT_ERRNO: 0x50000,
  SCMP_ACT_TRACE: 0x7ff00000,
  SCMP_ACT_LOG: 0x7ffc0000,
  SCMP_ACT_ALLOW: 0x7fff0000,
};

/** What a filter answers: the number that BPF returns. */
function verdict(action: string, errno: number | undefined): number {
  const base = ACTIONS[action];
  if (base === undefined) throw bad(`use the seccomp action "${action}": unknown`);
  const data = action === "SCMP_ACT_ERRNO" || action === "SCMP_ACT_TRACE" ? (errno ?? 1) : 0;
  if (!Number.isInteger(data) || data < 0 || data > 4095) throw bad(`use the seccomp errno ${errno}: 0 to 4095`);
  return (base | data) >>> 0;
}

const bad = (message: string) => new TsboxError(message, { code: "invalid_option" });

/** The kernel's view of one instruction, with symbolic jumps: `yes` and `no` are labels. */
interface Instruction {
  code: number;
  k: number;
  yes?: number;
  no?: number;
}

/**
 * An array of `struct sock_filter`. The first rule of a profile that matches a call decides; names that this
 * architecture lacks are passed over, as runc does. Calls by another ABI (i386, x32) fail with ENOSYS: a filter over
 * 64-bit numbers says nothing about them.
 * @throws TsboxError `invalid_option`
 */
export function compileSeccomp(profile: SeccompProfile, arch: Arch): Uint8Array {
  const fallback = verdict(profile.defaultAction, profile.defaultErrnoRet);
  const rules = new Map<number, SeccompRule[]>();
  for (const rule of profile.syscalls ?? []) {
    verdict(rule.action, rule.errnoRet);
    for (const name of rule.names) {
      const nr = SYSCALLS[name as SyscallName]?.[arch === "x64" ? 0 : 1] ?? -1;
      if (nr < 0) continue;
      const list = rules.get(nr) ?? [];
      list.push(rule);
      rules.set(nr, list);
    }
  }
  const out = new Assembler();
  const search = (ranges: Range[]): number => {
    if (ranges.length === 1) return (ranges[0] as Range).target();
    const middle = ranges.length >> 1;
    const [yes, no] = [search(ranges.slice(middle)), search(ranges.slice(0, middle))];
    return out.add({ code: JGE, k: (ranges[middle] as Range).from, yes, no });
  };
  const start = out.chain({ code: LD_ABS, k: NR_AT }, search(rangesOf(rules, fallback, out)));
  const enosys = out.ret((ACTIONS["SCMP_ACT_ERRNO"] as number) | 38);
  const native =
    arch === "x64"
      ? out.chain({ code: LD_ABS, k: NR_AT }, out.add({ code: JGE, k: X32_BIT, yes: enosys, no: start }))
      : start;
  out.chain({ code: LD_ABS, k: ARCH_AT }, out.add({ code: JEQ, k: AUDIT_ARCH[arch], yes: native, no: enosys }));
  return out.assemble();
}

interface Range {
  from: number;
  target: () => number;
}

/** Neighbours that get the same answer share a range. */
function rangesOf(rules: Map<number, SeccompRule[]>, fallback: number, out: Assembler): Range[] {
  const ranges: (Range & { key: string })[] = [];
  const add = (from: number, key: string, target: () => number) => {
    if (ranges.at(-1)?.key !== key) ranges.push({ from, key, target });
  };
  let next = 0;
  for (const [nr, list] of [...rules].sort(([a], [b]) => a - b)) {
    if (nr > next || nr === 0) if (nr > next) add(next, `=${fallback}`, () => out.ret(fallback));
    const [first] = list as [SeccompRule];
    const simple = (first.args ?? []).length === 0;
    const answer = verdict(first.action, first.errnoRet);
    if (simple) add(nr, `=${answer}`, () => out.ret(answer));
    else add(nr, `#${nr}`, () => conditions(list, fallback, out));
    next = nr + 1;
  }
  add(next, `=${fallback}`, () => out.ret(fallback));
  return ranges;
}

function conditions(list: SeccompRule[], fallback: number, out: Assembler): number {
  return list.reduceRight((otherwise, rule) => {
    const then = out.ret(verdict(rule.action, rule.errnoRet));
    return (rule.args ?? []).reduceRight((yes, arg) => condition(arg, yes, otherwise, out), then);
  }, out.ret(fallback));
}

const high = (value: number | bigint) => Number((BigInt.asUintN(64, BigInt(value)) >> 32n) & 0xffffffffn);
const low = (value: number | bigint) => Number(BigInt.asUintN(64, BigInt(value)) & 0xffffffffn);

/** A comparison of 64 bits by halves. @returns the label of its first instruction */
function condition(arg: SeccompArgument, yes: number, no: number, out: Assembler): number {
  if (!(arg.index >= 0 && arg.index <= 5)) throw bad(`use the seccomp argument ${arg.index}: 0 to 5`);
  const at = ARGS_AT + arg.index * 8;
  const [loadLow, loadHigh] = [
    { code: LD_ABS, k: at },
    { code: LD_ABS, k: at + 4 },
  ];
  const equal = (value: number, then: number, otherwise: number, mask?: number) => {
    const test = (word: Instruction, want: number, hit: number, part?: number) => {
      const compare = out.add({ code: JEQ, k: want, yes: hit, no: otherwise });
      return out.chain(word, part === undefined ? compare : out.chain({ code: ALU_AND, k: part }, compare));
    };
    const lows = test(loadLow, low(value), then, mask === undefined ? undefined : low(mask));
    return test(loadHigh, high(value), lows, mask === undefined ? undefined : high(mask));
  };
  const greater = (code: number, then: number, otherwise: number) => {
    const lows = out.chain(loadLow, out.add({ code, k: low(arg.value), yes: then, no: otherwise }));
    const same = out.add({ code: JEQ, k: high(arg.value), yes: lows, no: otherwise });
    return out.chain(loadHigh, out.add({ code: JGT, k: high(arg.value), yes: then, no: same }));
  };
  switch (arg.op) {
    case "SCMP_CMP_EQ":
      return equal(arg.value, yes, no);
    case "SCMP_CMP_NE":
      return equal(arg.value, no, yes);
    case "SCMP_CMP_MASKED_EQ":
      return equal(arg.valueTwo ?? 0, yes, no, arg.value);
    case "SCMP_CMP_GT":
      return greater(JGT, yes, no);
    case "SCMP_CMP_GE":
      return greater(JGE, yes, no);
    case "SCMP_CMP_LE":
      return greater(JGT, no, yes);
    case "SCMP_CMP_LT":
      return greater(JGE, no, yes);
    default:
      throw bad(`use the seccomp operator "${arg.op as string}": unknown`);
  }
}

/** Collects instructions back to front, so that every jump goes forward, as BPF demands. */
class Assembler {
  /** Reversed: the program's last instruction first. A label is an index here. */
  readonly #code: Instruction[] = [];
  readonly #returns = new Map<number, number>();

  add(instruction: Instruction): number {
    return this.#code.push(instruction) - 1;
  }

  /** An instruction that falls through to a label. */
  chain(instruction: Instruction, next: number): number {
    if (next !== this.#code.length - 1) this.#jump(next);
    return this.add(instruction);
  }

  /** One return per answer, while it is near enough. */
  ret(answer: number): number {
    const known = this.#returns.get(answer);
    if (known !== undefined && this.#code.length - known < 100) return known;
    const label = this.add({ code: RET, k: answer });
    this.#returns.set(answer, label);
    return label;
  }

  #jump(to: number): void {
    this.add({ code: 0x05, k: this.#code.length - 1 - to });
  }

  assemble(): Uint8Array {
    // far targets get a stepping stone: an unconditional jump right behind the instruction
    const order: { instruction: Instruction; index: number }[] = this.#code
      .map((instruction, index) => ({ instruction, index }))
      .reverse();
    const position = new Map<number, number>();
    let size = 0;
    for (const { instruction, index } of order) {
      position.set(index, size++);
      if (instruction.yes !== undefined)
        size += Number(index - instruction.yes > 80) + Number(index - (instruction.no ?? 0) > 80);
    }
    if (size > MAX_INSTRUCTIONS)
      throw bad(`compile the seccomp profile: ${size} instructions, the kernel takes ${MAX_INSTRUCTIONS}`);
    const bytes = new Uint8Array(size * 8);
    const view = new DataView(bytes.buffer);
    const put = (at: number, code: number, jt: number, jf: number, k: number) => {
      if (jt > 255 || jf > 255) throw bad("compile the seccomp profile: a jump is too far");
      view.setUint16(at * 8, code, true);
      view.setUint8(at * 8 + 2, jt);
      view.setUint8(at * 8 + 3, jf);
      view.setUint32(at * 8 + 4, k >>> 0, true);
    };
    for (const { instruction, index } of order) {
      const at = position.get(index) as number;
      if (instruction.yes === undefined) {
        const k =
          instruction.code === 0x05 ? (position.get(index - 1 - instruction.k) as number) - at - 1 : instruction.k;
        put(at, instruction.code, 0, 0, k);
        continue;
      }
      let stone = at + 1;
      const hop = (label: number) => {
        const target = position.get(label) as number;
        if (index - label <= 80) return target - at - 1;
        put(stone, 0x05, 0, 0, target - stone - 1);
        return stone++ - at - 1;
      };
      const jt = hop(instruction.yes);
      put(at, instruction.code, jt, hop(instruction.no as number), instruction.k);
    }
    return bytes;
  }
}
