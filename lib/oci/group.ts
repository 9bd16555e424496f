/** The control groups of a container, as far as `create` needs them. @module */
import type { Facts, StartableSpec } from "../plan/index.ts";
import type { Resources } from "../spec/index.ts";
import type { Descriptors } from "../../syscalls/index.ts";
import type { Runtime } from "./runtime.ts";

interface ContainerCgroup {
  make(resources: Resources, pid?: number): Promise<void>;
  membership: Facts["cgroup"];
  open(opened: Descriptors): Record<string, number>;
  remove(): Promise<void>;
}

export interface Group {
  record?: object;
  cgroup?: ContainerCgroup;
  /** The creator moves the process there, rather than the process itself. */
  moved: boolean;
  /** What the machine is like, with the groups that a container without a cgroup namespace is shown. */
  shown(facts: Facts): Facts;
}

export function groupOf(_runtime: Runtime, _id: string, _spec: StartableSpec): Group {
  return {
    moved: false,
    shown: (facts) => (facts.hierarchies ? { ...facts, hierarchies: { ...facts.hierarchies, groups: {} } } : facts),
  };
}

export function openGroup(
  _record: object,
  _below: Record<string, string>,
): Pick<ContainerCgroup, "membership" | "open"> {
  return { membership: { tasks: 0, into: false }, open: () => ({}) };
}
