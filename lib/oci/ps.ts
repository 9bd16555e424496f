/** `ps`: who is in a container. @module */
import { Container } from "./container.ts";
import { requireCgroup } from "./cgroup.ts";
import type { Runtime } from "./runtime.ts";

/** The numbers of its processes, as the caller sees them. */
export async function processes(runtime: Runtime, id: string): Promise<number[]> {
  using container = Container.open(runtime, id);
  if ((await container.status()) === "stopped" && !container.cgroup) return [];
  return requireCgroup(container, `list the processes of container "${id}"`).pids();
}
