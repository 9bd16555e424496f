/**
 * The control group of one sandbox, on v1, v2 and machines that have both: limits, counters, pausing.
 * @module
 * @see cgroups(7), https://docs.kernel.org/admin-guide/cgroup-v2.html
 */
import * as sys from "../../syscalls/index.ts";
import { TsboxError } from "../../syscalls/index.ts";
import type { DeviceRule, Resources } from "../spec/index.ts";
import * as counters from "./counters.ts";
import type { Amounts, Counters, CpuTime, Directory } from "./counters.ts";
import { inheritCpuset } from "./cpuset.ts";
import { KeptFiles } from "./kept-files.ts";
import { Freezer } from "./freezer.ts";
import { moveAll, type Look } from "./moving.ts";
import { nextName, removeAtExit, removeWhenEmpty, sweepLater } from "./owner.ts";
import { enable, findPlaces, isCrowded, isWritable, ownHierarchies, parentOf, type Able, type Place } from "./place.ts";
import { CONTROLLERS, settingsOf, type Controller, type Setting } from "./settings.ts";
import { decideDevices, must, writeAll, writesOf } from "./write.ts";

export interface GroupOptions {
  /** `linux.cgroupsPath`. */
  path?: string | undefined;
  /** CPU time is to be counted, where that is possible. */
  countCpu?: boolean | undefined;
  /** Is told of each limit that is not possible here, and is left out; without it, that is an error. */
  leaveOut?: ((error: TsboxError) => void) | undefined;
}

/**
 * Makes the control group that applies the limits; a group without directories where there are none.
 * @throws TsboxError `limit_unavailable`: a limit cannot be applied here, and what would help
 */
export function makeCgroup(resources: Resources, { path, countCpu, leaveOut }: GroupOptions = {}): Cgroup {
  const cgroup = new Cgroup(path);
  if (!countCpu && path === undefined && Object.keys(resources).length === 0) return cgroup;
  const settings = settingsOf(resources);
  try {
    if (path !== undefined) cgroup.extend(controllersBelow(cgroup.below));
    if (leaveOut) applySome(cgroup, settings, resources, leaveOut);
    else cgroup.apply(settings, resources.devices);
    if (countCpu) applyWhatCan(() => cgroup.extend(["cpuacct"]));
  } catch (error) {
    void cgroup.remove();
    throw error;
  }
  return cgroup;
}

/** One by one, only where they are not possible together. */
function applySome(
  cgroup: Cgroup,
  settings: readonly Setting[],
  { devices }: Resources,
  leaveOut: (error: TsboxError) => void,
): void {
  if (applyWhatCan(() => cgroup.apply(settings, devices)) === undefined) return;
  for (const setting of settings) {
    const error = applyWhatCan(() => cgroup.apply([setting], devices));
    if (error) leaveOut(error);
  }
}

function applyWhatCan(attempt: () => void): TsboxError | undefined {
  try {
    attempt();
    return undefined;
  } catch (error) {
    if (error instanceof TsboxError && error.code === "limit_unavailable") return error;
    throw error;
  }
}

/** Those of a parent that was asked for: what it limits itself counts for the sandbox as well. */
function controllersBelow(below: string | undefined): Controller[] {
  const { v1, v2 } = ownHierarchies();
  const found = CONTROLLERS.filter((name) => {
    const mount = v1.get(name === "io" ? "blkio" : name)?.mount;
    return mount !== undefined && isWritable(`${mount}${below}`);
  });
  // in version 2 any controller's place is that of all
  if (v2 && !v1.has("cpuacct") && isWritable(`${v2.mount}${below}`)) found.push("cpuacct");
  return found.length > 0 ? found : ["memory"];
}

/** Places of what was asked for before. */
const known = new Map<string, Map<Controller, Place>>();

export class Cgroup {
  /** The group that this one is made in, from the mount of its hierarchy; undefined: the own one. */
  readonly below: string | undefined;
  #name: string | undefined;
  readonly #directories = new Map<Controller, Directory>();
  #freezer: Freezer | undefined;
  #kept: KeptFiles | undefined;
  #crowded: boolean | undefined;

  /** @param path `linux.cgroupsPath` @throws TsboxError `invalid_option` */
  constructor(path?: string) {
    if (path === undefined) return;
    if (!path.startsWith("/"))
      throw new TsboxError(`use the cgroup path "${path}": not an absolute path`, { code: "invalid_option" });
    const end = path.lastIndexOf("/");
    this.below = path.slice(0, end);
    if (end + 1 < path.length) this.#name = path.slice(end + 1);
  }

  /**
   * How many v1 `tasks` files a process has to write to, whether there is a v2 directory to be cloned into, and whether
   * others may use up its memory.
   */
  get membership(): { tasks: number; into: boolean; crowded?: boolean } {
    if (this.#directories.size === 0) return { tasks: 0, into: false };
    return {
      tasks: this.#paths("v1").length,
      into: this.#paths("v2").length > 0,
      crowded: (this.#crowded ??= this.below !== undefined && isCrowded(this.below)),
    };
  }

  /** For a box, which is joined again and again: what that needs stays open until the group is removed. */
  keepOpen(): void {
    this.#kept ??= new KeptFiles();
  }

  /** Opens these as `cgroup0`, `cgroup1`, … and `cgroup`. @param owned closes those that do not stay open */
  open(owned: sys.Descriptors): Record<string, number> {
    const opened: Record<string, number> = {};
    if (this.#directories.size === 0) return opened;
    const open = (path: string, flags: number) =>
      this.#kept?.descriptor(path, flags) ?? owned.add(sys.open(path, flags));
    // `tasks`, not `cgroup.procs`: moving one thread takes no global lock, which can wait for 10 ms (measured)
    this.#paths("v1").forEach((path, index) => (opened[`cgroup${index}`] = open(`${path}/tasks`, sys.O_WRONLY)));
    for (const path of this.#paths("v2")) opened["cgroup"] = open(path, sys.O_PATH | sys.O_DIRECTORY);
    return opened;
  }

  /** Which processes are in from their start: what is frozen in version 1 is moved there. */
  #paths(version: "v1" | "v2"): string[] {
    const found = [...this.#directories].filter(
      ([controller, one]) => one.version === version && !(controller === "freezer" && version === "v1"),
    );
    return [...new Set(found.map(([, { path }]) => path))];
  }

  /**
   * Makes the group for more controllers.
   * @param look at the processes of the sandbox, which have to be in it, too
   * @throws TsboxError `limit_unavailable`
   */
  extend(controllers: readonly Controller[], look?: Look): void {
    const missing = controllers.filter((controller) => !this.#directories.has(controller));
    if (missing.length === 0) return;
    this.#sweepFrozen();
    for (const [controller, { version, parent }] of this.#placesOf(missing)) {
      sweepLater(parent);
      const path = `${parent}/${(this.#name ??= nextName())}`;
      const isOwn = [...this.#directories.values()].some((one) => one.path === path);
      // one that is there is somebody's, and would go with the sandbox
      const made = !isOwn && sys.access(path, F_OK) ? EEXIST : sys.makeDirectory(path);
      must(`make the control group "${path}"`, made);
      removeAtExit([path]);
      this.#directories.set(controller, { version, path });
      if (controller === "cpuset" && version === "v1") inheritCpuset(path);
    }
    if (!look) return;
    const paths = missing.map((controller) => this.#directories.get(controller)?.path as string);
    for (const path of new Set(paths)) moveAll("limit the sandbox", path, look);
  }

  /** What a killed owner has paused is not left to the next one that pauses: in version 1 it goes on living until then. */
  #sweepFrozen(): void {
    const { v1, v2 } = ownHierarchies();
    const hierarchy = v2 ?? v1.get("freezer");
    if (hierarchy) sweepLater(this.below === undefined ? hierarchy.own : hierarchy.mount + this.below);
  }

  #placesOf(controllers: readonly Controller[]): Map<Controller, Place> {
    const [v2] = this.#paths("v2");
    if (v2 !== undefined) {
      const here: Able = (names, directory) => directory === parentOf(v2) && enable(names, directory);
      return findPlaces(controllers, this.below, here);
    }
    const key = `${this.below} ${controllers.join(" ")}`;
    let places = known.get(key);
    if (!places) known.set(key, (places = findPlaces(controllers, this.below, enable)));
    return places;
  }

  /** @throws TsboxError `limit_unavailable` */
  apply(settings: readonly Setting[], devices: readonly DeviceRule[] = [], look?: Look): void {
    const controllers = [...new Set(settings.map(({ controller }) => controller))];
    this.extend(controllers, look);
    for (const controller of controllers) {
      const { version, path } = this.#directories.get(controller) as Directory;
      const own = settings.filter((setting) => setting.controller === controller);
      writeAll(
        controller,
        path,
        own.flatMap((setting) => writesOf(setting, version)),
      );
      if (controller === "devices" && version === "v2") decideDevices(path, devices);
    }
  }

  counters(): Counters {
    if (this.#directories.size === 0) return { oomKills: 0, pidsDenied: 0 };
    const [memory, pids] = [this.#directories.get("memory"), this.#directories.get("pids")];
    const read = this.#kept?.read;
    const peakMemoryBytes = memory && counters.readPeakMemory(memory, read);
    const cpu = this.cpuTime();
    return {
      oomKills: memory ? counters.readOomKills(memory, read) : 0,
      pidsDenied: pids ? counters.readPidsDenied(pids, read) : 0,
      ...(peakMemoryBytes === undefined ? {} : { peakMemoryBytes }),
      ...(cpu && { cpu }),
    };
  }

  /** Of all that are, or were, in the group; undefined where it is not counted. */
  cpuTime(): CpuTime | undefined {
    const counted = this.#directories.get("cpuacct") ?? this.#ofVersion2();
    return counted && counters.readCpuTime(counted, this.#kept?.read);
  }

  /** Every group of version 2 counts, unless it was made later, to pause a box. */
  #ofVersion2(): Directory | undefined {
    const found = [...this.#directories].find(([name, { version }]) => version === "v2" && name !== "freezer");
    return found?.[1];
  }

  /** What is not counted in this group is left out. */
  amounts(): Amounts {
    const [memory, pids, io] = (["memory", "pids", "io"] as const).map((name) => this.#directories.get(name));
    const [memoryBytes, count] = [memory && counters.readMemory(memory), pids && counters.readPids(pids)];
    return {
      ...(memoryBytes === undefined ? {} : { memoryBytes }),
      ...(count === undefined ? {} : { pids: count }),
      ...(io ? counters.readIo(io) : {}),
    };
  }

  /**
   * Stops these processes, and those that they make, until {@link thaw}.
   * @param isOver they are to be killed
   * @throws TsboxError `limit_unavailable`
   */
  async freeze(look: Look, isOver: () => boolean): Promise<void> {
    if (!this.#freezer) {
      this.extend(["freezer"]);
      this.#freezer = new Freezer(this.#directories.get("freezer") as Directory);
    }
    await this.#freezer.freeze(look, isOver);
  }

  thaw(): void {
    this.#freezer?.thaw();
  }

  /** Once its processes are gone. */
  async remove(): Promise<void> {
    this.#kept?.close();
    this.#kept = undefined;
    if (this.#directories.size === 0) return;
    const paths = [...this.#directories.values()].map(({ path }) => path);
    await removeWhenEmpty([...(this.#freezer ? [this.#freezer.path] : []), ...new Set(paths)]);
  }
}

const EEXIST = -17;
const F_OK = 0;
