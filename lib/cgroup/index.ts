/** Control groups. @module */
export { cgroupPlan, makeCgroup, settingsOf, type Cgroup, type Counters } from "./cgroup.ts";
export { findHierarchies } from "./hierarchy.ts";
