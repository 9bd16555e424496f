/** `events`: what a container uses, and when it is out of memory. @module */
import { TsboxError } from "../../syscalls/index.ts";
import type { ContainerCgroup } from "../cgroup/index.ts";
import { requireCgroup } from "./cgroup.ts";
import { Container } from "./container.ts";
import { isRunning } from "./init-process.ts";
import type { Runtime } from "./runtime.ts";

export interface Event {
  type: "stats" | "oom";
  id: string;
  data?: object;
}

const LOOK_AGAIN_MS = 100;

/** @throws TsboxError `container_state` */
export async function stats(runtime: Runtime, id: string): Promise<Event> {
  using container = Container.open(runtime, id);
  return statsOf(id, await running(container));
}

/** Until the container has stopped. @throws TsboxError `container_state` */
export async function* events(runtime: Runtime, id: string, intervalMs: number): AsyncGenerator<Event> {
  using container = Container.open(runtime, id);
  const cgroup = await running(container);
  let kills = cgroup.oomKills();
  let due = performance.now() + intervalMs;
  while (isRunning(container.record)) {
    await Bun.sleep(Math.max(1, Math.min(LOOK_AGAIN_MS, due - performance.now())));
    const killed = cgroup.oomKills();
    if (killed > kills) yield { type: "oom", id };
    kills = killed;
    if (performance.now() < due) continue;
    yield statsOf(id, cgroup);
    due = performance.now() + intervalMs;
  }
}

const statsOf = (id: string, cgroup: ContainerCgroup): Event => ({ type: "stats", id, data: cgroup.stats() });

async function running(container: Container): Promise<ContainerCgroup> {
  const { id } = container;
  if ((await container.status()) === "stopped") {
    throw new TsboxError(`watch container "${id}": container with id ${id} is not running`, {
      code: "container_state",
    });
  }
  return requireCgroup(container, `watch container "${id}"`);
}
