/** Loops over much that wait for nothing give others a turn: signals, timers, whoever else works in this thread. @module */

/** So long nobody else has one. */
const TURN_MS = 20;

/** To be called in each round of such a loop, and to be awaited where it is something. */
export function turns(ms = TURN_MS): () => Promise<void> | undefined {
  let since = performance.now();
  return () => {
    if (performance.now() - since < ms) return undefined;
    return new Promise((resolve) =>
      setTimeout(() => {
        since = performance.now();
        resolve();
      }),
    );
  };
}
