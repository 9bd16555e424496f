/**
 * A plan: system calls as data, each with the reason it is there, and how it becomes the bytes that the executor
 * walks (`executor.c` draws the records).
 * @module
 */
import { TsboxError, type ErrorCode } from "./error.ts";
import { ERRNO } from "./errno.ts";
import type { Arena } from "./kernel.ts";
import { numberOf, type Arch, type SyscallName } from "./numbers.ts";
import { struct, type StructName, type StructValues } from "./structs.ts";

/** The result of an earlier call, or a descriptor that the caller binds before the program runs. */
export interface Ref {
  ref: string;
}

/** Bytes that a call points to. The same object is placed once, so two calls can share a buffer. */
export interface Data {
  data: Uint8Array;
  /** How a printed plan shows it. */
  text: string;
  /** Addresses of other data, at byte offsets. */
  pointers?: { offset: number; to: Data }[];
  /** Stacks need 16. */
  align?: number;
}

/** A number with the name people know it by. */
export interface Named {
  value: number | bigint;
  text: string;
}

/** `{ address }` of data plus an offset, for words inside a buffer. */
export interface At {
  at: Data;
  offset: number;
}

export type Argument = number | bigint | Ref | Data | Named | At;

export interface Op {
  /** A system call, or a control op of the executor; a label marks a place to jump to. */
  call: SyscallName | "jump" | "store" | "load" | "jumpIf" | "spawn" | "fail" | "print" | "run" | "end" | "label";
  args: Argument[];
  /** Names the result. */
  out?: string;
  onError?: "ignore" | { ignore: keyof typeof ERRNO } | { jump: string | number };
  /** Label: its name. Jumps, and runs of a part: where to; a number is the index of an op of another part. */
  label?: string | number;
}

export interface Step {
  /** Why these calls are made, and how a failure is reported: `mount "proc" on "/proc"`. */
  action: string;
  ops: Op[];
  /** Turns the errno of a failure into what the reader can do about it. */
  hint?: (errno: keyof typeof ERRNO | undefined) => string | undefined;
  /** What kind of failure it is; `system` where nothing is said. */
  code?: ErrorCode;
  path?: string;
}

export type Plan = Step[];

const encoder = new TextEncoder();
/** Most strings of a plan stand in every plan. */
const strings = new Map<string, Data>();
const MAX_STRINGS = 2000;

/**
 * A NUL-terminated string; the same one for the same text, so never to be written to.
 * @throws TsboxError `invalid_option` where it holds a NUL itself.
 */
export function cstring(value: string): Data {
  const known = strings.get(value);
  if (known) return known;
  if (value.includes("\0")) {
    throw new TsboxError(`use ${JSON.stringify(value)}: it contains a NUL byte`, { code: "invalid_option" });
  }
  const made = { data: encoder.encode(value + "\0"), text: JSON.stringify(value) };
  if (strings.size >= MAX_STRINGS) strings.clear();
  if (value.length < 256) strings.set(value, made);
  return made;
}

/** A struct of little-endian 64-bit words. */
export function words(text: string, ...values: (number | bigint)[]): Data {
  const data = new Uint8Array(values.length * 8);
  const view = new DataView(data.buffer);
  values.forEach((value, i) => setWord(view, i * 8, value));
  return { data, text };
}

/** A signed or unsigned 64-bit number; halves are several times as fast as `setBigInt64` (measured). */
function setWord(view: DataView, at: number, value: number | bigint): void {
  if (typeof value === "bigint") {
    view.setBigInt64(at, BigInt.asIntN(64, value), true);
  } else {
    view.setInt32(at, value, true);
    view.setInt32(at + 4, Math.floor(value / 2 ** 32), true);
  }
}

/** A struct of the kernel's, its other fields 0; shown as `text`. */
export function structure<Name extends StructName>(text: string, name: Name, values: StructValues<Name>): Data {
  return { data: struct(name, values), text };
}

/** Zeroed memory that calls write to. */
export function buffer(text: string, size: number, align = 8): Data {
  return { data: new Uint8Array(size), text, align };
}

/** A NULL-terminated array of strings, as execve(2) takes it. */
export function stringArray(values: string[]): Data {
  const pointers = values.map((value, i) => ({ offset: i * 8, to: cstring(value) }));
  const text = `[${pointers.map((p) => p.to.text).join(", ")}]`;
  return { data: new Uint8Array((values.length + 1) * 8), text, pointers };
}

/** The same as bytes that lie at an address, the strings behind the array. */
export function stringsAt(address: number, values: string[]): Uint8Array {
  const encoded = values.map((value) => encoder.encode(value + "\0"));
  const head = (values.length + 1) * 8;
  const bytes = new Uint8Array(encoded.reduce((sum, { length }) => sum + length, head));
  const view = new DataView(bytes.buffer);
  let at = head;
  encoded.forEach((string, index) => {
    setWord(view, index * 8, address + at);
    bytes.set(string, at);
    at += string.length;
  });
  return bytes;
}

export const named = (text: string, value: number | bigint): Named => ({ text, value });
export const ref = (name: string): Ref => ({ ref: name });

const CONTROL = { end: -1, jump: -2, store: -3, load: -4, jumpIf: -5, spawn: -6, fail: -7, print: -8, run: -9 };
const ON_ERROR = { fail: 0, ignore: 1, ignoreErrno: 2, jump: 3 };
export const HEAD_BYTES = 4096;
export const SLOTS_AT = 16;
/** Of the descriptor that a failure is written to, in the head. */
export const REPORT_FD_AT = 8;
export const OP_BYTES = 64;
const SLOT_COUNT = 256;

/** The word at `at` holds the address of what lies at `offset`. */
interface Pointer {
  at: number;
  offset: number;
}

/** A step that begins with this label, and all behind it, are an image of their own. */
export const IMAGE = "image";

const imageStart = (plan: Plan): number => {
  const start = plan.findIndex(({ ops }) => ops[0]?.call === "label" && ops[0].label === IMAGE);
  return start < 0 ? plan.length : start;
};

/** The steps of a plan that are in one program with this one. */
const partOf = (plan: Plan, index: number): { from: number; to: number } => {
  const start = imageStart(plan);
  return index < start ? { from: 0, to: start } : { from: start, to: plan.length };
};

/** Ops that are written, while it runs, behind those of a program that goes on with them. */
export interface Part {
  /** Index of its first op in the whole program. */
  first: number;
  /** The first slot that is its own. */
  slots: number;
}

/**
 * A plan laid out, up to where its image begins, or that image: where its ops, slots and data are. It can be written,
 * and run, any number of times.
 */
export class Program {
  readonly plan: Plan;
  readonly arch: Arch;
  readonly size: number;
  readonly #slots = new Map<string, number>();
  readonly #labels = new Map<string, number>();
  readonly #ops: { op: Op; step: number }[] = [];
  readonly #offsets = new Map<Data, number>();
  readonly #part: Part | undefined;
  readonly #opsAt: number;
  #laidOut: { image: Uint8Array; pointers: Pointer[] } | undefined;

  /** @param part of the plan; or what is a part of another program, and has no head of its own */
  constructor(plan: Plan, arch: Arch, part: "in place" | "image" | Part = "in place") {
    this.plan = plan;
    this.arch = arch;
    this.#part = typeof part === "string" ? undefined : part;
    this.#opsAt = this.#part ? 0 : HEAD_BYTES;
    const { from, to } = partOf(plan, part === "image" ? plan.length : 0);
    plan.forEach((step, index) => {
      if (index < from || index >= to) return;
      for (const op of step.ops) {
        if (op.call === "label") this.#setLabel(op.label as string);
        else this.#ops.push({ op, step: index });
      }
    });
    let end = this.#opsAt + (this.#ops.length + 1) * OP_BYTES;
    const place = (data: Data) => {
      if (this.#offsets.has(data)) return;
      const align = data.align ?? 8;
      end = Math.ceil(end / align) * align;
      this.#offsets.set(data, end);
      end += data.data.length;
      data.pointers?.forEach((pointer) => place(pointer.to));
    };
    for (const { op } of this.#ops) {
      for (const arg of op.args) {
        if (typeof arg !== "object") continue;
        if ("data" in arg) place(arg);
        else if ("at" in arg) place(arg.at);
      }
    }
    this.size = end;
  }

  /** Slot 0 takes the results nobody asked for. */
  slot(name: string): number {
    let slot = this.#slots.get(name);
    if (slot === undefined) {
      slot = this.#slots.size + (this.#part?.slots ?? 1);
      if (slot >= SLOT_COUNT) {
        throw new TsboxError(`lay out the plan: more than ${SLOT_COUNT - 1} results`, {
          code: "unsupported",
          hint: "one sandbox takes about 200 mounts",
        });
      }
      this.#slots.set(name, slot);
    }
    return slot;
  }

  #setLabel(name: string): void {
    if (this.#labels.has(name)) throw new Error(`plan: two labels "${name}"`);
    this.#labels.set(name, (this.#part?.first ?? 0) + this.#ops.length);
  }

  /** Index of the op behind a label. */
  label(name: string | number): number {
    const index = typeof name === "number" ? name : this.#labels.get(name);
    if (index === undefined) throw new Error(`plan: no label "${name}"`);
    return index;
  }

  /** Where a piece of data will lie, relative to the start of the program. */
  offset(data: Data): number {
    const offset = this.#offsets.get(data);
    if (offset === undefined) throw new Error(`plan: unplaced data ${data.text}`);
    return offset;
  }

  /**
   * Writes the program as it must look when it runs at `address`.
   * @param bound values of slots that the program finds there
   */
  write(bytes: Uint8Array, view: DataView, address: number, bound: Record<string, number>, reportFd: number): void {
    this.writePart(bytes, view, address);
    view.setInt32(REPORT_FD_AT, reportFd, true);
    for (const [name, value] of Object.entries(bound)) setWord(view, SLOTS_AT + this.slot(name) * 8, value);
  }

  /** The same without a head; `address` is that of its first op, if it is a part. */
  writePart(bytes: Uint8Array, view: DataView, address: number): void {
    const { image, pointers } = (this.#laidOut ??= this.#layOut());
    bytes.set(image);
    for (const { at, offset } of pointers) setWord(view, at, address + offset);
  }

  /** Everything but what depends on the address. */
  #layOut(): { image: Uint8Array; pointers: Pointer[] } {
    const image = new Uint8Array(this.size);
    const view = new DataView(image.buffer);
    const pointers: Pointer[] = [];
    const at = this.#opsAt;
    this.#ops.forEach(({ op, step }, index) => this.#writeOp(view, at + index * OP_BYTES, op, step, pointers));
    view.setInt32(at + this.#ops.length * OP_BYTES, CONTROL.end, true);
    for (const [data, offset] of this.#offsets) {
      image.set(data.data, offset);
      for (const pointer of data.pointers ?? [])
        pointers.push({ at: offset + pointer.offset, offset: this.offset(pointer.to) });
    }
    return { image, pointers };
  }

  #writeOp(view: DataView, at: number, op: Op, step: number, pointers: Pointer[]): void {
    const nr = op.call in CONTROL ? CONTROL[op.call as keyof typeof CONTROL] : this.#number(op.call as SyscallName);
    let refs = 0;
    for (let i = 0; i < op.args.length; i++) {
      const arg = op.args[i] as Argument;
      let value: number | bigint = 0;
      if (typeof arg !== "object") value = arg;
      else if ("ref" in arg) {
        refs |= 1 << i;
        value = this.slot(arg.ref);
      } else if ("data" in arg) pointers.push({ at: at + 16 + i * 8, offset: this.offset(arg) });
      else if ("at" in arg) pointers.push({ at: at + 16 + i * 8, offset: this.offset(arg.at) + arg.offset });
      else value = arg.value;
      if (value !== 0) setWord(view, at + 16 + i * 8, value);
    }
    if (op.call === "spawn") setWord(view, at + 16 + 16, this.label(op.label ?? ""));
    if (op.call === "run" && op.label !== undefined) setWord(view, at + 16 + 8, this.label(op.label));
    const error = op.onError;
    let [onError, target] = [ON_ERROR.fail, 0];
    if (error === "ignore") onError = ON_ERROR.ignore;
    else if (error && "ignore" in error) [onError, target] = [ON_ERROR.ignoreErrno, ERRNO[error.ignore]];
    else if (error) [onError, target] = [ON_ERROR.jump, this.label(error.jump)];
    if (op.call === "jump" || op.call === "jumpIf") target = this.label(op.label ?? "");
    view.setInt32(at, nr, true);
    view.setUint8(at + 4, op.out === undefined ? 0 : this.slot(op.out));
    view.setUint8(at + 5, onError);
    view.setUint16(at + 6, refs, true);
    view.setUint32(at + 8, target, true);
    view.setUint32(at + 12, step, true);
  }

  #number(name: SyscallName): number {
    const number = numberOf(name, this.arch);
    if (number < 0) throw new TsboxError(`plan ${name}: ${this.arch} has no such system call`, { code: "unsupported" });
    return number;
  }

  /** A result after the program ran; 0 where nothing in it has that name. */
  result(arena: Arena, name: string): number {
    const slot = this.#slots.get(name);
    return slot === undefined ? 0 : Number(arena.view.getBigInt64(SLOTS_AT + slot * 8, true));
  }
}

/** The failure that a report of 16 bytes tells: the step, its errno, and the call. */
export function readReport(view: DataView, plan: Plan): { step: Step; errno: number; call: string } | undefined {
  const failed = view.getUint32(0, true);
  const step = plan[failed - 1];
  if (!step) return undefined;
  return { step, errno: view.getInt32(4, true), call: reportedOp(view, plan)?.call ?? "?" };
}

/** The call that a report tells of, with its arguments, as a printed plan shows it. */
export function reportedCall(view: DataView, plan: Plan): string | undefined {
  const op = reportedOp(view, plan);
  return op && printOp(op);
}

function reportedOp(view: DataView, plan: Plan): Op | undefined {
  const { from, to } = partOf(plan, view.getUint32(0, true) - 1);
  const ops = plan.slice(from, to).flatMap((s) => s.ops);
  return ops.filter((op) => op.call !== "label")[view.getUint32(12, true)];
}

const show = (arg: Argument): string => {
  if (typeof arg === "bigint" || typeof arg === "number") return String(arg);
  if ("ref" in arg) return arg.ref;
  if ("at" in arg) return `&${arg.at.text}[${arg.offset}]`;
  return arg.text;
};

function printOp(op: Op): string {
  const isJump = op.call === "jump" || op.call === "jumpIf" || op.call === "spawn";
  const target = isJump || (op.call === "run" && op.label !== undefined) ? [`→ ${op.label}`] : [];
  return `${op.call}(${[...op.args.map(show), ...target].join(", ")})`;
}

/** One call per line, each step headed by its reason. */
export function printPlan(plan: Plan): string {
  const lines: string[] = [];
  for (const step of plan) {
    lines.push(`# ${step.action}`);
    for (const op of step.ops) {
      if (op.call === "label") lines.push(`${op.label}:`);
      else {
        const note =
          op.onError === undefined
            ? ""
            : op.onError === "ignore"
              ? "  [may fail]"
              : "ignore" in op.onError
                ? `  [${op.onError.ignore} is fine]`
                : `  [on an error → ${op.onError.jump}]`;
        lines.push(`  ${op.out ? `${op.out} = ` : ""}${printOp(op)}${note}`);
      }
    }
  }
  return lines.join("\n") + "\n";
}
