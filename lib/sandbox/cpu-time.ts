/** The limit of CPU time: looked at as seldom as it can be, and often when it is near. @module */

/** Between two looks. */
const [MIN_MS, MAX_MS] = [10, 1000];

/**
 * Calls `exceeded` when more has been spent.
 * @param spentMs so far, by all processes
 * @returns ends it
 */
export function watchCpuTime(limitMs: number, spentMs: () => number, exceeded: () => void): () => void {
  let timer: ReturnType<typeof setTimeout>;
  const look = () => {
    let leftMs = 0;
    try {
      leftMs = limitMs - spentMs();
    } catch {
      // no descriptor is left to look with
      timer = setTimeout(look, MIN_MS);
      timer.unref?.();
      return;
    }
    if (leftMs <= 0) return exceeded();
    // all CPUs together cannot use it up before
    timer = setTimeout(look, Math.min(Math.max(leftMs / navigator.hardwareConcurrency, MIN_MS), MAX_MS));
    timer.unref?.();
  };
  look();
  return () => clearTimeout(timer);
}
