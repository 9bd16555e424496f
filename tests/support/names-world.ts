/** A machine with a store, a server for names outside, and what tests look for in them. @module */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { hasFirewall } from "../../lib/network/firewall.ts";
import { CommandLine } from "./command-line.ts";
import { deviceNames, runHere, World } from "./network-world.ts";
import { eventually } from "./processes.ts";

/** At which the server outside listens: it knows every name, as `10.255.0.7`. */
export const OUTSIDE = ["127.0.0.1", "127.0.0.9"];

export class NamesWorld implements AsyncDisposable {
  readonly #world = new World();
  #upstream: Bun.Subprocess<"ignore", "pipe", "inherit"> | undefined;
  made!: CommandLine;
  /** What the server outside was asked for. */
  readonly asked: string[] = [];

  static async open(): Promise<NamesWorld> {
    const world = new NamesWorld();
    world.made = await CommandLine.open();
    const upstream = Bun.spawn([process.execPath, `${import.meta.dir}/dns-upstream.ts`, "7", ...OUTSIDE], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    world.#upstream = upstream;
    void (async () => {
      for await (const text of upstream.stdout.pipeThrough(new TextDecoderStream()))
        world.asked.push(...text.trim().split("\n"));
    })();
    if (!(await eventually(() => world.asked.includes("ready")))) throw new Error("the server outside does not begin");
    return world;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.made[Symbol.asyncDispose]();
    this.#upstream?.kill(9);
    await this.#upstream?.exited;
    this.#world[Symbol.dispose]();
  }

  said = (...words: string[]): string => this.made.said(...words);
  inspected = (name: string, what: string): string => this.said("inspect", "-f", what, name);
  addressOf = (name: string): string =>
    this.inspected(name, "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}");
  pidOf = (name: string): number => Number(this.inspected(name, "{{.State.Pid}}"));
  gatewayOf = (network: string): [string, string] =>
    this.said("network", "inspect", "-f", "{{range .IPAM.Config}}{{.Gateway}} {{end}}", network).split(" ") as [
      string,
      string,
    ];
  deviceOf = (network: string): string =>
    `tsb-${this.said("network", "inspect", "-f", "{{.Id}}", network).slice(0, 10)}`;
  sleeping = (name: string, network: string, ...flags: string[]): string =>
    this.said("run", "-d", "--name", name, "--network", network, ...flags, "busy", "sleep", "1000");

  /** Processes that answer for names of this store. */
  answering(): number[] {
    const isOne = (pid: number) => {
      try {
        return (
          readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("network\0netd") &&
          readFileSync(`/proc/${pid}/environ`, "utf8").includes(`TSBOX_ROOT=${this.made.root}\0`)
        );
      } catch {
        return false;
      }
    };
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter(isOne);
  }

  /** Of bridges, rules, processes and sockets; in a moment. */
  async left(): Promise<string[]> {
    await eventually(() => this.answering().length === 0);
    const sockets = ["udp", "tcp"].flatMap((table) =>
      runHere("cat", `/proc/net/${table}`)
        .split("\n")
        // at port 53, but for those outside, and connections that are over (TCP_TIME_WAIT)
        .filter((line) => /^\s*\d+: \w+:0035 /.test(line) && !/^\s*\d+: (0[19]00007F|\S+ \S+ 06 )/.test(line)),
    );
    return [
      ...this.answering().map((pid) => `process ${pid}`),
      ...deviceNames().filter((name) => name !== "lo"),
      ...(hasFirewall() ? ["rules"] : []),
      ...(existsSync(`${this.made.root}/netd.sock`) ? ["netd.sock"] : []),
      ...sockets,
    ];
  }
}
