/**
 * The control group of one sandbox: memory, CPU and processes, on v1, v2 and machines that have both.
 *
 * It is a child of the group that this process is in, or of the nearest one above where the controllers can be had.
 * @module
 * @see cgroups(7), https://docs.kernel.org/admin-guide/cgroup-v2.html
 */
import * as sys from "../../syscalls/index.ts";
import { cstring, errnoName, named, ref, TsboxError, type Op, type Plan } from "../../syscalls/index.ts";
import type { Resources } from "../spec/index.ts";
import { findHierarchies, type Hierarchies } from "./hierarchy.ts";
import { nextName, removeAtExit, removeWhenEmpty, sweepLater } from "./owner.ts";

const CONTROLLERS = ["memory", "cpu", "pids"] as const;
type Controller = (typeof CONTROLLERS)[number];

/** What the kernel counted. */
export interface Counters {
  oomKills: number;
  /** How often a process could not be made for the limit on their number. */
  pidsDenied: number;
  peakMemoryBytes?: number;
}

export interface Cgroup {
  /** How many v1 `tasks` files a process has to write to, and whether there is a v2 directory to be cloned into. */
  readonly membership: { tasks: number; into: boolean };
  /** Opens these as `cgroup0`, `cgroup1`, … and `cgroup`; the caller closes them. */
  open(): Record<string, number>;
  counters(): Counters;
  /** Once its processes are gone. */
  remove(): Promise<void>;
}

const NONE: Cgroup = {
  membership: { tasks: 0, into: false },
  open: () => ({}),
  counters: () => ({ oomKills: 0, pidsDenied: 0 }),
  remove: async () => {},
};

/**
 * Makes the control group that applies the limits, if there are any.
 * @throws TsboxError `limit_unavailable`: a limit cannot be applied here, and what would help
 */
export function makeCgroup(resources: Resources): Cgroup {
  const settings = settingsOf(resources);
  if (settings.length === 0) return NONE;
  const places = new Map<Controller, Place>();
  for (const { controller } of settings) places.set(controller, placeOf(controller));
  const name = nextName();
  const directories = [...new Set([...places.values()].map((place) => `${place.parent}/${name}`))];
  try {
    for (const directory of directories) must(`make the control group "${directory}"`, sys.makeDirectory(directory));
    for (const setting of settings) apply(setting, places.get(setting.controller) as Place, name);
  } catch (error) {
    for (const directory of directories) sys.removeDirectory(directory);
    throw error;
  }
  removeAtExit(directories);
  return new MadeCgroup(places, name);
}

/** The calls that {@link makeCgroup} would make, and how the group would be joined; for a plan that is only printed. */
export function cgroupPlan(resources: Resources): { steps: Plan; membership: Cgroup["membership"] } {
  const steps: Plan = [];
  const [tasks, v2] = [new Set<string>(), new Set<string>()];
  for (const setting of settingsOf(resources)) {
    try {
      const place = findPlace(setting.controller, findHierarchies(), isEnabled);
      const directory = `${place.parent}/tsbox-…`;
      (place.version === "v1" ? tasks : v2).add(directory);
      steps.push({
        action: `limit ${setting.controller}`,
        ops: [
          { call: "mkdirat", args: [here, cstring(directory), 0o755], onError: { ignore: "EEXIST" } },
          ...setting[place.version].flatMap(({ file, value }): Op[] => [
            {
              call: "openat",
              args: [here, cstring(`${directory}/${file}`), named("O_WRONLY|O_CLOEXEC", 0o2000001), 0],
              out: "file",
            },
            { call: "write", args: [ref("file"), cstring(value), value.length] },
          ]),
        ],
      });
    } catch (error) {
      if (!(error instanceof TsboxError)) throw error;
      steps.push({ action: `${error.message}: ${error.hint}`, ops: [] });
    }
  }
  return { steps, membership: { tasks: tasks.size, into: v2.size > 0 } };
}

const here = named("AT_FDCWD", -100);

interface Setting {
  controller: Controller;
  /** The file and the value, by version; `optional` files exist only where the kernel accounts for swap. */
  v1: { file: string; value: string; optional?: boolean }[];
  v2: { file: string; value: string; optional?: boolean }[];
}

/** Pure: what has to be written where. */
export function settingsOf({ memory, cpu, pids }: Resources): Setting[] {
  const settings: Setting[] = [];
  if (memory?.limit !== undefined) {
    const limit = String(memory.limit);
    const swap = memory.swap ?? memory.limit; // memory and swap together, as the specification counts
    settings.push({
      controller: "memory",
      v1: [
        { file: "memory.limit_in_bytes", value: limit },
        { file: "memory.memsw.limit_in_bytes", value: String(swap), optional: true },
      ],
      v2: [
        { file: "memory.max", value: limit },
        { file: "memory.swap.max", value: String(swap - memory.limit), optional: true },
      ],
    });
  }
  if (cpu?.quota !== undefined) {
    const period = cpu.period ?? 100_000;
    settings.push({
      controller: "cpu",
      v1: [
        { file: "cpu.cfs_period_us", value: String(period) },
        { file: "cpu.cfs_quota_us", value: String(cpu.quota) },
      ],
      v2: [{ file: "cpu.max", value: `${cpu.quota} ${period}` }],
    });
  }
  if (pids !== undefined) {
    const file = { file: "pids.max", value: String(pids.limit) };
    settings.push({ controller: "pids", v1: [file], v2: [file] });
  }
  return settings;
}

function apply(setting: Setting, place: Place, name: string): void {
  const ENOENT = -2;
  for (const { file, value, optional } of setting[place.version]) {
    const result = sys.writeKernelFile(`${place.parent}/${name}/${file}`, value);
    if (!(optional && result === ENOENT)) must(`limit ${setting.controller}: write "${value}" to "${file}"`, result);
  }
}

function must(action: string, result: number): void {
  if (result >= 0) return;
  throw new TsboxError(`${action}: ${errnoName(-result)}`, { code: "limit_unavailable", errno: -result });
}

/** Where a controller's groups are made. */
interface Place {
  version: "v1" | "v2";
  parent: string;
}

const known = new Map<Controller, Place>();
let hierarchies: Hierarchies | undefined;

function placeOf(controller: Controller): Place {
  const place = known.get(controller) ?? learnPlace(controller);
  sweepLater(place.parent);
  return place;
}

function learnPlace(controller: Controller): Place {
  hierarchies ??= findHierarchies();
  const place = findPlace(controller, hierarchies, enable);
  known.set(controller, place);
  // one place for all that v2 has: a process is in one group there, and one with processes takes no more controllers
  const { parent, version } = place;
  if (version === "v2") for (const name of CONTROLLERS) if (isEnabled([name], parent)) known.set(name, place);
  return place;
}

type Able = (controllers: Controller[], directory: string) => boolean;

/** @param able whether children of a group can have these controllers; asking may enable them */
function findPlace(controller: Controller, { v1, v2 }: Hierarchies, able: Able): Place {
  const own = v1.get(controller);
  if (own !== undefined) {
    if (isWritable(own)) return { version: "v1", parent: own };
    throw unavailable(controller, "control groups of version 1 belong to root: run as root, or boot with cgroup v2");
  }
  if (!v2) throw unavailable(controller, "no control groups are mounted: mount cgroup2 on /sys/fs/cgroup");
  const available = controllersIn(`${v2.mount}/cgroup.controllers`);
  if (!available.includes(controller)) throw unavailable(controller, `the kernel has no ${controller} controller`);
  const wanted = CONTROLLERS.filter((name) => !v1.has(name) && available.includes(name));
  const parent = findV2Parent(v2, wanted, able);
  if (parent !== undefined) return { version: "v2", parent };
  throw unavailable(
    controller,
    sys.effectiveUid() === 0
      ? `its controllers cannot be enabled in "${v2.own}" or above it`
      : "no control group is delegated to this user: systemd-run --user --scope -p Delegate=yes COMMAND makes one",
  );
}

/** The nearest group, upwards from this process's own, that can have children with these controllers. */
function findV2Parent(v2: { own: string; mount: string }, controllers: Controller[], able: Able): string | undefined {
  const { own, mount } = v2;
  for (let directory = own; directory.startsWith(mount); directory = directory.slice(0, directory.lastIndexOf("/"))) {
    if (isWritable(directory) && able(controllers, directory)) return directory;
  }
  return undefined;
}

const unavailable = (controller: string, hint: string) =>
  new TsboxError(`limit ${controller}: not possible here`, { code: "limit_unavailable", hint });

function isWritable(directory: string): boolean {
  const W_OK = 2;
  return sys.access(directory, W_OK) && sys.access(`${directory}/cgroup.procs`, W_OK);
}

const controllersIn = (file: string): string[] => (sys.readKernelFile(file) ?? "").trim().split(" ");

function isEnabled(controllers: Controller[], directory: string): boolean {
  const enabled = controllersIn(`${directory}/cgroup.subtree_control`);
  return controllers.every((name) => enabled.includes(name));
}

function enable(controllers: Controller[], directory: string): boolean {
  if (isEnabled(controllers, directory)) return true;
  const all = controllers.map((name) => `+${name}`).join(" ");
  sys.writeKernelFile(`${directory}/cgroup.subtree_control`, all);
  return isEnabled(controllers, directory);
}

class MadeCgroup implements Cgroup {
  readonly membership: { tasks: number; into: boolean };
  readonly #v1: string[] = [];
  readonly #v2: string | undefined;
  readonly #directories: Map<Controller, string>;

  constructor(places: Map<Controller, Place>, name: string) {
    this.#directories = new Map([...places].map(([controller, place]) => [controller, `${place.parent}/${name}`]));
    for (const [controller, place] of places) {
      const directory = this.#directories.get(controller) as string;
      if (place.version === "v2") this.#v2 = directory;
      else if (!this.#v1.includes(directory)) this.#v1.push(directory);
    }
    this.membership = { tasks: this.#v1.length, into: this.#v2 !== undefined };
  }

  open(): Record<string, number> {
    const opened: Record<string, number> = {};
    // `tasks`, not `cgroup.procs`: moving one thread takes no global lock, which can wait for 10 ms (measured)
    this.#v1.forEach((directory, index) => (opened[`cgroup${index}`] = sys.open(`${directory}/tasks`, sys.O_WRONLY)));
    if (this.#v2 !== undefined) opened["cgroup"] = sys.open(this.#v2, sys.O_PATH | sys.O_DIRECTORY);
    return opened;
  }

  counters(): Counters {
    const [memory, pids] = [this.#directories.get("memory"), this.#directories.get("pids")];
    const v2 = memory === this.#v2;
    const peak = memory && sys.readKernelFile(`${memory}/${v2 ? "memory.peak" : "memory.max_usage_in_bytes"}`);
    return {
      oomKills:
        memory === undefined ? 0 : field(`${memory}/${v2 ? "memory.events" : "memory.oom_control"}`, "oom_kill"),
      pidsDenied: pids === undefined ? 0 : field(`${pids}/pids.events`, "max"),
      ...(peak ? { peakMemoryBytes: Number(peak) } : {}),
    };
  }

  remove(): Promise<void> {
    return removeWhenEmpty([...new Set(this.#directories.values())]);
  }
}

function field(file: string, name: string): number {
  const line = (sys.readKernelFile(file) ?? "").split("\n").find((l) => l.startsWith(`${name} `));
  return Number(line?.slice(name.length + 1) ?? 0);
}
