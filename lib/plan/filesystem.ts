/**
 * Everything a sandbox sees below "/": sources opened while the host is visible, the root, the mounts, the devices,
 * and what is covered or read-only.
 * @module
 */
import { cstring, ref, structure } from "../../syscalls/index.ts";
import type { Data, Op, Plan, Step } from "../../syscalls/index.ts";
import type { Mount, Spec } from "../spec/index.ts";
import type { Beside, Facts } from "./compile.ts";
import { flags } from "./constants.ts";
import * as mounts from "./mounts.ts";
import { dropOldRoot, rootSteps } from "./root.ts";

/** Where the open tree of a mount of the specification is, by its index. */
export const mountSlot = (index: number): string => `mount${index}`;

const isFile = (facts: Facts) => (path: string) => facts.kernelPaths.get(path) === "file";

const maskedOf = (spec: Spec, facts: Facts) =>
  (spec.linux.maskedPaths ?? []).filter((path) => facts.kernelPaths.has(path));

const devicesOf = (spec: Spec) =>
  spec.mounts.some((m) => m.destination === "/dev" && m.type === "tmpfs") ? DEVICES : [];

/** What needs no ids yet, and so can be done while the owner writes the id maps. */
export function hostSteps(spec: Spec, facts: Facts): Plan {
  const attr = structure("{propagation=MS_PRIVATE}", "mount_attr", { propagation: flags("MS_PRIVATE").value });
  const steps: Plan = [
    {
      action: "keep mounts of this namespace to itself",
      ops: [{ call: "mount_setattr", args: [flags("AT_FDCWD"), cstring("/"), flags("AT_RECURSIVE"), attr, 32] }],
    },
  ];
  const devices = devicesOf(spec);
  if (devices.length > 0) steps.push(openDevices(devices));
  for (const path of maskedOf(spec, facts).filter(isFile(facts))) {
    steps.push({ ...mounts.openSource("/dev/null", `mask:${path}`), action: `open a cover for "${path}"` });
  }
  return steps;
}

/** Who does what: the first process opens and drops, the second attaches, which goes on at the same time. */
export interface FilesystemSteps {
  /** Opens what is to be mounted, and makes the new root the root. */
  opened: Plan;
  drop: Step;
  attached: Plan;
}

/** @param dropped where the first process tells that it has dropped the host's root @param alone waits for that */
export function filesystemSteps(
  spec: Spec,
  root: Beside["root"],
  facts: Facts,
  dropped: Data,
  alone: mounts.Alone,
): FilesystemSteps {
  const trees = spec.mounts.map((mount, index) => ({ mount, tree: mountSlot(index) }));
  const opened = trees.flatMap(({ mount, tree }) => openMount(mount, tree, facts));
  const [devices, masked] = [devicesOf(spec), maskedOf(spec, facts)];
  // one empty file system covers all masked directories
  const [first] = masked.filter((path) => !isFile(facts)(path));
  if (first !== undefined) {
    opened.push(mounts.openFilesystem("tmpfs", `mask:${first}`, [], ["MOUNT_ATTR_RDONLY"], `a cover for "${first}"`));
  }
  opened.push(...rootSteps(spec, root, facts.privileged));
  const attached: Plan = [];
  for (const { mount, tree } of trees) {
    const kind = facts.sources.get(mount.source ?? "") ?? "directory";
    attached.push(mounts.attach(mount.destination, tree, kind, alone));
    if (mount.destination === "/dev" && devices.length > 0) attached.push(deviceStep(devices, tree, spec.mounts));
  }
  for (const path of masked) {
    const again = first !== undefined && path !== first && !isFile(facts)(path);
    attached.push(
      mounts.cover(`mask "${path}"`, path, `mask:${path}`, again ? mounts.copyOfCover(first, `mask:${path}`) : []),
    );
  }
  for (const path of spec.linux.readonlyPaths ?? []) {
    if (!facts.kernelPaths.has(path)) continue;
    attached.push(
      mounts.cover(`make "${path}" read-only`, path, `read-only:${path}`, mounts.copyOfTarget(`read-only:${path}`)),
    );
  }
  if (spec.root.readonly && root.kind !== "directory") {
    attached.push({ action: "make the root filesystem read-only", ops: [mounts.readOnlyMount("/")] });
  }
  return { opened, drop: dropOldRoot(root, dropped), attached };
}

function openMount(mount: Mount, tree: string, facts: Facts): Plan {
  const options = mount.options ?? [];
  if (mount.type === "bind") return facts.privileged ? [] : [mounts.openSource(mount.source ?? "", tree, options)];
  const [data, attributes] = [mounts.dataOf(options), mounts.attributesOf(options)];
  return [mounts.openFilesystem(mount.type ?? "", tree, data, attributes, `"${mount.destination}"`)];
}

const DEVICES = ["null", "zero", "full", "random", "urandom", "tty"];

/** Device nodes are the host's, bound one by one: a user namespace may not make any. */
function openDevices(names: string[]): Step {
  return {
    action: `open the host's ${names.join(", ")}`,
    ops: names.flatMap((name) => mounts.openSource(`/dev/${name}`, `device:${name}`).ops),
    code: "mount_failed",
    path: "/dev",
  };
}

function deviceStep(names: string[], tree: string, all: Mount[]): Step {
  const below = all.flatMap(({ destination }) => /^\/dev\/([^/]+)$/.exec(destination)?.[1] ?? []);
  const dev = ref(tree);
  const link = (target: string, name: string): Op => ({
    call: "symlinkat",
    args: [cstring(target), dev, cstring(name)],
  });
  return {
    action: "fill /dev",
    ops: [
      // nobody else has been in this file system yet, so its names can be trusted
      ...names.flatMap((name): Op[] => [
        { call: "mknodat", args: [dev, cstring(name), flags("S_IFREG"), 0] },
        mounts.moveTo(`device:${name}`, dev, name),
      ]),
      link("/proc/self/fd", "fd"),
      link("/proc/self/fd/0", "stdin"),
      link("/proc/self/fd/1", "stdout"),
      link("/proc/self/fd/2", "stderr"),
      link("pts/ptmx", "ptmx"),
      ...below.map((name): Op => ({ call: "mkdirat", args: [dev, cstring(name), 0o755] })),
    ],
    code: "mount_failed",
    path: "/dev",
  };
}
