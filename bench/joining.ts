/**
 * A process more in what runs already: `box.spawn` against `podman exec`, and against a process that is not confined.
 *
 * This file is also a program of its own, which measures inside a mount namespace: podman's state lies in a `/run` of its
 * own, and cgroup v2 beside v1, which podman's runtime refuses, is covered.
 * @module
 */
import { existsSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Sandbox } from "../lib/index.ts";
import { apart, bare, installed, ownNetwork, removePodmanGroups, spawned } from "./contenders.ts";
import { interleave, type Contender, type Rounds, type Samples } from "./measure.ts";
import { compare, timings, type Bar } from "./report.ts";
import { Rootfs, TRUE } from "./rootfs.ts";

export async function inRunningSandbox(rootfs: string, rounds: Rounds): Promise<Bar[]> {
  await using box = await Sandbox.create(ownNetwork(rootfs));
  const results = await interleave([bare(rootfs), spawnIn(box)], rounds);
  const [reference, ours] = results as [Samples, Samples];
  console.log(`### box.spawn in a running sandbox\n\n${timings(results)}\n`);
  return [compare("box.spawn vs Bun.spawn", ours, reference, { most: 2 })];
}

export async function againstPodman(rounds: Rounds): Promise<Bar[]> {
  const [reference, ours] = await apart(import.meta.path, rounds);
  if (!reference || !ours) return [];
  console.log(`### box.spawn against podman exec\n\n${timings([reference, ours])}\n`);
  return [compare("box.spawn vs podman exec", ours, reference, { most: 0.2 })];
}

function spawnIn(box: Sandbox): Contender {
  const read = (stream?: ReadableStream<Uint8Array>) => new Response(stream).text();
  return {
    name: "box.spawn",
    async run() {
      const process = box.spawn([TRUE], { stderr: "pipe" });
      const [, stderr, code] = await Promise.all([read(process.stdout), read(process.stderr), process.exited]);
      if (code !== 0) throw new Error(`box.spawn: exit status ${code}: ${stderr}`);
    },
  };
}

/** A container of podman's in the same root filesystem, with the same limits. */
class PodmanContainer implements Disposable {
  readonly exec: Contender;
  readonly #podman: string[];
  readonly #env: Record<string, string | undefined>;
  readonly #state = mkdtempSync(join(tmpdir(), "tsbox-bench-podman-"));
  readonly #cgroup = `tsbox-bench-podman-${process.pid}`;

  constructor(podman: string, rootfs: string) {
    const write = (name: string, text: string) => {
      const path = join(this.#state, name);
      writeFileSync(path, text);
      return path;
    };
    const directories = `graphroot = "${this.#state}/graph"\nrunroot = "${this.#state}/run"\n`;
    this.#env = {
      ...process.env,
      CONTAINERS_STORAGE_CONF: write("storage.conf", `[storage]\ndriver = "vfs"\n${directories}`),
      CONTAINERS_CONF: write("containers.conf", `[containers]\ndefault_ulimits = []\n[engine]\nlock_type = "file"\n`),
    };
    this.#podman = [podman, "--cgroup-manager=cgroupfs", "--events-backend=none", "--runtime=crun"];
    symlinkSync(TRUE.slice(1), join(rootfs, "sleep")); // of the same busybox
    const words = `--network none --cgroup-parent /${this.#cgroup} --memory 256m --cpus 0.5 --pids-limit 100 --ulimit host --rootfs`;
    try {
      this.#run("run", "--detach", "--name", "bench", ...words.split(" "), rootfs, "/sleep", "1000");
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
    this.exec = spawned("podman exec", [...this.#podman, "exec", "bench", TRUE], { env: this.#env });
  }

  #run(...words: string[]): void {
    const { exitCode, stderr } = Bun.spawnSync([...this.#podman, ...words], { env: this.#env });
    if (exitCode !== 0) throw new Error(`podman ${words[0]}: exit status ${exitCode}: ${stderr.toString()}`);
  }

  [Symbol.dispose](): void {
    this.#run("rm", "--force", "--ignore", "--time", "0", "bench");
    removePodmanGroups(this.#cgroup);
    rmSync(this.#state, { recursive: true, force: true });
  }
}

if (import.meta.main) {
  using rootfs = new Rootfs();
  const [warmUp = 0, count = 0] = process.argv.slice(2).map(Number);
  const podman = installed("podman");
  if (podman === undefined || !existsSync("/bin/busybox")) console.log("[]");
  else {
    using container = new PodmanContainer(podman, rootfs.path);
    await using box = await Sandbox.create(ownNetwork(rootfs.path));
    console.log(JSON.stringify(await interleave([container.exec, spawnIn(box)], { warmUp, count })));
  }
}
