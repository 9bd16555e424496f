/** Signal names. @see signal(7) @module */
import { constants } from "node:os";

const NAMES = new Map(Object.entries(constants.signals).map(([name, number]) => [number, name]));

/** `"SIGKILL"` for 9. */
export function signalName(signal: number): string {
  return NAMES.get(signal) ?? `SIG${signal}`;
}
