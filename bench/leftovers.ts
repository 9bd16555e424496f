/** What is left of a thousand sandboxes. @module */
import { ownNetwork, sandboxed } from "./contenders.ts";
import { grown, look, lookTable, settle } from "./look.ts";
import type { Bar } from "./report.ts";

const AT_A_TIME = 8;
const RSS_TOLERANCE_BYTES = 4 * 1024 * 1024;

/** @param count of sandboxes between the two looks; a fifth of it runs before the first */
export async function leftovers(rootfs: string, count: number): Promise<Bar[]> {
  const { run } = sandboxed("Sandbox.run", ownNetwork(rootfs));
  const runMany = async (left: number) => {
    const worker = async () => {
      while (left-- > 0) await run();
    };
    await Promise.all(Array.from({ length: AT_A_TIME }, worker));
    await settle();
  };
  await runMany(Math.ceil(count / 5));
  const before = look();
  await runMany(count);
  const after = look();
  console.log(`### Left of ${count} sandboxes\n\n${lookTable({ before, after })}\n`);
  const more = grown(before, after, RSS_TOLERANCE_BYTES);
  return [
    {
      measure: `left of ${count} sandboxes: memory, descriptors, children, cgroups, mounts, namespaces`,
      bar: "nothing",
      measured: more.length === 0 ? "nothing" : more.join(", "),
      holds: more.length === 0,
    },
  ];
}
