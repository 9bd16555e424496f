/** What containers use. @module */
import type { Home } from "./home.ts";

export interface ContainerStatsOptions {
  intervalMs?: number;
  signal?: AbortSignal;
}

export interface ContainerStats {
  id: string;
  name: string;
  time: number;
  /** Of one CPU, in percent, since the one before. */
  cpuPercent: number;
  cpuMs: number;
  memoryBytes: number;
  memoryLimitBytes: number;
  networkInBytes: number;
  networkOutBytes: number;
  blockInBytes: number;
  blockOutBytes: number;
  pids: number;
}

export async function* stats(
  _home: Home,
  _id: string,
  _options: ContainerStatsOptions,
): AsyncGenerator<ContainerStats, void, void> {
  yield* [] as ContainerStats[];
  throw new Error("todo");
}
