/** The volumes of a store. @module */
import { checkOptions, checkText } from "../options/index.ts";
import { TsboxError } from "../../syscalls/index.ts";
import { type State } from "../state/index.ts";
import { checkDriver } from "./driver-options.ts";
import { listed, type VolumeFilters } from "./filter.ts";
import { nameProblem, newName } from "./names.ts";
import { dataOf, makePlace } from "./place.ts";
import { usedBytes } from "./usage.ts";
import { checkQuota, FIRST_PROJECT, limitSize } from "./quota.ts";
import type { VolumeOptions, VolumeRecord, VolumeUser } from "./record.ts";

export interface RemoveVolumeOptions {
  /** One that is not there is none of an error. */
  force?: boolean;
}

export interface PruneVolumesOptions {
  /** Those with names as well. */
  all?: boolean;
  /** `label`, `label!`. */
  filters?: VolumeFilters;
}

export interface PrunedVolumes {
  removed: string[];
  freedBytes: number;
}

export class Volumes {
  readonly #state: () => State;

  /** @param state opened when it is needed */
  constructor(state: () => State) {
    this.#state = state;
  }

  /** One that is there with the same options is that one. @throws TsboxError `invalid_option`, `name_in_use` */
  create(options: VolumeOptions = {}): VolumeRecord {
    const state = this.#state();
    const record = state.transaction(() => this.claim(options));
    using place = makePlace(state.root, record);
    limitSize(place, state.root, record);
    return record;
  }

  /**
   * The row alone, as part of a transaction; the directory comes after it: `makePlace`.
   * @param unfilled what an image has is to be copied there, where it is new
   * @internal
   */
  claim(options: VolumeOptions, unfilled = false): VolumeRecord {
    checkOptions("volumes.create", options, {
      name: "text",
      driver: "text",
      options: "words",
      labels: "words",
      anonymous: "flag",
    });
    const { name = newName(), driver = "local", options: given = {}, labels = {}, anonymous } = options;
    const fail = (why: string, code: "invalid_option" | "name_in_use" = "invalid_option") =>
      new TsboxError(`create ${name}: ${why}`, { code });
    const problem = nameProblem(name);
    if (problem !== undefined) throw fail(problem);
    if (driver !== "local") {
      const why = `error looking up volume plugin ${driver}: plugin "${driver}" not found`;
      throw new TsboxError(`create ${name}: ${why}`, {
        code: "invalid_option",
        hint: 'the driver that there is is "local"',
      });
    }
    checkDriver(given, fail);
    const state = this.#state();
    const found = state.volumes.get<VolumeRecord>(name);
    if (found?.removing)
      throw new TsboxError(`create ${name}: it is being removed`, {
        code: "name_in_use",
        hint: `"tsbox volume rm ${name}" finishes what was broken off`,
      });
    if (found) {
      // whoever says nothing of options takes what there is
      if (options.options !== undefined && !isSame(found.options, given))
        throw fail("conflict: volume name must be unique: there is one with other options", "name_in_use");
      return found;
    }
    const isSized = given["size"] !== undefined;
    if (isSized) checkQuota(state.root, name);
    const record: VolumeRecord = {
      version: 1,
      id: name,
      name,
      created: Date.now(),
      driver,
      options: given,
      labels,
      anonymous: anonymous ?? options.name === undefined,
      ...(isSized ? { project: this.#newProject() } : {}),
      ...(unfilled ? { unfilled } : {}),
    };
    state.volumes.insert(record);
    state.addEvent({ time: record.created, type: "volume", action: "create", id: name, attributes: { driver } });
    return record;
  }

  #newProject(): number {
    const taken = this.#state()
      .volumes.list<VolumeRecord>()
      .map(({ project = FIRST_PROJECT }) => project);
    return Math.max(FIRST_PROJECT, ...taken) + 1;
  }

  /** @throws TsboxError `volume_not_found` */
  get(name: string): VolumeRecord {
    checkText("volume", name);
    const found = this.#state().volumes.get<VolumeRecord>(name);
    if (!found || found.removing) throw notFound(name);
    return found;
  }

  /** Where its files are. */
  path(name: string): string {
    return dataOf(this.#state().root, checkText("volume", name));
  }

  /** On the disk. */
  sizeBytes(name: string): number {
    return usedBytes(this.#state().root, checkText("volume", name));
  }

  /** By name. @throws TsboxError `invalid_option` for filters that there are not */
  list(filters: VolumeFilters = {}): VolumeRecord[] {
    checkOptions<{ filters?: VolumeFilters }>("volumes.list", { filters }, { filters: "filters" });
    const all = this.#state()
      .volumes.list<VolumeRecord>()
      .filter(({ removing }) => !removing);
    let used: Set<string> | undefined;
    return listed(all, filters, (name) => (used ??= this.#used()).has(name));
  }

  /** Names of those that containers have. */
  #used(): Set<string> {
    const users = this.#state().containers.list<VolumeUser>();
    return new Set(users.flatMap(({ volumes }) => volumes.map(({ name }) => name)));
  }

  /** Ids of the containers that have it. */
  users(name: string): string[] {
    return this.#state()
      .containers.list<VolumeUser>()
      .filter(({ volumes }) => volumes.some((used) => used.name === name))
      .map(({ id }) => id);
  }

  /** @throws TsboxError `volume_not_found`, `volume_in_use` */
  async remove(name: string, options: RemoveVolumeOptions = {}): Promise<void> {
    checkText("volume", name);
    checkOptions("volumes.remove", options, { force: "flag" });
    const { force = false } = options;
    const { removeVolume } = await import("./remove.ts");
    if (!(await removeVolume(this.#state(), this, name)) && !force) throw notFound(name);
  }

  /** Removes one, unless another container than this has it. @internal */
  async removeUnused(name: string, container: string): Promise<void> {
    const { removeVolume } = await import("./remove.ts");
    if (this.users(name).every((id) => id === container)) await removeVolume(this.#state(), this, name, container);
  }

  /** Removes those that no container has. */
  async prune(options: PruneVolumesOptions = {}): Promise<PrunedVolumes> {
    checkOptions("volumes.prune", options, { all: "flag", filters: "filters" });
    return (await import("./remove.ts")).pruneVolumes(this.#state(), this, options);
  }
}

/** As Docker says it. */
export const notFound = (name: string): TsboxError =>
  new TsboxError(`get ${name}: no such volume`, { code: "volume_not_found" });

const isSame = (left: Record<string, string>, right: Record<string, string>): boolean =>
  Object.keys(left).length === Object.keys(right).length &&
  Object.entries(left).every(([key, value]) => right[key] === value);
