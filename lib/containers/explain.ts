/** What a container is made of, as the kernel says it. @module @see proc(5), namespaces(7), cgroups(7), capabilities(7) */
import { readKernelFile, readLink, type Directory } from "../../syscalls/index.ts";
import { CAPABILITIES } from "../plan/index.ts";
import { findBase } from "./base.ts";
import { recordOf } from "./find.ts";
import type { Home } from "./home.ts";
import { networkModeOf } from "./host-config.ts";
import { accountsOf, idsInside, rangesIn } from "./inside.ts";
import { LAYER, LOG } from "./layout.ts";
import { mountPointsOf, type MountPoint } from "./mount-points.ts";
import { networkEnds, type NetworkEnds } from "./network-ends.ts";
import { allPlaces } from "./networks.ts";
import { portTexts } from "./port-texts.ts";
import { pidsOf, processFacts, type ProcessFacts } from "./processes.ts";
import { commandLine } from "./ps-fields.ts";
import type { ContainerRecord } from "./record.ts";
import { runs } from "./status.ts";
import { writtenBytes } from "./written.ts";

export interface ExplainedProcess {
  /** On the host. */
  pid: number;
  /** As those in the container know it. */
  pidInside: number;
  /** The process that made it, by its pid inside; 0 for one from outside. */
  parentInside: number;
  user: string;
  /** On the host. */
  uid: number;
  state: string;
  threads: number;
  memoryBytes: number;
  command: string;
}

export interface ExplainedNamespace {
  /** As in /proc/PID/ns: `"pid"`, `"mnt"`, … */
  type: string;
  /** `"pid:[4026532201]"` */
  id: string;
  /** The host's own. */
  isHosts: boolean;
  /** Names of containers that are in it as well. */
  sharedWith: string[];
}

export interface ExplainedGroup {
  /** `"memory"`; `""`: all of them, in version 2. */
  controller: string;
  version: 1 | 2;
  path: string;
  /** Of files in it that are there. */
  files: Record<string, string>;
}

export interface ExplainedMount {
  target: string;
  type: string;
  /** What is mounted there: of a file system, or the directory of one. */
  source: string;
  options: string[];
}

/** Of a network that it is in. */
export interface ExplainedCable {
  network: string;
  /** The host's end, and its own. */
  device: string;
  inside: string;
  addresses: string[];
  /** `"0.0.0.0:8080->80/tcp"` */
  ports: string[];
}

/** What the kernel lets the command do. */
export interface ExplainedRights {
  capabilities: Record<"effective" | "permitted" | "inheritable" | "bounding" | "ambient", string[]>;
  seccomp: "disabled" | "strict" | "filter";
  seccompFilters: number;
  noNewPrivileges: boolean;
  /** Inside, outside, how many. */
  uidMap: (readonly [number, number, number])[];
  gidMap: (readonly [number, number, number])[];
}

export interface Supervisor {
  pid: number;
  name: string;
  /** Proportional set size; undefined where the kernel does not tell. */
  memoryBytes: number | undefined;
}

export interface Explanation {
  id: string;
  name: string;
  status: ContainerRecord["status"];
  image: string | undefined;
  command: string[];
  /** Milliseconds since 1970. */
  created: number;
  startedAt: number | undefined;
  finishedAt: number | undefined;
  exitCode: number | undefined;
  restartPolicy: string;
  /** Of what runs; undefined where nothing does. */
  running:
    | {
        processes: ExplainedProcess[];
        namespaces: ExplainedNamespace[];
        groups: ExplainedGroup[];
        mounts: ExplainedMount[];
        rights: ExplainedRights;
        network: NetworkEnds & { mode: string; cables: ExplainedCable[] };
        supervisor: Supervisor | undefined;
        init: Supervisor;
      }
    | undefined;
  /** On the disk, whether it runs or not. */
  kept: {
    directory: string;
    /** Of its image, the topmost first. */
    layers: string[];
    imageBytes: number;
    /** What it has written over that. */
    upper: string;
    writtenBytes: number;
    logs: { path: string; bytes: number }[];
    volumes: MountPoint[];
  };
}

export async function explain(home: Home, id: string): Promise<Explanation> {
  const record = recordOf(home, id);
  const { name, status, command, created, startedAt, finishedAt, exitCode, image, options } = record;
  return {
    id,
    name,
    status,
    image: image?.reference,
    command,
    created,
    startedAt,
    finishedAt,
    exitCode,
    restartPolicy: options.restart ?? "no",
    running: runs(record) ? running(home, record) : undefined,
    kept: kept(home, record),
  };
}

function running(home: Home, record: ContainerRecord): Explanation["running"] {
  const facts = pidsOf(record).flatMap((pid) => processFacts(pid) ?? []);
  const init = facts.find(({ pid }) => pid === record.pid);
  // the command is what init started first
  const main = facts.find(({ parent }) => parent === record.pid)?.pid ?? record.pid;
  const supervisor = init && processFacts(init.parent);
  return {
    processes: facts.map((each) => explainProcess(each, facts, record.pid)),
    namespaces: namespacesOf(home, record, [main, record.pid, ...facts.map(({ pid }) => pid)]),
    groups: groupsOf(record),
    mounts: parseMounts(readKernelFile(`/proc/${main}/mountinfo`) ?? "").toSorted((a, b) =>
      a.target < b.target ? -1 : 1,
    ),
    rights: rightsOf(main),
    network: { mode: networkModeOf(record.options), cables: cablesOf(home, record), ...networkEnds(main) },
    supervisor: supervisor && {
      pid: supervisor.pid,
      name: supervisor.comm,
      memoryBytes: proportionalBytes(supervisor.pid),
    },
    init: { pid: record.pid, name: init?.comm ?? "", memoryBytes: proportionalBytes(record.pid) },
  };
}

function explainProcess(facts: ProcessFacts, all: readonly ProcessFacts[], init: number): ExplainedProcess {
  const { pid, pids, parent, uid, state, threads, residentBytes } = facts;
  const inside = idsInside(init).uid(uid);
  return {
    pid,
    pidInside: pids.at(-1) ?? pid,
    parentInside: all.find((each) => each.pid === parent)?.pids.at(-1) ?? 0,
    user: accountsOf(init).user(inside) ?? String(inside),
    uid,
    state,
    threads,
    memoryBytes: residentBytes,
    command: commandLine(facts),
  };
}

const cablesOf = (home: Home, { id }: ContainerRecord): ExplainedCable[] =>
  (allPlaces(home).get(id) ?? []).map(({ network, endpoint }) => ({
    network: network.name,
    device: endpoint.device,
    inside: endpoint.inside,
    addresses: endpoint.addresses,
    ports: portTexts(endpoint),
  }));

const NAMESPACES = ["pid", "mnt", "net", "ipc", "uts", "user", "cgroup", "time"];

/** @param pids of those that are in them: some do not let anybody look */
function namespacesOf(home: Home, { id }: ContainerRecord, pids: readonly number[]): ExplainedNamespace[] {
  const all = home.state.containers.list<ContainerRecord>();
  const others = all.filter((each) => each.id !== id && each.pid > 0 && runs(each));
  return NAMESPACES.flatMap((type) => {
    const found = pids.map((pid) => readLink(`/proc/${pid}/ns/${type}`)).find((link) => link !== undefined);
    if (found === undefined) return [];
    const sharedWith = others
      .filter(({ pid }) => readLink(`/proc/${pid}/ns/${type}`) === found)
      .map(({ name }) => name);
    return [{ type, id: found, isHosts: found === readLink(`/proc/self/ns/${type}`), sharedWith }];
  });
}

/** What says most, of either version. */
const GROUP_FILES = `
  memory.current memory.max memory.high memory.low memory.peak memory.swap.max memory.events
  memory.usage_in_bytes memory.limit_in_bytes memory.max_usage_in_bytes memory.oom_control
  cpu.max cpu.weight cpu.stat cpu.cfs_quota_us cpu.cfs_period_us cpu.shares cpuacct.usage
  cpuset.cpus cpuset.cpus.effective cpuset.mems pids.current pids.max pids.peak
  io.max io.stat io.weight blkio.weight blkio.throttle.read_bps_device blkio.throttle.write_bps_device
  cgroup.freeze cgroup.events freezer.state devices.list
`
  .trim()
  .split(/\s+/);

function groupsOf({ cgroup }: ContainerRecord): ExplainedGroup[] {
  const byPath = Map.groupBy(Object.entries(cgroup?.made ? cgroup.paths : {}), ([, path]) => path);
  return [...byPath].map(([path, controllers]) => {
    const controller = controllers.map(([name]) => name).join(",");
    const files = GROUP_FILES.flatMap((file): [string, string][] => {
      const text = readKernelFile(`${path}/${file}`)?.trim();
      return text === undefined || text === "" ? [] : [[file, text]];
    });
    return { controller, version: controller === "" ? 2 : 1, path, files: Object.fromEntries(files) };
  });
}

/** Pure. @see proc_pid_mountinfo(5) */
export function parseMounts(text: string): ExplainedMount[] {
  const plain = (word: string) =>
    word.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(parseInt(digits, 8)));
  return text.split("\n").flatMap((line) => {
    const [before = "", after = ""] = line.split(" - ");
    const [, , , root = "/", target, options = ""] = before.split(" ");
    const [type = "", source = ""] = after.split(" ");
    if (target === undefined) return [];
    const isWhole = root === "/";
    return [
      {
        target: plain(target),
        type,
        source: isWhole ? plain(source) : `${plain(root)} of ${plain(source)}`,
        options: options.split(","),
      },
    ];
  });
}

/** Bits as names; those that this kernel has and tsbox does not know by their numbers. Pure. */
export function capabilityNames(mask: string): string[] {
  const bits = BigInt(`0x${mask === "" ? "0" : mask}`);
  const names: string[] = [];
  for (let bit = 0; bit < 64; bit++) if ((bits >> BigInt(bit)) & 1n) names.push(CAPABILITIES[bit] ?? `CAP_${bit}`);
  return names;
}

function rightsOf(pid: number): ExplainedRights {
  const status = readKernelFile(`/proc/${pid}/status`) ?? "";
  const field = (name: string) => new RegExp(`^${name}:\\s*(\\S+)`, "m").exec(status)?.[1] ?? "";
  const maps = (file: string) => rangesIn(readKernelFile(`/proc/${pid}/${file}`) ?? "");
  return {
    capabilities: {
      effective: capabilityNames(field("CapEff")),
      permitted: capabilityNames(field("CapPrm")),
      inheritable: capabilityNames(field("CapInh")),
      bounding: capabilityNames(field("CapBnd")),
      ambient: capabilityNames(field("CapAmb")),
    },
    seccomp: (["disabled", "strict", "filter"] as const)[Number(field("Seccomp"))] ?? "disabled",
    seccompFilters: Number(field("Seccomp_filters") || 0),
    noNewPrivileges: field("NoNewPrivs") === "1",
    uidMap: maps("uid_map"),
    gidMap: maps("gid_map"),
  };
}

/** What it shares counts in part. @see proc_pid_smaps(5) */
function proportionalBytes(pid: number): number | undefined {
  const kib = /^Pss:\s*(\d+)/m.exec(readKernelFile(`/proc/${pid}/smaps_rollup`) ?? "")?.[1];
  return kib === undefined ? undefined : Number(kib) * 1024;
}

function kept(home: Home, record: ContainerRecord): Explanation["kept"] {
  const { id } = record;
  const base = findBase(home, record);
  const directory = home.path(id);
  using opened = home.directory(id);
  return {
    directory,
    layers: base?.layers ?? [],
    imageBytes: base?.bytes ?? 0,
    upper: `${directory}/${LAYER}/upper`,
    writtenBytes: writtenBytes(home, id),
    logs: opened ? logsIn(opened) : [],
    volumes: mountPointsOf(home, record),
  };
}

const logsIn = (directory: Directory): Explanation["kept"]["logs"] =>
  directory
    .names()
    .filter((name) => name === LOG || name.startsWith(`${LOG}.`))
    .toSorted()
    .map((name) => ({ path: `${directory.path}/${name}`, bytes: directory.status(name)?.sizeBytes ?? 0 }));
