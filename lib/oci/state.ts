/** `state`: what there is to know of a container, in the specification's words and runc's. @module */
import { Container } from "./container.ts";
import { ownerName } from "./owner.ts";
import type { State } from "../spec/index.ts";
import type { Runtime } from "./runtime.ts";

export interface ContainerState extends State {
  /** 0 where it has stopped. */
  pid: number;
  /** Absolute. */
  rootfs: string;
  /** RFC 3339. */
  created: string;
  /** The name of who owns its directory, or `#UID`. */
  owner: string;
}

/** @throws TsboxError `container_not_found`, `container_unreadable` */
export async function state(runtime: Runtime, id: string): Promise<ContainerState> {
  using container = Container.open(runtime, id);
  return await describe(container); // before it is closed
}

export async function describe(container: Container): Promise<ContainerState> {
  const { rootfs, created } = container.record;
  const { ociVersion, id, pid = 0, status, bundle, annotations } = container.state(await container.status());
  const owner = ownerName(container.directory.status()?.uid ?? 0);
  return { ociVersion, id, pid, status, bundle, rootfs, created, ...(annotations ? { annotations } : {}), owner };
}
