/**
 * Networks beside the machine's own firewall: the real ufw, firewalld and Docker, each in a network namespace of the
 * test's, and with files of its own. What they drop stays dropped, and is told; what is told as the remedy is one; and
 * nothing of theirs is changed.
 * @module
 */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parsePorts } from "../lib/ip/index.ts";
import { hasFirewall } from "../lib/network/firewall.ts";
import { bareAddresses, Networks, obstacleOf, reservePorts } from "../lib/network/index.ts";
import type { NetworkRecord } from "../lib/network/index.ts";
import { State } from "../lib/state/index.ts";
import { noNetworks, notRoot, testUnless } from "./support/machine.ts";
import { runHere, World, type Place } from "./support/network-world.ts";
import { Folder } from "./support/rootfs.ts";

const reason = notRoot ?? noNetworks();
const ECHO = join(import.meta.dirname, "support/echo.ts");
const missing = (...names: string[]) => {
  const name = names.find((each) => Bun.which(each) === null);
  return name === undefined ? undefined : `${name} is not installed`;
};
const DEADLINE_MS = 60_000;

/** A mount namespace where these directories are copies, and /run is empty. */
class Apart implements AsyncDisposable {
  readonly #holder: Bun.Subprocess<"ignore", "pipe", "ignore">;
  readonly #started: Bun.Subprocess[] = [];

  constructor(...copied: string[]) {
    const copies = copied.map(
      (path) =>
        `cp -a ${path} /run/copy && mount -t tmpfs tmpfs ${path} && cp -a /run/copy/. ${path} && rm -r /run/copy`,
    );
    const script = ["mount -t tmpfs tmpfs /run", ...copies, "echo up; exec sleep 1000"].join(" && ");
    this.#holder = Bun.spawn(["unshare", "--mount", "--propagation", "private", "sh", "-c", script], {
      stdio: ["ignore", "pipe", "ignore"],
    });
  }

  async ready(): Promise<void> {
    await this.#holder.stdout.getReader().read();
  }

  #words = (words: string[]) => ["nsenter", `--mount=/proc/${this.#holder.pid}/ns/mnt`, ...words];

  /** Waits for it; its output, or why not. */
  run(...words: string[]): string {
    const { stdout, stderr, exitCode } = Bun.spawnSync(this.#words(words), { timeout: DEADLINE_MS, env: ENV });
    if (exitCode !== 0) throw new Error(`${words.join(" ")}: ${exitCode} ${stdout}${stderr}`);
    return stdout.toString();
  }

  start(...words: string[]): Bun.Subprocess {
    const child = Bun.spawn(this.#words(words), { stdio: ["ignore", "ignore", "ignore"], env: ENV });
    this.#started.push(child);
    return child;
  }

  async until(holds: () => boolean): Promise<void> {
    for (const end = Date.now() + DEADLINE_MS; !holds(); await Bun.sleep(100))
      if (Date.now() > end) throw new Error("it does not come up");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#started.toReversed()) {
      child.kill("SIGTERM");
      await child.exited;
    }
    this.#holder.kill("SIGKILL");
  }
}
const ENV = { ...process.env, DBUS_SYSTEM_BUS_ADDRESS: "unix:path=/run/bus" };

describe.skipIf(reason !== undefined)(reason === undefined ? "beside" : `beside firewalls (${reason})`, () => {
  let world: World;
  let folder: Folder;
  let state: State;
  let networks: Networks;
  let outside: Place;
  let made = 0;
  beforeEach(async () => {
    world = new World();
    folder = new Folder();
    state = new State(folder.path);
    networks = new Networks(() => state);
    outside = world.neighbour(["203.0.113.1/24"], ["203.0.113.9/24"]);
    const server = outside.start(process.execPath, ECHO, "serve", "7000", "outside");
    await server.stdout.getReader().read();
  });
  afterEach(() => {
    state[Symbol.dispose]();
    folder[Symbol.dispose]();
    world[Symbol.dispose]();
  });

  /** All that is not ours, but for what counts. */
  const theirs = () =>
    runHere("nft", "list", "ruleset")
      .replace(/^table inet tsbox \{[^]*?^\}\n?/m, "")
      .replace(/counter packets \d+ bytes \d+/g, "counter")
      .trim();
  async function member(network: NetworkRecord, ...publish: string[]) {
    const place = world.place();
    const id = (++made).toString(16).padStart(7, "0").padEnd(64, "c");
    using reserved = reservePorts(publish.flatMap(parsePorts), [4]);
    const wanted = { container: id, name: `member${made}`, inside: "eth0" };
    const [address = ""] = bareAddresses(networks.claim(network.id, wanted, reserved.ports));
    await networks.raise(network.id, id);
    await networks.plugIn(network.id, id, place.namespace, true);
    return { id, place, address };
  }
  const nc = (place: Place, address: string, port: string) => {
    const words = ["nsenter", `--net=/proc/${place.pid}/ns/net`, "busybox", "timeout", "3", "busybox", "nc"];
    return Bun.spawnSync([...words, "-w", "2", address, port], { timeout: 10_000 })
      .stdout.toString()
      .trim();
  };

  /**
   * A network comes, is kept from the outside, and is told so; then what was told is done.
   * @param run a command of the firewall's @param again makes it anew
   */
  async function livesBeside(kind: string, run: (command: string) => void, again?: () => void): Promise<void> {
    const network = await networks.create({ name: "web", subnets: [{ subnet: "10.77.0.0/24" }] });
    const before = theirs();
    const obstacle = obstacleOf(network);
    expect(obstacle?.found).toStartWith(`${kind} (the table `);
    expect(obstacle?.found).toEndWith(`drops what comes from ${network.device} and goes to it`);
    const { id, place, address } = await member(network, "8080:7001");
    const neighbour = await member(network);
    const server = place.start(process.execPath, ECHO, "serve", "7001", "inside");
    await server.stdout.getReader().read();
    expect(nc(place, "203.0.113.9", "7000")).toBe("");
    expect(theirs()).toBe(before);
    for (const command of obstacle?.hint.split(" && ") ?? []) run(command);
    const after = theirs();
    expect(after).not.toBe(before);
    expect(obstacleOf(network)).toBeUndefined();
    const works = () => {
      expect(nc(place, "203.0.113.9", "7000")).toBe("outside saw 203.0.113.1");
      expect(nc(outside, "203.0.113.1", "8080")).toBe("inside saw 203.0.113.9");
      expect(nc(neighbour.place, address, "7001")).toStartWith("inside saw");
    };
    works();
    if (again) {
      again();
      expect(hasFirewall()).toBe(true);
      expect(obstacleOf(network)).toBeUndefined();
      works();
    }
    const last = theirs();
    // what is kept apart stays apart
    const other = await member(await networks.create({ name: "other", subnets: [{ subnet: "10.78.0.0/24" }] }));
    expect(nc(other.place, address, "7001")).toBe("");
    for (const each of [id, neighbour.id, other.id]) await networks.leave(each);
    expect(hasFirewall()).toBe(false);
    expect(theirs()).toBe(last);
    for (const name of ["web", "other"]) await networks.remove(name);
  }

  test("nothing is in the way of a network where there is no firewall", async () => {
    const network = await networks.create({ name: "web" });
    expect(obstacleOf(network)).toBeUndefined();
    // one that drops, and knows of it
    runHere("nft", "add table ip own; add chain ip own f { type filter hook forward priority 0; policy drop; }");
    expect(obstacleOf(network)).toMatchObject({ found: expect.stringContaining("a firewall (the table own) drops") });
    expect(obstacleOf({ ...network, internal: true })).toBeUndefined();
    runHere("nft", `add rule ip own f iifname ${network.device} accept`);
    expect(obstacleOf(network)).toBeUndefined();
    await networks.remove("web");
  });

  testUnless(
    missing("ufw"),
    "ufw",
    async () => {
      await using apart = new Apart("/etc/ufw", "/etc/default");
      await apart.ready();
      apart.run("ufw", "--force", "enable");
      const run = (command: string) => apart.run(...command.split(" "));
      await livesBeside("ufw", run, () => run("ufw reload"));
      apart.run("ufw", "disable");
    },
    180_000,
  );

  testUnless(
    missing("firewalld", "firewall-cmd", "dbus-daemon"),
    "firewalld",
    async () => {
      await using apart = new Apart("/etc/firewalld", "/var/log");
      await apart.ready();
      apart.run("sh", "-c", `echo '${BUS}' >/run/bus.conf`);
      apart.start("dbus-daemon", "--nofork", "--nopidfile", "--config-file=/run/bus.conf");
      await apart.until(() => apart.run("sh", "-c", "ls /run").includes("bus\n"));
      apart.start("firewalld", "--nofork", "--nopid");
      await apart.until(() => apart.run("sh", "-c", "firewall-cmd --state 2>&1; true") === "running\n");
      const run = (command: string) => apart.run(...command.split(" "));
      await livesBeside("firewalld", run, () => run("firewall-cmd --reload"));
    },
    180_000,
  );

  testUnless(
    missing("dockerd", "docker"),
    "Docker",
    async () => {
      await using apart = new Apart();
      await apart.ready();
      const at = "/run/docker-test";
      // it drops what is passed on where it was who switched that on
      writeFileSync("/proc/sys/net/ipv4/ip_forward", "0");
      const places = ["--data-root", `${at}/data`, "--exec-root", `${at}/exec`, "--pidfile", `${at}/pid`];
      apart.start("dockerd", "--host", `unix://${at}/socket`, ...places, "--storage-driver", "vfs");
      const chains = () => Bun.spawnSync(["nft", "list", "ruleset"]).stdout.toString();
      await apart.until(() => /chain DOCKER-USER/.test(chains()) && /docker0/.test(chains()));
      await apart.until(
        () => apart.run("sh", "-c", `docker -H unix://${at}/socket version >/dev/null 2>&1; echo $?`) === "0\n",
      );
      const run = (command: string) => apart.run(...command.split(" "));
      await livesBeside("Docker", run);
    },
    180_000,
  );
});

/** Of a bus that lets everybody do everything, and starts nothing. */
const BUS = `<busconfig><type>system</type><listen>unix:path=/run/bus</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*" eavesdrop="true"/>
<allow receive_sender="*"/></policy></busconfig>`;
