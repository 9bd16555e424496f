/**
 * The config.json that `spec` writes: a shell in a terminal, in `rootfs` beside it, to be changed at will.
 * @module
 * @see https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md#configuration-schema-example
 */
import type { ContainerSpec, Mount, NamespaceType } from "../spec/index.ts";
import { OCI_VERSION } from "./oci-version.ts";

export interface TemplateFacts {
  /** The host has control groups of version 2 alone: then a container has a namespace of them. */
  unified: boolean;
  /** Of an ordinary user, who is root in the container. */
  rootless?: { uid: number; gid: number };
}

const CAPABILITIES = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
const SAFE = ["nosuid", "noexec", "nodev"];
const MASKED = [
  "acpi asound kcore keys latency_stats timer_list timer_stats sched_debug scsi"
    .split(" ")
    .map((name) => `/proc/${name}`),
  "/sys/firmware",
  "/sys/devices/virtual/powercap",
].flat();
const READ_ONLY = "bus fs irq sys sysrq-trigger".split(" ").map((name) => `/proc/${name}`);

const mount = (destination: string, type: string, source: string, ...options: string[]): Mount => ({
  destination,
  type,
  source,
  ...(options.length > 0 && { options }),
});

const MOUNTS = [
  mount("/proc", "proc", "proc"),
  mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
  mount("/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
  mount("/dev/shm", "tmpfs", "shm", ...SAFE, "mode=1777", "size=65536k"),
  mount("/dev/mqueue", "mqueue", "mqueue", ...SAFE),
  mount("/sys", "sysfs", "sysfs", ...SAFE, "ro"),
  mount("/sys/fs/cgroup", "cgroup", "cgroup", ...SAFE, "relatime", "ro"),
];

/** An ordinary user has one group only, and may mount no sysfs of a network that is not its own. */
const rootlessMount = (one: Mount): Mount =>
  one.destination === "/sys"
    ? mount("/sys", "none", "/sys", "rbind", ...SAFE, "ro")
    : { ...one, ...(one.options && { options: one.options.filter((option) => !/^[ug]id=/.test(option)) }) };

export function template({ unified, rootless }: TemplateFacts): ContainerSpec {
  const types: NamespaceType[] = ["pid", "ipc", "uts", "mount"];
  types.push(rootless ? "user" : "network");
  if (unified) types.push("cgroup");
  const mapping = (hostID: number) => [{ containerID: 0, hostID, size: 1 }];
  return {
    ociVersion: OCI_VERSION,
    process: {
      terminal: true,
      user: { uid: 0, gid: 0 },
      args: ["sh"],
      env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
      cwd: "/",
      capabilities: { bounding: CAPABILITIES, effective: CAPABILITIES, permitted: CAPABILITIES },
      rlimits: [{ type: "RLIMIT_NOFILE", hard: 1024, soft: 1024 }],
      noNewPrivileges: true,
    },
    root: { path: "rootfs", readonly: true },
    hostname: "tsbox",
    mounts: rootless ? MOUNTS.map(rootlessMount) : MOUNTS,
    linux: {
      ...(rootless && { uidMappings: mapping(rootless.uid), gidMappings: mapping(rootless.gid) }),
      ...(!rootless && { resources: { devices: [{ allow: false, access: "rwm" }] } }),
      namespaces: types.map((type) => ({ type })),
      maskedPaths: MASKED,
      readonlyPaths: READ_ONLY,
    },
  };
}
