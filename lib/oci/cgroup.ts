/** The control group of a container. @module */
import { TsboxError } from "../../syscalls/index.ts";
import type { Resources } from "../spec/index.ts";
import type { Container } from "./container.ts";

export interface ContainerCgroup {
  /** What is to be written down. */
  record: object;
  pids(): number[];
  kill(signal: number): Promise<void>;
  freeze(): Promise<void>;
  thaw(): Promise<void>;
  isFrozen(): Promise<boolean>;
  update(resources: Resources): Promise<void>;
  oomKills(): number;
  stats(): object;
  remove(): Promise<void>;
}

/** As it was recorded. */
export function openCgroup(_record: object): ContainerCgroup {
  throw new TsboxError("open the cgroup of a container: not there yet", { code: "unsupported" });
}

/** @throws TsboxError `limit_unavailable` */
export function requireCgroup({ cgroup }: Container, action: string): ContainerCgroup {
  if (cgroup) return cgroup;
  throw new TsboxError(`${action}: it has no cgroup of its own`, {
    code: "limit_unavailable",
    hint: "cgroups of version 2 can be delegated: systemd-run --user -p Delegate=yes",
  });
}
