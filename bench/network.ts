/**
 * Networks, against what is made by hand and against podman and Docker: `bun bench/network.ts [--quick] [TABLE...]`, some of
 * `bridge port start shaping`.
 *
 * The machine is a network namespace of the benchmark's own, and so are "outside", at the other end of a cable, and all
 * containers. podman and dockerd, which is started for this, are in the same one, with bridges of their own. What is not
 * installed is left out. Needs root, iperf3, ip and dist/tsbox.
 * @module
 */
import { parseArgs } from "node:util";
import { BOX, makeArchive } from "../tests/e2e/images.ts";
import { runHere, World, type Place } from "../tests/support/network-world.ts";
import { Folder } from "../tests/support/rootfs.ts";
import { apartIn, goApart } from "./apart.ts";
import { spawned } from "./contenders.ts";
import { call, docker, podman, tsbox, type Tool } from "./engines.ts";
import { interleave, median, shuffled, type Contender, type Samples } from "./measure.ts";
import { bars, compare, number, table, timings, type Bar } from "./report.ts";

const { values, positionals } = parseArgs({
  args: process.argv.slice(2),
  options: { quick: { type: "boolean", default: false } },
  allowPositionals: true,
});
const GROUP = `tsbox-bench-${process.pid}`;
const SLEEP = ["sleep", "1000"];
const [SECONDS, ROUNDS] = values.quick ? [1, 1] : [5, 5];
const [MINE, OUTSIDE] = ["203.0.113.1", "203.0.113.9"];

let made = 0;
interface Container {
  name: string;
  pid: number;
  address: string;
}

function start(tool: Tool, ...flags: string[]): Container {
  const name = `bench-${made++}`;
  call(tool, "run", "-d", "--name", name, ...tool.flags, ...flags, BOX, ...SLEEP);
  const inspected = (field: string) => call(tool, "inspect", "--format", field, name);
  const address = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
  return { name, pid: Number(inspected("{{.State.Pid}}")), address: inspected(address) };
}

function removeAll(tool: Tool): void {
  const ids = call(tool, "ps", "-aq").split("\n").filter(Boolean);
  if (ids.length > 0) call(tool, "rm", "-f", ...(tool.name === "podman" ? ["-t", "0"] : []), ...ids);
}

const inside = (pid: number) => ["nsenter", `--net=/proc/${pid}/ns/net`];

/** Mbit/s of payload that arrive. @param from prefixes of commands @param port of `to` */
async function speed(server: string[], client: string[], to: string, port = 5201, seconds = SECONDS): Promise<number> {
  const serving = Bun.spawn([...server, "iperf3", "-s", "-1"], { stdio: ["ignore", "ignore", "ignore"] });
  try {
    for (let tries = 0; ; tries++) {
      const listening = Bun.spawnSync([
        ...server,
        "cat",
        "/proc/self/net/tcp6",
        "/proc/self/net/tcp",
      ]).stdout.toString();
      if (/:1451 \S+ 0A /.test(listening)) break;
      if (tries > 500) throw new Error("iperf3 does not listen");
      await Bun.sleep(10);
    }
    const words = ["-J", "-O", "1", "-t", String(seconds), "-p", String(port), "-c", to];
    const child = Bun.spawn([...client, "iperf3", ...words], { stdio: ["ignore", "pipe", "pipe"] });
    const told = JSON.parse(await child.stdout.text()) as {
      error?: string;
      end: Record<string, { bits_per_second: number }>;
    };
    const bits = told.end["sum_received"]?.bits_per_second;
    if (!bits) throw new Error(`iperf3 measures nothing: ${told.error}`);
    return bits / 1e6;
  } finally {
    serving.kill();
    await serving.exited;
  }
}

interface Line {
  name: string;
  run(): Promise<number>;
}

/** In every round each of them once, in another order. */
async function speeds(lines: Line[]): Promise<Samples[]> {
  const samples = lines.map(({ name }): Samples => ({ name, values: [] }));
  for (let round = 0; round < ROUNDS; round++)
    for (const index of shuffled(lines.length)) samples[index]?.values.push(await (lines[index] as Line).run());
  for (const each of samples) each.values.sort((a, b) => a - b);
  return samples;
}

/** A bridge, two cables and two network namespaces, made as anybody would. */
function byHand(world: World): { places: [Place, Place]; end(): void } {
  const places: [Place, Place] = [world.place(), world.place()];
  runHere("ip", "link", "add", "hand0", "type", "bridge");
  runHere("ip", "addr", "add", "10.99.0.1/24", "dev", "hand0");
  runHere("ip", "link", "set", "hand0", "up");
  places.forEach(({ pid, run }, index) => {
    const name = `hand${index + 1}`;
    runHere("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", String(pid));
    runHere("ip", "link", "set", name, "master", "hand0", "up");
    run("ip", "addr", "add", `10.99.0.${index + 2}/24`, "dev", "eth0");
    run("ip", "link", "set", "eth0", "up");
  });
  return { places, end: () => void runHere("ip", "link", "del", "hand0") };
}

async function bridge([our]: Tool[], world: World): Promise<Bar[]> {
  const hand = byHand(world);
  const [one, two] = [start(our as Tool, "--network", "bridge"), start(our as Tool, "--network", "bridge")];
  const [first, second] = hand.places;
  const samples = await speeds([
    { name: "tsbox", run: () => speed(inside(one.pid), inside(two.pid), one.address) },
    { name: "by hand", run: () => speed(inside(first.pid), inside(second.pid), "10.99.0.2") },
  ]);
  removeAll(our as Tool);
  hand.end();
  console.log(`### From container to container over a bridge\n\n${timings(samples, "Mbit/s")}\n`);
  return [compare("bridge vs by hand", ...(samples as [Samples, Samples]), { least: 0.95 })];
}

/**
 * From outside, by a port of this machine. Each engine has a machine of its own for this, as packets of one pass the
 * packet filters of all.
 */
async function port({ at, archive }: Where): Promise<Bar[]> {
  const samples = ENGINES.map((_, index): Samples => ({ name: String(index), values: [] }));
  for (let round = 0; round < ROUNDS; round++) {
    for (const index of shuffled(ENGINES.length)) {
      await using host = await Host.make(at, archive, [ENGINES[index] as Engine]);
      const [tool] = host.tools;
      if (!tool) continue;
      const { pid } = start(tool, "-p", "6000:5201");
      const each = samples[index] as Samples;
      each.name = tool.name;
      each.values.push(await speed(inside(pid), inside(host.outside.pid), MINE, 6000));
    }
  }
  const found = samples.filter(({ values: each }) => each.length > 0);
  for (const each of found) each.values.sort((x, y) => x - y);
  console.log(`### From outside to a published port\n\n${timings(found, "Mbit/s")}\n`);
  const [our, ...others] = found;
  return others.map((other) => compare(`published port vs ${other.name}`, our as Samples, other, { least: 1 }));
}

async function begin(tools: Tool[]): Promise<Bar[]> {
  const [our] = tools as [Tool];
  const contender = (tool: Tool, what: string, ...words: string[]): Contender => ({
    ...spawned(`${tool.name} ${what}`, [...tool.command, "run", ...words, ...tool.flags, BOX], { env: tool.env }),
    after: () => removeAll(tool),
  });
  const rounds = values.quick ? { warmUp: 1, count: 5, idleMs: 100 } : { warmUp: 3, count: 30, idleMs: 200 };
  const all: Bar[] = [];
  const standing = start(our, "--network", "bridge");
  for (const [what, ...words] of [
    ["run -d", "-d"],
    ["run --rm", "--rm", "--name", "bench-run"],
    // of tsbox no containers, but sandboxes
    ["run --rm, without a name", "--rm"],
  ] as const) {
    const plain = contender(our, `${what}, no network`, ...words, "--network", "none");
    const bridged = contender(our, `${what}, bridge`, ...words, "--network", "bridge");
    const keeping = (each: Contender): Contender => ({
      ...each,
      after: () => void (what === "run -d" && removeOthers(our, standing.name)),
    });
    const others = tools.slice(1).map((tool) => contender(tool, `${what}, bridge`, ...words, "--network", "bridge"));
    const samples = await interleave([keeping(plain), keeping(bridged), ...others], rounds);
    console.log(`### ${what} with and without a bridge that stands\n\n${timings(samples)}\n`);
    const [without, withOne, ...rest] = samples as [Samples, Samples, ...Samples[]];
    const moreMs = median(withOne.values) - median(without.values);
    all.push({
      measure: `${what}, bridge vs none`,
      bar: "≤ 3 ms more",
      measured: `${number(moreMs)} ms`,
      holds: moreMs <= 3,
    });
    for (const other of rest) all.push(compare(`${what}, bridge vs ${other.name}`, withOne, other, { most: 0.1 }));
  }
  removeAll(our);
  return all;
}

function removeOthers(tool: Tool, kept: string): void {
  const names = call(tool, "ps", "-a", "--format", "{{.Names}}").split("\n");
  const others = names.filter((name) => name !== "" && name !== kept);
  if (others.length > 0) call(tool, "rm", "-f", ...others);
}

async function shaping([our]: Tool[]): Promise<Bar[]> {
  const other = start(our as Tool, "--network", "bridge");
  const rows: (string | number)[][] = [];
  const all: Bar[] = [];
  for (const mbit of [10, 100, 1000]) {
    const { pid, name, address } = start(
      our as Tool,
      "--network",
      "bridge",
      "--bandwidth",
      `down=${mbit}mbit,up=${mbit}mbit`,
    );
    const up = await speed(inside(other.pid), inside(pid), other.address);
    const down = await speed(inside(pid), inside(other.pid), address);
    call(our as Tool, "rm", "-f", name);
    rows.push([`${mbit} Mbit/s`, number(up), number(down)]);
    for (const [way, measured] of Object.entries({ up, down })) {
      const off = Math.abs(measured / mbit - 1);
      all.push({
        measure: `${mbit} Mbit/s ${way}`,
        bar: "within 5 %",
        measured: `${number(off * 100)} %`,
        holds: off <= 0.05,
      });
    }
  }
  removeAll(our as Tool);
  console.log(`### Payload of a container with a bandwidth\n\n${table(["", "up Mbit/s", "down Mbit/s"], rows)}\n`);
  return all;
}

interface Where {
  at: string;
  archive: string;
}
type Engine = (at: string) => Tool | undefined | Promise<Tool | undefined>;
const ENGINES: Engine[] = [tsbox, (at) => podman(at, GROUP, true), (at) => docker(at, true)];

/** A network namespace, with engines and a neighbour. */
class Host implements AsyncDisposable {
  readonly world = new World();
  readonly outside = this.world.neighbour([`${MINE}/24`], [`${OUTSIDE}/24`]);
  readonly tools: Tool[] = [];

  static async make(at: string, archive: string, engines: Engine[]): Promise<Host> {
    const host = new Host();
    runHere("ip", "route", "add", "default", "via", OUTSIDE);
    for (const engine of engines) {
      const tool = await engine(at);
      if (!tool) continue;
      host.tools.push(tool);
      call(tool, "load", "-i", archive);
    }
    return host;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const tool of this.tools) {
      removeAll(tool);
      await tool.end();
    }
    this.world[Symbol.dispose]();
  }
}

const TOGETHER = { bridge, start: begin, shaping };

async function measure(at: string): Promise<Bar[]> {
  using folder = new Folder();
  const archive = makeArchive(folder);
  const isAsked = (name: string) => positionals.length === 0 || positionals.includes(name);
  const all: Bar[] = [];
  if (Object.keys(TOGETHER).some(isAsked)) {
    await using host = await Host.make(at, archive, ENGINES);
    for (const [name, run] of Object.entries(TOGETHER))
      if (isAsked(name)) all.push(...(await run(host.tools, host.world)));
  }
  if (isAsked("port")) all.push(...(await port({ at, archive })));
  return all;
}

const directory = apartIn() ?? process.exit(await goApart("tsbox-network-"));
console.log(bars(await measure(directory)));
