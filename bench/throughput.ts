/** Many sandboxes at a time. @module */
import { bwrap, ownNetwork, sandboxed } from "./contenders.ts";
import { median, shuffled, type Contender, type Samples } from "./measure.ts";
import { compare, number, table, type Bar } from "./report.ts";

const COUNT = 200;
const AT_A_TIME = 8;

/** @param rounds of 200 sandboxes each; the first is a warm-up */
export async function throughput(rootfs: string, rounds: number): Promise<Bar[]> {
  const other = bwrap(rootfs);
  const ours = sandboxed("Sandbox.run, own network", { ...ownNetwork(rootfs), limits: {} });
  const contenders = [...(other ? [other] : []), ours];
  const results: Samples[] = contenders.map(({ name }) => ({ name, values: [] }));
  for (let round = -1; round < rounds; round++) {
    for (const index of shuffled(contenders.length)) {
      const perSecond = await oneRound(contenders[index] as Contender);
      if (round >= 0) results[index]?.values.push(perSecond);
    }
  }
  for (const { values } of results) values.sort((a, b) => a - b);
  const rows = results.map(({ name, values }) => [
    name,
    ...[median(values), values[0] ?? NaN].map(number),
    values.length,
  ]);
  console.log(`### ${COUNT} sandboxes, ${AT_A_TIME} at a time\n`);
  console.log(table(["", "median per second", "least per second", "rounds"], rows) + "\n");
  const [reference, own] = results;
  if (!reference || !own) return [];
  return [compare(`${COUNT} sandboxes, ${AT_A_TIME} at a time, per second, vs bwrap`, own, reference, { least: 2 })];
}

async function oneRound({ run }: Contender): Promise<number> {
  let left = COUNT;
  const worker = async () => {
    while (left-- > 0) await run();
  };
  const start = performance.now();
  await Promise.all(Array.from({ length: AT_A_TIME }, worker));
  return COUNT / ((performance.now() - start) / 1000);
}
