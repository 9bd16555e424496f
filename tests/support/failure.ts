/** Errors as values. @module */
import { TsboxError } from "../../lib/index.ts";

/** The TsboxError that a call throws or rejects with; anything else fails the test. */
export async function failureOf(attempt: () => unknown): Promise<TsboxError> {
  let result: unknown;
  try {
    result = await attempt();
  } catch (error) {
    if (error instanceof TsboxError) return error;
    throw error;
  }
  throw new Error(`no failure, but ${JSON.stringify(result)}`);
}
