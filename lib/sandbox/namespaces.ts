/** Namespaces of a request, and who is who in its user namespace. @see namespaces(7) @module */
import { effectiveGid, effectiveUid, TsboxError, show } from "../../syscalls/index.ts";
import type { IdMapping, Linux, NamespaceType, Process } from "../spec/index.ts";
import { checkArray, checkInteger, checkKeys, checkObject, checkPath, invalid } from "../options/index.ts";
import { RANGES } from "./id-range.ts";
import { checkPasta } from "./pasta.ts";
import { subordinateMaps } from "../launch/index.ts";
import type { SandboxOptions, Shareable, Sharing } from "./options.ts";
import type { NetworkPolicy } from "../policy/index.ts";

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
  if (network === PASTA) checkPasta();
  const isOwn = network === false || network === PASTA || isPolicy(network) || networkNames(options).length > 0;
  const namespace = isOwn ? { type: "network" as const } : namespaceOf("network", network as Sharing);
  if (namespace) found.push(namespace);
  if (options.namespaces || network !== false) checkTogether(found, options);
  return found;
}

/** The way out is somebody else's. */
export const PASTA = "pasta";
const NETWORK_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
/** Words that mean something else, or elsewhere do. */
const NO_NETWORKS = ["host", "none", "private", "container", "default", PASTA];

/** Networks that are asked for by their names. @throws TsboxError `invalid_option` */
export function networkNames({ network }: Pick<SandboxOptions, "network">): string[] {
  const isName = (name: unknown): name is string =>
    typeof name === "string" && NETWORK_NAME.test(name) && !NO_NETWORKS.includes(name);
  if (!Array.isArray(network)) return isName(network) ? [network] : [];
  const wrong = network.find((name) => !isName(name));
  if (network.length === 0 || wrong !== undefined)
    throw invalid(`use the networks ${show(network)}: not understood`, "names of networks: tsbox network ls");
  const twice = network.find((name, index) => network.indexOf(name) !== index);
  if (twice !== undefined) throw invalid(`use the network ${show(twice)} twice`);
  return network;
}

function namespaceOf(type: NamespaceType, wanted: Sharing | "auto" | "none"): Namespaces[number] | undefined {
  if (wanted === "private" && type !== "network") return { type };
  if (wanted === "auto" && type === "user") return { type };
  if (wanted === "none" && type === "ipc") return { type };
  if (wanted === "host") return undefined;
  if (typeof wanted === "string" && wanted.startsWith("ns:"))
    return { type, path: checkPath(`path of a ${type} namespace`, wanted.slice(3)) };
  if (isShareable(wanted)) return { type, path: wanted.namespace(type) };
  if (type === "network")
    throw invalid(
      `use the network ${show(wanted)}: not understood`,
      `a policy, false, the name of a network, "pasta", ${FORMS.replace('"private", ', "")}`,
    );
  throw invalid(`use the ${type} namespace ${show(wanted)}: not understood`, FORMS);
}

/** Whether it is neither a namespace of others, nor none. */
const isPolicy = (network: SandboxOptions["network"]): network is NetworkPolicy =>
  typeof network === "object" && !Array.isArray(network) && network !== null && !isShareable(network);

export const policyOf = ({ network }: SandboxOptions): NetworkPolicy | undefined =>
  isPolicy(network) ? network : undefined;

/** Whether the network has a way out by a policy: its own, or that of the sandbox which it shares. */
export const hasPolicy = ({ network }: SandboxOptions): boolean =>
  isPolicy(network) || (isShareable(network) && network.network?.hasPolicy === true);

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

type IdMaps = Pick<Linux, "uidMappings" | "gidMappings">;

/** @throws TsboxError `permission_denied`, `invalid_option` */
export function idMaps(namespaces: Namespaces, user: Process["user"], options: SandboxOptions): IdMaps {
  const auto = options.namespaces?.user === "auto";
  if (options.uidMappings === undefined && options.gidMappings === undefined && !auto)
    return usualMaps(namespaces, user);
  const maps = auto ? autoMaps(options) : explicitMaps(namespaces, options);
  checkMapped("user", user.uid, maps.uidMappings);
  for (const gid of [user.gid, ...(user.additionalGids ?? [])]) checkMapped("group", gid, maps.gidMappings);
  return maps;
}

function autoMaps({ uidMappings, gidMappings }: SandboxOptions): IdMaps {
  if (uidMappings ?? gidMappings)
    throw invalid('use id mappings with namespaces.user "auto": that is who chooses them');
  const uid = effectiveUid();
  if (uid !== 0) return subordinateMaps(uid, effectiveGid());
  // an example: the range is claimed when the sandbox is started
  return mapsFrom(RANGES.first);
}

/** Ids from 0 as those from `hostID`. */
export function mapsFrom(hostID: number): IdMaps {
  const map = [{ containerID: 0, hostID, size: RANGES.size }];
  return { uidMappings: map, gidMappings: map };
}

/** Whether the sandbox has one id, so that no other group can be had. */
export const hasOneId = ({ namespaces, uidMappings, gidMappings }: SandboxOptions): boolean =>
  effectiveUid() !== 0 && (namespaces?.user ?? "private") === "private" && (uidMappings ?? gidMappings) === undefined;

function explicitMaps(namespaces: Namespaces, { uidMappings, gidMappings }: SandboxOptions): IdMaps {
  if (!owns(namespaces, "user"))
    throw invalid("use id mappings in a user namespace that is not the sandbox's own: it has its own");
  const maps = { uidMappings: uidMappings ?? gidMappings ?? [], gidMappings: gidMappings ?? uidMappings ?? [] };
  for (const [name, map] of Object.entries(maps)) checkMap(name, map);
  return maps;
}

/** @see user_namespaces(7): so many lines, none of which overlap */
const MAX_LINES = 340;
const MAX_ID = 2 ** 32 - 1;

export function checkMap(name: string, map: unknown): void {
  const lines = checkArray(name, map) as IdMapping[];
  if (lines.length === 0 || lines.length > MAX_LINES)
    throw invalid(`use the ${name} ${show(map)}: 1 to ${MAX_LINES} of them`);
  for (const line of lines) {
    checkObject("id mapping", line);
    checkKeys("id mapping", line, ["containerID", "hostID", "size"]);
    checkInteger("containerID of an id mapping", line.containerID, 0, MAX_ID - 1);
    checkInteger("hostID of an id mapping", line.hostID, 0, MAX_ID - 1);
    checkInteger("size of an id mapping", line.size, 1, MAX_ID - Math.max(line.containerID, line.hostID));
  }
  for (const key of ["containerID", "hostID"] as const) {
    const sorted = lines.toSorted((a, b) => a[key] - b[key]);
    const overlap = sorted.find(
      (line, index) => index > 0 && (sorted[index - 1]?.[key] ?? 0) + (sorted[index - 1]?.size ?? 0) > line[key],
    );
    if (overlap) throw invalid(`use the ${name} ${show(map)}: the ${key} ${overlap[key]} is in two of them`);
  }
}

function checkMapped(kind: string, id: number, map: IdMapping[] = []): void {
  if (map.some(({ containerID, size }) => id >= containerID && id < containerID + size)) return;
  throw invalid(`use the ${kind} ${id}: it is not among the ids of the sandbox`, JSON.stringify(map));
}

function usualMaps(namespaces: Namespaces, { uid, gid }: Process["user"]): IdMaps {
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
