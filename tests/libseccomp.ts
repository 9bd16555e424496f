/** libseccomp, as runc calls it: another compiler of the same profiles, and other tables of numbers. @module */
import { dlopen, FFIType, ptr } from "bun:ffi";
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { SeccompProfile } from "../lib/spec/index.ts";
import { SYSCALLS, type SyscallName } from "../syscalls/index.ts";

const hasLibseccomp = process.arch === "x64" && existsSync("/usr/lib/x86_64-linux-gnu/libseccomp.so.2");
/** Why it cannot be asked, for the name of a skipped test; empty where it can. */
export const noLibseccomp = hasLibseccomp ? "" : " (skipped: this machine has no libseccomp.so.2 for x86-64)";

const SCMP_ARCH: Record<string, number> = {
  SCMP_ARCH_X86: 0x40000003,
  SCMP_ARCH_X32: 0x4000003e,
  SCMP_ARCH_X86_64: 0xc000003e,
  SCMP_ARCH_ARM: 0x40000028,
};
const OPS = ["", "NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"];
const ACTIONS: Record<string, number> = { ALLOW: 0x7fff0000, TRAP: 0x30000, ERRNO: 0x50000, LOG: 0x7ffc0000 };

function open() {
  const T = FFIType;
  return dlopen("libseccomp.so.2", {
    seccomp_init: { args: [T.u32], returns: T.ptr },
    seccomp_release: { args: [T.ptr], returns: T.void },
    seccomp_arch_add: { args: [T.ptr, T.u32], returns: T.i32 },
    seccomp_attr_set: { args: [T.ptr, T.u32, T.u32], returns: T.i32 },
    seccomp_rule_add_array: { args: [T.ptr, T.u32, T.i32, T.u32, T.ptr], returns: T.i32 },
    seccomp_export_bpf: { args: [T.ptr, T.i32], returns: T.i32 },
    seccomp_syscall_resolve_name: { args: [T.cstring], returns: T.i32 },
    seccomp_syscall_resolve_name_arch: { args: [T.u32, T.cstring], returns: T.i32 },
  }).symbols;
}

const action = (name: string, errno?: number) =>
  ((ACTIONS[name.slice(9)] as number) | (name === "SCMP_ACT_ERRNO" ? (errno ?? 1) : 0)) >>> 0;

/** Its number of a call, in an ABI; negative where it knows none. */
export function numberAsLibseccomp(): (architecture: string, name: string) => number {
  const lib = open();
  return (architecture, name) =>
    lib.seccomp_syscall_resolve_name_arch(SCMP_ARCH[architecture] as number, Buffer.from(`${name}\0`));
}

/** Its own filter, rules added as runc adds them; undefined where it refuses a rule. */
export function openLibseccomp(): (given: SeccompProfile) => Uint8Array | undefined {
  const lib = open();
  return (given) => {
    const otherwise = action(given.defaultAction, given.defaultErrnoRet);
    const context = lib.seccomp_init(otherwise);
    const folder = mkdtempSync(join(tmpdir(), "tsbox-seccomp-"));
    try {
      const SCMP_FLTATR_ACT_BADARCH = 2;
      lib.seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, action("SCMP_ACT_ERRNO", 38));
      const foreign = (given.architectures ?? []).filter((name) => name !== "SCMP_ARCH_X86_64");
      for (const name of foreign) lib.seccomp_arch_add(context, SCMP_ARCH[name] as number);
      for (const one of given.syscalls ?? []) {
        const act = action(one.action, one.errnoRet);
        if (act === otherwise) continue;
        const conditions = one.args ?? [];
        const repeated = new Set(conditions.map(({ index }) => index)).size < conditions.length;
        for (const list of repeated ? conditions.map((c) => [c]) : [conditions]) {
          const bytes = new BigUint64Array(Math.max(3, list.length * 3));
          list.forEach(({ index, op, value, valueTwo }, i) => {
            bytes[i * 3] = BigInt(index) | (BigInt(OPS.indexOf(op.slice(9))) << 32n);
            bytes[i * 3 + 1] = BigInt(value);
            bytes[i * 3 + 2] = BigInt(valueTwo ?? 0);
          });
          for (const name of one.names) {
            const number = foreign.length
              ? lib.seccomp_syscall_resolve_name(Buffer.from(`${name}\0`))
              : (SYSCALLS[name as SyscallName]?.[0] ?? -1);
            // negative ones other than -1 stand for calls that only other ABIs have
            const known = foreign.length ? number !== -1 : number >= 0;
            if (known && lib.seccomp_rule_add_array(context, act, number, list.length, ptr(bytes)) !== 0) return;
          }
        }
      }
      const fd = openSync(join(folder, "filter"), "w");
      lib.seccomp_export_bpf(context, fd);
      closeSync(fd);
      return new Uint8Array(readFileSync(join(folder, "filter")));
    } finally {
      lib.seccomp_release(context);
      rmSync(folder, { recursive: true });
    }
  };
}
