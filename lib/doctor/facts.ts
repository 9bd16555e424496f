/**
 * What the host is like, as far as sandboxes depend on it: read, or asked the kernel for in ways that change nothing.
 * @module
 */
import { existsSync, readdirSync, statSync } from "node:fs";
import { arch, release } from "node:os";
import * as sys from "../../syscalls/index.ts";
import { errnoName, type SyscallName } from "../../syscalls/index.ts";
import { findHierarchies } from "../cgroup/index.ts";
import { DEFAULT_DEVICE, DEFAULT_NETWORK, obstacleOf, tellsConnections, type Obstacle } from "../network/index.ts";
import { tryAll, tryMounts, type Outcome, type Trials } from "./trials.ts";

export interface HostFacts {
  arch: string;
  /** `"6.18.0"` */
  release: string;
  privileged: boolean;
  /** What the kernel says to a call that cannot succeed: `"EINVAL"` where it exists, `"ENOSYS"` where it does not. */
  calls: Partial<Record<SyscallName, string>>;
  /** `CLONE_INTO_CGROUP`, a flag of clone3. */
  clonesIntoCgroup: boolean;
  /** Names in /proc/self/ns. */
  namespaces: string[];
  /** Those of {@link SYSCTLS} that exist. */
  sysctls: Partial<Record<string, string>>;
  /** 0 where there is none. */
  landlockAbi: number;
  /** What seccomp can do with a call. */
  seccompActions: string[];
  /** Whether this process itself is under a seccomp filter. */
  filtered: boolean;
  /** Those of {@link DEVICES} that are what they have to be. */
  devices: string[];
  cgroups: CgroupFacts;
  trials: Trials;
  /** Binding each of the directories that were asked about. */
  directories: Record<string, Outcome>;
  /** What the machine's own firewall keeps from networks of containers, as far as this user may see it. */
  obstacle?: Obstacle | undefined;
  /** Whether the kernel tells who is root of connections. */
  tellsConnections: boolean;
}

export interface CgroupFacts {
  v1: string[];
  /** Undefined where version 2 is not mounted. */
  v2?: {
    controllers: string[];
    /** Whether groups have a `cgroup.kill`; undefined where there is no group but the root of the tree. */
    canKill?: boolean | undefined;
  };
  swapAccounting: boolean;
}

/** Settings of the kernel that restrict namespaces. */
const SYSCTLS = [
  ...["user", "pid", "mnt", "net", "uts", "ipc", "cgroup"].map((kind) => `user/max_${kind}_namespaces`),
  "kernel/unprivileged_userns_clone",
  "kernel/apparmor_restrict_unprivileged_userns",
];

/** Devices that every sandbox has, by major and minor number. */
export const DEVICES = {
  "/dev/null": [1, 3],
  "/dev/zero": [1, 5],
  "/dev/full": [1, 7],
  "/dev/random": [1, 8],
  "/dev/urandom": [1, 9],
  "/dev/tty": [5, 0],
} as const;

/** Arguments with which a call fails, and changes nothing, wherever it exists. */
const HARMLESS: Partial<Record<SyscallName, number[]>> = {
  clone3: [0, 0],
  openat2: [-1, 0, 0, 0],
  open_tree: [-1, 0, 0],
  move_mount: [-1, 0, -1, 0, 0],
  fsopen: [0, -1],
  fsconfig: [-1, 0, 0, 0, 0],
  fsmount: [-1, 0, 0],
  mount_setattr: [-1, 0, 0, 0, 0],
  pidfd_open: [-1, 0],
  pidfd_send_signal: [-1, 0, 0, 0],
  close_range: [1, 0, 0],
  faccessat2: [-1, 0, 0, 0],
  landlock_create_ruleset: [0, 0, 0],
  seccomp: [-1, 0, 0],
};

/** Everything at once, in about 100 ms. */
export async function factsOfHost(directories: readonly string[]): Promise<HostFacts> {
  const calls = Object.entries(HARMLESS).map(([name, args]) => [name, said(name as SyscallName, args)]);
  const sysctls = SYSCTLS.map((name) => [name, sys.readKernelFile(`/proc/sys/${name}`)?.trim()]);
  return {
    arch: arch(),
    release: release(),
    privileged: sys.effectiveUid() === 0,
    calls: Object.fromEntries(calls) as HostFacts["calls"],
    clonesIntoCgroup: clonesIntoCgroup(),
    namespaces: readdirSync("/proc/self/ns"),
    sysctls: Object.fromEntries(sysctls.filter(([, value]) => value !== undefined)) as HostFacts["sysctls"],
    landlockAbi: sys.landlockAbi(),
    seccompActions: (sys.readKernelFile("/proc/sys/kernel/seccomp/actions_avail") ?? "").trim().split(" "),
    filtered: /^Seccomp:\s*2$/m.test(sys.readKernelFile("/proc/self/status") ?? ""),
    devices: Object.entries(DEVICES).flatMap(([path, [major, minor]]) => (isDevice(path, major, minor) ? [path] : [])),
    cgroups: cgroupFacts(),
    trials: await tryAll(),
    directories: await tryMounts(directories),
    obstacle: obstacleOf({
      name: DEFAULT_NETWORK,
      driver: "bridge",
      device: DEFAULT_DEVICE,
      subnets: [],
      internal: false,
    }),
    tellsConnections: tellsConnections(),
  };
}

function said(name: SyscallName, args: number[]): string {
  const [a, b, c, d, e] = args;
  const result = sys.trySyscall(name, a, b, c, d, e);
  return result < 0 ? errnoName(-result) : "";
}

/** A descriptor that cannot be one: EINVAL where the flag is known, E2BIG where the structure is shorter. */
function clonesIntoCgroup(): boolean {
  const [CLONE_INTO_CGROUP, CGROUP_OFFSET, SIZE] = [0x2_0000_0000n, 80, 88];
  const args = sys.mapArena(4096);
  args.view.setBigUint64(0, CLONE_INTO_CGROUP, true);
  args.view.setBigUint64(CGROUP_OFFSET, 2n ** 63n, true);
  const result = sys.trySyscall("clone3", args.address, SIZE);
  sys.unmapArena(args);
  return errnoName(-result) === "EINVAL";
}

function isDevice(path: string, major: number, minor: number): boolean {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat?.isCharacterDevice() === true && stat.rdev === major * 256 + minor;
}

function cgroupFacts(): CgroupFacts {
  const { v1, v2 } = findHierarchies();
  const memory = v1.get("memory")?.own;
  const facts: CgroupFacts = {
    v1: [...v1.keys()].filter((name) => !name.startsWith("name=")),
    swapAccounting: existsSync(
      memory === undefined ? `${v2?.own}/memory.swap.max` : `${memory}/memory.memsw.limit_in_bytes`,
    ),
  };
  if (v2) {
    const controllers = (sys.readKernelFile(`${v2.mount}/cgroup.controllers`) ?? "").trim().split(" ");
    facts.v2 = { controllers: controllers.filter((name) => name !== ""), canKill: canKill(v2.mount) };
  }
  return facts;
}

function canKill(mount: string): boolean | undefined {
  const group = readdirSync(mount, { withFileTypes: true }).find((entry) => entry.isDirectory());
  return group && existsSync(`${mount}/${group.name}/cgroup.kill`);
}
