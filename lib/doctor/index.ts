/** What this host offers, and what would help where it does not. @module */
import { checksOf, type Check } from "./checks.ts";
import { factsOfHost } from "./facts.ts";

export { checksOf, isHealthy, type Area, type Check } from "./checks.ts";
export type { CgroupFacts, HostFacts } from "./facts.ts";
export type { Outcome, Trials } from "./trials.ts";

/**
 * Looks at this host, and tries out sandboxes as this user.
 * @param directories what sandboxes are to have mounts of
 */
export async function examine(directories: readonly string[] = []): Promise<Check[]> {
  return checksOf(await factsOfHost(directories));
}
