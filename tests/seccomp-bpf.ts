/** Runs classic BPF as the kernel does for seccomp: the measure for what we compile. @module */
import { numberOf, type Arch, type SyscallName } from "../syscalls/index.ts";

export interface Call {
  number: number;
  args?: (number | bigint)[];
  /** `AUDIT_ARCH_*` */
  arch?: number;
}

export const AUDIT_ARCH = { x64: 0xc000003e, arm64: 0xc00000b7, i386: 0x40000003, arm: 0x40000028 };

/** `struct seccomp_data { int nr; __u32 arch; __u64 instruction_pointer; __u64 args[6]; }` */
function seccompData({ number, args = [], arch = AUDIT_ARCH.x64 }: Call): DataView {
  const data = new DataView(new ArrayBuffer(64));
  data.setInt32(0, number, true);
  data.setUint32(4, arch, true);
  args.forEach((value, index) => data.setBigUint64(16 + index * 8, BigInt.asUintN(64, BigInt(value)), true));
  return data;
}

/** The number that the filter returns. Throws where the kernel would refuse the filter. */
export function runFilter(filter: Uint8Array, call: Call): number {
  const data = seccompData(call);
  const program = new DataView(filter.buffer, filter.byteOffset, filter.byteLength);
  let a = 0;
  // every jump goes forward, so this ends
  for (let pc = 0; pc < filter.length / 8; pc++) {
    const [code, k] = [program.getUint16(pc * 8, true), program.getUint32(pc * 8 + 4, true)];
    const branch = (condition: boolean) => program.getUint8(pc * 8 + (condition ? 2 : 3));
    if (code === 0x20 && k % 4 === 0 && k < 64) a = data.getUint32(k, true);
    else if (code === 0x54) a = (a & k) >>> 0;
    else if (code === 0x05) pc += k;
    else if (code === 0x15) pc += branch(a === k);
    else if (code === 0x25) pc += branch(a > k);
    else if (code === 0x35) pc += branch(a >= k);
    else if (code === 0x06) return k;
    else throw new Error(`instruction ${pc}: code ${code}, k ${k}`);
  }
  throw new Error("ran past the end");
}

const ERRNOS: Record<number, string> = { 1: "EPERM", 5: "EIO", 13: "EACCES", 38: "ENOSYS", 97: "EAFNOSUPPORT" };

/** `"allow"`, `"EPERM"`, `"errno 7"`, `"trap"` … */
export function readVerdict(verdict: number): string {
  const data = verdict & 0xffff;
  switch ((verdict & 0xffff0000) >>> 0) {
    case 0x80000000:
      return "kill process";
    case 0:
      return "kill thread";
    case 0x30000:
      return "trap";
    case 0x50000:
      return ERRNOS[data] ?? `errno ${data}`;
    case 0x7fc00000:
      return "notify";
    case 0x7ff00000:
      return `trace ${data}`;
    case 0x7ffc0000:
      return "log";
    case 0x7fff0000:
      return "allow";
    default:
      return `? ${verdict}`;
  }
}

/** What a filter says to a call by its name. */
export const ask = (filter: Uint8Array, name: SyscallName, args: (number | bigint)[] = [], arch: Arch = "x64") =>
  readVerdict(runFilter(filter, { number: numberOf(name, arch), args, arch: AUDIT_ARCH[arch] }));
