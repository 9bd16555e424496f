/** `pause` and `resume`: a container's processes stand still, and go on. @module */
import { TsboxError } from "../../syscalls/index.ts";
import { Container } from "./container.ts";
import type { ContainerCgroup } from "../cgroup/index.ts";
import { requireCgroup } from "./cgroup.ts";
import type { Status } from "../spec/index.ts";
import type { Runtime } from "./runtime.ts";

/** @throws TsboxError `container_state` */
export async function pause(runtime: Runtime, id: string): Promise<void> {
  await change(runtime, id, "pause", async (status, cgroup) => {
    if (status === "paused") return "container already paused";
    if (status !== "running" && status !== "created") return "container not running";
    await cgroup().freeze();
    return undefined;
  });
}

/** @throws TsboxError `container_state` */
export async function resume(runtime: Runtime, id: string): Promise<void> {
  await change(runtime, id, "resume", async (status, cgroup) => {
    if (status !== "paused") return "container not paused";
    await cgroup().thaw();
    return undefined;
  });
}

/** @param perform tells why it cannot be done */
async function change(
  runtime: Runtime,
  id: string,
  verb: string,
  perform: (status: Status, cgroup: () => ContainerCgroup) => Promise<string | undefined>,
): Promise<void> {
  using container = Container.open(runtime, id);
  await container.lock();
  const action = `${verb} container "${id}"`;
  const why = await perform(await container.status(), () => requireCgroup(container, action));
  if (why !== undefined) throw new TsboxError(`${action}: ${why}`, { code: "container_state" });
}
