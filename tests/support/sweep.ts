/** Control groups stay when their owner is killed: the next one that limits something removes them. @module */
import { expect } from "bun:test";
import { noLimits } from "./machine.ts";
import { cgroups } from "./processes.ts";
import type { Folder } from "./rootfs.ts";

/** Is the next one, and looks whether the groups of these owners are gone. */
export function nextOneSweeps(root: Folder, owners: number[]): void {
  if (noLimits !== undefined) return;
  const next = root.script(
    `await Sandbox.run(["true"], { rootfs: ${JSON.stringify(root.path)}, limits: { memory: "64mb", cpus: 1, pids: 9 } });`,
  );
  const { exitCode, stderr } = Bun.spawnSync([process.execPath, next]);
  expect([stderr.toString(), exitCode]).toEqual(["", 0]);
  expect(owners.flatMap((owner) => cgroups(owner))).toEqual([]);
}
