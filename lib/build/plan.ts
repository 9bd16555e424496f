/** What a build would do: its steps, and which of them are in the cache. @module */
import type { PlannedStep } from "./events.ts";
import type { Graph } from "./graph.ts";
import { baseOf, look, type Done } from "./lookup.ts";
import type { Making } from "./making.ts";
import { EMPTY, type Snapshot } from "./snapshot.ts";
import type { Step } from "./step.ts";

export const plannedOf = ({ steps }: Graph): PlannedStep[] =>
  steps.map(({ number, title, stage, after, place }) => ({
    step: number,
    title,
    stage,
    after,
    ...(place ? { line: place.line } : {}),
  }));

/** What is behind a step that is not there is not there, either. */
export async function planWithCache(making: Making, graph: Graph): Promise<PlannedStep[]> {
  const done = new Map<number, Done>();
  for (const step of graph.steps) {
    const found = await tryStep(making, step, done);
    if (found) done.set(step.number, found);
  }
  return plannedOf(graph).map((each) => ({ ...each, cached: done.has(each.step) }));
}

async function tryStep(making: Making, step: Step, done: ReadonlyMap<number, Done>): Promise<Done | undefined> {
  const { operation, after, parent } = step;
  if (operation.kind === "base") return baseOf(making, operation);
  const snapshots = new Map<number, Snapshot>();
  for (const each of after) {
    const needed = done.get(each);
    if (!needed) return undefined;
    snapshots.set(each, needed.snapshot);
  }
  const below = parent === undefined ? EMPTY : (snapshots.get(parent) ?? EMPTY);
  const looked = await look(making, { step, below, snapshots }, operation);
  return "snapshot" in looked ? looked : undefined;
}
