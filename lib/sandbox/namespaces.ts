/** Namespaces of a request, and who is who in its user namespace. @see namespaces(7) @module */
import { effectiveGid, effectiveUid, TsboxError } from "../../syscalls/index.ts";
import type { Linux, NamespaceType, Process } from "../spec/index.ts";
import { checkKeys, checkPath, invalid, show } from "./check.ts";
import type { SandboxOptions, Shareable, Sharing } from "./options.ts";

export type Namespaces = Linux["namespaces"];

/** Ids of root's sandboxes on the host: above the ranges that distributions and systemd give out, below 2^31. */
export const ROOT_ID_BASE = 0x77770000;
const ROOT_ID_COUNT = 65536;

const NAMES = ["mount", "pid", "uts", "ipc", "user", "cgroup", "time"] as const;
const FORMS = '"private", "host", a Sandbox, or "ns:/proc/PID/ns/…"';

/** @throws TsboxError `invalid_option`, `sandbox_closed` */
export function namespacesOf(options: SandboxOptions): Namespaces {
  const wanted = options.namespaces ?? {};
  checkKeys("namespace", wanted, NAMES);
  const found: Namespaces = [];
  for (const type of NAMES) {
    // clocks are the host's where nothing is said about them
    const usual = type === "time" && options.timeOffsets === undefined ? "host" : "private";
    const namespace = namespaceOf(type, wanted[type] ?? usual);
    if (namespace) found.push(namespace);
  }
  const { network = false } = options;
  const namespace = network === false ? { type: "network" as const } : namespaceOf("network", network);
  if (namespace) found.push(namespace);
  if (options.namespaces || network !== false) checkTogether(found, options);
  return found;
}

function namespaceOf(type: NamespaceType, wanted: Sharing): Namespaces[number] | undefined {
  if (wanted === "private" && type !== "network") return { type };
  if (wanted === "host") return undefined;
  if (typeof wanted === "string" && wanted.startsWith("ns:"))
    return { type, path: checkPath(`path of a ${type} namespace`, wanted.slice(3)) };
  if (isShareable(wanted)) return { type, path: wanted.namespace(type) };
  if (type === "network")
    throw invalid(`use the network ${show(wanted)}: not understood`, `false, ${FORMS.replace('"private", ', "")}`);
  throw invalid(`use the ${type} namespace ${show(wanted)}: not understood`, FORMS);
}

const isShareable = (value: unknown): value is Shareable =>
  typeof value === "object" && value !== null && "namespace" in value && typeof value.namespace === "function";

export const owns = (namespaces: Namespaces, type: NamespaceType): boolean =>
  namespaces.some((namespace) => namespace.type === type && namespace.path === undefined);

function checkTogether(namespaces: Namespaces, options: SandboxOptions): void {
  if (options.hostname !== undefined && !owns(namespaces, "uts"))
    throw invalid("use a hostname in a UTS namespace that is not the sandbox's own: it would be the host's");
  const pid = namespaces.find(({ type }) => type === "pid");
  if (pid?.path !== undefined && owns(namespaces, "user") && owns(namespaces, "mount")) {
    throw invalid(
      "use the pid namespace of others in a user namespace of its own: its /proc cannot be mounted",
      "share the user namespace as well",
    );
  }
}

/** @throws TsboxError `permission_denied` */
export function idMaps(
  namespaces: Namespaces,
  { uid, gid }: Process["user"],
): Pick<Linux, "uidMappings" | "gidMappings"> {
  const [callerUid, callerGid] = [effectiveUid(), effectiveGid()];
  if (!owns(namespaces, "user")) {
    if (callerUid === 0 || namespaces.some(({ type }) => type === "user")) return {};
    throw new TsboxError("use the host's user namespace: only root may make the other namespaces there", {
      code: "permission_denied",
      hint: "leave the user namespace private, or run as root",
    });
  }
  if (callerUid === 0) {
    const map = [{ containerID: 0, hostID: ROOT_ID_BASE, size: ROOT_ID_COUNT }];
    return { uidMappings: map, gidMappings: map };
  }
  return {
    uidMappings: [{ containerID: uid, hostID: callerUid, size: 1 }],
    gidMappings: [{ containerID: gid, hostID: callerGid, size: 1 }],
  };
}
