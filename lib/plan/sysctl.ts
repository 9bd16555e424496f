/**
 * Kernel parameters that belong to a namespace. All others are the whole machine's, and are refused.
 * @module
 * @see sysctl(8), namespaces(7), https://docs.kernel.org/admin-guide/sysctl/
 */
import { cstring, named, ref, show, structure, TsboxError } from "../../syscalls/index.ts";
import type { Argument, Plan, Step } from "../../syscalls/index.ts";
import type { NamespaceType, Spec } from "../spec/index.ts";
import { flags } from "./constants.ts";
import { mountSlot } from "./filesystem.ts";

const IPC = "msgmax msgmnb msgmni sem shmall shmmax shmmni shm_rmid_forced".split(" ").map((name) => `kernel.${name}`);
const FORM = /^[\w-]+([./][\w.:@-]+)*$/;

/** Dots part the names, and a slash is a dot in one; or the other way around, where a slash comes first. */
const partsOf = (name: string): string[] => {
  const [separator, dot] = /[./]/.exec(name)?.[0] === "/" ? ["/", "."] : [".", "/"];
  return name.split(separator).map((part) => part.replaceAll(dot, "."));
};

/** The namespace that a parameter belongs to; undefined where it is the machine's. */
export function namespaceOf(name: string): NamespaceType | undefined {
  const dotted = partsOf(name).join(".");
  if (dotted.startsWith("net.")) return "network";
  if (IPC.includes(dotted) || dotted.startsWith("fs.mqueue.")) return "ipc";
  if (dotted === "kernel.domainname") return "uts";
  return dotted.startsWith("user.") ? "user" : undefined;
}

/** It is there with a network device, or is what later ones begin with. */
export const isOfDevice = (name: string): boolean => partsOf(name).some((part) => part === "conf" || part === "neigh");

/** It is in a namespace, and has an option of its own. */
export const isHostname = (name: string): boolean => partsOf(name).join(".") === "kernel.hostname";

/**
 * @param joined also those of a namespace that is not the sandbox's own
 * @throws TsboxError `invalid_option`
 */
export function checkSysctl({ linux: { sysctl = {}, namespaces } }: Spec, joined = false): void {
  for (const name of Object.keys(sysctl)) {
    const type = namespaceOf(name);
    const refused = (why: string, hint: string) =>
      new TsboxError(`set the sysctl ${show(name)}: ${why}`, { code: "invalid_option", hint });
    if (!FORM.test(name) || partsOf(name).some((part) => /^\.*$/.test(part)))
      throw refused("not a name", '"net.ipv4.ip_forward", or with slashes');
    if (isHostname(name)) throw refused("it conflicts with the hostname", "set the hostname");
    if (!type) {
      throw refused(
        "it is the whole machine's",
        "those of a namespace: net.*, kernel.msg*, kernel.sem, kernel.shm*, fs.mqueue.*, user.*",
      );
    }
    if (!namespaces.some((n) => n.type === type && (joined || n.path === undefined)))
      throw refused(`the ${type} namespace is not the sandbox's own`, `make the ${type} namespace private`);
  }
}

/** Written to proc itself, before anything can cover a part of it. */
export function sysctlSteps({ mounts, linux: { sysctl = {}, namespaces } }: Spec): Plan {
  const proc = mounts.findIndex(({ destination }) => destination === "/proc");
  const own = namespaces.some(({ type, path }) => type === "mount" && path === undefined);
  const entries = Object.entries(sysctl);
  if (own && proc < 0 && entries.length > 0) {
    const hint = 'mount a file system of type "proc" there';
    throw new TsboxError("set sysctls: nothing is mounted on /proc", { code: "invalid_option", hint });
  }
  return entries.map(([name, value]) => {
    const path = ["sys", ...partsOf(name)].join("/");
    return own
      ? sysctlStep(name, value, ref(mountSlot(proc)), path)
      : sysctlStep(name, value, flags("AT_FDCWD"), `/proc/${path}`);
  });
}

function sysctlStep(name: string, value: string, directory: Argument, path: string): Step {
  // O_WRONLY|O_CLOEXEC, RESOLVE_NO_MAGICLINKS|RESOLVE_NO_SYMLINKS
  const how = structure("{O_WRONLY|O_CLOEXEC, RESOLVE_NO_SYMLINKS}", "open_how", { flags: 0o2000001, resolve: 0x06 });
  const text = cstring(value);
  return {
    action: `set the sysctl ${name} to ${JSON.stringify(value)}`,
    ops: [
      { call: "openat2", args: [directory, cstring(path), how, named("sizeof", how.data.length)], out: "sysctl" },
      { call: "write", args: [ref("sysctl"), text, text.data.length - 1] },
      { call: "close", args: [ref("sysctl")] },
    ],
    code: "invalid_option",
    path: `/proc/${path}`,
    hint: (errno) => {
      if (errno === "ENOENT") return "this kernel has no such parameter, or none in a namespace";
      if (errno === "EINVAL" || errno === "ERANGE") return "the kernel refuses this value";
      return errno === "EPERM" || errno === "EACCES" ? "only the host's root may set it" : undefined;
    },
  };
}
