/** `update`: other limits for a container that is there. @module */
import { kindOfPath, TsboxError } from "../../syscalls/index.ts";
import type { IntelRdt } from "../spec/index.ts";
import { requireCgroup } from "./cgroup.ts";
import { parseResources } from "./config.ts";
import { Container } from "./container.ts";
import { findResctrl, writeSchemata } from "./intel-rdt.ts";
import type { Runtime } from "./runtime.ts";

/** Lines for the container's group of resctrl. */
export type Schemata = Pick<IntelRdt, "l3CacheSchema" | "memBwSchema">;

/**
 * What is not said stays.
 *
 * @param resources JSON: `resources` of the specification
 * @throws TsboxError `invalid_option`, `container_state`, `limit_unavailable`
 */
export async function update(runtime: Runtime, id: string, resources: string, schemata: Schemata): Promise<void> {
  const limits = parseResources(resources);
  using container = Container.open(runtime, id);
  await container.lock();
  container.reload();
  const action = `update container "${id}"`;
  if ((await container.status()) === "stopped") {
    throw new TsboxError(`${action}: container not running`, { code: "container_state" });
  }
  const lines = schemataLines(container, action, schemata);
  const cgroup = requireCgroup(container, action);
  await cgroup.update(limits);
  const { intelRdt } = container.record;
  if (intelRdt) for (const line of lines) writeSchemata(intelRdt, line);
  container.save({ ...container.record, cgroup: cgroup.record });
}

function schemataLines({ record }: Container, action: string, { l3CacheSchema, memBwSchema }: Schemata): string[] {
  const refuse = (why: string) => new TsboxError(`${action}: ${why}`, { code: "limit_unavailable" });
  const root = findResctrl();
  const has = (resource: string) => root !== undefined && kindOfPath(`${root}/info/${resource}`) === "directory";
  if (l3CacheSchema !== undefined && !has("L3")) throw refuse("Intel RDT/CAT: l3 cache schema is not enabled");
  if (memBwSchema !== undefined && !has("MB")) throw refuse("Intel RDT/MBA: memory bandwidth schema is not enabled");
  const lines = [l3CacheSchema, memBwSchema].filter((line) => line !== undefined);
  if (lines.length > 0 && record.intelRdt === undefined) {
    throw refuse("updating a non-existent Intel RDT configuration is not supported");
  }
  return lines;
}
