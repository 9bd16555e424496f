/** Which failures may go better in a moment, and how long to wait for it. @module */
import { AnswerError, ConnectionError } from "./failure.ts";
import { abortError, SilenceError, throwIfAborted } from "./exchange.ts";

export interface Patience {
  /** How often something is tried. */
  attempts: number;
  /** Before the second time; doubled from then on. */
  delayMs: number;
  /** What a registry may ask for (`Retry-After`); longer, and it is an error at once. */
  longestMs: number;
}

export const PATIENCE: Patience = { attempts: 5, delayMs: 250, longestMs: 30_000 };

const TRANSIENT = [408, 425, 429, 500, 502, 503, 504];

/** How long to wait before the next time; undefined where there is to be none. @param failed how often it has, up to now */
export function pauseMs(
  error: unknown,
  failed: number,
  { attempts, delayMs, longestMs }: Patience,
): number | undefined {
  if (failed >= attempts || !isTransient(error)) return undefined;
  // who has let us wait for half a minute does so again
  if (error instanceof SilenceError && failed > 1) return undefined;
  if (error instanceof AnswerError) {
    if (error.isExhausted) return undefined;
    if (error.retryAfterMs !== undefined) return error.retryAfterMs <= longestMs ? error.retryAfterMs : undefined;
  }
  // not all of those who were turned away together come back together
  return delayMs * 2 ** (failed - 1) * (0.5 + Math.random() / 2);
}

export const isTransient = (error: unknown): boolean =>
  error instanceof SilenceError ||
  (error instanceof ConnectionError && error.isTransient) ||
  (error instanceof AnswerError && TRANSIENT.includes(error.status));

export function pause(ms: number, action: string, signal: AbortSignal | undefined): Promise<void> {
  throwIfAborted(action, signal);
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      clearTimeout(timer);
      reject(abortError(action, signal));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

/** Does something again for as long as that may help. */
export async function persist<T>(
  work: () => Promise<T>,
  patience: Patience,
  action: string,
  signal: AbortSignal | undefined,
): Promise<T> {
  for (let failed = 1; ; failed++) {
    try {
      return await work();
    } catch (error) {
      const ms = pauseMs(error, failed, patience);
      if (ms === undefined || signal?.aborted) throw error;
      await pause(ms, action, signal);
    }
  }
}
