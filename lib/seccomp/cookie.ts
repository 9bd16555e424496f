/**
 * How a process gets past its own filter to hand the listener over, whatever the profile says of the calls that takes:
 * what has the cookie as its sixth argument is let through. A second filter refuses such calls before anything that is
 * not trusted runs, so that to know the cookie is of no use.
 * @module
 */
import { JEQ, LD } from "./assembler.ts";

/** No call of the plan has six arguments of its own. */
export const COOKIE = 0x7473_626f_782dn;

const RET = 0x06;
const [ALLOW, REFUSE] = [0x7fff0000, 0x00050001];
/** `args[5]` in `struct seccomp_data`. */
const SIXTH = 16 + 5 * 8;

/** Five instructions; the sixth is where all other calls go on. */
function onCookie(verdict: number): Uint32Array {
  const code = (head: number, otherwise: number) => head | (otherwise << 24);
  const [low, high] = [Number(COOKIE & 0xffffffffn), Number(COOKIE >> 32n)];
  return Uint32Array.of(LD, SIXTH, code(JEQ, 3), low, LD, SIXTH + 4, code(JEQ, 1), high, RET, verdict);
}

const joined = (...parts: Uint8Array[]) => Uint8Array.from(parts.flatMap((part) => [...part]));
const bytesOf = (words: Uint32Array) => new Uint8Array(words.buffer);

/** The filter, behind a way past it. */
export const withCookie = (filter: Uint8Array): Uint8Array => joined(bytesOf(onCookie(ALLOW)), filter);

/** A filter that closes the way. */
export const refuseCookie = (): Uint8Array => joined(bytesOf(onCookie(REFUSE)), bytesOf(Uint32Array.of(RET, ALLOW)));
