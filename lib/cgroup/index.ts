/** Control groups: limits, counters, pausing, on versions 1 and 2. @module */
export { Cgroup, makeCgroup, type GroupOptions } from "./cgroup.ts";
export { ContainerCgroup, type PlanOptions } from "./container.ts";
export type * from "./container-stats.ts";
export type { Amounts, Counters, CpuTime } from "./counters.ts";
export type { Look } from "./moving.ts";
export { findHierarchies } from "./hierarchy.ts";
export { cgroupPlan } from "./plan.ts";
export type { CgroupRecord } from "./record.ts";
export { settingsOf } from "./settings.ts";
export { UNIT_ANNOTATION } from "./unit.ts";
