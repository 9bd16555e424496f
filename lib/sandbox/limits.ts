/** The cgroup of a sandbox, if it has limits. @module */
import { TsboxError } from "../../syscalls/index.ts";
import type { Resources } from "../spec/index.ts";

export interface SandboxCgroup {
  descriptors(): { joins: number[]; into?: number };
  closeDescriptors(): void;
  events(): { oomKills: number };
  peakMemoryBytes(): number | undefined;
  remove(): Promise<void>;
}

const NONE: SandboxCgroup = {
  descriptors: () => ({ joins: [] }),
  closeDescriptors: () => {},
  events: () => ({ oomKills: 0 }),
  peakMemoryBytes: () => undefined,
  remove: async () => {},
};

/** @throws TsboxError `limit_unavailable` */
export function takeCgroup(resources: Resources): SandboxCgroup {
  const [limit] = Object.keys(resources);
  if (limit === undefined) return NONE;
  throw new TsboxError(`limit ${limit}: not supported yet`, { code: "limit_unavailable" });
}
