/** Where commands of ours have their home. @module */
import { join } from "node:path";

const TRANSPILED = join(import.meta.dir, "../../.cache/transpiled");

/** With Bun's own cache outside: the next command has it as well, and nothing is written where a home has been removed. */
export const homeIn = (path: string) => ({ HOME: path, BUN_RUNTIME_TRANSPILER_CACHE_PATH: TRANSPILED });
