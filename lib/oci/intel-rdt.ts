/**
 * Shares of the L3 cache and of memory bandwidth: a container's group of resctrl, which it has to itself or shares.
 * @module
 * @see https://docs.kernel.org/filesystems/resctrl.html, https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#intelrdt
 */
import * as sys from "../../syscalls/index.ts";
import { show, systemError, TsboxError, type Descriptors } from "../../syscalls/index.ts";
import type { Facts } from "../plan/index.ts";
import type { IntelRdt } from "../spec/index.ts";

/** As it is written down. */
export interface IntelRdtRecord {
  /** Of the mount of resctrl, like those below a directory. */
  root: string;
  /** Its class of service. */
  group: string;
  /** Of its own, in the group. */
  monitor?: string;
  /** What is made for it, and removed with it. */
  made?: string;
}

const EEXIST = 17;
const isDirectory = (path: string) => sys.kindOfPath(path) === "directory";
/** What a group is made to hold; all else is made to look at. */
const schemataOf = ({ l3CacheSchema, memBwSchema, schemata = [] }: IntelRdt): string[] =>
  [l3CacheSchema, memBwSchema, ...schemata].filter((line) => line !== undefined);

/** The mount of resctrl; undefined where there is none. */
export function findResctrl(mountinfo = sys.readKernelFile("/proc/self/mountinfo") ?? ""): string | undefined {
  const line = mountinfo.split("\n").find((each) => / - resctrl /.test(each));
  // spaces and the like are written as octal numbers
  return line
    ?.split(" ")[4]
    ?.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}

/**
 * What the group of a new container is; nothing is made yet.
 *
 * @throws TsboxError `unsupported`, `limit_unavailable`
 */
export function planIntelRdt(intelRdt: IntelRdt, id: string, root = findResctrl()): IntelRdtRecord {
  if (root === undefined) throw unavailable("intelRdt is specified in config, but Intel RDT is not enabled");
  checkEnabled(root, intelRdt);
  const { closID, enableMonitoring = false } = intelRdt;
  const group = closID === "/" ? root : `${root}/${closID ?? id}`;
  const monitor = `${group}/mon_groups/${id}`;
  const exists = isDirectory(group);
  if (closID !== undefined && !exists && schemataOf(intelRdt).length === 0)
    throw unavailable(`the class of service ${show(closID)} does not exist, and nothing is said of what it would hold`);
  if (exists) checkSame(group, intelRdt);
  const made =
    closID === undefined && !exists ? group : enableMonitoring && !isDirectory(monitor) ? monitor : undefined;
  return { root, group, ...(enableMonitoring && { monitor }), ...(made !== undefined && { made }) };
}

/** @throws TsboxError `limit_unavailable` */
function checkEnabled(root: string, { l3CacheSchema, memBwSchema }: IntelRdt): void {
  const off = (name: string, feature: string) =>
    unavailable(`intelRdt.${name} is specified in config, but Intel RDT/${feature} is not enabled`);
  if (l3CacheSchema !== undefined && !["L3", "L3CODE"].some((name) => isDirectory(`${root}/info/${name}`)))
    throw off("l3CacheSchema", "CAT");
  if (memBwSchema !== undefined && !isDirectory(`${root}/info/MB`)) throw off("memBwSchema", "MBA");
}

const unavailable = (why: string) => new TsboxError(`use intelRdt: ${why}`, { code: "limit_unavailable" });

/** A group that others may use is not changed by what a container says of its cache and bandwidth. */
function checkSame(group: string, { closID, l3CacheSchema, memBwSchema }: IntelRdt): void {
  if (closID === undefined) return;
  const present = (sys.readKernelFile(`${group}/schemata`) ?? "").split("\n").map(partsOf);
  for (const line of [l3CacheSchema, memBwSchema]) {
    if (line === undefined) continue;
    const { resource, shares } = partsOf(line);
    const own = present.find((other) => other.resource === resource)?.shares;
    if ([...shares].every(([domain, share]) => own?.get(domain) === share)) continue;
    throw unavailable(`the class of service ${show(closID)} exists, and holds something else than ${show(line)}`);
  }
}

/** `L3:0=00ff;1=f` is of resource L3: `ff` and `f`. */
function partsOf(line: string): { resource: string; shares: Map<string, string> } {
  const [resource = "", rest = ""] = line.trim().split(":", 2);
  const shares = rest.split(";").map((share) => share.trim().toLowerCase().split("=", 2));
  return {
    resource,
    shares: new Map(shares.map(([domain = "", share = ""]) => [domain, share.replace(/^0+(?=.)/, "")])),
  };
}

/** Makes what is missing, and says what it holds. @throws TsboxError `limit_unavailable` */
export function makeIntelRdt(record: IntelRdtRecord, intelRdt: IntelRdt): void {
  const { group, monitor } = record;
  const isNew = !isDirectory(group);
  if (isNew) make(record, group);
  const { schemata = [] } = intelRdt;
  // what a group that is there holds of the others has been compared
  const lines = isNew || intelRdt.closID === undefined ? schemataOf(intelRdt) : schemata;
  for (const line of lines) writeSchemata(record, line);
  if (monitor !== undefined && !isDirectory(monitor)) make(record, monitor);
}

/** What somebody else has made meanwhile is not the container's to remove. */
function make(record: IntelRdtRecord, directory: string): void {
  const result = sys.newDirectory(directory);
  if (result === 0) return;
  if (result === -EEXIST && record.made === directory) delete record.made;
  throw failed(record, `make the resctrl group ${show(directory)}`, "mkdirat", -result);
}

/** @throws TsboxError `limit_unavailable` */
export function writeSchemata(record: IntelRdtRecord, line: string): void {
  const file = `${record.group}/schemata`;
  const result = sys.writeKernelFile(file, `${line}\n`);
  if (result < 0) throw failed(record, `write ${show(line)} to ${show(file)}`, "write", -result);
}

/** With what resctrl says of it. */
function failed({ root }: IntelRdtRecord, action: string, call: string, errno: number): TsboxError {
  const error = systemError(action, call, errno);
  const said = sys.readKernelFile(`${root}/info/last_cmd_status`)?.trim();
  return new TsboxError(error.message, {
    code: "limit_unavailable",
    errno,
    ...(said !== undefined && said !== "" && said !== "ok" && { hint: said }),
    cause: error,
  });
}

/** Opens the files by which a process joins the group, and says how the process does, besides joining its cgroup. */
export function joinIntelRdt(
  record: IntelRdtRecord | undefined,
  { tasks, into }: Facts["cgroup"],
  bound: Record<string, number>,
  opened: Descriptors,
): Facts["cgroup"] {
  if (!record) return { tasks, into };
  // a monitoring group takes only what is in its class of service
  const groups = [record.group, ...(record.monitor === undefined ? [] : [record.monitor])];
  groups.forEach((group, index) => {
    bound[`cgroup${tasks + index}`] = opened.add(sys.open(`${group}/tasks`, sys.O_WRONLY));
  });
  return { tasks: tasks + groups.length, into };
}

/** Whatever was in it goes back to the group above. */
export function removeIntelRdt(record: IntelRdtRecord): void {
  if (record.made === undefined) return;
  const result = sys.removeDirectory(record.made);
  if (result < 0) throw failed(record, `remove the resctrl group ${show(record.made)}`, "unlinkat", -result);
}
