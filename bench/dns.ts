/**
 * Answers for names per second: `bun bench/dns.ts [--quick]`, against dnsmasq and aardvark-dns, each of which knows the same
 * hundred containers, and is asked for them by dnsperf over the loopback interface. As root, in a network namespace of its
 * own; dnsperf and dnsmasq are in packages of these names (dnsmasq-base), aardvark-dns comes with podman's. What is missing
 * is left out, and said to be.
 * @module
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Forwarder, NameServer, Resolver, Zone } from "../lib/dns/index.ts";
import { parseSubnet } from "../lib/ip/index.ts";
import { Loop } from "../lib/loop/index.ts";
import { Links } from "../lib/netlink/index.ts";
import { bindSocket, listenSocket, openSocket, syscall } from "../syscalls/index.ts";
import { shuffled, type Samples } from "./measure.ts";
import { bars, compare, timings, type Bar } from "./report.ts";

const { values, positionals } = parseArgs({
  args: process.argv.slice(2),
  options: { quick: { type: "boolean", default: false } },
  allowPositionals: true,
});
const CONTAINERS = 100;
const ADDRESS = Uint8Array.of(127, 0, 0, 1);
const names = Array.from({ length: CONTAINERS }, (_, index) => ({ name: `web${index}`, last: index + 2 }));
/** Of ours, dnsmasq and aardvark-dns, which gives none else. */
const PORTS = { tsbox: 5301, dnsmasq: 5302, "aardvark-dns": 5303 };
type Name = keyof typeof PORTS;

/** What netd does, with records that it would have read. */
function serveNames(port: number): void {
  const loop = new Loop();
  const hosts = names.map(({ name, last }) => ({ names: [name], addresses: [Uint8Array.of(10, 0, 0, last)] }));
  const asker = { zones: [new Zone("net", [parseSubnet("10.0.0.0/24")], hosts)], upstreams: [] };
  const server = new NameServer(loop, new Resolver(new Forwarder(loop)), () => asker);
  const [udp, tcp] = [openSocket("udp", 4), openSocket("tcp", 4)];
  for (const fd of [udp, tcp]) if (bindSocket(fd, { address: ADDRESS, port }) < 0) throw new Error(`bind port ${port}`);
  listenSocket(tcp, 64);
  server.serve("net", { udp: [udp], tcp: [tcp] });
  loop.run();
}

function commands(directory: string): Record<Name, string[] | undefined> {
  const hosts = join(directory, "hosts");
  writeFileSync(hosts, names.map(({ name, last }) => `10.0.0.${last} ${name}\n`).join(""));
  const networks = join(directory, "networks");
  mkdirSync(networks);
  // it answers to containers that it knows: this one is dnsperf
  const lines = names.map(({ name, last }) => `${name.padEnd(64, "0")} 10.0.0.${last}  ${name}`);
  writeFileSync(join(networks, "net"), ["127.0.0.1", `${"c".repeat(64)} 127.0.0.1  client`, ...lines, ""].join("\n"));
  const dnsmasq = Bun.which("dnsmasq", { PATH: `${process.env["PATH"]}:/usr/sbin` });
  const aardvark = ["/usr/lib/podman/aardvark-dns", "/usr/libexec/podman/aardvark-dns"].find((path) => Bun.which(path));
  const quiet = ["--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--keep-in-foreground", "--local-ttl=1"];
  return {
    tsbox: [process.execPath, import.meta.path, "serve"],
    dnsmasq: dnsmasq
      ? [dnsmasq, ...quiet, `--addn-hosts=${hosts}`, `--port=${PORTS.dnsmasq}`, "--user=root"]
      : undefined,
    "aardvark-dns": aardvark
      ? [aardvark, "--config", networks, "--port", String(PORTS["aardvark-dns"]), "run"]
      : undefined,
  };
}

/** @returns answers per second */
async function asked(name: Name, questions: string, seconds: number): Promise<number> {
  const words = ["-s", "127.0.0.1", "-p", String(PORTS[name]), "-d", questions, "-l", String(seconds), "-q", "100"];
  const child = Bun.spawn(["dnsperf", ...words, "-c", "10"], { stdio: ["ignore", "pipe", "pipe"] });
  const text = await new Response(child.stdout).text();
  const [, rate] = /Queries per second:\s+([\d.]+)/.exec(text) ?? [];
  const [, lost] = /Queries completed:\s+\d+ \(([\d.]+)%\)/.exec(text) ?? [];
  const [, good] = /NOERROR \d+ \(([\d.]+)%\)/.exec(text) ?? [];
  if (rate === undefined || Number(lost) < 99 || Number(good) < 99) throw new Error(`${name}: ${text}`);
  return Number(rate);
}

async function main(): Promise<void> {
  if (!Bun.which("dnsperf")) return console.log("dns: dnsperf is not installed: apt-get install dnsperf");
  const CLONE_NEWNET = 0x40000000;
  syscall("make a network namespace", "unshare", CLONE_NEWNET);
  using links = new Links();
  links.change(links.indexOf("lo"), { up: true });
  const directory = mkdtempSync(join(tmpdir(), "tsbox-bench-dns-"));
  const running: Bun.Subprocess[] = [];
  try {
    const questions = join(directory, "questions");
    writeFileSync(questions, names.map(({ name }) => `${name} A\n`).join(""));
    const found = Object.entries(commands(directory)) as [Name, string[] | undefined][];
    for (const [name, words] of found)
      if (words) running.push(Bun.spawn(words, { stdio: ["ignore", "ignore", "inherit"] }));
      else console.log(`${name} is not installed, and is left out`);
    await Bun.sleep(1000);
    const contenders = found.flatMap(([name, words]) => (words ? [name] : []));
    const samples = new Map<Name, Samples>(contenders.map((name) => [name, { name, values: [] }]));
    const [rounds, seconds] = values.quick ? [1, 1] : [7, 3];
    for (const name of contenders) await asked(name, questions, 1);
    for (let round = 0; round < rounds; round++)
      for (const index of shuffled(contenders.length)) {
        const name = contenders[index] as Name;
        samples.get(name)?.values.push(await asked(name, questions, seconds));
      }
    const all = [...samples.values()];
    console.log(`## Names\n\n${timings(all, "answers/s")}\n`);
    const [ours, ...others] = all as [Samples, ...Samples[]];
    const held: Bar[] = others.map((other) =>
      compare(`answers per second vs ${other.name}`, ours, other, { least: 1 }),
    );
    console.log(bars(held));
  } finally {
    for (const child of running) child.kill(9);
    // it goes on by itself
    const aardvark = join(directory, "networks/aardvark.pid");
    if (existsSync(aardvark)) process.kill(Number(readFileSync(aardvark, "utf8")), 9);
    await Promise.all(running.map((child) => child.exited));
    rmSync(directory, { recursive: true, force: true });
  }
}

if (positionals[0] === "serve") serveNames(PORTS.tsbox);
else await main();
