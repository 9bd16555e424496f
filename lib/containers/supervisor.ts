/** What a supervisor can be asked. @module */
import type { Home } from "./home.ts";
import type { Ended } from "./wait.ts";

/** How the last run ended, as its supervisor wrote it down. */
export interface Exit extends Ended {
  finishedAt: number;
  signal: number;
}

/** Whether there is a supervisor: the container runs, or waits to be restarted. */
export function isAlive(_home: Home, _id: string): boolean {
  throw new Error("todo");
}

/** Once it has ended; at once where there is none. */
export async function untilOver(_home: Home, _id: string, _signal?: AbortSignal): Promise<void> {
  throw new Error("todo");
}

/** A pidfd of init; undefined where it does not run. */
export function connectPidfd(_home: Home, _id: string): number | undefined {
  throw new Error("todo");
}

/** The end of its stdin that is written to, or of its terminal; undefined where that is closed. */
export function connectStdin(_home: Home, _id: string): number | undefined {
  throw new Error("todo");
}

/** Undefined where it has written nothing: it was killed, or the machine was. */
export function readExit(_home: Home, _id: string): Exit | undefined {
  throw new Error("todo");
}
