/** The limit of CPU time: looked at as seldom as it can be, and often when it is near. @module */
import { availableParallelism } from "node:os";
import type { Cgroup } from "../cgroup/index.ts";
import { membersOf, SeenCpuTime } from "./members.ts";

/** Between two looks. */
const [MIN_MS, MAX_MS] = [10, 1000];

/**
 * Calls `exceeded` when the processes have used more.
 * @param roots where there is no group that counts: what comes from these processes
 * @returns ends it
 */
export function watchCpuTime(limitMs: number, cgroup: Cgroup, roots: () => number[], exceeded: () => void): () => void {
  const spent = cpuTimeOf(cgroup, roots);
  let timer: ReturnType<typeof setTimeout>;
  const look = () => {
    const leftMs = limitMs - spent();
    if (leftMs <= 0) return exceeded();
    // all CPUs together cannot use it up before
    timer = setTimeout(look, Math.min(Math.max(leftMs / availableParallelism(), MIN_MS), MAX_MS));
    timer.unref?.();
  };
  look();
  return () => clearTimeout(timer);
}

function cpuTimeOf(cgroup: Cgroup, roots: () => number[]): () => number {
  const seen = new SeenCpuTime();
  return () => {
    const counted = cgroup.cpuTime();
    if (counted) return counted.cpuMs;
    const { userMs, systemMs } = seen.add(membersOf(roots()));
    return userMs + systemMs;
  };
}
