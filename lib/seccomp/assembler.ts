/**
 * Classic BPF, assembled back to front: the end of the program comes first, so every target of a jump (BPF only jumps
 * forward) has its place before the jump is written.
 * @module
 * @see the kernel's Documentation/networking/filter.rst, seccomp(2)
 */

/** `BPF_LD|BPF_W|BPF_ABS`: A = the 32-bit word at offset k of `struct seccomp_data`. */
export const LD = 0x20;
/** `BPF_ALU|BPF_AND|BPF_K`: A &= k. */
export const AND = 0x54;
/** `BPF_JMP|…|BPF_K`: go to one of two places by comparing A with k, unsigned. */
export const [JEQ, JGT, JGE] = [0x15, 0x25, 0x35];
/** `BPF_JMP|BPF_JA` jumps k further; `BPF_RET|BPF_K` answers k. */
const [JA, RET] = [0x05, 0x06];

/** How far a conditional jump reaches: a byte, less the one instruction that bringing the other target near may add. */
const REACH = 254;

/** An instruction that is already placed: how many follow it until the end of the program. */
export type Label = number;

export class Assembler {
  /** `struct sock_filter` in two words, the program's last instruction first: `code, jt, jf` and `k`. */
  readonly #heads: number[] = [];
  readonly #ks: number[] = [];
  readonly #answers = new Map<number, Label>();

  get length(): number {
    return this.#heads.length;
  }

  /** The end of the filter: one instruction per answer, shared by all who can reach it. */
  answer(verdict: number): Label {
    let label = this.#answers.get(verdict);
    if (label === undefined) {
      label = this.#put(RET, verdict);
      this.#answers.set(verdict, label);
    }
    return label;
  }

  /** Compares A with k. */
  test(code: number, k: number, yes: Label, no: Label): Label {
    if (yes === no) return yes;
    const yesNear = this.#near(yes);
    const noNear = this.#near(no);
    return this.#put(code | (this.#distance(yesNear) << 16) | (this.#distance(noNear) << 24), k);
  }

  /** Loads or computes A, and goes on at `next`. */
  step(code: number, k: number, next: Label): Label {
    if (this.#distance(next) > 0) this.#bring(next);
    return this.#put(code, k);
  }

  /** Where to enter at `label` with the word at `offset` in A already. */
  loaded(offset: number, label: Label): Label {
    return this.#heads[label] === LD && this.#ks[label] === offset ? label - 1 : label;
  }

  /** The array of `struct sock_filter`. */
  bytes(): Uint8Array {
    const words = new Uint32Array(this.length * 2);
    for (let label = 0, at = words.length; label < this.length; label++) {
      words[--at] = this.#ks[label] as number;
      words[--at] = this.#heads[label] as number;
    }
    return new Uint8Array(words.buffer);
  }

  #put(head: number, k: number): Label {
    this.#heads.push(head);
    return this.#ks.push(k) - 1;
  }

  /** What an instruction placed now has to skip to get there. */
  #distance(label: Label): number {
    return this.#heads.length - 1 - label;
  }

  #near(label: Label): Label {
    return this.#distance(label) < REACH ? label : this.#bring(label);
  }

  /** A jump there; an answer is as short as a jump, so it is repeated instead. */
  #bring(label: Label): Label {
    if (this.#heads[label] !== RET) return this.#put(JA, this.#distance(label));
    const verdict = this.#ks[label] as number;
    this.#answers.delete(verdict);
    return this.answer(verdict);
  }
}
