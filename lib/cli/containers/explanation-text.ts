/** An explanation in words. Pure. @module */
import type {
  ExplainedGroup,
  ExplainedMount,
  ExplainedNamespace,
  ExplainedRights,
  Explanation,
  Supervisor,
} from "../../containers/index.ts";
import { humanDuration, humanSize } from "../images/human.ts";
import { aligned } from "../images/table.ts";
import { safeWord } from "../safe-text.ts";
import { commandText, statusText } from "./status.ts";
import { binarySize } from "./stats.ts";

type Running = NonNullable<Explanation["running"]>;

/** @param now milliseconds since 1970 */
export function explanationText(explanation: Explanation, now: number): string {
  const { running } = explanation;
  const sections = running
    ? [
        intro(explanation, now),
        processes(running),
        namespaces(running.namespaces, running.rights),
        groups(running.groups),
        files(explanation, running.mounts),
        rights(running.rights),
        network(running),
        supervision(running),
      ]
    : [intro(explanation, now), rest(explanation), files(explanation, undefined)];
  return `${sections.join("\n\n")}\n`;
}

const section = (title: string, words: string, lines: readonly string[]) =>
  [title.toUpperCase(), ...wrapped(words).map((line) => `  ${line}`), "", ...lines.map((line) => `  ${line}`)]
    .map((line) => line.trimEnd())
    .join("\n")
    .trimEnd();

const COLUMNS = 96;

function wrapped(text: string): string[] {
  const lines: string[] = [];
  for (const word of text.split(/\s+/)) {
    const last = lines.at(-1);
    if (last === undefined || last.length + word.length + 1 > COLUMNS) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
}

/** @param cells of rows */
const table = (head: readonly string[], rows: readonly (readonly (string | number)[])[]): string[] =>
  aligned([head, ...rows].map((cells) => cells.map((cell) => safeWord(String(cell))).join("\t")).join("\n")).split(
    "\n",
  );

function intro(explanation: Explanation, now: number): string {
  const { id, name, image, command, created, restartPolicy } = explanation;
  const { startedAt, finishedAt, exitCode } = explanation;
  const told = statusText(
    {
      status: explanation.status,
      ...(startedAt === undefined ? {} : { startedAt }),
      ...(finishedAt === undefined ? {} : { finishedAt }),
      ...(exitCode === undefined ? {} : { exitCode }),
    },
    now,
  );
  return [
    `${name} (${id.slice(0, 12)}): ${told}`,
    `  runs      ${safeWord(commandText(command))}`,
    `  image     ${image === undefined ? "none: a directory of the host" : safeWord(image)}`,
    `  created   ${humanDuration(Math.max(0, now - created))} ago`,
    `  restart   ${RESTART[restartPolicy.split(":")[0] ?? "no"] ?? restartPolicy}`,
    "",
    ...wrapped(
      explanation.running
        ? "A container is no machine: it is ordinary processes, to which the kernel shows less (namespaces), gives less " +
            "(control groups) and allows less (capabilities, seccomp). Here is what that is for this one."
        : "It does not run, so there is nothing of it in the kernel: no processes, namespaces or control groups.",
    ).map((line) => `  ${line}`),
  ].join("\n");
}

const RESTART: Record<string, string> = {
  no: "never: once it has ended, it stays so",
  always: "always, also after the machine was restarted",
  "unless-stopped": "always, unless somebody has stopped it",
  "on-failure": "when it fails",
};

function processes({ processes: all }: Running): string {
  const rows = all.map(({ pid, pidInside, parentInside, user, uid, threads, memoryBytes, command }) => [
    pidInside,
    pid,
    parentInside === 0 ? "-" : parentInside,
    user,
    uid,
    threads,
    binarySize(memoryBytes),
    command,
  ]);
  const words =
    "Each has two numbers: the one it knows itself by, and the one that the host knows it by (for kill, ps or gdb there). " +
    'Number 1 is tsbox\'s init: it passes signals on, and waits for processes that nobody else waits for. "-" came from outside.';
  return section(
    "Processes",
    words,
    table(["INSIDE", "HOST", "PARENT", "USER", "HOST UID", "THREADS", "MEMORY", "COMMAND"], rows),
  );
}

const NAMESPACE_WORDS: Record<string, string> = {
  pid: "which processes there are, and their numbers",
  mnt: "which files there are: what is mounted where",
  net: "interfaces, addresses, ports",
  ipc: "shared memory and message queues",
  uts: "the host's name",
  user: "who is who: root inside is somebody else outside",
  cgroup: "where the tree of control groups seems to begin",
  time: "what the clocks since the start say",
};

function namespaces(all: readonly ExplainedNamespace[], { uidMap }: ExplainedRights): string {
  const rows = all.map(({ type, id, isHosts, sharedWith }) => [
    type,
    /\d+/.exec(id)?.[0] ?? id,
    isHosts ? "the host's own" : sharedWith.length > 0 ? `shared with ${sharedWith.join(", ")}` : "its own",
    NAMESPACE_WORDS[type] ?? "",
  ]);
  const ids = uidMap.map(([inside, outside, count]) =>
    count === 1
      ? `user ${inside} inside is ${outside} outside`
      : `users ${inside} to ${inside + count - 1} inside are ${outside} to ${outside + count - 1} outside`,
  );
  const words =
    "What a process sees of the machine. The number is the namespace's: two processes with the same one see the same.";
  return section("Namespaces", words, [
    ...table(["KIND", "NUMBER", "WHOSE", "WHAT IT HIDES"], rows),
    ...(ids.length > 0 ? ["", ...ids] : []),
  ]);
}

const GROUP_WORDS: Record<string, string> = {
  "memory.current": "in use now",
  "memory.usage_in_bytes": "in use now",
  "memory.max": "the limit: above it, processes are killed",
  "memory.limit_in_bytes": "the limit: above it, processes are killed",
  "memory.peak": "the most that was in use",
  "memory.max_usage_in_bytes": "the most that was in use",
  "memory.high": "above it, processes are slowed down",
  "memory.low": "so much it keeps when memory is short",
  "memory.swap.max": "so much may be swapped",
  "memory.events": "how often limits were met",
  "memory.oom_control": "how often processes were killed for memory",
  "cpu.max": "microseconds of CPU time, in each period of so many",
  "cpu.cfs_quota_us": "microseconds of CPU time in each period; -1: any",
  "cpu.cfs_period_us": "microseconds of a period",
  "cpu.weight": "its part when CPUs are short; 100 is usual",
  "cpu.shares": "its part when CPUs are short; 1024 is usual",
  "cpu.stat": "CPU time used, and how often it had to wait",
  "cpuacct.usage": "CPU time used, in nanoseconds",
  "cpuset.cpus": "CPUs that it may use",
  "cpuset.cpus.effective": "CPUs that it may use",
  "cpuset.mems": "memory nodes that it may use",
  "pids.current": "processes and threads now",
  "pids.max": "the most of them",
  "pids.peak": "the most that there were",
  "io.max": "limits of disks",
  "io.stat": "what disks were used for",
  "cgroup.freeze": "1: paused",
  "freezer.state": "FROZEN: paused",
  "cgroup.events": "whether there are processes, and whether they are paused",
  "devices.list": "devices that may be used: kind, numbers, and r(ead) w(rite) m(ake)",
};

const SIZES = /^memory\.(?:current|max|peak|high|low|usage_in_bytes|limit_in_bytes|max_usage_in_bytes|swap\.max)$/;
/** What version 1 has for no limit. */
const UNLIMITED = 2 ** 60;

function valueText(file: string, text: string): string {
  const flat = text.split("\n").join(", ");
  if (flat === "max") return "max (no limit)";
  if (!SIZES.test(file) || !/^\d+$/.test(flat)) return flat.length > 60 ? `${flat.slice(0, 59)}…` : flat;
  const bytes = Number(flat);
  return bytes > UNLIMITED ? "no limit" : `${flat} (${binarySize(bytes)})`;
}

function groups(all: readonly ExplainedGroup[]): string {
  const words =
    "What processes may use, all of them together, and what they have used: the kernel keeps it in files, which can be read " +
    "on the host.";
  if (all.length === 0)
    return section(
      "Control groups",
      "It has none: nothing is limited, and nobody counts but for each process alone.",
      [],
    );
  const lines = all.flatMap(({ controller, version, path, files: known }) => [
    `${path}${version === 1 ? `  (${controller})` : ""}`,
    ...table(
      [],
      Object.entries(known).map(([file, text]) => [`  ${file}`, valueText(file, text), GROUP_WORDS[file] ?? ""]),
    ).filter((line) => line !== ""),
  ]);
  return section("Control groups", words, lines);
}

function files({ kept }: Explanation, mounts: readonly ExplainedMount[] | undefined): string {
  const layers = kept.layers.map((layer, index) => `layer ${kept.layers.length - index}   ${layer}`);
  const lines = [
    `its own   ${kept.upper}  (${humanSize(kept.writtenBytes)} written)`,
    ...(layers.length > 0 ? layers : []),
    ...(layers.length > 0 ? [`          the image's layers, read-only: ${humanSize(kept.imageBytes)} together`] : []),
    ...kept.volumes.map(
      ({ Type, Name, Source, Destination, RW }) =>
        `${Type} ${Destination} ← ${Name ?? (Source || "memory")}${RW ? "" : "  (read-only)"}`,
    ),
    ...kept.logs.map(({ path, bytes }) => `log       ${path}  (${humanSize(bytes)})`),
  ].map(safeWord);
  const words =
    "The root filesystem is directories that lie over each other (overlayfs): what the image brought is below and never " +
    "changed; what the container writes goes into its own, on top.";
  const mounted = mounts
    ? [
        "",
        ...table(
          ["MOUNTED AT", "KIND", "OF", "HOW"],
          mounts.map(({ target, type, source, options }) => [
            target,
            type,
            shortSource(source),
            options.filter((option) => HOW.has(option)).join(","),
          ]),
        ),
      ]
    : [];
  return section("Files", words, [...lines, ...mounted]);
}

const HOW = new Set(["ro", "rw", "noexec", "nosuid", "nodev"]);
const shortSource = (source: string) => (source.length > 48 ? `…${source.slice(-47)}` : source);

function rights({ capabilities, seccomp, seccompFilters, noNewPrivileges }: ExplainedRights): string {
  const { effective, bounding } = capabilities;
  const filters = seccompFilters > 0 ? ` (${seccompFilters} of them)` : "";
  const lines = [
    ...wrapped(`capabilities in use: ${effective.length > 0 ? effective.join(" ") : "none"}`),
    ...(bounding.join() === effective.join()
      ? []
      : wrapped(`that programs may ever get: ${bounding.length > 0 ? bounding.join(" ") : "none"}`)),
    seccomp === "filter"
      ? `seccomp: a filter${filters} looks at each system call, and refuses what a container does not need`
      : `seccomp: ${seccomp}`,
    noNewPrivileges ? "no new privileges: setuid programs give nothing" : "new privileges: setuid programs work",
  ];
  const words =
    "Root's power is cut into capabilities; a container has some of them, and they count for what its namespaces own only.";
  return section("Rights", words, lines);
}

function network({ network: { mode, interfaces, addresses, listening, cables } }: Running): string {
  const words =
    mode === "none"
      ? "A network of its own with nothing but the loopback: it can talk to itself only."
      : mode === "host"
        ? "The host's own network, as every other program's."
        : `Its network is ${mode}.`;
  const lines = [
    ...(interfaces.length === 0
      ? []
      : table(
          ["INTERFACE", "RECEIVED", "SENT"],
          interfaces.map(({ name, receivedBytes, sentBytes }) => [
            name,
            humanSize(receivedBytes),
            humanSize(sentBytes),
          ]),
        )),
    ...(addresses.length > 0 ? [`addresses: ${addresses.join(", ")}`] : []),
    ...cables.flatMap(({ network: name, device, inside, addresses: own, ports }) => [
      `${inside} is one end of a cable; the other is ${device} on the host, in the network ${name}, as ${own.join(" and ")}`,
      ...ports.map((port) => `  published: ${port}`),
    ]),
    `listening: ${listening.length > 0 ? listening.join(", ") : "nobody"}`,
  ];
  return section("Network", words, lines);
}

function supervision({ supervisor, init }: Running): string {
  const row = (each: Supervisor, what: string) => [
    each.pid,
    each.memoryBytes === undefined ? "?" : binarySize(each.memoryBytes),
    what,
  ];
  const rows = [
    ...(supervisor ? [row(supervisor, "supervisor: writes the log, and down how the container ends")] : []),
    row(init, "init: number 1 inside"),
  ];
  const words =
    "No daemon runs it: a program of a few system calls, without any runtime, waits until it ends. The memory is what it does " +
    "not share.";
  return section("Who looks after it", words, table(["HOST PID", "MEMORY", "WHAT"], rows));
}

function rest({ kept, exitCode, name }: Explanation): string {
  const words = `What is kept until "tsbox rm ${name}": its entry in the database, and a directory. "tsbox start ${name}" makes the rest of it again.`;
  return section("What is kept", words, [
    kept.directory,
    ...(exitCode === undefined ? [] : [`it ended with status ${exitCode}`]),
  ]);
}
