/** `list`: the containers below a root. @module */
import { kindOfPath, namesIn, systemError, TsboxError } from "../../syscalls/index.ts";
import { Container } from "./container.ts";
import { isId } from "./id.ts";
import { describe, type ContainerState } from "./state.ts";
import type { Runtime } from "./runtime.ts";

/** By their names. One that cannot be read is told of, and left out. */
export async function list(runtime: Runtime): Promise<ContainerState[]> {
  const { root, rootIsDefault, log } = runtime;
  if (kindOfPath(root) !== "directory") {
    if (rootIsDefault) return []; // nothing has been made yet
    const ENOENT = 2;
    throw systemError(`list the containers in ${JSON.stringify(root)}`, "open", ENOENT);
  }
  const found: ContainerState[] = [];
  for (const id of namesIn(root).filter(isId).toSorted()) {
    try {
      using container = Container.open(runtime, id);
      found.push(await describe(container));
    } catch (error) {
      // what is no directory, or is just being made or removed
      if (error instanceof TsboxError && error.code === "container_not_found") continue;
      log.warn(`leave out container "${id}": ${(error as Error).message}`);
    }
  }
  return found;
}
