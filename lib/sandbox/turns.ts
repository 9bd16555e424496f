/**
 * Starts that are asked for at the same moment: each takes the thread for some milliseconds, so after a few of them
 * timers and connections have their turn. The first ones to ask start first.
 * @module
 */

/** Of starts in one turn of the event loop. */
const SLICE_MS = 5;
let spentMs = 0;
/** Whether the next turn is looked forward to. */
let isWatched = false;
const waiting: (() => void)[] = [];

interface Asked {
  signal?: AbortSignal | undefined;
}

/**
 * Starts at once where this turn has time for it.
 * @param asked is given to `start` as it is now, whatever the caller does to it meanwhile
 * @throws what `start` throws, and the reason of a signal that fires before its turn
 */
export function inTurn<Options extends Asked, Started>(
  asked: { command: string[]; options: Options },
  start: (asked: { command: string[]; options: Options }) => Started | Promise<Started>,
): Started | Promise<Started> {
  if (waiting.length === 0 && spentMs < SLICE_MS) return timed(() => start(asked));
  const copy = copyOf(asked, 0) as typeof asked;
  const { signal } = copy.options;
  return new Promise<Started>((resolve, reject) => {
    waiting.push(() => {
      try {
        if (signal instanceof AbortSignal) signal.throwIfAborted();
        resolve(timed(() => start(copy)));
      } catch (error) {
        reject(error as Error);
      }
    });
  });
}

function timed<T>(start: () => T): T {
  const began = performance.now();
  if (!isWatched) setImmediate(nextTurn);
  isWatched = true;
  try {
    return start();
  } finally {
    spentMs += performance.now() - began;
  }
}

function nextTurn(): void {
  spentMs = 0;
  isWatched = false;
  while (spentMs < SLICE_MS && waiting.length > 0) waiting.shift()?.();
}

/** As deep as options are. */
const MAX_DEPTH = 6;

/** Objects and arrays that hold nothing but data are the caller's to change; streams, signals and boxes are themselves. */
function copyOf(value: unknown, depth: number): unknown {
  if (typeof value !== "object" || value === null || depth > MAX_DEPTH) return value;
  if (Array.isArray(value)) return value.map((item) => copyOf(item, depth + 1));
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return value;
  const copy = Object.create(prototype) as Record<PropertyKey, unknown>;
  for (const key of Reflect.ownKeys(value))
    Object.defineProperty(copy, key, {
      value: copyOf((value as Record<PropertyKey, unknown>)[key], depth + 1),
      enumerable: Object.prototype.propertyIsEnumerable.call(value, key),
      configurable: true,
      writable: true,
    });
  return copy;
}
