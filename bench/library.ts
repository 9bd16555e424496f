/** One sandbox after another, through the library. @module */
import { bare, bwrap, hostNetwork, LIMITS, ownNetwork, sandboxed } from "./contenders.ts";
import { interleave, type Rounds, type Samples } from "./measure.ts";
import { compare, timings, type Bar } from "./report.ts";

/** `Sandbox.run` against a process that is not confined at all. */
export async function againstBare(rootfs: string, rounds: Rounds): Promise<Bar[]> {
  const options = hostNetwork(rootfs);
  const [reference, readOnly, overlay, limited] = (await interleave(
    [
      bare(rootfs),
      sandboxed("Sandbox.run, read-only root", options),
      sandboxed("Sandbox.run, writable overlay", { rootfs, network: "host" }),
      sandboxed("Sandbox.run, read-only root, limits", { ...options, limits: LIMITS }),
    ],
    rounds,
  )) as [Samples, Samples, Samples, Samples];
  print("Sandbox.run against Bun.spawn", [reference, readOnly, overlay, limited]);
  return [
    compare("Sandbox.run, read-only root, vs Bun.spawn", readOnly, reference, { most: 2.5 }),
    compare("Sandbox.run, writable overlay, vs Bun.spawn", overlay, reference, { most: 2.5 }),
    compare("Sandbox.run with memory, CPU and pids limits vs Bun.spawn", limited, reference, { most: 4 }),
  ];
}

/** With a network namespace and limits, against bwrap with neither limits nor seccomp. */
export async function againstBwrap(rootfs: string, rounds: Rounds): Promise<Bar[]> {
  const other = bwrap(rootfs);
  if (!other) return [];
  const own = sandboxed("Sandbox.run, own network, limits", ownNetwork(rootfs));
  const [reference, ours] = (await interleave([other, own], rounds)) as [Samples, Samples];
  print("Sandbox.run against bwrap --unshare-all", [reference, ours]);
  return [compare("Sandbox.run with a network namespace and limits vs bwrap", ours, reference, { most: 0.7 })];
}

function print(title: string, results: Samples[]): void {
  console.log(`### ${title}\n\n${timings(results)}\n`);
}
