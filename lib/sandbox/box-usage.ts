/** What a sandbox uses: as its control group counts it, and else as the owner's /proc has it. @module */
import type { Cgroup } from "../cgroup/index.ts";
import { membersOf, privateBytes, SeenCpuTime } from "./members.ts";
import type { BoxUsage } from "./options.ts";

export interface NetworkBytes {
  inBytes: number;
  outBytes: number;
}

export class UsageMeter {
  readonly #cgroup: Cgroup;
  readonly #roots: () => number[];
  readonly #network: () => NetworkBytes | undefined;
  readonly #seen = new SeenCpuTime();
  readonly #started = performance.now();

  /** @param roots what all its processes come from @param network what has gone in and out */
  constructor(cgroup: Cgroup, roots: () => number[], network: () => NetworkBytes | undefined = () => undefined) {
    this.#cgroup = cgroup;
    this.#roots = roots;
    this.#network = network;
  }

  /** A process that the owner has waited for has ended. */
  tell(exit: { userMs: number; systemMs: number }): void {
    this.#seen.tell(exit);
  }

  /** Of all processes, those that have ended too. */
  cpuMs(): number {
    const counted = this.#cgroup.cpuTime();
    if (counted) return counted.cpuMs;
    const { userMs, systemMs } = this.#seen.add(membersOf(this.#roots()));
    return userMs + systemMs;
  }

  read(): BoxUsage {
    const network = this.#network();
    const { cpu, peakMemoryBytes } = this.#cgroup.counters();
    const { memoryBytes, pids, readBytes, writeBytes } = this.#cgroup.amounts();
    const complete = cpu && memoryBytes !== undefined && pids !== undefined;
    const looked = complete ? [] : membersOf(this.#roots());
    const { userMs, systemMs } = cpu ?? this.#seen.add(looked);
    return {
      wallMs: performance.now() - this.#started,
      cpuMs: cpu?.cpuMs ?? userMs + systemMs,
      cpuUserMs: userMs,
      cpuSystemMs: systemMs,
      pids: pids ?? looked.reduce((sum, { threads }) => sum + threads, 0),
      memoryBytes: memoryBytes ?? looked.reduce((sum, member) => sum + privateBytes(member), 0),
      peakMemoryBytes,
      readBytes,
      writeBytes,
      networkInBytes: network?.inBytes,
      networkOutBytes: network?.outBytes,
    };
  }
}
