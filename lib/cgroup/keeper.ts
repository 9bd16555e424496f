/**
 * systemd as the keeper of a container's control groups: it makes them around a process, and takes them away.
 * @module
 */
import { kindOfPath, TsboxError } from "../../syscalls/index.ts";
import type { DeviceRule, Resources } from "../spec/index.ts";
import { Manager } from "../systemd/index.ts";
import type { Hierarchies } from "./hierarchy.ts";
import { isMounted, pathsIn, type CgroupName, type CgroupRecord } from "./record.ts";
import {
  annotatedProperties,
  annotationsOf,
  deviceProperties,
  oomPolicy,
  pathOfSlice,
  resourceProperties,
  roundQuota,
  scopeProperties,
  unitOf,
  type Unit,
} from "./unit.ts";

/** @throws TsboxError `invalid_option`, `limit_unavailable` */
export async function recordOfUnit(
  { id, cgroupsPath, rootless, annotations }: CgroupName,
  hierarchies: Hierarchies,
): Promise<CgroupRecord> {
  const own = annotationsOf(annotations);
  annotatedProperties(own);
  const unit: Unit = { ...unitOf(id, cgroupsPath, rootless), ...(Object.keys(own).length > 0 && { annotations: own }) };
  const slice = pathOfSlice(unit.slice);
  if (kindOfPath("/run/systemd/system") !== "directory") {
    throw new TsboxError("systemd not running on this host, cannot use systemd cgroups manager", {
      code: "limit_unavailable",
      hint: "leave out --systemd-cgroup",
    });
  }
  if (rootless && hierarchies.v1.size > 0) {
    throw new TsboxError("cannot use rootless systemd cgroups manager on cgroup v1", { code: "limit_unavailable" });
  }
  const root = rootless ? await groupOfManager() : "";
  return {
    paths: pathsIn(hierarchies, isMounted, ({ mount }) => `${mount}${root}${slice}/${unit.name}`),
    asked: true,
    rootless,
    made: false,
    unit,
  };
}

/** `/user.slice/user-1000.slice/user@1000.service`: slices of the user's are below it. */
async function groupOfManager(): Promise<string> {
  using manager = await Manager.connect(true);
  return (await manager.property("ControlGroup")).replace(/\/$/, "");
}

export class Keeper {
  readonly #unit: Unit;
  readonly #rootless: boolean;
  readonly #version: "v1" | "v2";

  constructor(unit: Unit, rootless: boolean, version: "v1" | "v2") {
    this.#unit = unit;
    this.#rootless = rootless;
    this.#version = version;
  }

  #connect = (): Promise<Manager> => Manager.connect(this.#rootless);

  /** @returns the limits as systemd has them: those of the files are to be the same @throws TsboxError `limit_unavailable` */
  async start(resources: Resources, devices: readonly DeviceRule[], pid: number): Promise<Resources> {
    const { name, slice, annotations = {} } = this.#unit;
    using manager = await this.#connect();
    const version = await manager.version();
    const group = resources.unified?.["memory.oom.group"]?.trim();
    await manager.startScope(name, [
      ...scopeProperties(name, slice, pid, this.#version),
      ...resourceProperties(resources, this.#version, version),
      ...(this.#version === "v1" ? deviceProperties(devices) : []),
      ...(group !== undefined && version >= 253 ? oomPolicy(group) : []),
      ...annotatedProperties(annotations),
    ]);
    return roundQuota(resources);
  }

  /** @returns as {@link start} does @throws TsboxError `limit_unavailable` */
  async update(resources: Resources): Promise<Resources> {
    using manager = await this.#connect();
    const properties = resourceProperties(resources, this.#version, await manager.version());
    await manager.setProperties(this.#unit.name, properties);
    return roundQuota(resources);
  }

  /** @param below the unit's own group: `"/a"` @throws TsboxError `limit_unavailable` */
  async attach(below: string, pid: number): Promise<void> {
    using manager = await this.#connect();
    await manager.attach(this.#unit.name, below, [pid]);
  }

  async stop(): Promise<void> {
    using manager = await this.#connect();
    await manager.stop(this.#unit.name);
  }
}
