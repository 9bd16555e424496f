/** What a specification asks for and tsbox does not know is refused rather than ignored. @module */
import { TsboxError } from "../../syscalls/index.ts";
import type { Linux, Mount, Process, Resources, Spec } from "../spec/index.ts";

/** A field that is added to the types has to be named here, where whoever adds it sees that it must be compiled. */
type Fields<T> = Record<keyof Required<T>, true>;

const SPEC: Fields<Spec> = {
  ociVersion: true,
  process: true,
  root: true,
  hostname: true,
  domainname: true,
  mounts: true,
  annotations: true,
  linux: true,
};
const ROOT: Fields<Spec["root"]> = { path: true, readonly: true };
const PROCESS: Fields<Process> = {
  terminal: true,
  consoleSize: true,
  user: true,
  args: true,
  env: true,
  cwd: true,
  capabilities: true,
  rlimits: true,
  noNewPrivileges: true,
  scheduler: true,
  ioPriority: true,
  oomScoreAdj: true,
  execCPUAffinity: true,
};
const USER: Fields<Process["user"]> = { uid: true, gid: true, umask: true, additionalGids: true };
const MOUNT: Fields<Mount> = {
  destination: true,
  type: true,
  source: true,
  options: true,
  uidMappings: true,
  gidMappings: true,
};
const LINUX: Fields<Linux> = {
  namespaces: true,
  uidMappings: true,
  gidMappings: true,
  resources: true,
  cgroupsPath: true,
  rootfsPropagation: true,
  maskedPaths: true,
  readonlyPaths: true,
  seccomp: true,
  landlock: true,
  sysctl: true,
  timeOffsets: true,
  personality: true,
};
const RESOURCES: Fields<Resources> = {
  memory: true,
  cpu: true,
  pids: true,
  blockIO: true,
  hugepageLimits: true,
  network: true,
  rdma: true,
  devices: true,
  unified: true,
};

/** @throws TsboxError `unsupported` */
export function checkSupported(spec: Spec): void {
  const { process, root, mounts, linux } = spec;
  check("", spec, SPEC);
  check("root.", root, ROOT);
  check("process.", process, PROCESS);
  check("process.user.", process.user, USER);
  for (const mount of mounts) check("mounts[].", mount, MOUNT);
  check("linux.", linux, LINUX);
  if (linux.personality) check("linux.personality.", linux.personality, { domain: true });
  if (linux.resources) check("linux.resources.", linux.resources, RESOURCES);
}

function check(path: string, value: object, known: Record<string, true>): void {
  for (const [name, field] of Object.entries(value)) {
    if (field === undefined || Object.hasOwn(known, name)) continue;
    throw new TsboxError(`use "${path}${name}" of the specification: not supported`, { code: "unsupported" });
  }
}
