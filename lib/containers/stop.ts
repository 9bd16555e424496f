/** Ends a container that runs. @module */
import type { Duration } from "../sandbox/index.ts";
import type { Home } from "./home.ts";

export interface StopOptions {
  /** Instead of its own. */
  signal?: string | number;
  /** Until it is killed; a negative one waits for ever. */
  timeout?: Duration;
}

export async function stop(_home: Home, _id: string, _options: StopOptions): Promise<void> {
  throw new Error("todo");
}

export async function kill(_home: Home, _id: string, _signal?: string | number): Promise<void> {
  throw new Error("todo");
}

export async function restart(_home: Home, _id: string, _options: StopOptions): Promise<void> {
  throw new Error("todo");
}
