/** `ps`: who is in a container. @module */
import { namesIn, statFile } from "../../syscalls/index.ts";
import { Container } from "./container.ts";
import { requireCgroup } from "./cgroup.ts";
import type { Runtime } from "./runtime.ts";

/** The numbers of its processes, as the caller sees them. */
export async function processes(runtime: Runtime, id: string): Promise<number[]> {
  using container = Container.open(runtime, id);
  const { record, cgroup } = container;
  if (cgroup) return cgroup.pids();
  if ((await container.status()) === "stopped") return [];
  if (record.sharesPids) return requireCgroup(container, `list the processes of container "${id}"`).pids();
  return membersOf(record.pid);
}

/** Those of its pid namespace; not of such as they have made themselves. */
function membersOf(first: number): number[] {
  const namespace = (pid: number | string) => statFile(`/proc/${pid}/ns/pid`)?.inode;
  const own = namespace(first);
  const all = namesIn("/proc").filter((name) => /^\d+$/.test(name));
  return all.filter((pid) => own !== undefined && namespace(pid) === own).map(Number);
}
