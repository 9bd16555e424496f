/**
 * The control groups of a container: one in every hierarchy, by name, from `create` to `delete`. Commands in between open
 * them again by what was written down.
 * @module
 * @see cgroups(7), https://github.com/opencontainers/runtime-spec/blob/v1.2.0/config-linux.md#control-groups
 */
import * as sys from "../../syscalls/index.ts";
import { errnoName, TsboxError } from "../../syscalls/index.ts";
import type { DeviceRule, Resources } from "../spec/index.ts";
import { complete, saying } from "./changes.ts";
import { containerStats, type ContainerStats } from "./container-stats.ts";
import { readOomKills, type Directory } from "./counters.ts";
import { isFrozen, setFrozen, waitUntilStopped } from "./freezing.ts";
import { Keeper, recordOfUnit } from "./keeper.ts";
import { killProcesses, signalProcesses } from "./killing.ts";
import { applyLimits, containerDevices, controllersOf, type Groups } from "./limits.ts";
import { makeGroup, NotPermitted, settleType } from "./making.ts";
import { removeGroup } from "./owner.ts";
import { ownHierarchies } from "./place.ts";
import { checkRecord, recordOf, type CgroupName, type CgroupRecord } from "./record.ts";
import type { Controller } from "./settings.ts";
import { joinPath } from "./sub-group.ts";
import { groupsBelow, processesIn } from "./tree.ts";
import { withoutWeight } from "./unit.ts";

const SIGKILL = 9;
const [ESRCH, EINVAL] = [-3, -22];
const TURNS = 5;
const KEPT = -1;
const F_OK = 0;

export interface PlanOptions extends CgroupName {
  /** It keeps them, and is told by `cgroupsPath`: `slice:prefix:name`. */
  systemd: boolean;
}

/** Is told what is left out, and why. */
export type Warn = (message: string) => void;

export class ContainerCgroup {
  #record: CgroupRecord;
  readonly #warn: Warn;
  readonly #keeper: Keeper | undefined;
  /** Of the container in version 2: a group below is by its way from here. */
  #top: string | undefined;
  /** It could not be made; what was made of it is taken back. */
  #refused = false;

  /**
   * Names the groups, and makes nothing.
   *
   * @throws TsboxError `invalid_option`
   */
  static async plan({ systemd, ...name }: PlanOptions): Promise<CgroupRecord> {
    const hierarchies = ownHierarchies();
    return systemd ? await recordOfUnit(name, hierarchies) : recordOf(name, hierarchies);
  }

  /** @throws TsboxError `container_unreadable` where the record names what is no control group of this machine */
  constructor(record: CgroupRecord, warn: Warn = () => {}) {
    checkRecord(record, ownHierarchies());
    this.#record = record;
    this.#warn = warn;
    const { "": v2, ...v1 } = record.paths;
    this.#top = v2;
    if (record.unit) this.#keeper = new Keeper(record.unit, record.rootless, Object.keys(v1).length > 0 ? "v1" : "v2");
  }

  /** What is to be written down: once it was made, without the groups that it may not have. */
  get record(): CgroupRecord {
    return this.#record;
  }

  /**
   * Makes the groups, and limits them.
   *
   * @param pid of a process that is moved there: systemd makes groups around one. It ends where they cannot be had
   * @throws TsboxError `limit_unavailable`, `permission_denied`, `invalid_option`
   */
  async make(resources: Resources, pid?: number): Promise<void> {
    this.#refused = true;
    let limits = saying(resources);
    const devices = containerDevices(limits.devices);
    this.#refuseUsed();
    const made: string[] = [];
    let started = false;
    try {
      if (this.#keeper) {
        limits = await this.#keeper.start(this.#oneOfBoth(limits), devices, pid ?? 0);
        started = true;
      }
      this.#makeDirectories((path) => made.push(path));
      this.#apply(limits, devices);
      if (pid !== undefined) await this.addProcess(pid);
      this.#record = { ...this.#record, made: true };
      this.#refused = false;
    } catch (error) {
      if (started) await this.#takeBack();
      for (const path of made.toReversed()) sys.removeDirectory(path);
      throw error;
    }
  }

  #oneOfBoth(limits: Resources): Resources {
    const idle = withoutWeight(limits);
    if (idle) this.#warn("unable to apply both a CPU weight and idle to systemd, ignoring the weight");
    return idle ?? limits;
  }

  /** The unit ends with its process only, and a process in a pid namespace of its own does not end when it is asked to. */
  async #takeBack(): Promise<void> {
    await this.#killAll().catch(() => {});
    await this.#keeper?.stop().catch(() => {});
  }

  /** @throws TsboxError `container_state` */
  #refuseUsed(): void {
    // most are not there yet
    if (!this.#directories().some(({ path }) => sys.access(path, F_OK))) return;
    const found = this.pids().length;
    const refuse = (why: string) => {
      throw new TsboxError(`container's cgroup ${why}`, {
        code: "container_state",
        path: this.#directories()[0]?.path ?? "",
        hint: "every container needs a cgroupsPath of its own",
      });
    };
    if (found > 0) refuse(`is not empty: ${found} process(es) found`);
    const freezer = this.#freezer();
    if (freezer && isFrozen(freezer)) refuse("unexpectedly frozen");
  }

  #makeDirectories(made: (path: string) => void): void {
    const { v1, v2 } = ownHierarchies();
    for (const [controller, path] of Object.entries(this.#record.paths)) {
      const mount = (controller === "" ? v2 : v1.get(controller))?.mount as string;
      try {
        makeGroup(mount, path, controller, made);
      } catch (error) {
        if (!(error instanceof NotPermitted) || this.#record.asked || !this.#record.rootless) throw error;
        this.#forget(controller);
      }
    }
  }

  #forget(controller: string): void {
    const { [controller]: _, ...paths } = this.#record.paths;
    this.#record = { ...this.#record, paths };
  }

  #apply(resources: Resources, devices?: readonly DeviceRule[]): void {
    const { "": path, ...v1 } = this.#record.paths;
    const inVersion2 = controllersOf(resources).filter((controller) => this.#where(controller)?.version === "v2");
    if (path !== undefined) settleType(path, inVersion2);
    const groups: Groups = {
      where: (controller) => this.#where(controller),
      unified: Object.keys(v1).length === 0 ? path : undefined,
      rootless: this.#record.rootless,
      warn: this.#warn,
    };
    applyLimits(resources, devices, groups);
  }

  /** Of a controller: version 1, where it is mounted, else version 2. */
  #where(controller: Controller): Directory | undefined {
    const { paths } = this.#record;
    const own = paths[controller === "io" ? "blkio" : controller];
    if (own !== undefined) return { version: "v1", path: own };
    return paths[""] === undefined ? undefined : { version: "v2", path: paths[""] };
  }

  /** Each once: controllers may share one. */
  #directories(): Directory[] {
    const { "": v2, ...v1 } = this.#record.paths;
    const found = [...new Set(Object.values(v1))].map((path): Directory => ({ version: "v1", path }));
    return v2 === undefined ? found : [...found, { version: "v2", path: v2 }];
  }

  #freezer = (): Directory | undefined => this.#where("freezer");

  /**
   * How many v1 `tasks` files a process has to write to, and whether there is a v2 directory to be cloned into. Where
   * systemd keeps the groups, processes are moved: see {@link addProcess}.
   */
  get membership(): { tasks: number; into: boolean } {
    if (this.isMoved) return { tasks: 0, into: false };
    const directories = this.#directories();
    const into = directories.some(({ version }) => version === "v2");
    return { tasks: directories.length - (into ? 1 : 0), into };
  }

  /** Whether a process cannot join by itself. */
  get isMoved(): boolean {
    return this.#record.unit !== undefined;
  }

  /** Opens these as `cgroup0`, `cgroup1`, … and `cgroup`. */
  open(opened: sys.Descriptors): Record<string, number> {
    const bound: Record<string, number> = {};
    if (this.isMoved) return bound;
    this.#directories().forEach(({ version, path }, index) => {
      if (version === "v2") bound["cgroup"] = opened.add(sys.open(path, sys.O_PATH | sys.O_DIRECTORY));
      else bound[`cgroup${index}`] = opened.add(sys.open(`${path}/tasks`, sys.O_WRONLY));
    });
    return bound;
  }

  /**
   * Groups below, for a process that joins; by controller, where `""` is pure version 2, or all that have such a group.
   *
   * @param first the container's first process: where its own group cannot have processes any more, as the container
   *   limits groups below it, a process joins where that one is
   * @throws TsboxError `invalid_option`
   */
  below(subGroups: Readonly<Record<string, string>>, first?: number): ContainerCgroup {
    const own = Object.entries(this.#record.paths);
    const isPure = own.every(([controller]) => controller === "");
    const missing = (sub: string) =>
      new TsboxError(
        `join the cgroup ${JSON.stringify(sub)}: adding pid to it: no such file or directory in the container`,
        {
          code: "invalid_option",
        },
      );
    const unknown = Object.keys(subGroups).find((name) => name !== "" && !Object.hasOwn(this.#record.paths, name));
    if (unknown !== undefined) {
      const action = `join the cgroup ${JSON.stringify(subGroups[unknown])}`;
      throw new TsboxError(`${action}: unknown controller ${JSON.stringify(unknown)}`, {
        code: "invalid_option",
        hint: isPure ? "with pure version 2, a path alone" : Object.keys(this.#record.paths).filter(Boolean).join(", "),
      });
    }
    const paths = own.map(([controller, path]): [string, string] => {
      const named = controller === "" && !isPure ? undefined : subGroups[controller];
      const sub = named ?? subGroups[""] ?? "";
      const joined = joinPath({ path, sub, version: controller === "" ? "v2" : "v1", first });
      if (sys.access(joined, F_OK)) return [controller, joined];
      if (named !== undefined) throw missing(named);
      return [controller, path];
    });
    const sub = subGroups[""];
    const isBelow = /[^/]/.test(sub ?? "");
    if (isBelow && paths.every(([, path], index) => path === own[index]?.[1])) throw missing(sub ?? "");
    const below = new ContainerCgroup({ ...this.#record, paths: Object.fromEntries(paths) }, this.#warn);
    below.#top = this.#top;
    return below;
  }

  /** Moves a process into the groups. @throws TsboxError `limit_unavailable` */
  async addProcess(pid: number): Promise<void> {
    for (const { path } of this.#directories()) {
      let result = EINVAL;
      // EINVAL: it is new, and the scheduler does not have it yet
      for (let turn = 0; result === EINVAL && turn < TURNS; turn++) {
        if (turn > 0) await new Promise((resolve) => setTimeout(resolve, 10));
        result = sys.writeKernelFile(`${path}/cgroup.procs`, String(pid));
      }
      if (result >= 0) continue;
      // from outside of what was delegated, systemd has to move it
      if (this.#keeper && this.#top !== undefined && path.startsWith(this.#top)) {
        await this.#keeper.attach(path.slice(this.#top.length), pid);
        continue;
      }
      throw new TsboxError(`move process ${pid} to the control group "${path}": ${errnoName(-result)}`, {
        code: result === ESRCH ? "container_state" : "limit_unavailable",
        errno: -result,
        path,
      });
    }
  }

  /**
   * Changes limits; what is not said stays. Devices stay as they were made, as with runc: others may have changed them.
   *
   * @throws TsboxError `limit_unavailable`, `invalid_option`
   */
  async update(resources: Resources): Promise<void> {
    const read = (controller: Controller, file: string) => {
      const group = this.#where(controller);
      return group && sys.readKernelFile(`${group.path}/${file}`);
    };
    const version = (controller: Controller) => this.#where(controller)?.version ?? "v2";
    const limits = complete(saying(resources), { memory: version("memory"), cpu: version("cpu") }, read);
    this.#apply(this.#keeper ? await this.#keeper.update(this.#oneOfBoth(limits)) : limits);
  }

  /** @throws TsboxError `limit_unavailable` where a process does not stop in time; all go on then */
  async freeze(): Promise<void> {
    const group = this.#freezer();
    const failure = (why: string) =>
      new TsboxError(`freeze the container: ${why}`, { code: "limit_unavailable", path: group?.path ?? "" });
    if (!group) throw failure("it has no cgroup of its own");
    const result = setFrozen(group, true);
    if (result < 0) throw failure(errnoName(-result));
    if (await waitUntilStopped(group)) return;
    this.#setThawed();
    throw failure("a process does not stop");
  }

  async thaw(): Promise<void> {
    this.#setThawed();
  }

  #setThawed(): void {
    const group = this.#freezer();
    if (group) setFrozen(group, false);
  }

  isFrozen(): boolean {
    const group = this.#freezer();
    return group !== undefined && isFrozen(group);
  }

  /** Of the groups, and those below them. */
  pids(): number[] {
    const found = new Set(this.#directories().flatMap(({ path }) => processesIn(path)));
    return [...found].toSorted((a, b) => a - b);
  }

  /**
   * To all processes. After SIGKILL there are none, also of those that were frozen, or were just being made.
   *
   * @throws TsboxError `system` where one does not end
   */
  async kill(signal: number): Promise<void> {
    if (!this.#record.made) return;
    if (signal === SIGKILL) return await this.#killAll();
    const frozen = this.isFrozen();
    // so that none is made meanwhile
    if (!frozen) await this.freeze().catch(() => {});
    try {
      signalProcesses(() => this.pids(), signal);
    } finally {
      if (!frozen) this.#setThawed();
    }
  }

  #killAll = (): Promise<void> => killProcesses(this.#directories(), () => this.pids(), this.#freezer());

  /** How often processes were killed as memory was out. */
  oomKills(): number {
    const memory = this.#where("memory");
    return memory ? readOomKills(memory) : 0;
  }

  /** As `runc events --stats` prints it. */
  stats(): ContainerStats {
    return containerStats((controller) => this.#where(controller));
  }

  /**
   * Gives the group of version 2 to a user, who may then make groups in it, but not change its limits: for containers
   * with a cgroup namespace of their own in which the groups can be written to. Its group comes along, which may do
   * nothing more: whoever joins from inside the user namespace needs one that is known there.
   *
   * @see https://github.com/opencontainers/runtime-spec/blob/v1.2.0/config-linux.md#cgroup-ownership
   */
  delegate(uid: number, gid = KEPT): void {
    const { "": path, ...v1 } = this.#record.paths;
    if (path === undefined || Object.keys(v1).length > 0) return;
    const files = sys.readKernelFile("/sys/kernel/cgroup/delegate")?.trim().split("\n");
    for (const file of ["", ...(files ?? ["cgroup.procs", "cgroup.subtree_control", "cgroup.threads"])]) {
      const result = sys.changeOwner(`${path}/${file}`, uid, gid);
      if (result >= 0 || result === -sys.ERRNO.ENOENT) continue;
      throw sys.systemError(`give the control group "${path}" to user ${uid}`, "fchownat", -result);
    }
  }

  /**
   * Once its processes are gone: with what the container made below. What was never made is left to whoever has it.
   *
   * @throws TsboxError `system`
   */
  async remove(): Promise<void> {
    if (this.#refused) return;
    if (!this.#record.made) {
      for (const { path } of this.#directories()) sys.removeDirectory(path);
      return;
    }
    await this.#keeper?.stop();
    for (const { path } of this.#directories()) {
      const result = await removeGroup(path, removeEmptyBelow);
      if (result < 0) throw sys.systemError(`remove the control group "${path}"`, "unlinkat", -result);
    }
  }
}

/** What runs in one of them keeps it. */
function removeEmptyBelow(path: string): void {
  for (const { above, name } of groupsBelow(path)) above.removeDirectory(name);
}
