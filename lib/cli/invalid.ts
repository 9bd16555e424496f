/** Flags whose values were not understood. @module */
import { TsboxError } from "../sandbox/index.ts";

export const invalid = (flag: string, value: string, why: string, hint?: string): TsboxError =>
  new TsboxError(`use ${flag} ${JSON.stringify(value)}: ${why}`, { code: "invalid_option", ...(hint ? { hint } : {}) });
