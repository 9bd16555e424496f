/** Several things at once, but not too many. @module */

/**
 * Results in order. The first failure ends the others by the signal that each gets, and is thrown once they have ended.
 * @param limit so many at the same time
 */
export async function parallel<In, Out>(
  limit: number,
  items: readonly In[],
  work: (item: In, signal: AbortSignal) => Promise<Out>,
  signal?: AbortSignal,
): Promise<Out[]> {
  const stop = new AbortController();
  const stopped = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
  const results: Out[] = [];
  let next = 0;
  let failure: { error: unknown } | undefined;
  const worker = async () => {
    while (next < items.length && !failure) {
      const at = next++;
      try {
        stopped.throwIfAborted();
        results[at] = await work(items[at] as In, stopped);
      } catch (error) {
        failure ??= { error };
        stop.abort(error);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
  if (failure) throw failure.error;
  return results;
}
