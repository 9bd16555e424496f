/** Control groups. @module */
export { makeCgroup, settingsOf, type Cgroup, type Counters } from "./cgroup.ts";
export { findHierarchies } from "./hierarchy.ts";
