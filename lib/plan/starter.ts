/**
 * The steps of the starter: the owner's child, in the owner's namespaces and with the owner's rights. It opens what only
 * the owner may open, clones the sandbox's first process, and writes the id maps, which nobody inside may do. All of it
 * would otherwise be done by the thread that runs the JavaScript.
 * @module
 * @see user_namespaces(7), mount_setattr(2)
 */
import { buffer, cstring, named, ref, words } from "../../syscalls/index.ts";
import type { Data, Op, Plan, Step } from "../../syscalls/index.ts";
import type { IdMapping, NamespaceType, Spec } from "../spec/index.ts";
import { byte, cloneStep, NEW, pipeOps } from "./clone.ts";
import type { Beside, Facts } from "./compile.ts";
import { flags } from "./constants.ts";
import { mountSlot } from "./filesystem.ts";
import { mapIds, openSource } from "./mounts.ts";
import { openRoot } from "./root.ts";

/**
 * Made by the new process itself: a cgroup namespace is rooted where the process then is, and a network namespace takes
 * the kernel a millisecond, in which the id maps can be written.
 */
export const LATER: NamespaceType[] = ["cgroup", "network"];

export function starterSteps(spec: Spec, beside: Beside, facts: Facts, inUse: Data): Plan {
  const { namespaces, uidMappings } = spec.linux;
  const early = namespaces.flatMap((n) => (LATER.includes(n.type) ? [] : (NEW[n.type] ?? [])));
  const cloneFlags = flags(
    "CLONE_VM",
    "CLONE_PARENT",
    "CLONE_CHILD_CLEARTID",
    "CLONE_CLEAR_SIGHAND",
    ...(facts.cgroup.into ? (["CLONE_INTO_CGROUP"] as const) : []),
    ...early,
  );
  const clone = { label: "first", flags: cloneFlags, inUse, intoCgroup: facts.cgroup.into } as const;
  // the starter's end of the socket, or an end of file would never be seen
  const steps: Plan = [
    { action: "leave the owner its end of the socket", ops: [{ call: "close", args: [ref("owner")] }] },
  ];
  if (facts.privileged) steps.push(...sourceSteps(spec, beside));
  if (uidMappings) steps.push({ action: "make a pipe, to tell when the id maps are written", ops: pipeOps() });
  steps.push(cloneStep("clone the sandbox's first process into its namespaces", clone));
  if (uidMappings) steps.push(idMapStep(spec, facts), ...mountIdSteps(spec, beside, facts), GO);
  steps.push({ action: "leave the rest to it", ops: [{ call: "exit_group", args: [0] }] });
  return steps;
}

function sourceSteps(spec: Spec, beside: Beside): Plan {
  const steps = spec.mounts.flatMap(({ type, source = "", options }, index) =>
    type === "bind" ? [openSource(source, mountSlot(index), options)] : [],
  );
  if (beside.root.kind !== "tmpfs") steps.push(openRoot(spec, beside.root));
  return steps;
}

function idMapStep(spec: Spec, { privileged }: Facts): Step {
  const directory = buffer('"/proc/PID"', 32);
  directory.data.set(new TextEncoder().encode("/proc/"));
  const ops: Op[] = [
    { call: "print", args: [{ at: directory, offset: 6 }, ref("first")] },
    { call: "openat", args: [flags("AT_FDCWD"), directory, flags("O_PATH", "O_CLOEXEC"), 0], out: "process" },
  ];
  const write = (file: string, content: string) => {
    const text = { data: new TextEncoder().encode(content), text: JSON.stringify(content) };
    ops.push(
      { call: "openat", args: [ref("process"), cstring(file), named("O_WRONLY|O_CLOEXEC", 0o2000001), 0], out: "map" },
      { call: "write", args: [ref("map"), text, text.data.length] },
      { call: "close", args: [ref("map")] },
    );
  };
  const lines = (maps: IdMapping[] = []) => maps.map((m) => `${m.containerID} ${m.hostID} ${m.size}\n`).join("");
  // an ordinary user may map its group only once setgroups(2) is given up
  if (!privileged) write("setgroups", "deny");
  write("uid_map", lines(spec.linux.uidMappings));
  write("gid_map", lines(spec.linux.gidMappings));
  return {
    action: "write the id maps of the user namespace",
    ops,
    code: "permission_denied",
    hint: (errno) =>
      errno === "EPERM"
        ? "the ids are not this user's to map, or a security module restricts user namespaces (AppArmor: sysctl kernel.apparmor_restrict_unprivileged_userns=0)"
        : undefined,
  };
}

/** So that files in the root filesystem and in bind mounts look owned as they do outside. */
function mountIdSteps(spec: Spec, beside: Beside, { privileged }: Facts): Plan {
  const trees = spec.mounts.flatMap(({ options }, index) => (options?.includes("idmap") ? [mountSlot(index)] : []));
  if (beside.root.kind !== "tmpfs") trees.push("rootfs");
  if (!privileged || trees.length === 0) return [];
  const open: Op = { call: "openat", args: [ref("process"), cstring("ns/user"), flags("O_CLOEXEC"), 0], out: "ids" };
  const attr = words("{attr_set=MOUNT_ATTR_IDMAP, userns_fd=ids}", flags("MOUNT_ATTR_IDMAP").value, 0, 0, 0);
  return [
    {
      action: "map the ids of files in mounts",
      ops: [
        open,
        { call: "store", args: [{ at: attr, offset: 24 }, ref("ids"), 8] },
        ...trees.map((tree) => mapIds(tree, attr)),
      ],
      code: "mount_failed",
      hint: (errno) =>
        errno === "EINVAL"
          ? "the file system of the root or of a bind mount has no id-mapped mounts (since Linux 5.12); share the host's user namespace"
          : undefined,
    },
  ];
}

const GO: Step = {
  action: "tell the first and the second process to go on",
  ops: [{ call: "write", args: [ref("go-write"), byte(), 2] }],
};
