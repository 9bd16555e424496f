/**
 * What verbs of images share: the store, signals, exit statuses.
 * @module
 */
import type { Images } from "../../images/index.ts";
import { reportFailure } from "../report.ts";

/** As Docker has it for what it was asked and could not do. */
export const REFUSED = 1;

const SIGNALS = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;

/**
 * Ends with the status that `work` comes to, 0 unless it says so. A signal stops what is under way in an orderly manner,
 * so that it can be gone on with; a second one ends it at once.
 */
export async function safely(work: (signal: AbortSignal) => Promise<number | void>): Promise<never> {
  const stop = new AbortController();
  let ending: number | undefined;
  for (const [name, number] of Object.entries(SIGNALS)) {
    process.on(name, () => {
      if (ending !== undefined) process.exit(ending);
      ending = 128 + number;
      stop.abort();
    });
  }
  failWhenIdle(REFUSED);
  let status: number;
  try {
    status = (await work(stop.signal)) ?? 0;
  } catch (error) {
    if (ending === undefined) reportFailure(error);
    status = REFUSED;
  }
  process.exit(ending ?? status);
}

/** What waits for something that never comes is no success. */
export function failWhenIdle(status: number): void {
  process.on("beforeExit", () => {
    reportFailure(new Error("there is nothing more to wait for"));
    process.exit(status);
  });
}

export const withImages = (work: (images: Images, signal: AbortSignal) => Promise<number | void>): Promise<never> =>
  safely(async (signal) => {
    const { Tsbox } = await import("../../engine/index.ts");
    using engine = new Tsbox();
    return await work(engine.images, signal);
  });

/** For each name, and the others although one of them fails. @returns the status */
export async function forEach(names: readonly string[], act: (name: string) => Promise<void>): Promise<number> {
  let status = 0;
  for (const name of names) {
    try {
      await act(name);
    } catch (error) {
      if ((error as { code?: string }).code === "aborted") throw error;
      reportFailure(error);
      status = REFUSED;
    }
  }
  return status;
}
