/**
 * From what the host is like to what that means for sandboxes, a check a line. Pure.
 * @module
 */
import type { SyscallName } from "../../syscalls/index.ts";
import { DEVICES, type HostFacts } from "./facts.ts";
import type { Outcome } from "./trials.ts";

export type Area = "kernel" | "namespaces" | "sandboxes" | "networks" | "limits" | "security";

export interface Check {
  area: Area;
  name: string;
  ok: boolean;
  /** Whether sandboxes need it; what is not required adds something where it is there. */
  required: boolean;
  /** What was found. */
  found: string;
  /** What to do where it is not ok. */
  hint?: string;
}

/** The oldest kernel that has all that every sandbox needs (mount_setattr). */
const OLDEST = "5.12";

/** System calls that every sandbox needs, and the kernel that brought each. */
const NEEDED: Partial<Record<SyscallName, string>> = {
  clone3: "5.3",
  openat2: "5.6",
  open_tree: "5.2",
  move_mount: "5.2",
  fsopen: "5.2",
  fsconfig: "5.2",
  fsmount: "5.2",
  mount_setattr: "5.12",
  pidfd_open: "5.3",
  pidfd_send_signal: "5.1",
  close_range: "5.9",
  faccessat2: "5.8",
};

const NAMESPACES = {
  mnt: "2.4.19",
  pid: "2.6.24",
  user: "3.8",
  uts: "2.6.19",
  ipc: "2.6.19",
  net: "2.6.24",
  cgroup: "4.6",
};

/** The first ABI of Landlock that can allow files to be renamed. */
const LANDLOCK_OLDEST = 2;
/** The kernel of each ABI. @see landlock(7) */
const LANDLOCK_SINCE = ["", "5.13", "5.19", "6.2", "6.7", "6.10", "6.12", "6.15"];

export function checksOf(facts: HostFacts): Check[] {
  return [
    ...kernelChecks(facts),
    ...namespaceChecks(facts),
    ...sandboxChecks(facts),
    ...networkChecks(facts),
    ...limitChecks(facts),
    ...securityChecks(facts),
  ];
}

/** Whether sandboxes can be made at all. */
export const isHealthy = (checks: readonly Check[]): boolean => checks.every(({ ok, required }) => ok || !required);

type Rest = Omit<Check, "area" | "name">;
const needed = (ok: boolean, found: string, hint: string): Rest => rest(true, ok, found, hint);
const optional = (ok: boolean, found: string, hint: string): Rest => rest(false, ok, found, hint);
const rest = (isRequired: boolean, ok: boolean, found: string, hint: string): Rest =>
  ok ? { ok, required: isRequired, found } : { ok, required: isRequired, found, hint };

function kernelChecks({ arch, release, calls, filtered, clonesIntoCgroup }: HostFacts): Check[] {
  const area = "kernel";
  const known = arch === "x64" || arch === "arm64";
  const refuse = filtered
    ? "this process is under a seccomp filter that refuses it: in a Docker container, --security-opt seccomp=unconfined"
    : undefined;
  return [
    { area, name: "processor", ...needed(known, arch, "tsbox knows x86-64 and aarch64") },
    {
      area,
      name: "version",
      ...needed(isSince(release, OLDEST), release, `Linux ${OLDEST} or newer`),
    },
    ...Object.entries(NEEDED).map(([name, since]) => {
      const errno = calls[name as SyscallName];
      const there = errno !== "ENOSYS";
      return {
        area,
        name,
        ...needed(there, there ? `there (since ${since})` : "ENOSYS", refuse ?? `exists since Linux ${since}`),
      } as const;
    }),
    {
      area,
      name: "CLONE_INTO_CGROUP",
      ...optional(
        clonesIntoCgroup,
        clonesIntoCgroup ? "there (since 5.7)" : "not known to clone3",
        "exists since Linux 5.7; limits with cgroup v2 need it",
      ),
    },
  ];
}

function namespaceChecks({ namespaces, sysctls, privileged, trials }: HostFacts): Check[] {
  const area = "namespaces";
  const checks: Check[] = Object.entries(NAMESPACES).map(([name, since]) => {
    const there = namespaces.includes(name);
    return {
      area,
      name,
      ...needed(there, there ? "there" : "not in this kernel", `in the kernel since Linux ${since}`),
    };
  });
  const time = namespaces.includes("time");
  checks.push({
    area,
    name: "time",
    ...optional(time, time ? "there" : "not in this kernel", "in the kernel since Linux 5.6 (CONFIG_TIME_NS)"),
  });
  for (const [name, value] of Object.entries(sysctls)) {
    if (!name.startsWith("user/")) continue;
    const sysctl = name.replace("/", ".");
    checks.push({ area, name: sysctl, ...needed(value !== "0", value ?? "", `sysctl ${sysctl}=10000`) });
  }
  if (privileged) return checks;
  // a profile may allow to this program what is restricted for others: then sandboxes run, and all is well
  const decides = trials.directory !== undefined;
  const clone = sysctls["kernel/unprivileged_userns_clone"];
  if (clone !== undefined) {
    const name = "kernel.unprivileged_userns_clone";
    checks.push({ area, name, ...needed(clone === "1" || !decides, clone, `sysctl ${name}=1, or run as root`) });
  }
  const restricted = sysctls["kernel/apparmor_restrict_unprivileged_userns"];
  if (restricted !== undefined) {
    const name = "kernel.apparmor_restrict_unprivileged_userns";
    const hint = `sysctl ${name}=0, or an AppArmor profile that allows this program "userns"`;
    checks.push({ area, name, ...needed(restricted === "0" || !decides, restricted, hint) });
  }
  return checks;
}

/** A trial as a check. */
function tried(
  outcome: Outcome,
  { elsewise, ...what }: Pick<Check, "area" | "name" | "required"> & { elsewise: string },
): Check {
  if (outcome === undefined) return { ...what, ok: true, found: "works" };
  return { ...what, ok: false, found: outcome.message, hint: outcome.hint ?? elsewise };
}

function sandboxChecks({ trials, directories, devices, privileged, release }: HostFacts): Check[] {
  const area = "sandboxes";
  const above = "see what is missing above";
  const otherwise = (hint: string) => (trials.directory === undefined ? hint : above);
  const overlay = privileged
    ? `below id-mapped mounts, overlays exist since Linux 5.19 (this is ${release})`
    : "the kernel needs overlayfs in user namespaces (since Linux 5.11): modprobe overlay";
  const idMapped = "its file system may have no id-mapped mounts (docs/rootfs.md): use another one";
  const missing = Object.keys(DEVICES).filter((path) => !devices.includes(path));
  const usual = "they are in /dev of every usual system: mount devtmpfs, or mknod";
  const found = missing.length === 0 ? "there" : `not there: ${missing.join(" ")}`;
  const ranges = "it needs newuidmap and newgidmap (Debian, Ubuntu: apt-get install uidmap)";
  const layer = "in a directory, under a writable layer";
  return [
    tried(trials.directory, { area, name: "in a read-only directory", required: true, elsewise: above }),
    tried(trials.layer, { area, name: layer, required: false, elsewise: otherwise(overlay) }),
    tried(trials.host, { area, name: "with the host's programs", required: true, elsewise: above }),
    ...Object.entries(directories).map(([path, outcome]) =>
      tried(outcome, { area, name: `with a mount of ${path}`, required: false, elsewise: otherwise(idMapped) }),
    ),
    tried(trials.terminal, { area, name: "with a terminal", required: false, elsewise: otherwise("see docs/cli.md") }),
    tried(trials.idRange, {
      area,
      name: "with a range of ids of its own",
      required: false,
      elsewise: otherwise(ranges),
    }),
    tried(trials.network, {
      area,
      name: "with a network policy",
      required: false,
      elsewise: otherwise("the kernel needs nf_tables with tproxy (docs/policies.md)"),
    }),
    { area, name: "devices", ...needed(missing.length === 0, found, usual) },
  ];
}

function networkChecks({ obstacle, privileged, tellsConnections }: HostFacts): Check[] {
  // where the bridges of ordinary users are, there are no rules of others
  if (!privileged) return [];
  const ok = obstacle === undefined;
  const found = obstacle?.found ?? "nothing keeps packets from tsbox0";
  const area = "networks";
  const forgotten = tellsConnections ? "forgotten with who had them" : "kept until their time is over";
  const hint = "a kernel with conntrack's netlink (CONFIG_NF_CT_NETLINK)";
  return [
    { area, name: "firewall", ...optional(ok, found, obstacle?.hint ?? "") },
    { area, name: "connections of an address", ...optional(tellsConnections, forgotten, hint) },
  ];
}

function limitChecks({ cgroups, trials, release }: HostFacts): Check[] {
  const area = "limits";
  const { v1, v2, swapAccounting } = cgroups;
  const versions = [
    v1.length > 0 ? `version 1: ${v1.join(" ")}` : undefined,
    v2 ? `version 2: ${v2.controllers.join(" ") || "no controllers"}` : undefined,
  ].filter((text) => text !== undefined);
  const mount = "mount -t cgroup2 none /sys/fs/cgroup";
  const checks: Check[] = [
    { area, name: "control groups", ...optional(versions.length > 0, versions.join("; ") || "not mounted", mount) },
  ];
  const elsewise = "see docs/limits.md";
  for (const name of ["memory", "cpus", "pids", "cpuset"] as const) {
    checks.push(tried(trials[name], { area, name, required: false, elsewise }));
  }
  checks.push({
    area,
    name: "swap",
    ...optional(swapAccounting, swapAccounting ? "accounted" : "not accounted", "boot with swapaccount=1"),
  });
  if (v2) {
    const canKill = v2.canKill ?? isSince(release, "5.14");
    const found = canKill ? "there (since 5.14)" : "not there";
    checks.push({ area, name: "cgroup.kill", ...optional(canKill, found, "exists since Linux 5.14") });
  }
  return checks;
}

function securityChecks({ landlockAbi, seccompActions }: HostFacts): Check[] {
  const area = "security";
  const filters = seccompActions.includes("errno") && seccompActions.includes("kill_process");
  const notifies = seccompActions.includes("user_notif");
  return [
    {
      area,
      name: "seccomp filters",
      ...needed(filters, seccompActions.join(" ") || "not there", "a kernel with CONFIG_SECCOMP_FILTER, 4.14 or newer"),
    },
    {
      area,
      name: "seccomp listeners",
      ...optional(notifies, notifies ? "there" : "no user_notif", "exist since Linux 5.0"),
    },
    {
      area,
      name: "Landlock",
      ...optional(
        landlockAbi >= LANDLOCK_OLDEST,
        landlockAbi > 0 ? `ABI ${landlockAbi} (${sinceOf(landlockAbi)})` : "not there",
        "Linux 5.19 or newer, and landlock among the modules of the boot parameter lsm=",
      ),
    },
  ];
}

const sinceOf = (abi: number) => (LANDLOCK_SINCE[abi] ? `Linux ${LANDLOCK_SINCE[abi]}` : "newer than tsbox");

/** Whether a release (`"6.18.44-fc"`) is a version (`"5.12"`) or newer. */
export function isSince(release: string, version: string): boolean {
  const [major = 0, minor = 0] = release.split(/[.-]/).map(Number);
  const [wantedMajor = 0, wantedMinor = 0] = version.split(".").map(Number);
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
}
