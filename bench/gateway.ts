/**
 * The way out of a sandbox without rights, against slirp4netns and pasta: `bun bench/gateway.ts [--quick]`.
 *
 * Two machines, network namespaces of the benchmark's own with a cable between them. On one is iperf3's server; on the other
 * its client, in turns: as it is, in a sandbox of tsbox with a policy, and in a user and network namespace that slirp4netns
 * or pasta lead out of. What is not installed is left out. Needs root; pasta runs as an ordinary user.
 * @module
 */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { routeThrough, World, type Place } from "../tests/support/network-world.ts";
import { median, shuffled } from "./measure.ts";
import { bars, table, type Bar } from "./report.ts";

const { values } = parseArgs({ args: process.argv.slice(2), options: { quick: { type: "boolean", default: false } } });
const [ROUNDS, SECONDS] = values.quick ? [1, 1] : [5, 3];
const [SERVER, HOST] = ["192.0.2.1", "192.0.2.10"];
/** Nobody's. */
const USER = 47_112;
const library = join(import.meta.dirname, "../lib/index.ts");
const KINDS = { out: [], in: ["-R"], "4 out": ["-P", "4"] } as const;
type Kind = keyof typeof KINDS;

interface Contender {
  name: string;
  /** Runs it on the machine with the client. */
  words: (command: string[]) => string[];
}

/** In a new user and network namespace, with a program that leads out of it; "$@" is the client. */
const SLIRP = `unshare -Urn sleep 60 & n=$!
  while ! grep -q 0 /proc/$n/uid_map || [ "$(cat /proc/$n/comm)" != sleep ]; do sleep 0.05; done
  slirp4netns --configure --mtu=65520 $n tap0 >/dev/null 2>&1 & s=$!
  while ! nsenter -U -n -t $n ip route | grep -q default; do sleep 0.05; done
  nsenter -U -n -t $n "$@"; e=$?; kill $s $n; exit $e`;
const PASTA = `mount -t tmpfs none /dev/net && mknod -m 666 /dev/net/tun c 10 200
  exec setpriv --reuid=${USER} --regid=${USER} --clear-groups pasta --quiet --config-net --no-map-gw -- "$@" 2>/dev/null`;

function contenders(script: string): Contender[] {
  const has = (name: string) => Bun.which(name) !== null || (console.log(`${name}: not installed, left out`), false);
  const shell = (text: string) => (command: string[]) => ["unshare", "--mount", "sh", "-c", text, "sh", ...command];
  return [
    { name: "no sandbox", words: (command) => command },
    { name: "tsbox", words: (command) => [process.execPath, script, ...command] },
    ...(has("slirp4netns") ? [{ name: "slirp4netns", words: shell(SLIRP) }] : []),
    ...(has("pasta") ? [{ name: "pasta", words: shell(PASTA) }] : []),
  ];
}

/** @returns bits a second; undefined where it has failed */
function measure(host: Place, { words }: Contender, kind: Kind): number | undefined {
  // one that gets nowhere has failed
  const patience = ["timeout", "--signal=KILL", String(SECONDS + 8)];
  const client = [...patience, "iperf3", "-c", SERVER, "-t", String(SECONDS), "-J", ...KINDS[kind]];
  const enter = ["nsenter", `--net=/proc/${host.pid}/ns/net`];
  const { stdout, exitCode } = Bun.spawnSync([...enter, ...words(client)], { timeout: 60_000, stderr: "inherit" });
  if (exitCode !== 0 || stdout.length === 0) return undefined;
  const told = JSON.parse(stdout.toString()) as { end: { sum_received: { bits_per_second: number } } };
  return told.end.sum_received.bits_per_second;
}

using world = new World();
const host = world.neighbour([`${SERVER}/24`], [`${HOST}/24`]);
routeThrough(host, SERVER);
const folder = mkdtempSync(join(tmpdir(), "tsbox-bench-"));
const server = Bun.spawn(["iperf3", "-s", "-B", SERVER], { stdio: ["ignore", "ignore", "inherit"] });
try {
  const script = join(folder, "client.ts");
  writeFileSync(
    script,
    `const { Sandbox } = await import(${JSON.stringify(library)});
     const network = { allow: ["${SERVER}/32"] };
     const { exitCode, stdout, stderr } = await Sandbox.run(process.argv.slice(2), { network });
     process.stdout.write(stdout); process.stderr.write(stderr); process.exit(exitCode ?? 1);`,
  );
  chmodSync(folder, 0o755);
  await Bun.sleep(500);
  const all = contenders(script);
  const found = new Map(all.map(({ name }) => [name, { out: [], in: [], "4 out": [] } as Record<Kind, number[]>]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const index of shuffled(all.length)) {
      const contender = all[index] as Contender;
      for (const kind of Object.keys(KINDS) as Kind[]) {
        const rate = measure(host, contender, kind);
        if (rate !== undefined) found.get(contender.name)?.[kind].push(rate);
      }
    }
  }
  const kinds = Object.keys(KINDS) as Kind[];
  const megabits = (rates: number[]) => (rates.length === 0 ? "failed" : String(Math.round(median(rates) / 1e6)));
  const rows = Array.from(found, ([name, rates]) => [name, ...kinds.map((kind) => megabits(rates[kind]))]);
  console.log(`### the way out, Mbit/s: medians of ${ROUNDS}, ${SECONDS} s each\n\n${table(["", ...kinds], rows)}\n`);
  const compared = (other: string, least: number): Bar[] =>
    kinds.flatMap((kind) => {
      const [ours, theirs] = ["tsbox", other].map((name) => found.get(name)?.[kind] ?? []);
      if (!ours?.length || !theirs?.length) return [];
      const ratio = median(ours) / median(theirs);
      const bar = least > 0 ? `≥ ${least}×` : "";
      return [{ measure: `${kind}, vs ${other}`, bar, measured: `${ratio.toFixed(2)}×`, holds: ratio >= least }];
    });
  console.log(bars([...compared("slirp4netns", 1), ...compared("pasta", 0)]));
} finally {
  server.kill(9);
  rmSync(folder, { recursive: true, force: true });
}
