/** How tsbox is called again. @module */
import { callVerb } from "../launch/index.ts";
import type { Executed } from "../sandbox/index.ts";
import type { Home } from "./home.ts";

/** Of the hidden verbs of `tsbox container`. Undefined where this program is no tsbox, and there is none in PATH. */
export const callSelf = ({ root }: Home, ...words: string[]): Executed | undefined =>
  callVerb(root, "container", ...words);
