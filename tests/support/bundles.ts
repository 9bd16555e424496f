/** config.json as engines write it, in their shape and with what only they write. @module */
import { defaultProfile } from "../../lib/seccomp/index.ts";

type Config = Record<string, unknown>;

const CAPABILITIES =
  "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE"
    .split(" ")
    .map((name) => `CAP_${name}`);
const MASKED = "asound acpi kcore keys latency_stats timer_list timer_stats sched_debug scsi"
  .split(" ")
  .map((name) => `/proc/${name}`);
const READ_ONLY = "bus fs irq sys sysrq-trigger".split(" ").map((name) => `/proc/${name}`);
const PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const ID = "3f4e0c0b7f2f4d7d93c2ad5c6e1f88a0c4de2f6f7d0f5b1f7ac0b3f6c5d4e3f2";

const mount = (destination: string, type: string, ...options: string[]) => ({
  destination,
  type,
  source: type,
  options,
});
const bind = (source: string, destination: string) => ({
  destination,
  type: "bind",
  source,
  options: ["rbind", "rprivate"],
});
const SAFE = ["nosuid", "noexec", "nodev"];
const MOUNTS = [
  mount("/proc", "proc", ...SAFE),
  mount("/dev", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
  mount("/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
  mount("/sys", "sysfs", ...SAFE, "ro"),
  mount("/sys/fs/cgroup", "cgroup", "ro", ...SAFE),
  mount("/dev/mqueue", "mqueue", ...SAFE),
  mount("/dev/shm", "tmpfs", ...SAFE, "mode=1777", "size=67108864"),
];
const namespaces = (...types: string[]) => types.map((type) => ({ type }));
const seccomp = { ...defaultProfile(CAPABILITIES, "x64"), architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"] };

/** dockerd through containerd: Go's zeros are there, and the network is entered by a hook. */
export const docker = (): Config => ({
  ociVersion: "1.2.1",
  process: {
    user: { uid: 0, gid: 0, additionalGids: [0, 10] },
    args: ["sleep", "1000"],
    env: [PATH, `HOSTNAME=${ID.slice(0, 12)}`],
    cwd: "/",
    capabilities: { bounding: CAPABILITIES, effective: CAPABILITIES, permitted: CAPABILITIES },
    apparmorProfile: "docker-default",
    oomScoreAdj: 0,
  },
  root: { path: `/var/lib/docker/overlay2/${ID}/merged` },
  hostname: ID.slice(0, 12),
  mounts: [
    ...MOUNTS,
    ...["resolv.conf", "hostname", "hosts"].map((name) =>
      bind(`/var/lib/docker/containers/${ID}/${name}`, `/etc/${name}`),
    ),
  ],
  hooks: {
    prestart: [{ path: "/proc/812/exe", args: ["libnetwork-setkey", "-exec-root=/var/run/docker", ID, "1f2e3d"] }],
  },
  linux: {
    sysctl: { "net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647" },
    resources: {
      devices: [
        { allow: false, access: "rwm" },
        { allow: true, type: "c", major: 1, minor: 5, access: "rwm" },
        { allow: true, type: "c", major: 136, access: "rwm" },
        { allow: false, type: "c", major: 10, minor: 229, access: "rwm" },
      ],
      memory: { disableOOMKiller: false },
      cpu: { shares: 0 },
      pids: { limit: 0 },
      blockIO: { weight: 0 },
    },
    cgroupsPath: `system.slice:docker:${ID}`,
    namespaces: namespaces("mount", "network", "uts", "pid", "ipc", "cgroup"),
    seccomp,
    maskedPaths: [...MASKED, "/sys/firmware", "/sys/devices/virtual/powercap"],
    readonlyPaths: READ_ONLY,
  },
});

/** podman, rootless: a user namespace to join, empty lists, and 64 bits of limits. */
export const podman = (): Config => ({
  ociVersion: "1.2.0",
  process: {
    terminal: true,
    user: { uid: 0, gid: 0, umask: 18 },
    args: ["/bin/sh"],
    env: [PATH, "container=podman", "TERM=xterm", "HOME=/root"],
    cwd: "/",
    capabilities: { bounding: CAPABILITIES, effective: CAPABILITIES, inheritable: [], permitted: CAPABILITIES },
    rlimits: [
      { type: "RLIMIT_NOFILE", hard: 1048576, soft: 1048576 },
      { type: "RLIMIT_NPROC", hard: 4194304, soft: 4194304 },
    ],
    oomScoreAdj: 200,
  },
  root: { path: `/home/me/.local/share/containers/storage/overlay/${ID}/merged` },
  hostname: ID.slice(0, 12),
  mounts: [...MOUNTS, { ...bind("/run/user/1000/x", "/run/.containerenv"), options: ["bind", "rprivate"] }],
  annotations: {
    "org.opencontainers.image.stopSignal": "15",
    "io.podman.annotations.init": "FALSE",
    "io.container.manager": "libpod",
  },
  linux: {
    uidMappings: [
      { containerID: 0, hostID: 0, size: 1 },
      { containerID: 1, hostID: 1, size: 65536 },
    ],
    gidMappings: [
      { containerID: 0, hostID: 0, size: 1 },
      { containerID: 1, hostID: 1, size: 65536 },
    ],
    sysctl: { "net.ipv4.ping_group_range": "0 0" },
    resources: { devices: [{ allow: false, access: "rwm" }], pids: { limit: 2048 } },
    cgroupsPath: `user.slice:libpod:${ID}`,
    namespaces: [
      ...namespaces("pid", "ipc", "uts", "mount", "cgroup", "user"),
      { type: "network", path: "/run/user/1000/netns/netns-1" },
    ],
    devices: [{ path: "/dev/fuse", type: "c", major: 10, minor: 229, fileMode: 8630, uid: 0, gid: 0 }],
    seccomp,
    maskedPaths: MASKED,
    readonlyPaths: READ_ONLY,
    rootfsPropagation: "slave",
  },
});

/** containerd's CRI, a container of a pod: namespaces of the sandbox, and what Kubernetes sets. */
export const cri = (): Config => ({
  ociVersion: "1.2.1",
  process: {
    user: { uid: 65535, gid: 65535, additionalGids: [65535] },
    args: ["/app"],
    env: [PATH, "HOSTNAME=pod", "KUBERNETES_SERVICE_PORT=443"],
    cwd: "/",
    capabilities: { bounding: CAPABILITIES, effective: CAPABILITIES, permitted: CAPABILITIES },
    noNewPrivileges: true,
    oomScoreAdj: 999,
  },
  root: { path: "rootfs" },
  mounts: [...MOUNTS.slice(0, 4), mount("/sys/fs/cgroup", "cgroup", ...SAFE, "relatime", "ro")],
  annotations: { "io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.sandbox-id": ID },
  linux: {
    resources: {
      devices: [{ allow: false, access: "rwm" }],
      memory: { limit: 134217728, swap: 134217728 },
      cpu: { shares: 102, quota: 10000, period: 100000 },
      hugepageLimits: [{ pageSize: "2MB", limit: 0 }],
      unified: { "memory.oom.group": "1" },
    },
    cgroupsPath: `kubepods-burstable-pod1.slice:cri-containerd:${ID}`,
    namespaces: [
      ...namespaces("pid", "mount", "cgroup"),
      ...["ipc", "uts", "network"].map((type) => ({
        type,
        path: `/proc/4242/ns/${type === "network" ? "net" : type}`,
      })),
    ],
    seccomp,
    maskedPaths: MASKED,
    readonlyPaths: READ_ONLY,
  },
});

/** Every field of the specification. */
export const everything = (): Config => ({
  ociVersion: "1.3.0",
  process: {
    terminal: true,
    consoleSize: { width: 80, height: 25 },
    user: { uid: 1, gid: 2, umask: 63, additionalGids: [5, 6] },
    args: ["sh", ""],
    env: ["A=", "B=c=d\ne"],
    cwd: "/root",
    capabilities: {
      bounding: ["CAP_KILL"],
      effective: ["CAP_KILL"],
      permitted: ["CAP_KILL"],
      inheritable: ["CAP_KILL"],
      ambient: ["CAP_KILL"],
    },
    rlimits: [{ type: "RLIMIT_NOFILE", soft: 1024, hard: 1024 }],
    noNewPrivileges: true,
    scheduler: {
      policy: "SCHED_DEADLINE",
      nice: 0,
      priority: 0,
      flags: ["SCHED_FLAG_RESET_ON_FORK"],
      runtime: 1024,
      deadline: 2048,
      period: 4096,
    },
    ioPriority: { class: "IOPRIO_CLASS_IDLE", priority: 4 },
    oomScoreAdj: -1000,
    execCPUAffinity: { initial: "7", final: "0-3,7" },
    apparmorProfile: "acme_secure_profile",
    selinuxLabel: "system_u:system_r:svirt_lxc_net_t:s0:c124,c675",
  },
  root: { path: "rootfs", readonly: true },
  hostname: "slartibartfast",
  domainname: "foobarbaz.test",
  mounts: [
    {
      destination: "/data",
      type: "none",
      source: "/volumes/testing",
      options: ["rbind", "rw"],
      uidMappings: [{ containerID: 0, hostID: 1000, size: 32000 }],
      gidMappings: [{ containerID: 0, hostID: 1000, size: 32000 }],
    },
  ],
  annotations: { "com.example.gpu-cores": "2" },
  hooks: Object.fromEntries(
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"].map((kind) => [
      kind,
      [{ path: "/usr/bin/fix-mounts", args: ["fix-mounts", "arg1"], env: ["key1=value1"], timeout: 5 }],
    ]),
  ),
  linux: {
    namespaces: [
      ...namespaces("pid", "mount", "ipc", "uts", "user", "cgroup", "time"),
      { type: "network", path: "/run/netns/x" },
    ],
    uidMappings: [{ containerID: 0, hostID: 1000, size: 32000 }],
    gidMappings: [{ containerID: 0, hostID: 1000, size: 32000 }],
    cgroupsPath: "/myRuntime/myContainer",
    rootfsPropagation: "rslave",
    maskedPaths: ["/proc/kcore"],
    readonlyPaths: ["/proc/sys"],
    seccomp: {
      defaultAction: "SCMP_ACT_ERRNO",
      defaultErrnoRet: 1,
      architectures: ["SCMP_ARCH_X86_64"],
      flags: ["SECCOMP_FILTER_FLAG_LOG"],
      listenerPath: "/run/listener",
      listenerMetadata: "x",
      syscalls: [
        {
          names: ["getcwd"],
          action: "SCMP_ACT_NOTIFY",
          errnoRet: 4,
          args: [{ index: 5, value: 1, valueTwo: 2, op: "SCMP_CMP_MASKED_EQ" }],
        },
      ],
    },
    sysctl: { "net.core.somaxconn": "256", "kernel/msgmax": "1", "user.max_user_namespaces": "1" },
    timeOffsets: { monotonic: { secs: 172800, nanosecs: 5 }, boottime: { secs: -604800 } },
    personality: { domain: "LINUX32" },
    devices: [{ path: "/dev/fuse", type: "c", major: 10, minor: 229, fileMode: 438, uid: 0, gid: 0 }],
    netDevices: { eth0: { name: "container_eth0" }, ens4: {} },
    mountLabel: "system_u:object_r:svirt_sandbox_file_t:s0:c715,c811",
    intelRdt: {
      closID: "guaranteed_group",
      schemata: ["L3:0=7f0;1=1f", "MB:0=20;1=70"],
      l3CacheSchema: "L3:0=7f0;1=1f",
      memBwSchema: "MB:0=20;1=70",
      enableMonitoring: true,
    },
    memoryPolicy: { mode: "MPOL_INTERLEAVE", nodes: "2-3", flags: ["MPOL_F_STATIC_NODES"] },
    resources: {
      memory: {
        limit: 536870912,
        reservation: 536870912,
        swap: -1,
        kernel: -1,
        kernelTCP: -1,
        swappiness: 0,
        disableOOMKiller: false,
        useHierarchy: true,
        checkBeforeUpdate: true,
      },
      cpu: {
        shares: 1024,
        quota: 1000000,
        burst: 1,
        period: 500000,
        realtimeRuntime: 950000,
        realtimePeriod: 1000000,
        idle: 0,
        cpus: "2-3",
        mems: "0-7",
      },
      pids: { limit: 32771 },
      blockIO: {
        weight: 10,
        leafWeight: 11,
        weightDevice: [{ major: 8, minor: 0, weight: 500, leafWeight: 300 }],
        throttleReadBpsDevice: [{ major: 8, minor: 0, rate: 600 }],
        throttleWriteBpsDevice: [{ major: 8, minor: 0, rate: 600 }],
        throttleReadIOPSDevice: [{ major: 8, minor: 16, rate: 300 }],
        throttleWriteIOPSDevice: [{ major: 8, minor: 16, rate: 300 }],
      },
      hugepageLimits: [{ pageSize: "2MB", limit: 4194304 }],
      devices: [{ allow: true, type: "c", major: 10, minor: 229, access: "rw" }],
      network: { classID: 1048577, priorities: [{ name: "eth0", priority: 500 }] },
      rdma: { mlx5_1: { hcaHandles: 3, hcaObjects: 10000 } },
      unified: { "io.max": "259:0 rbps=2097152 wiops=120" },
    },
  },
});
