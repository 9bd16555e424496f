/** The same, done to each of several containers. @module */
import { REFUSED } from "../images/with-images.ts";
import { print } from "../print.ts";
import { reportFailure } from "../report.ts";
import { safeWord } from "../safe-text.ts";

/** As many as Docker does at a time. */
const AT_ONCE = 50;

/**
 * Does the same to several containers at a time, and tells in their order what each came to.
 * @param act what it returns is printed, in a line
 * @returns the exit status
 */
export async function forAll(
  names: readonly string[],
  act: (name: string) => Promise<string | void>,
  forgives: (error: unknown) => boolean = () => false,
): Promise<number> {
  const works: Promise<Outcome>[] = [];
  for (const name of names) works.push(outcomeOf(act, name, works[works.length - AT_ONCE]));
  let status = 0;
  for (const work of works) {
    const { error, shown } = await work;
    if (shown !== undefined) print(`${safeWord(shown)}\n`);
    if (error === undefined) continue;
    const { code, name } = error as { code?: string; name?: string };
    // by a signal: of what waits, that is the reason
    if (code === "aborted" || name === "AbortError") throw error;
    reportFailure(error);
    if (!forgives(error)) status = REFUSED;
  }
  return status;
}

interface Outcome {
  shown?: string;
  error?: unknown;
}

/** @param before in the same lane */
async function outcomeOf(
  act: (name: string) => Promise<string | void>,
  name: string,
  before: Promise<Outcome> | undefined,
): Promise<Outcome> {
  await before;
  try {
    const shown = await act(name);
    return shown === undefined ? {} : { shown };
  } catch (error) {
    return { error };
  }
}
