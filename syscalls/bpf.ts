/**
 * Extended BPF, as far as control groups need it: instructions, and a program that is loaded and attached to a group.
 * @module
 * @see bpf(2), the kernel's Documentation/bpf/standardization/instruction-set.rst, linux/bpf.h
 */
import { mapArena, systemError, trySyscall, unmapArena } from "./kernel.ts";

/** Codes by the names that bpf(2) has for their parts. */
export const BPF = {
  /** `BPF_LDX|BPF_W|BPF_MEM`: dst = the 32-bit word at src + off. */
  LDX_W: 0x61,
  /** `BPF_ALU64|BPF_MOV|BPF_X` and `|BPF_K`. */
  MOV_X: 0xbf,
  MOV_K: 0xb7,
  AND_K: 0x57,
  RSH_K: 0x77,
  /** `BPF_JMP|…|BPF_K`: skip so many instructions. */
  JEQ_K: 0x15,
  JNE_K: 0x55,
  EXIT: 0x95,
} as const;

/** `struct bpf_insn`. */
export function instruction(code: number, dst = 0, src = 0, off = 0, imm = 0): Uint8Array {
  const view = new DataView(new ArrayBuffer(8));
  view.setUint8(0, code);
  view.setUint8(1, (src << 4) | dst);
  view.setInt16(2, off, true);
  view.setInt32(4, imm, true);
  return new Uint8Array(view.buffer);
}

const [BPF_PROG_LOAD, BPF_PROG_ATTACH] = [5, 8];
const BPF_PROG_TYPE_CGROUP_DEVICE = 15;
const BPF_CGROUP_DEVICE = 6;
const BPF_F_ALLOW_MULTI = 2;
/** `union bpf_attr`, as far as it is used; what is behind it is zero. */
const ATTR_BYTES = 72;

/**
 * `int bpf(BPF_PROG_LOAD, …)` and `bpf(BPF_PROG_ATTACH, …)`: from then on, the program decides about devices in a group
 * of version 2 and those below; it goes with the group. @see bpf(2)
 * @param group a descriptor of its directory
 * @throws TsboxError `limit_unavailable`
 */
export function attachDeviceProgram(group: number, program: Uint8Array): void {
  const arena = mapArena(Math.ceil((ATTR_BYTES + 8 + program.length) / 4096) * 4096);
  try {
    const { view, bytes, address } = arena;
    const [license, instructions] = [ATTR_BYTES, ATTR_BYTES + 8];
    bytes.set(program, instructions);
    // the license stays empty: no function is called that would ask for one
    view.setUint32(0, BPF_PROG_TYPE_CGROUP_DEVICE, true);
    view.setUint32(4, program.length / 8, true);
    view.setBigUint64(8, BigInt(address + instructions), true);
    view.setBigUint64(16, BigInt(address + license), true);
    const loaded = trySyscall("bpf", BPF_PROG_LOAD, address, ATTR_BYTES);
    if (loaded < 0) throw systemError("load a program that decides about devices", "bpf", -loaded, "limit_unavailable");
    bytes.fill(0, 0, ATTR_BYTES);
    [group, loaded, BPF_CGROUP_DEVICE, BPF_F_ALLOW_MULTI].forEach((word, i) => view.setUint32(i * 4, word, true));
    const attached = trySyscall("bpf", BPF_PROG_ATTACH, address, ATTR_BYTES);
    trySyscall("close", loaded);
    if (attached < 0)
      throw systemError("attach a program that decides about devices", "bpf", -attached, "limit_unavailable");
  } finally {
    unmapArena(arena);
  }
}
