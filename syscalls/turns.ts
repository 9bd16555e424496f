/** Loops over much that wait for nothing give others a turn: signals, timers, whoever else works in this thread. @module */

/** So long nobody else has one. */
const TURN_MS = 15;

/** To be called in each round of such a loop, and awaited. */
export type Turn = () => Promise<void> | undefined;

/** @throws the reason of the signal, in each round */
export function turns(signal?: AbortSignal): Turn {
  let since = performance.now();
  const next = async (): Promise<void> => {
    // a millisecond, in which a server answers several requests; setImmediate is over sooner than one (measured)
    await new Promise((resolve) => setTimeout(resolve, 0));
    since = performance.now();
    signal?.throwIfAborted();
  };
  return () => {
    signal?.throwIfAborted();
    return performance.now() - since < TURN_MS ? undefined : next();
  };
}
