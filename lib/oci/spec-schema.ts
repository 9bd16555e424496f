/**
 * The fields of config.json, and what each may be: the JSON schema of the specification, and where that says nothing
 * what the kernel's own types hold. What is right only together with other fields is `check-spec.ts`.
 * @module
 * @see https://github.com/opencontainers/runtime-spec/blob/v1.3.0/schema/config-linux.json
 */
import { IO_CLASSES, MEMORY_FLAGS, MEMORY_MODES, NAMESPACES, PERSONALITIES } from "../plan/index.ts";
import { POLICIES, PROPAGATIONS, RLIMITS, SCHEDULER_FLAGS } from "../plan/index.ts";
import { SECCOMP_WORDS } from "../seccomp/index.ts";
import type * as Oci from "../spec/index.ts";
import {
  absolutePath,
  boolean,
  limit64,
  list,
  matching,
  Mismatch,
  nearest64,
  object,
  oneOf,
  otherwise,
} from "../schema/index.ts";
import { record, required, text, unlessEmpty, unsigned64, whole, type Reader } from "../schema/index.ts";

type Linux = Oci.ContainerLinux;
type Resources = Oci.Resources;

const keysOf = <Word extends string>(table: Record<Word, number>) => Object.keys(table) as Word[];

/** The last number stands for "as it is" in the kernel's calls: a process would stay root. */
const id = whole(0, 2 ** 32 - 2);
const unsigned32 = whole(0, 2 ** 32 - 1);
const int32 = whole(-(2 ** 31), 2 ** 31 - 1);
/** 12 and 20 bits. @see makedev(3) */
const [major, minor] = [whole(0, 0xfff), whole(0, 0xfffff)];
const texts = list(text);
const optionalText = unlessEmpty(text);
const optionalPath = unlessEmpty(absolutePath);
export const variables = list(matching(/^[^=]+=/s, 'a variable: "NAME=value"'));
const none = (): never[] => [];

const EMPTY = "args must not be empty";
const args: Reader<string[]> = (value) => {
  const words = texts(value);
  if (words.length === 0) throw new Mismatch(EMPTY);
  return words;
};

const hooks = list(
  object<Oci.Hook>({
    path: required(absolutePath),
    args: texts,
    env: variables,
    timeout: whole(1, 2 ** 31 - 1),
  }),
);

const HOOKS = {
  prestart: hooks,
  createRuntime: hooks,
  createContainer: hooks,
  startContainer: hooks,
  poststart: hooks,
  poststop: hooks,
};
/** In the order in which they run. */
export const HOOK_KINDS = Object.keys(HOOKS) as Oci.HookKind[];

const idMappings = list(
  object<Oci.IdMapping>({
    containerID: required(id),
    hostID: required(id),
    size: required(whole(1, 2 ** 32 - 1)),
  }),
);

const mount = object<Oci.Mount>({
  destination: required(matching(/./s, "a path")),
  type: optionalText,
  source: optionalText,
  options: texts,
  uidMappings: idMappings,
  gidMappings: idMappings,
});

export const processSchema: Reader<Oci.ContainerProcess> = object<Oci.ContainerProcess>({
  terminal: boolean,
  consoleSize: object({ width: required(whole(0, 0xffff)), height: required(whole(0, 0xffff)) }),
  user: otherwise(
    object<Oci.Process["user"]>({
      uid: otherwise(id, () => 0),
      gid: otherwise(id, () => 0),
      umask: whole(0, 0o777),
      additionalGids: list(id),
    }),
    () => ({ uid: 0, gid: 0 }),
  ),
  args: required(args, EMPTY),
  env: otherwise(variables, none),
  cwd: required(absolutePath),
  capabilities: object<Oci.CapabilitySets>({
    bounding: texts,
    effective: texts,
    permitted: texts,
    inheritable: texts,
    ambient: texts,
  }),
  rlimits: list(
    object<Oci.Rlimit>({
      type: required(oneOf(RLIMITS)),
      soft: required(unsigned64),
      hard: required(unsigned64),
    }),
  ),
  noNewPrivileges: boolean,
  scheduler: object<Oci.Scheduler>({
    policy: required(oneOf(keysOf(POLICIES))),
    nice: int32,
    priority: int32,
    flags: list(oneOf(keysOf(SCHEDULER_FLAGS))),
    runtime: unsigned64,
    deadline: unsigned64,
    period: unsigned64,
  }),
  ioPriority: object({ class: required(oneOf(keysOf(IO_CLASSES))), priority: otherwise(whole(0, 7), () => 0) }),
  oomScoreAdj: whole(-1000, 1000),
  execCPUAffinity: object<NonNullable<Oci.Process["execCPUAffinity"]>>({ initial: optionalText, final: optionalText }),
  apparmorProfile: optionalText,
  selinuxLabel: optionalText,
});

const throttles = list(
  object<Oci.Throttle>({ major: required(major), minor: required(minor), rate: required(nearest64) }),
);

const memory = object<NonNullable<Resources["memory"]>>({
  limit: limit64,
  reservation: limit64,
  swap: limit64,
  kernel: limit64,
  kernelTCP: limit64,
  swappiness: nearest64,
  disableOOMKiller: boolean,
  useHierarchy: boolean,
  checkBeforeUpdate: boolean,
});

const cpu = object<NonNullable<Resources["cpu"]>>({
  shares: nearest64,
  quota: nearest64,
  burst: nearest64,
  period: nearest64,
  realtimeRuntime: nearest64,
  realtimePeriod: nearest64,
  idle: whole(0, 1) as Reader<0 | 1>,
  cpus: optionalText,
  mems: optionalText,
});

const weight = whole(0, 0xffff);
type Weight = NonNullable<Oci.BlockIO["weightDevice"]>[number];

const blockIO = object<Oci.BlockIO>({
  weight,
  leafWeight: weight,
  weightDevice: list(object<Weight>({ major: required(major), minor: required(minor), weight, leafWeight: weight })),
  throttleReadBpsDevice: throttles,
  throttleWriteBpsDevice: throttles,
  throttleReadIOPSDevice: throttles,
  throttleWriteIOPSDevice: throttles,
});

const deviceRule = object<Oci.DeviceRule>({
  allow: otherwise(boolean, () => false),
  type: unlessEmpty(oneOf(["a", "b", "c"])),
  major: nearest64,
  minor: nearest64,
  access: matching(/^[rwm]*$/, 'made of "r", "w" and "m"'),
});

export const resourcesSchema: Reader<Resources> = object<Resources>({
  memory,
  cpu,
  pids: object({ limit: required(limit64) }),
  blockIO,
  hugepageLimits: list(object({ pageSize: required(text), limit: required(limit64) })),
  network: object<NonNullable<Resources["network"]>>({
    classID: unsigned32,
    priorities: list(object({ name: required(text), priority: required(unsigned32) })),
  }),
  rdma: record(object<NonNullable<Resources["rdma"]>[string]>({ hcaHandles: unsigned32, hcaObjects: unsigned32 })),
  devices: list(deviceRule),
  unified: record(text),
});

const profile = object<Oci.SeccompProfile>({
  defaultAction: required(oneOf(SECCOMP_WORDS.actions)),
  defaultErrnoRet: unsigned32,
  architectures: list(oneOf(SECCOMP_WORDS.architectures)),
  flags: list(oneOf(SECCOMP_WORDS.flags)),
  listenerPath: optionalPath,
  listenerMetadata: optionalText,
  syscalls: list(
    object<Oci.SeccompRule>({
      names: required(texts),
      action: required(oneOf(SECCOMP_WORDS.actions)),
      errnoRet: unsigned32,
      args: list(
        object<Oci.SeccompArgument>({
          index: required(whole(0, 5)),
          value: required(unsigned64),
          valueTwo: unsigned64,
          op: required(oneOf(SECCOMP_WORDS.operators)),
        }),
      ),
    }),
  ),
});

/** Go writes a profile that says nothing where there is none. */
const seccomp: Reader<Oci.SeccompProfile | undefined> = (value) => {
  const { defaultAction, syscalls } = object<{ defaultAction?: unknown; syscalls?: unknown }>({
    defaultAction: unlessEmpty((given) => given),
    syscalls: (given) => given,
  })(value);
  return defaultAction === undefined && syscalls === undefined ? undefined : profile(value);
};

const device = object<Oci.DeviceNode>({
  path: required(absolutePath),
  type: required(oneOf(["b", "c", "u", "p"])),
  major: otherwise(major, () => 0),
  minor: otherwise(minor, () => 0),
  // some write the kind of file along
  fileMode: (value) => unsigned32(value) & 0o7777,
  uid: id,
  gid: id,
});

/** What netdevice(7) takes. */
const interfaceName = matching(/^(?!\.{1,2}$)[^\s/:]{1,15}$/, "a name of a network device");

const memoryPolicy = object<Oci.MemoryPolicy>({
  mode: required(
    oneOf(keysOf(MEMORY_MODES), "invalid memory policy mode"),
    "invalid memory policy mode: it is missing",
  ),
  nodes: optionalText,
  flags: list(oneOf(keysOf(MEMORY_FLAGS), "invalid memory policy flag")),
});

const line = matching(/^[^\n]*$/, "a text of one line");
const timeOffset = object<Oci.TimeOffset>({
  secs: otherwise(whole(-Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER), () => 0),
  nanosecs: whole(0, 999_999_999),
});

const linux = object<Omit<Linux, "landlock">>({
  namespaces: otherwise(
    list(object<Linux["namespaces"][number]>({ type: required(oneOf(NAMESPACES)), path: optionalPath })),
    none,
  ),
  uidMappings: idMappings,
  gidMappings: idMappings,
  resources: resourcesSchema,
  cgroupsPath: optionalText,
  rootfsPropagation: unlessEmpty(oneOf(PROPAGATIONS)),
  maskedPaths: list(absolutePath),
  readonlyPaths: list(absolutePath),
  seccomp,
  sysctl: record(text),
  timeOffsets: object<NonNullable<Linux["timeOffsets"]>>({ monotonic: timeOffset, boottime: timeOffset }),
  personality: object<NonNullable<Linux["personality"]>>({
    domain: required(oneOf(keysOf(PERSONALITIES))),
    flags: texts,
  }),
  devices: list(device),
  netDevices: record(object<Oci.NetDevice>({ name: unlessEmpty(interfaceName) }), interfaceName),
  mountLabel: optionalText,
  intelRdt: object<Oci.IntelRdt>({
    closID: unlessEmpty(matching(/^(?:\/|(?!\.{1,2}$)[^/\n]*)$/, "a name of a directory")),
    schemata: list(line),
    l3CacheSchema: unlessEmpty(line),
    memBwSchema: unlessEmpty(line),
    enableMonitoring: boolean,
  }),
  memoryPolicy,
});

export const specSchema: Reader<Oci.ContainerSpec> = object<Oci.ContainerSpec>({
  // later ones than this that begin with 1 add to it only
  ociVersion: required(
    matching(/^1\.\d+\.\d+(?:-[\w.-]+)?(?:\+[\w.-]+)?$/, "a version of the specification from 1.0.0 on, below 2"),
  ),
  process: processSchema,
  root: required(object<Oci.Spec["root"]>({ path: required(matching(/./s, "a path")), readonly: boolean })),
  hostname: optionalText,
  domainname: optionalText,
  mounts: otherwise(list(mount), none),
  annotations: record(text),
  hooks: object<Oci.Hooks>(HOOKS),
  linux: otherwise(linux, () => ({ namespaces: [] })),
});
