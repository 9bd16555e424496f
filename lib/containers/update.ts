/** Changes a container that is there. @module */
import { checkOptions } from "../options/index.ts";
import { TsboxError } from "../../syscalls/index.ts";
import { bandwidthOf, GROUP_LIMITS, limitsAsResources, type Limits } from "../sandbox/index.ts";
import type { Resources } from "../spec/index.ts";
import { checkPolicy } from "./check-options.ts";
import { markDecision } from "./decide.ts";
import { addContainerEvent } from "./events.ts";
import type { Home } from "./home.ts";
import { locked } from "./lock.ts";
import { checkName, notFound } from "./names.ts";
import { networkPolicyOf, networksOf } from "./network-options.ts";
import type { ContainerPolicy, RestartPolicy } from "./options.ts";
import { requireCgroup } from "./own-cgroup.ts";
import { settle } from "./reconcile.ts";
import { writeCopy } from "./record-copy.ts";
import type { ContainerRecord } from "./record.ts";
import { policyOf } from "./restart-policy.ts";
import { callSelf } from "./self.ts";
import { runs } from "./status.ts";

export interface UpdateOptions {
  /**
   * Those that control groups keep, and the bandwidth. `Infinity` takes that of `memory`, `pids`, `cpus` or `cpuQuotaUs`
   * away, or of `bandwidth.down` and `bandwidth.up`.
   */
  limits?: Limits;
  restart?: RestartPolicy;
  /** In place of the policy that it has; from now on, and for what is connected already. */
  network?: ContainerPolicy;
}

const UNLIMITED = -1;
/** Limits that are about the same: with one, the others of its kind are written again. */
const KINDS: (keyof Limits)[][] = [
  ["memory", "memorySwap", "memoryReservation", "memorySwappiness", "oomKill"],
  ["cpus", "cpuShares", "cpuPeriodUs", "cpuQuotaUs", "cpuBurstUs", "cpuIdle"],
];
/** What takes the place of what. */
const INSTEAD: [keyof Limits, keyof Limits][] = [
  ["cpus", "cpuQuotaUs"],
  ["cpus", "cpuPeriodUs"],
  ["cpuQuotaUs", "cpus"],
  ["cpuPeriodUs", "cpus"],
];

/**
 * Limits of one that does not run count when it is started.
 * @throws TsboxError `invalid_option`, `limit_unavailable`, `container_not_found`
 */
export async function update(home: Home, id: string, options: UpdateOptions): Promise<string[]> {
  checkOptions("update", options, { limits: "object", restart: "text", network: "object" });
  const { limits, restart, network } = options;
  const warnings: string[] = [];
  if (limits) checkLimits(limits);
  if (restart !== undefined) policyOf(restart);
  if (network !== undefined) checkPolicy(network);
  await locked(home, id, async () => {
    const record = settle(home, id);
    if (!record) throw notFound(id);
    if (restart !== undefined && record.options.remove && policyOf(restart).name !== "no")
      throw refuse("Restart policy cannot be updated because AutoRemove is enabled for the container");
    if (network && !networkPolicyOf(record.options))
      throw refuse("update the network policy: the container was made without one", "tsbox run --allow, --deny");
    const merged = limits && mergedLimits(record.options.limits, limits);
    const resources = limits && merged && changedResources(limits, merged);
    // the bandwidth is no group's
    if (resources && Object.keys(resources).length > 0 && runs(record))
      await requireCgroup(record, "update", (warning) => void warnings.push(warning)).update(resources);
    if (limits?.bandwidth) await pace(home, record, merged ?? {});
    change(home, id, "update", (each) => ({
      ...each,
      options: {
        ...each.options,
        ...(merged ? { limits: merged } : {}),
        ...(restart === undefined ? {} : { restart }),
        ...(network === undefined ? {} : { network }),
      },
    }));
    const isTold = network ?? (limits?.bandwidth && networkPolicyOf(record.options));
    if (isTold && runs(record)) await (await import("./policies.ts")).tellPolicy(home);
  });
  return warnings;
}

/** @throws TsboxError `invalid_option` where it is in no network */
async function pace(home: Home, { id, options }: ContainerRecord, limits: Limits): Promise<void> {
  const bandwidth = bandwidthOf(limits);
  if (networkPolicyOf(options)) return;
  if (networksOf(options).length === 0)
    throw refuse("limit the bandwidth: the container is in no network of its own", "tsbox network connect");
  if (bandwidth) await (await import("./networks.ts")).networksAt(home).pace(id, bandwidth);
}

const refuse = (message: string, hint?: string) =>
  new TsboxError(message, { code: "invalid_option", ...(hint === undefined ? {} : { hint }) });

function checkLimits(limits: Limits): void {
  for (const name of Object.keys(limits)) {
    if (!GROUP_LIMITS.includes(name) && name !== "bandwidth")
      throw refuse(`change the limit ${JSON.stringify(name)}: it is set when a container is made`);
  }
}

/** What counts from now on. Pure. @throws TsboxError `invalid_option` */
function mergedLimits(before: Limits = {}, changes: Limits): Limits {
  const merged: Limits = { ...before };
  for (const [name, replaced] of INSTEAD) if (changes[name] !== undefined) delete merged[replaced];
  Object.assign(merged, changes);
  if (changes.bandwidth) merged.bandwidth = { ...before.bandwidth, ...changes.bandwidth };
  if (changes.memory !== undefined && changes.memorySwap === undefined) checkSwap(before, merged);
  for (const name of ["memory", "pids", "cpus", "cpuQuotaUs"] as const) {
    if (changes[name] !== Infinity) continue;
    delete merged[name];
    if (name === "memory") delete merged.memorySwap;
  }
  limitsAsResources(merged);
  return merged;
}

/** Of both together, which is said apart, and was enough before. */
function checkSwap({ memorySwap }: Limits, merged: Limits): void {
  if (memorySwap === undefined || memorySwap === Infinity || merged.memory === Infinity) return;
  try {
    limitsAsResources({ memory: merged.memory as NonNullable<Limits["memory"]>, memorySwap });
  } catch (error) {
    if (!/less than the memory limit/.test(String(error))) throw error;
    throw refuse(
      "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time",
    );
  }
}

/** What is written: of kinds that change, all. Pure. */
function changedResources(changes: Limits, merged: Limits): Resources {
  const names = new Set(Object.keys(changes) as (keyof Limits)[]);
  for (const kind of KINDS) if (kind.some((name) => names.has(name))) kind.forEach((name) => names.add(name));
  const written = Object.fromEntries(Object.entries(merged).filter(([name]) => names.has(name as keyof Limits)));
  const resources = limitsAsResources(written as Limits);
  if (changes.memory === Infinity) resources.memory = { ...resources.memory, limit: UNLIMITED, swap: UNLIMITED };
  if (changes.pids === Infinity) resources.pids = { limit: UNLIMITED };
  if ([changes.cpus, changes.cpuQuotaUs].includes(Infinity)) resources.cpu = { ...resources.cpu, quota: UNLIMITED };
  return resources;
}

/** @throws TsboxError `invalid_option`, `name_in_use`, `name_invalid`, `container_not_found` */
export async function rename(home: Home, id: string, name: string): Promise<void> {
  if (name === "") throw refuse("Neither old nor new names may be empty");
  const wanted = checkName(name);
  await locked(home, id, async () => {
    const before = settle(home, id);
    if (before?.name === wanted) throw refuse("Renaming a container with the same name as its current name");
    change(home, id, "rename", (each) => ({ ...each, name: wanted }), { oldName: `/${before?.name}` });
    if (before && networksOf(before.options).length > 0)
      (await import("./networks.ts")).networksAt(home).rename(id, wanted);
  });
}

/** Of what lasts: the copy of the record changes as well. */
function change(
  home: Home,
  id: string,
  action: string,
  how: (row: ContainerRecord) => ContainerRecord,
  attributes: Record<string, string> = {},
): void {
  const changed = home.state.transaction(() => {
    const row = home.state.containers.update<ContainerRecord>(id, how);
    if (!row) throw notFound(id);
    addContainerEvent(home, row, action, { attributes });
    return row;
  });
  writeCopy(home, changed);
  using directory = home.directory(id);
  if (directory) markDecision(directory, changed, callSelf(home, "ended", id));
}
