/**
 * What is written down of a container, `state.json`: all that a later command has to know, and cannot ask the kernel.
 * @module
 */
import { TsboxError } from "../../syscalls/index.ts";
import type { CgroupRecord } from "../cgroup/index.ts";
import type { Hook } from "../spec/index.ts";
import type { IntelRdtRecord } from "./intel-rdt.ts";

/** Of the file's format: one of another version is not read. */
export const RECORD_VERSION = 1;

export interface ContainerRecord {
  version: typeof RECORD_VERSION;
  id: string;
  /** Of the specification, as config.json says. */
  ociVersion: string;
  /** Absolute, like the two below. */
  bundle: string;
  rootfs: string;
  annotations?: Record<string, string>;
  /** RFC 3339, with nanoseconds. */
  created: string;
  /** Who made it. */
  owner: number;
  /** `creating`: not whole yet; where nobody is at it any more, it never will be. */
  stage: "creating" | "created";
  /** Of the container's process in the pid namespace of who made it; 0 where there is none yet. */
  pid: number;
  /** When it started, in clock ticks since boot: a number may be used again, but not with the same time. */
  pidStartTime: string;
  /** Of the plan that its process walks: what fails when it is started is told by its number. */
  steps: number;
  /** The config says of no process: when it is started, it ends. */
  idle?: boolean;
  /** The end of its first process is not the end of the others. */
  sharesPids: boolean;
  /** The mount that its root filesystem lay on before, where its own lie in the caller's mount namespace. */
  mountBefore?: number;
  cgroup?: CgroupRecord;
  systemdCgroup: boolean;
  rootless: boolean;
  /** Gets the listener of its seccomp filter when it is started: a path. */
  agent?: string;
  /** Its group of resctrl. */
  intelRdt?: IntelRdtRecord;
  /** Those that are run by later commands. */
  hooks?: { poststart?: readonly Hook[]; poststop?: readonly Hook[] };
}

const FIELDS: Record<string, (value: unknown) => boolean> = {
  id: isText,
  ociVersion: isText,
  bundle: isText,
  rootfs: isText,
  created: isText,
  pidStartTime: isText,
  owner: Number.isSafeInteger,
  pid: (value) => Number.isSafeInteger(value) && (value as number) >= 0,
  stage: (value) => value === "creating" || value === "created",
  steps: Number.isSafeInteger,
  idle: optional(isFlag),
  sharesPids: isFlag,
  systemdCgroup: isFlag,
  rootless: isFlag,
  annotations: optional((value) => isObject(value) && Object.values(value).every(isText)),
  mountBefore: optional(Number.isSafeInteger),
  cgroup: optional(isCgroup),
  agent: optional(isText),
  intelRdt: optional(isIntelRdt),
  hooks: optional(isObject),
};

/** @throws TsboxError `container_unreadable` */
export function parseRecord(text: string, id: string): ContainerRecord {
  const record = parse(text, id);
  if (!isObject(record)) throw unreadable(id, "it is no object");
  if (record["version"] !== RECORD_VERSION) {
    throw unreadable(id, `its format is ${JSON.stringify(record["version"])}, and this is tsbox for ${RECORD_VERSION}`);
  }
  const wrong = Object.entries(FIELDS).find(([name, holds]) => !holds(record[name]));
  if (wrong) throw unreadable(id, `"${wrong[0]}" is not as tsbox writes it`);
  if (record["id"] !== id) throw unreadable(id, `it is that of ${JSON.stringify(record["id"])}`);
  return record as unknown as ContainerRecord;
}

function parse(text: string, id: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw unreadable(id, "it is no JSON; it may be cut short");
  }
}

const unreadable = (id: string, why: string) =>
  new TsboxError(`read the state of container "${id}": ${why}`, {
    code: "container_unreadable",
    hint: "delete --force removes what is left of it",
  });

function isText(value: unknown): boolean {
  return typeof value === "string";
}

function isFlag(value: unknown): boolean {
  return typeof value === "boolean";
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isIntelRdt(value: unknown): boolean {
  if (!isObject(value) || !Object.values(value).every(isText)) return false;
  const { root, group, monitor = group, made = group } = value;
  const isBelow = (path: unknown) => path === root || String(path).startsWith(`${String(root)}/`);
  return [group, monitor, made].every((path) => isBelow(path) && !/(^|\/)\.\.?(\/|$)/.test(String(path)));
}

function isCgroup(value: unknown): boolean {
  if (!isObject(value) || !["asked", "rootless", "made"].every((name) => isFlag(value[name]))) return false;
  const texts = (object: unknown) => isObject(object) && Object.values(object).every(isText);
  return texts(value["paths"]) && optional(isUnit)(value["unit"]);

  function isUnit(unit: unknown): boolean {
    if (!isObject(unit)) return false;
    const { annotations = {}, ...names } = unit;
    return texts(names) && texts(annotations);
  }
}

function optional(holds: (value: unknown) => boolean): (value: unknown) => boolean {
  return (value) => value === undefined || holds(value);
}
