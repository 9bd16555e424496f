/**
 * Labels of security modules: what AppArmor and SELinux confine the command by, from its execve(2) on, and what files
 * are labelled by that have none of their own.
 * @module
 * @see apparmor(7), https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md#linux-process
 */
import { cstring, named, ref, show, TsboxError } from "../../syscalls/index.ts";
import type { Argument, Op, Plan, Step } from "../../syscalls/index.ts";
import type { ContainerProcess, ContainerSpec, Mount } from "../spec/index.ts";
import { flags } from "./constants.ts";
import { isBind } from "./mount-options.ts";

/** Those that this kernel runs with. */
export interface SecurityModules {
  apparmor: boolean;
  selinux: boolean;
}

type Labelled = { process: ContainerProcess };

/** Without AppArmor a profile has no meaning, as for crun; a label of SELinux is then a mistake, as for runc. */
const profileOf = ({ process }: Labelled, modules?: SecurityModules) =>
  modules?.apparmor === true ? process.apparmorProfile : undefined;

/** @throws TsboxError `unsupported` */
export function checkLabels({ process: { selinuxLabel } }: Labelled, modules?: SecurityModules): void {
  if (selinuxLabel === undefined || modules?.selinux === true) return;
  throw new TsboxError(
    `use the SELinux label ${show(selinuxLabel)}: selinux label is specified in config, but selinux is disabled or not supported`,
    { code: "unsupported" },
  );
}

export const isLabelled = (spec: Labelled, modules?: SecurityModules): boolean =>
  (profileOf(spec, modules) ?? spec.process.selinuxLabel) !== undefined;

/** The slot `proc`: what is mounted on /proc later may be anything (CVE-2019-16884). */
export const openProc: Step = {
  action: "open the host's /proc, to tell labels there",
  ops: [{ call: "openat", args: [flags("AT_FDCWD"), cstring("/proc"), flags("O_PATH", "O_CLOEXEC"), 0], out: "proc" }],
  path: "/proc",
};

/** @param proc closed at the end */
export function labelSteps(spec: Labelled, proc: Argument, modules?: SecurityModules): Plan {
  if (!isLabelled(spec, modules)) return [];
  const profile = profileOf(spec, modules);
  const { selinuxLabel } = spec.process;
  const ops: Op[] = [];
  // since Linux 5.8 each module has files of its own
  if (profile !== undefined)
    ops.push(...writeOps(proc, `exec ${profile}`, "self/attr/exec", "self/attr/apparmor/exec"));
  if (selinuxLabel !== undefined) ops.push(...writeOps(proc, selinuxLabel, "self/attr/exec"));
  ops.push({ call: "close", args: [proc] });
  const labels = [profile, selinuxLabel].filter((label) => label !== undefined);
  return [
    {
      action: `be confined by ${labels.map(show).join(" and ")} from the command on`,
      ops,
      code: "permission_denied",
      hint: (errno) => {
        if (errno === "ENOENT") return "no profile of this name is loaded";
        return errno === "EINVAL" ? "the policy that is loaded has no such label" : undefined;
      },
    },
  ];
}

function writeOps(proc: Argument, label: string, file: string, preferred = file): Op[] {
  const text = cstring(label);
  const how = named("O_WRONLY|O_CLOEXEC", 0o2000001);
  const open = (path: string): Op => ({ call: "openat", args: [proc, cstring(path), how, 0], out: "attribute" });
  const [older, opened] = [`older ${preferred}`, `opened ${preferred}`];
  const choose: Op[] = [
    { ...open(preferred), onError: { jump: older } },
    { call: "jump", args: [], label: opened },
    { call: "label", args: [], label: older },
    open(file),
    { call: "label", args: [], label: opened },
  ];
  return [
    ...(preferred === file ? [open(file)] : choose),
    { call: "write", args: [ref("attribute"), text, text.data.length - 1] },
    { call: "close", args: [ref("attribute")] },
  ];
}

/** What SELinux labels by itself, or not at all. */
const OWN_LABELS = ["proc", "sysfs", "cgroup", "mqueue"];

/** For a file system that is made for the container. */
export const contextOptions = ({ linux: { mountLabel } }: ContainerSpec, modules?: SecurityModules): string[] =>
  mountLabel === undefined || modules?.selinux !== true ? [] : [`context=${mountLabel}`];

export function labelMounts(spec: ContainerSpec, modules?: SecurityModules): Mount[] {
  const context = contextOptions(spec, modules);
  if (context.length === 0) return spec.mounts;
  return spec.mounts.map((mount) => {
    const { type = "", options = [] } = mount;
    const own = isBind(mount) || options.includes("remount") || OWN_LABELS.includes(type);
    return own ? mount : { ...mount, options: [...options, ...context] };
  });
}
