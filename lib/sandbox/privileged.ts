/**
 * `security.privileged`: what it stands for, in terms of the other options, and of mounts.
 * @module
 * @see https://docs.docker.com/reference/cli/docker/container/run/#privileged
 */
import { effectiveUid, kindOfPath, namesIn, readLink, statFile } from "../../syscalls/index.ts";
import { findHierarchies } from "../cgroup/index.ts";
import type { Mount } from "../spec/index.ts";
import { allCapabilities } from "./capabilities.ts";
import type { MountOption, SandboxOptions, SecurityOptions } from "./options.ts";

type Given = Pick<SandboxOptions, "security" | "namespaces" | "uidMappings" | "gidMappings" | "devices" | "mounts">;

/** Twice is as once. As Docker has it, capabilities and device rules that are asked for beside it do not count. */
export function withPrivileges<Asked extends Given>(asked: Asked): Asked {
  if (asked.security?.privileged !== true) return asked;
  const namespaces = privilegedNamespaces(asked);
  const { deviceRules: _, ...security } = asked.security;
  const own = (namespaces?.mount ?? "private") === "private";
  return {
    ...asked,
    ...(namespaces && { namespaces }),
    security: {
      ...privilegedSecurity(security, namespaces?.user === "host"),
      seccomp: security.seccomp ?? "none",
      landlock: security.landlock ?? "none",
      systemPaths: security.systemPaths ?? "none",
    },
    ...(own && withDevices({ ...asked, ...(namespaces && { namespaces }) })),
  };
}

/** Root's privileges are worth something where root is root; an ordinary user's are those of a namespace. */
export function privilegedNamespaces({ security, namespaces, uidMappings, gidMappings }: Given): Given["namespaces"] {
  const isSaid = (namespaces?.user ?? uidMappings ?? gidMappings) !== undefined;
  return security?.privileged !== true || isSaid || effectiveUid() !== 0 ? namespaces : { ...namespaces, user: "host" };
}

/** Of a process; also of one that joins. @param ofHost there is no other user namespace than the host's */
export const privilegedSecurity = (security: SecurityOptions | undefined, ofHost: boolean): SecurityOptions => ({
  ...security,
  capabilities: allCapabilities(ofHost),
  noNewPrivileges: security?.noNewPrivileges ?? false,
});

const CGROUPS = "/sys/fs/cgroup";

function withDevices({ namespaces, devices, mounts }: Given): Pick<Given, "devices" | "mounts"> {
  // what is no array is told later
  const given = Array.isArray(devices) ? devices : [];
  const asked = Array.isArray(mounts) ? mounts : [];
  const named = given.map((device) => (typeof device === "string" ? { source: device } : { ...device }));
  const taken = [...named.map(({ source, target = source }) => target), ...asked.map((mount) => mount?.target)];
  const isFree = (path: string) =>
    !taken.some((other) => typeof other === "string" && `${path}/`.startsWith(`${other.replace(/\/+$/, "")}/`));
  const cgroups = isFree(CGROUPS) ? cgroupMounts(namespaces) : [];
  return {
    mounts: cgroups.length > 0 ? [...asked, ...cgroups] : mounts,
    devices: [
      // how they may be used would be a rule
      ...named.map(({ source, target }) => ({ source, ...(target === undefined ? {} : { target }) })),
      ...hostDevices("/dev").filter(isFree),
    ],
  };
}

function cgroupMounts(namespaces: Given["namespaces"]): MountOption[] {
  const { v1, v2 } = findHierarchies();
  if (v1.size === 0 && !v2) return [];
  if ((namespaces?.cgroup ?? "private") === "private") return [{ type: "cgroup", target: CGROUPS, readOnly: false }];
  const isHosts = namespaces?.user === "host" && namespaces.cgroup === "host" && kindOfPath(CGROUPS) === "directory";
  return isHosts ? [{ type: "bind", source: CGROUPS, target: CGROUPS }] : [];
}

/** Those that every sandbox has, one of its own of, or that would be the terminal of somebody else. */
const NOT_DEVICES = new Set(
  "null zero full random urandom tty console ptmx pts shm mqueue fd .lxc .lxd-mounts .udev".split(" "),
);
const [S_IFMT, S_IFCHR, S_IFBLK, S_IFDIR] = [0o170000, 0o020000, 0o060000, 0o040000];

function hostDevices(directory: string): string[] {
  return namesIn(directory).flatMap((name) => {
    const path = `${directory}/${name}`;
    if ((directory === "/dev" && NOT_DEVICES.has(name)) || readLink(path) !== undefined) return [];
    const type = (statFile(path)?.mode ?? 0) & S_IFMT;
    if (type === S_IFDIR) return hostDevices(path);
    return type === S_IFCHR || type === S_IFBLK ? [path] : [];
  });
}

/** Settings of the kernel can be written, and device nodes that are made can be used. */
export const privilegedMounts = (mounts: Mount[]): Mount[] => [
  ...mounts.map((mount) =>
    mount.destination === "/sys"
      ? { ...mount, options: (mount.options ?? []).filter((option) => option !== "ro" && option !== "rro") }
      : mount,
  ),
  { destination: "/", type: "none", options: ["remount", "dev"] },
];
