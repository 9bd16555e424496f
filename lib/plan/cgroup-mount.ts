/**
 * Mounts of the type `cgroup`: the sandbox's own control groups, as far as its cgroup namespace shows them. With version
 * 2 one file system; with version 1 one for each hierarchy, below a tmpfs, and that of version 2 as `unified`.
 * @module
 * @see https://github.com/opencontainers/runtime-spec/blob/v1.2.0/config-linux.md#default-filesystems, cgroup_namespaces(7)
 */
import { cstring, ref, TsboxError, type Op, type Plan, type Step } from "../../syscalls/index.ts";
import type { Mount } from "../spec/index.ts";
import type { Facts } from "./compile.ts";
import { moveTo, openFilesystem, openSource, readOnlyTree } from "./mounts.ts";

/** Of the machine: the controllers of each hierarchy of version 1, and whether there is one of version 2. */
export interface CgroupHierarchies {
  v1: readonly string[][];
  v2: boolean;
  /** Where there is no cgroup namespace: the groups of the container on the host, by controller, and "" for version 2. */
  groups?: Readonly<Record<string, string>>;
}

/** `cpu,cpuacct`, or the name of one without controllers: `systemd`. */
const nameOf = (controllers: string[]) => controllers.join(",").replace(/^name=/, "");

const isReadOnly = ({ options }: Mount) => options?.some((option) => option === "ro" || option === "rro") ?? false;

/** @throws TsboxError `unsupported`, `invalid_option` */
export function openCgroup(mount: Mount, tree: string, { hierarchies }: Facts, owned: boolean): Plan {
  const { destination, options = [] } = mount;
  const groups = owned ? undefined : hierarchies?.groups;
  if (!owned && !groups) {
    throw new TsboxError(`mount cgroups on "${destination}" without a cgroup namespace: they would be the host's`, {
      code: "invalid_option",
    });
  }
  if (!hierarchies || (hierarchies.v1.length === 0 && !hierarchies.v2))
    throw new TsboxError(`mount cgroups on "${destination}": the machine has none`, { code: "unsupported" });
  const open = (
    type: "cgroup" | "cgroup2",
    to: string,
    data: string[],
    controller: string,
    own: string[],
    at: string,
  ) => {
    if (!groups) return [openFilesystem(type, to, [...data, ...own], `"${at}"`)];
    const group = groups[controller];
    // what it is in no group of, it is not shown
    return group === undefined ? [] : [openSource(group, to, ["bind", ...data])];
  };
  if (hierarchies.v1.length === 0) return open("cgroup2", tree, [...options], "", [], destination);
  const attributes = options.filter((option) => option !== "ro" && option !== "rro");
  const steps = [openFilesystem("tmpfs", tree, [...attributes, "mode=755"], `"${destination}"`)];
  for (const controllers of hierarchies.v1) {
    const own = controllers.flatMap((name) => (name.startsWith("name=") ? ["none", name] : [name]));
    const name = nameOf(controllers);
    steps.push(
      ...open("cgroup", `${tree}:${name}`, attributes, controllers[0] as string, own, `${destination}/${name}`),
    );
  }
  if (hierarchies.v2) steps.push(...open("cgroup2", `${tree}:unified`, attributes, "", [], `${destination}/unified`));
  return steps;
}

/** Once it is attached: nothing can be mounted on what is not. */
export function fillCgroup(mount: Mount, tree: string, { hierarchies }: Facts, owned = true): Step | undefined {
  if (!hierarchies || hierarchies.v1.length === 0) return undefined;
  const shown = (controller: string) => owned || hierarchies.groups?.[controller] !== undefined;
  const v1 = hierarchies.v1.filter(([controller]) => shown(controller as string));
  const names = [...v1.map(nameOf), ...(hierarchies.v2 && shown("") ? ["unified"] : [])];
  const links = v1.flatMap((controllers) =>
    controllers.length < 2 ? [] : controllers.map((name) => [name, nameOf(controllers)] as const),
  );
  const directory = ref(tree);
  return {
    action: `fill "${mount.destination}"`,
    ops: [
      // nobody else has been in this file system yet, so its names can be trusted
      ...names.flatMap((name): Op[] => [
        { call: "mkdirat", args: [directory, cstring(name), 0o755] },
        moveTo(`${tree}:${name}`, directory, name),
      ]),
      ...links.map(([name, to]): Op => ({ call: "symlinkat", args: [cstring(to), directory, cstring(name)] })),
      ...(isReadOnly(mount) ? [readOnlyTree(tree)] : []),
    ],
    code: "mount_failed",
    path: mount.destination,
  };
}
