/**
 * Extended BPF, as far as control groups need it: instructions, and a program that is loaded and attached to a group.
 * @module
 * @see bpf(2), the kernel's Documentation/bpf/standardization/instruction-set.rst, linux/bpf.h
 */
import { mapArena, systemError, trySyscall, unmapArena, type Arena } from "./kernel.ts";

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

const [BPF_PROG_LOAD, BPF_PROG_ATTACH, BPF_PROG_DETACH, BPF_PROG_GET_FD_BY_ID, BPF_PROG_QUERY] = [5, 8, 9, 13, 16];
const BPF_PROG_TYPE_CGROUP_DEVICE = 15;
const BPF_CGROUP_DEVICE = 6;
const BPF_F_ALLOW_MULTI = 2;
/** `union bpf_attr`, as far as it is used; what is behind it is zero. */
const ATTR_BYTES = 72;
/** The kernel has no more of them on a group. */
const MAX_ATTACHED = 64;

/**
 * `int bpf(BPF_PROG_LOAD, …)` and `bpf(BPF_PROG_ATTACH, …)`: from then on, the program decides about devices in a group
 * of version 2 and those below; it goes with the group. Those that have decided before are detached afterwards, so that
 * at no moment nothing decides. @see bpf(2)
 * @param group a descriptor of its directory
 * @throws TsboxError `limit_unavailable`
 */
export function attachDeviceProgram(group: number, program: Uint8Array): void {
  const arena = mapArena(Math.ceil((ATTR_BYTES + 8 + program.length) / 4096) * 4096);
  try {
    const before = attachedTo(group, arena);
    const loaded = load(program, arena);
    const attached = bpf(BPF_PROG_ATTACH, [group, loaded, BPF_CGROUP_DEVICE, BPF_F_ALLOW_MULTI], arena);
    trySyscall("close", loaded);
    if (attached < 0) throw failure("attach a program that decides about devices", attached);
    for (const id of before) detach(group, id, arena);
  } finally {
    unmapArena(arena);
  }
}

const failure = (action: string, result: number) => systemError(action, "bpf", -result, "limit_unavailable");

/** `int bpf(int cmd, union bpf_attr *attr, unsigned int size)` with an attribute that begins with these words. */
function bpf(command: number, words: readonly number[], { view, bytes, address }: Arena): number {
  bytes.fill(0, 0, ATTR_BYTES);
  words.forEach((word, index) => view.setUint32(index * 4, word, true));
  return trySyscall("bpf", command, address, ATTR_BYTES);
}

function load(program: Uint8Array, { view, bytes, address }: Arena): number {
  const [license, instructions] = [ATTR_BYTES, ATTR_BYTES + 8];
  // the license stays empty: no function is called that would ask for one
  bytes.fill(0, 0, instructions);
  bytes.set(program, instructions);
  view.setUint32(0, BPF_PROG_TYPE_CGROUP_DEVICE, true);
  view.setUint32(4, program.length / 8, true);
  view.setBigUint64(8, BigInt(address + instructions), true);
  view.setBigUint64(16, BigInt(address + license), true);
  const loaded = trySyscall("bpf", BPF_PROG_LOAD, address, ATTR_BYTES);
  if (loaded < 0) throw failure("load a program that decides about devices", loaded);
  return loaded;
}

/** Ids of the programs that decide about devices in the group itself. */
function attachedTo(group: number, arena: Arena): number[] {
  const { view, bytes, address } = arena;
  const ids = ATTR_BYTES + 8;
  bytes.fill(0, 0, ATTR_BYTES);
  // { target_fd, attach_type, query_flags, attach_flags, prog_ids, prog_cnt }
  view.setUint32(0, group, true);
  view.setUint32(4, BPF_CGROUP_DEVICE, true);
  view.setBigUint64(16, BigInt(address + ids), true);
  view.setUint32(24, MAX_ATTACHED, true);
  if (trySyscall("bpf", BPF_PROG_QUERY, address, ATTR_BYTES) < 0) return [];
  const count = view.getUint32(24, true);
  return Array.from({ length: count }, (_, index) => view.getUint32(ids + index * 4, true));
}

function detach(group: number, id: number, arena: Arena): void {
  const old = bpf(BPF_PROG_GET_FD_BY_ID, [id], arena);
  // it has gone by itself
  if (old < 0) return;
  const result = bpf(BPF_PROG_DETACH, [group, old, BPF_CGROUP_DEVICE], arena);
  trySyscall("close", old);
  if (result < 0) throw failure("detach the program that decided about devices", result);
}
