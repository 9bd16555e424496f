/**
 * What the machine is like, as far as a specification needs to know.
 * @module
 */
import * as sys from "../../syscalls/index.ts";
import { ARCH } from "../../syscalls/index.ts";
import { findHierarchies } from "../cgroup/index.ts";
import { isBind, type CgroupHierarchies, type Facts, type SecurityModules } from "../plan/index.ts";
import type { IdMapping, Linux, Spec } from "../spec/index.ts";
import { findIdMapper } from "./subordinate-ids.ts";

/** Those that the kernel runs with; only with their file systems can they be told anything. */
export const securityModules = (): SecurityModules => ({
  apparmor: sys.readKernelFile("/sys/module/apparmor/parameters/enabled")?.startsWith("Y") ?? false,
  selinux: sys.kindOfPath("/sys/fs/selinux/enforce") === "file",
});

/** What the machine is like, as far as this spec needs to know. */
export function factsFor(spec: Spec, membership: Facts["cgroup"]): Facts {
  const kernelPaths = kernelPathsOf(spec.linux);
  const sources = new Map<string, "file" | "directory">();
  for (const mount of spec.mounts) {
    const { source = "" } = mount;
    const kind = isBind(mount) ? sys.kindOfPath(source) : undefined;
    // what is not there is told when it is opened
    if (kind) sources.set(source, kind);
  }
  const facts: Facts = { arch: ARCH, privileged: sys.effectiveUid() === 0, sources, kernelPaths, cgroup: membership };
  if (spec.mounts.some(({ type }) => type === "cgroup")) facts.hierarchies = hierarchies();
  if (spec.linux.namespaces.some(({ type }) => type === "time")) facts.kernel = kernelVersion();
  if (!facts.privileged && spec.linux.uidMappings && !isOwnId(spec)) facts.idMapper = findIdMapper();
  return facts;
}

function hierarchies(): CgroupHierarchies {
  const { v1, v2 } = findHierarchies();
  const controllers = new Map<string, string[]>();
  for (const [name, { mount }] of v1) controllers.set(mount, [...(controllers.get(mount) ?? []), name]);
  return { v1: [...controllers.values()], v2: v2 !== undefined };
}

/** An ordinary user may map its own id by itself. */
function isOwnId({ linux: { uidMappings = [], gidMappings = [] } }: Spec): boolean {
  const is = (maps: IdMapping[], id: number) => maps.length === 1 && maps[0]?.hostID === id && maps[0].size === 1;
  return is(uidMappings, sys.effectiveUid()) && is(gidMappings, sys.effectiveGid());
}

function kernelVersion(): [major: number, minor: number] {
  const release = sys.readKernelFile("/proc/sys/kernel/osrelease") ?? "";
  const [major = 0, minor = 0] = release.split(".").map((part) => Number.parseInt(part, 10));
  return [major, minor];
}

/** Of specifications that come again, and so are frozen. */
const frozenPaths = new WeakMap<Linux, Facts["kernelPaths"]>();

function kernelPathsOf(linux: Linux): Facts["kernelPaths"] {
  const known = frozenPaths.get(linux);
  if (known) return known;
  const found = new Map<string, "file" | "directory">();
  for (const path of [...(linux.maskedPaths ?? []), ...(linux.readonlyPaths ?? [])]) {
    const kind = kindOfKernelPath(path);
    if (kind) found.set(path, kind);
  }
  if (Object.isFrozen(linux)) frozenPaths.set(linux, found);
  return found;
}

const kernelPathKinds = new Map<string, "file" | "directory" | undefined>();

function kindOfKernelPath(path: string): "file" | "directory" | undefined {
  if (!kernelPathKinds.has(path)) kernelPathKinds.set(path, sys.kindOfPath(path));
  return kernelPathKinds.get(path);
}
