/**
 * Times contenders against each other: in every round each of them once, in a new random order, so that what the machine
 * does beside slows all of them down alike.
 *
 * An own loop of a few lines, because mitata and tinybench time one contender to its end before the next begins.
 * @module
 */

export interface Contender {
  name: string;
  /** Once, checked: it throws where the command did not really run. */
  run(): Promise<unknown>;
  /** What comes before and after, and is not timed. */
  before?(): unknown;
  after?(): unknown;
}

/** What was measured of one contender, sorted. */
export interface Samples {
  name: string;
  values: number[];
}

export interface Rounds {
  warmUp: number;
  count: number;
  /** What lies between two runs; a command line is not typed right after another one. */
  idleMs?: number;
  /** No round begins later than this. */
  mostMs?: number;
  /** What this process used of the CPU, instead of what passed: for work that is done in it, on a machine with others. */
  isCpuTime?: boolean;
}

/** @returns milliseconds, in the order of the contenders */
export async function interleave(contenders: Contender[], rounds: Rounds): Promise<Samples[]> {
  const { isCpuTime = false, mostMs = Infinity } = rounds;
  const clock = (): number => {
    if (!isCpuTime) return performance.now();
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
  };
  const began = performance.now();
  const results = contenders.map(({ name }) => ({ name, values: [] as number[] }));
  for (let round = -rounds.warmUp; round < rounds.count; round++) {
    if (round > 0 && performance.now() - began > mostMs) break;
    for (const index of shuffled(contenders.length)) {
      if (rounds.idleMs) await Bun.sleep(rounds.idleMs);
      const contender = contenders[index] as Contender;
      await contender.before?.();
      const start = clock();
      await contender.run();
      const ms = clock() - start;
      await contender.after?.();
      if (round >= 0) results[index]?.values.push(ms);
    }
  }
  for (const { values } of results) values.sort((a, b) => a - b);
  return results;
}

/** 0 to n-1 in random order. */
export function shuffled(n: number): number[] {
  const order = Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [order[i], order[j]] = [order[j] as number, order[i] as number];
  }
  return order;
}

/** @param fraction 0.5 is the median @param values sorted */
export function quantile(values: number[], fraction: number): number {
  return values[Math.min(values.length - 1, Math.floor(values.length * fraction))] ?? NaN;
}

export const median = (values: number[]): number => quantile(values, 0.5);
