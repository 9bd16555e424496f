/** `--root`: where images are kept. @module */
import type { Verb } from "./verb.ts";

/** As it was given to `tsbox` itself, whichever verb is asked. */
export function rootOf(verb: Verb): { root?: string } {
  const { root } = verb.optsWithGlobals<{ root?: string }>();
  return root === undefined ? {} : { root };
}
