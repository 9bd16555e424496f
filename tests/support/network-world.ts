/**
 * Small worlds of network namespaces: this machine, which the test's own thread is in, and others beside it. All of them
 * end with the test.
 * @module
 */
import { closeSync, openSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { parseAddress, parseSubnet } from "../../lib/ip/index.ts";
import { inNetwork, Links } from "../../lib/netlink/index.ts";
import { syscall } from "../../syscalls/index.ts";
import { SLOW } from "./machine.ts";

const CLONE_NEWNET = 0x40000000;

/** One more namespace, with a process that holds it. */
export interface Place extends Disposable {
  pid: number;
  /** A descriptor. */
  namespace: number;
  /** Runs a command there. */
  run(...words: string[]): string;
  /** One that goes on. */
  start(...words: string[]): Bun.Subprocess<"ignore", "pipe", "pipe">;
}

/** This thread is in a network namespace of its own, until it is disposed. */
export class World implements Disposable {
  readonly #before = openSync("/proc/thread-self/ns/net", "r");
  readonly #places: Place[] = [];

  constructor() {
    syscall("make a network namespace", "unshare", CLONE_NEWNET);
    using links = new Links();
    links.change(links.indexOf("lo"), { up: true });
  }

  [Symbol.dispose](): void {
    for (const place of this.#places) place[Symbol.dispose]();
    syscall("leave the network namespace", "setns", this.#before, CLONE_NEWNET);
    closeSync(this.#before);
  }

  place(): Place {
    const holder = Bun.spawn(["unshare", "--net", "sleep", "1000"], { stdio: ["ignore", "ignore", "inherit"] });
    const own = readlinkSync("/proc/thread-self/ns/net");
    const path = `/proc/${holder.pid}/ns/net`;
    while (readlinkSync(path) === own || !/sleep/.test(readFileSync(`/proc/${holder.pid}/comm`, "utf8")))
      Bun.sleepSync(1);
    const namespace = openSync(path, "r");
    const started: Bun.Subprocess[] = [];
    let isOver = false;
    inNetwork(namespace, () => {
      using links = new Links();
      links.change(links.indexOf("lo"), { up: true });
    });
    const enter = ["nsenter", `--net=${path}`];
    const place: Place = {
      pid: holder.pid,
      namespace,
      run: (...words) => runHere(...enter, ...words),
      start: (...words) => {
        const child = Bun.spawn([...enter, ...words], { stdio: ["ignore", "pipe", "pipe"] });
        started.push(child);
        return child;
      },
      [Symbol.dispose]: () => {
        if (isOver) return;
        isOver = true;
        started.forEach((child) => child.kill(9));
        holder.kill(9);
        closeSync(namespace);
      },
    };
    this.#places.push(place);
    return place;
  }

  /** A machine at the other end of a cable: `mine` and `theirs` are addresses with prefixes; its way to all else is this one. */
  neighbour(mine: readonly string[], theirs: readonly string[]): Place {
    const place = this.place();
    using links = new Links();
    const name = `out${this.#places.length}`;
    links.addVeth(name, { name: "eth0", namespace: place.namespace });
    const index = links.indexOf(name);
    // neighbours of version 6 are found at once
    const atOnce = (device: string) => writeFileSync(`/proc/sys/net/ipv6/conf/${device}/accept_dad`, "0");
    atOnce(name);
    for (const text of mine) links.addAddress(index, parseSubnet(text), "give this machine an address");
    links.change(index, { up: true });
    inNetwork(place.namespace, () => {
      using own = new Links();
      const eth0 = own.indexOf("eth0");
      atOnce("eth0");
      for (const text of theirs) own.addAddress(eth0, parseSubnet(text), "give the neighbour an address");
      own.change(eth0, { up: true });
    });
    return place;
  }
}

export function runHere(...words: string[]): string {
  const { stdout, stderr, exitCode } = Bun.spawnSync(words, { timeout: 60_000 * SLOW });
  if (exitCode !== 0) throw new Error(`${words.join(" ")}: ${exitCode} ${stderr}`);
  return stdout.toString().trim();
}

/** From now on, what is elsewhere is reached by way of this address. */
export function routeThrough(place: Place, through: string): void {
  inNetwork(place.namespace, () => {
    using own = new Links();
    const address = parseAddress(through);
    own.addDefaultRoute(own.indexOf("eth0"), address, address.family);
  });
}

/** Devices of the namespace that the thread is in, but for the tunnel that some kernels make in each of them. */
export function deviceNames(): string[] {
  using links = new Links();
  return links.list().flatMap(({ name }) => (name === "sit0" ? [] : [name]));
}
