/** What a box uses: as its control group counts it, and else as the owner's /proc has it. @module */
import type { Cgroup } from "../cgroup/index.ts";
import { membersOf, privateBytes, SeenCpuTime } from "./members.ts";
import type { BoxUsage } from "./options.ts";

export class UsageMeter {
  readonly #cgroup: Cgroup;
  readonly #roots: () => number[];
  readonly #seen = new SeenCpuTime();
  readonly #started = performance.now();

  /** @param roots what all processes of the box come from */
  constructor(cgroup: Cgroup, roots: () => number[]) {
    this.#cgroup = cgroup;
    this.#roots = roots;
  }

  read(): BoxUsage {
    const { cpu, peakMemoryBytes } = this.#cgroup.counters();
    const { memoryBytes, pids, readBytes, writeBytes } = this.#cgroup.amounts();
    const looked = cpu && memoryBytes !== undefined && pids !== undefined ? [] : membersOf(this.#roots());
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
    };
  }
}
