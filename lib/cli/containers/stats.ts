/** `tsbox stats`: what containers use, live. @module @see https://docs.docker.com/reference/cli/docker/container/stats/ */
import type { Containers, ContainerStats } from "../../containers/index.ts";
import { sizeOfTerminal } from "../../terminal/index.ts";
import { declare, FORMAT, type Add } from "../images/declare.ts";
import { humanSize } from "../images/human.ts";
import { listed, type Columns, type Row } from "../images/rows.ts";
import { print } from "../print.ts";
import { Redrawn } from "./redraw.ts";
import { sparkline } from "./sparkline.ts";
import { withContainers } from "./with-containers.ts";

interface StatsFlags {
  all?: boolean;
  format?: string;
  stream?: boolean;
  trunc?: boolean;
}

const STDOUT = 1;
const INTERVAL_MS = 1000;

export const addStats: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "Show what containers use",
      more: ", again and again; on a terminal with small graphs of CPU, memory, network and disk",
      usage: "[FLAGS] [CONTAINER...]",
      words: ["[CONTAINER...]"],
      flags: [
        ["-a, --all", "Not only those that run"],
        ["--format <FORMAT>", FORMAT.replace("{{.ID}} {{.Size}}", "{{.Name}} {{.CPUPerc}}")],
        ["--no-stream", "Once, and no more"],
        ["--no-trunc", "Ids as they are"],
      ],
    },
    (names: string[], flags: StatsFlags) =>
      withContainers(async (containers, signal) => {
        // a mistake in the template is told before anything else
        listed(flags.format, COLUMNS, []);
        const watched = new Watched(containers, names, flags.all === true, signal);
        await watched.update();
        const { stream = true, format, trunc = true } = flags;
        if (!stream) {
          await watched.first();
          return print(listed(format, COLUMNS, watched.rows(trunc)));
        }
        await watched.first();
        const isLive = sizeOfTerminal(STDOUT) !== undefined && format === undefined;
        if (isLive) await live(watched, trunc, signal);
        else await plain(watched, format, trunc, signal);
      }),
  );

const COLUMNS: Columns = {
  table: "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}",
  titles: {
    Container: "CONTAINER",
    ID: "CONTAINER ID",
    Name: "NAME",
    CPUPerc: "CPU %",
    MemUsage: "MEM USAGE / LIMIT",
    MemPerc: "MEM %",
    NetIO: "NET I/O",
    BlockIO: "BLOCK I/O",
    PIDs: "PIDS",
  },
};

/** Of one that does not run, all is 0. @param word as it was called on the command line, where it was */
export function statsRow(
  { id, name, word }: Pick<ContainerStats, "id" | "name"> & { word?: string | undefined },
  stats: ContainerStats | undefined,
  trunc: boolean,
): Row {
  const { memoryBytes = 0, memoryLimitBytes = 0 } = stats ?? {};
  return {
    Container: word ?? (trunc ? id.slice(0, 12) : id),
    ID: trunc ? id.slice(0, 12) : id,
    Name: name,
    CPUPerc: `${(stats?.cpuPercent ?? 0).toFixed(2)}%`,
    MemUsage: `${binarySize(memoryBytes)} / ${binarySize(memoryLimitBytes)}`,
    MemPerc: `${(memoryLimitBytes > 0 ? (100 * memoryBytes) / memoryLimitBytes : 0).toFixed(2)}%`,
    NetIO: `${humanSize(stats?.networkInBytes ?? 0)} / ${humanSize(stats?.networkOutBytes ?? 0)}`,
    BlockIO: `${humanSize(stats?.blockInBytes ?? 0)} / ${humanSize(stats?.blockOutBytes ?? 0)}`,
    PIDs: String(stats?.pids ?? 0),
  };
}

const BINARY = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** `12.5MiB`: four digits, of powers of 1024. */
export function binarySize(bytes: number): string {
  let [size, unit] = [bytes, 0];
  while (size >= 1023.95 && unit < BINARY.length - 1) [size, unit] = [size / 1024, unit + 1];
  return `${Number(size.toPrecision(4))}${BINARY[unit]}`;
}

interface Seen {
  id: string;
  name: string;
  word?: string | undefined;
  isRunning: boolean;
  stats?: ContainerStats;
  history: ContainerStats[];
  /** Once there is something to be shown of it. */
  first: Promise<void>;
}

/** So much of the past is in a graph at most. */
const HISTORY = 200;

class Watched {
  readonly #containers: Containers;
  readonly #names: readonly string[];
  readonly #all: boolean;
  readonly #signal: AbortSignal;
  #seen = new Map<string, Seen>();

  constructor(containers: Containers, names: readonly string[], all: boolean, signal: AbortSignal) {
    this.#containers = containers;
    this.#names = names;
    this.#all = all;
    this.#signal = signal;
  }

  /** Finds those that are to be shown: they come and go. */
  async update(): Promise<void> {
    const words = new Map<string, string>();
    const records = this.#names.length > 0 ? await this.#named(words) : await this.#containers.list({ all: this.#all });
    const now = new Map<string, Seen>();
    for (const { id, name, status } of records) {
      const word = words.get(id);
      const isRunning = status === "running" || status === "paused";
      const known = this.#seen.get(id);
      if (known && known.isRunning === isRunning) now.set(id, Object.assign(known, { name, word }));
      else
        now.set(
          id,
          isRunning
            ? this.#follow(id, name, word)
            : { id, name, word, isRunning, history: [], first: Promise.resolve() },
        );
    }
    this.#seen = now;
  }

  /** @param words what each of them was called, by its id */
  async #named(words: Map<string, string>) {
    const found = [];
    for (const name of this.#names) {
      const record = await (await this.#containers.get(name)).record();
      words.set(record.id, name);
      found.push(record);
    }
    return found;
  }

  #follow(id: string, name: string, word: string | undefined): Seen {
    const { promise: first, resolve } = Promise.withResolvers<void>();
    const seen: Seen = { id, name, word, isRunning: true, history: [], first };
    const follow = async () => {
      const container = await this.#containers.get(id);
      for await (const stats of container.stats({ interval: INTERVAL_MS, signal: this.#signal })) {
        seen.stats = stats;
        seen.history = [...seen.history.slice(1 - HISTORY), stats];
        resolve();
      }
    };
    // one that is gone by now is left out at the next update
    void follow()
      .catch(() => {})
      .finally(() => {
        seen.isRunning = false;
        delete seen.stats;
        resolve();
      });
    return seen;
  }

  async first(): Promise<void> {
    await Promise.all([...this.#seen.values()].map(({ first }) => first));
  }

  get all(): Seen[] {
    return [...this.#seen.values()];
  }

  rows(trunc: boolean): Row[] {
    return this.all.map((seen) => statsRow(seen, seen.stats, trunc));
  }
}

const tick = (signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, INTERVAL_MS);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });

async function plain(watched: Watched, format: string | undefined, trunc: boolean, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    print(listed(format, COLUMNS, watched.rows(trunc)));
    await tick(signal);
    if (!signal.aborted) await watched.update();
  }
}

async function live(watched: Watched, trunc: boolean, signal: AbortSignal): Promise<void> {
  using screen = new Redrawn();
  while (!signal.aborted) {
    const [head = "", ...rows] = listed(undefined, COLUMNS, watched.rows(trunc)).trimEnd().split("\n");
    const lines = watched.all.flatMap(({ history }, index) => [
      rows[index] ?? "",
      ...(history.length > 0 ? [graphs(history, screen.width)] : []),
    ]);
    screen.draw([head, ...lines]);
    await tick(signal);
    if (!signal.aborted) await watched.update();
  }
}

/** CPU, memory, network and disk, a graph each. */
export function graphs(history: readonly ContainerStats[], columns: number): string {
  const width = Math.max(4, Math.min(30, Math.floor((columns - 60) / 4)));
  const last = history.at(-1);
  const rates = (of: (stats: ContainerStats) => number) =>
    history.map((stats, index) => {
      const before = history[index - 1];
      const seconds = before ? (stats.time - before.time) / 1000 : 0;
      return before && seconds > 0 ? Math.max(0, (of(stats) - of(before)) / seconds) : 0;
    });
  const network = rates(({ networkInBytes, networkOutBytes }) => networkInBytes + networkOutBytes);
  const disk = rates(({ blockInBytes, blockOutBytes }) => blockInBytes + blockOutBytes);
  const perSecond = (values: number[]) => `${humanSize(Math.round(values.at(-1) ?? 0))}/s`.padEnd(8);
  const cpu = history.map(({ cpuPercent }) => cpuPercent);
  const memory = history.map(({ memoryBytes }) => memoryBytes);
  return [
    `  CPU ${sparkline(cpu, width, 100)} ${`${(last?.cpuPercent ?? 0).toFixed(0)}%`.padEnd(5)}`,
    `MEM ${sparkline(memory, width, 2 ** 20)} ${binarySize(last?.memoryBytes ?? 0).padEnd(9)}`,
    `NET ${sparkline(network, width, 1000)} ${perSecond(network)}`,
    `DISK ${sparkline(disk, width, 1000)} ${perSecond(disk)}`,
  ]
    .join(" ")
    .trimEnd();
}
