/** What was asked of a container, as `HostConfig` of Docker's API. Pure. @module */
import { parsePorts } from "../ip/index.ts";
import { DEFAULT_CAPABILITIES, parseSize, type Limits, type Size } from "../sandbox/index.ts";
import { networkPolicyOf, networksOf } from "./network-options.ts";
import type { ContainerOptions, RestartPolicy } from "./options.ts";
import type { ContainerRecord } from "./record.ts";

const SHM_BYTES = 64 * 2 ** 20;

const sizeOf = (size: Size | undefined): number =>
  size === undefined ? 0 : size === Infinity ? -1 : parseSize("use the size", size);

/** Docker's null. */
const orNull = <T>(list: T[] | undefined): T[] | null => (list && list.length > 0 ? list : null);

/** In the order of its fields there. */
export function hostConfigOf({ options, image }: ContainerRecord) {
  const { namespaces = {}, security = {}, limits = {} } = options;
  return {
    Binds: orNull(options.volumes),
    ContainerIDFile: "",
    LogConfig: logConfigOf(options),
    NetworkMode: networkModeOf(options),
    ...networkPolicyConfig(options),
    PortBindings: portBindingsOf(options),
    RestartPolicy: restartPolicyOf(options.restart),
    AutoRemove: options.remove ?? false,
    VolumeDriver: "",
    VolumesFrom: orNull(options.volumesFrom),
    ConsoleSize: [0, 0],
    Annotations: options.annotations ?? {},
    ...capabilitiesOf(options),
    CgroupnsMode: namespaces.cgroup === "host" ? "host" : "private",
    Dns: options.dns ?? [],
    DnsOptions: options.dnsOptions ?? [],
    DnsSearch: options.dnsSearch ?? [],
    ExtraHosts: orNull(options.addHosts),
    GroupAdd: orNull(options.groups?.map(String)),
    IpcMode: modeOf(namespaces.ipc, "private"),
    Cgroup: "",
    Links: null,
    OomScoreAdj: options.oomScoreAdj ?? 0,
    PidMode: modeOf(namespaces.pid, ""),
    Privileged: security.privileged === true,
    PublishAllPorts: options.publishAll === true,
    ReadonlyRootfs: security.readOnly ?? (image === undefined && options.rootfs === undefined),
    SecurityOpt: orNull(securityOptions(options)),
    Tmpfs: tmpfsOf(options),
    UTSMode: modeOf(namespaces.uts, ""),
    UsernsMode: modeOf(namespaces.user, ""),
    ShmSize: options.shmSize === undefined ? SHM_BYTES : sizeOf(options.shmSize),
    Sysctls: options.sysctls ?? {},
    Runtime: "tsbox",
    Isolation: "",
    ...limitsOf(limits),
    CgroupParent: options.cgroupParent ?? "",
    Devices: devicesOf(options),
    DeviceCgroupRules: orNull(security.deviceRules),
    DeviceRequests: null,
    Ulimits: ulimitsOf(options),
    Mounts: options.mounts ?? [],
  };
}

function logConfigOf({ log = {} }: ContainerOptions) {
  const { driver = "local", maxSize, maxFiles, labels, env } = log;
  const config: Record<string, string> = {};
  if (maxSize !== undefined) config["max-size"] = String(maxSize);
  if (labels !== undefined) config["labels"] = labels.join(",");
  if (env !== undefined) config["env"] = env.join(",");
  if (maxFiles !== undefined) config["max-file"] = String(maxFiles);
  return { Type: driver, Config: config };
}

export function networkModeOf(options: ContainerOptions): string {
  const [first] = networksOf(options);
  if (first) return first.name;
  const { network } = options;
  if (network === undefined || network === false) return "none";
  if (networkPolicyOf(options)) return "policy";
  return typeof network === "string" ? network : "ns";
}

/** Of those that have one: Docker knows no such thing. */
function networkPolicyConfig(options: ContainerOptions) {
  const policy = networkPolicyOf(options);
  if (!policy) return {};
  return { NetworkPolicy: { Allow: policy.allow ? [...policy.allow] : null, Deny: [...(policy.deny ?? [])] } };
}

/** `on-failure:5` in two. */
function restartPolicyOf(policy: RestartPolicy = "no") {
  const [Name = "no", times] = policy.split(":");
  return { Name, MaximumRetryCount: Number(times ?? 0) };
}

/** Against what containers have. */
function capabilitiesOf({ security = {} }: ContainerOptions) {
  const { capabilities } = security;
  if (!Array.isArray(capabilities)) return { CapAdd: null, CapDrop: null };
  const names = capabilities.map((name) => `CAP_${name.toUpperCase().replace(/^CAP_/, "")}`);
  return {
    CapAdd: orNull(names.filter((name) => !DEFAULT_CAPABILITIES.includes(name))),
    CapDrop: orNull(DEFAULT_CAPABILITIES.filter((name) => !names.includes(name))),
  };
}

function modeOf(sharing: unknown, otherwise: string): string {
  if (sharing === undefined || sharing === "private") return otherwise;
  return typeof sharing === "string" ? sharing : "ns";
}

function securityOptions({ security = {} }: ContainerOptions): string[] {
  const { seccomp, landlock, noNewPrivileges, privileged, systemPaths } = security;
  return [
    ...((noNewPrivileges ?? privileged !== true) ? ["no-new-privileges"] : []),
    ...(seccomp === "none" ? ["seccomp=unconfined"] : []),
    ...(typeof seccomp === "object" ? [`seccomp=${JSON.stringify(seccomp)}`] : []),
    ...(landlock === undefined ? [] : [`landlock=${landlock}`]),
    ...(systemPaths === "none" ? ["systempaths=unconfined"] : []),
  ];
}

function tmpfsOf({ mounts = [] }: ContainerOptions): Record<string, string> {
  const found = mounts.flatMap((mount): [string, string][] => {
    if (mount.type !== "tmpfs") return [];
    const { target, size, mode, uid, gid, readOnly, noExec } = mount;
    const words = [
      ...(readOnly ? ["ro"] : []),
      ...(noExec ? ["noexec"] : []),
      ...(size === undefined ? [] : [`size=${size}`]),
      ...(mode === undefined ? [] : [`mode=${mode.toString(8)}`]),
      ...(uid === undefined ? [] : [`uid=${uid}`]),
      ...(gid === undefined ? [] : [`gid=${gid}`]),
    ];
    return [[target, words.join(",")]];
  });
  return Object.fromEntries(found);
}

/** By the port inside. */
function portBindingsOf({ ports = [] }: ContainerOptions) {
  const bindings: Record<string, { HostIp: string; HostPort: string }[]> = {};
  for (const { protocol, host = "", hostPort = "", hostPortEnd, containerPort } of ports.flatMap(parsePorts))
    (bindings[`${containerPort}/${protocol}`] ??= []).push({
      HostIp: host,
      HostPort: hostPortEnd === undefined ? String(hostPort) : `${hostPort}-${hostPortEnd}`,
    });
  return bindings;
}

function devicesOf({ devices = [] }: ContainerOptions) {
  return devices.map((device) => {
    const { source, target = source, access = "rwm" } = typeof device === "string" ? { source: device } : device;
    return { PathOnHost: source, PathInContainer: target, CgroupPermissions: access };
  });
}

function ulimitsOf({ ulimits = {} }: ContainerOptions) {
  const number = (value: number) => (value === Infinity ? -1 : value);
  return Object.entries(ulimits).map(([Name, limit]) => {
    const [soft, hard] = typeof limit === "number" ? [limit, limit] : limit;
    return { Name, Hard: number(hard), Soft: number(soft) };
  });
}

function limitsOf(limits: Limits) {
  const io = limits.io === undefined ? [] : [limits.io].flat();
  const rates = (name: "readBps" | "writeBps" | "readIops" | "writeIops") =>
    orNull(
      io.flatMap(({ device = "", [name]: rate }) => (rate === undefined ? [] : [{ Path: device, Rate: sizeOf(rate) }])),
    );
  const weights = io.flatMap(({ device, weight }) => (weight === undefined ? [] : [{ device, weight }]));
  const memory = sizeOf(limits.memory);
  return {
    CpuShares: limits.cpuShares ?? 0,
    Memory: memory,
    NanoCpus: Math.round((limits.cpus ?? 0) * 1e9),
    BlkioWeight: weights.find(({ device }) => device === undefined)?.weight ?? 0,
    BlkioWeightDevice: weights.flatMap(({ device, weight }) =>
      device === undefined ? [] : [{ Path: device, Weight: weight }],
    ),
    BlkioDeviceReadBps: rates("readBps"),
    BlkioDeviceWriteBps: rates("writeBps"),
    BlkioDeviceReadIOps: rates("readIops"),
    BlkioDeviceWriteIOps: rates("writeIops"),
    CpuPeriod: limits.cpuPeriodUs ?? 0,
    CpuQuota: limits.cpuQuotaUs ?? 0,
    CpuRealtimePeriod: 0,
    CpuRealtimeRuntime: 0,
    CpusetCpus: limits.cpusetCpus ?? "",
    CpusetMems: limits.cpusetMems ?? "",
    MemoryReservation: sizeOf(limits.memoryReservation),
    MemorySwap: limits.memorySwap === undefined ? memory : sizeOf(limits.memorySwap),
    MemorySwappiness: limits.memorySwappiness ?? null,
    KernelMemory: 0,
    OomKillDisable: limits.oomKill === false,
    PidsLimit: limits.pids ?? null,
    CpuCount: 0,
    CpuPercent: 0,
    IOMaximumIOps: 0,
    IOMaximumBandwidth: 0,
  };
}
