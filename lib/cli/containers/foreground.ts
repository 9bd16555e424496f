/** A container that is followed until it ends, or is left alone by its detach keys. @module */
import type { Container } from "../../containers/index.ts";

export interface Foreground {
  /** Those that are joined; stdin only where the container's is open. */
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
  sigProxy: boolean;
  detachKeys?: string;
}

/**
 * @param start called once its output cannot be missed any more; what it throws is thrown on
 * @returns the exit status: the container's own, 0 where it is left alone
 */
export async function follow(_container: Container, _how: Foreground, _start: () => Promise<void>): Promise<number> {
  throw new Error("todo");
}
