/** Waits for the end of a container. @module */
import type { Home } from "./home.ts";

export interface WaitOptions {
  /** Default `"not-running"`, which it may be already; `"next-exit"`: of a run from now on. */
  condition?: "not-running" | "next-exit" | "removed";
  signal?: AbortSignal;
}

export interface Ended {
  exitCode: number;
  oomKilled: boolean;
  error?: string;
}

export async function wait(_home: Home, _id: string, _options: WaitOptions): Promise<Ended> {
  throw new Error("todo");
}
