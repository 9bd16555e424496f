/** Engines of containers that tsbox is compared with, each with its data in a directory of the run's. @module */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { installed, removePodmanGroups } from "./contenders.ts";

const TSBOX = join(import.meta.dir, "../dist/tsbox");

export interface Tool {
  name: string;
  command: string[];
  env: Record<string, string | undefined>;
  /** Flags of every container. */
  flags: string[];
  /** Whether the pid that `inspect` tells is of what supervises the command, rather than of the command. */
  pidSupervises: boolean;
  end(): Promise<void>;
}

export const call = (tool: Tool, ...words: string[]): string => {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...tool.command, ...words], {
    env: tool.env,
    stdio: [new Blob([]), "pipe", "pipe"],
  });
  if (exitCode !== 0) throw new Error(`${tool.name} ${words.join(" ")}: ${exitCode}: ${stderr.toString()}`);
  return stdout.toString().trim();
};

export const tsbox = (at: string): Tool => ({
  name: "tsbox",
  command: [TSBOX, "--root", join(at, "tsbox")],
  env: process.env,
  flags: [],
  pidSupervises: true,
  async end() {},
});

/** @param networked with bridges, and ports */
export function podman(at: string, group: string, networked = false): Tool | undefined {
  if (!installed("podman")) return undefined;
  writeFileSync(
    join(at, "storage.conf"),
    `[storage]\ndriver = "overlay"\ngraphroot = "${at}/podman"\nrunroot = "${at}/podman-run"\n`,
  );
  writeFileSync(
    join(at, "containers.conf"),
    `[containers]\ndefault_ulimits = []\n[engine]\nlock_type = "file"\n[network]\nnetwork_config_dir = "${at}/podman-networks"\n`,
  );
  return {
    name: "podman",
    command: ["podman", "--cgroup-manager=cgroupfs", "--events-backend=none", "--runtime=crun"],
    env: {
      ...process.env,
      CONTAINERS_STORAGE_CONF: join(at, "storage.conf"),
      CONTAINERS_CONF: join(at, "containers.conf"),
    },
    flags: [...(networked ? [] : ["--network", "none"]), "--cgroup-parent", `/${group}`],
    pidSupervises: false,
    end: async () => removePodmanGroups(group),
  };
}

/** @param networked with bridges, and ports */
export async function docker(at: string, networked = false): Promise<Tool | undefined> {
  if (!installed("docker") || !installed("dockerd")) return undefined;
  const host = `unix://${at}/docker.sock`;
  const places = ["--data-root", `${at}/docker`, "--exec-root", `${at}/docker-run`, "--pidfile", `${at}/docker.pid`];
  const drivers = ["--storage-driver", "overlay2", "--exec-opt", "native.cgroupdriver=cgroupfs"];
  const network = networked ? [] : ["--bridge", "none", "--iptables=false", "--ip6tables=false"];
  const daemon = Bun.spawn(["dockerd", "--host", host, ...places, ...drivers, ...network], {
    stdio: ["ignore", "ignore", "ignore"],
  });
  const tool: Tool = {
    name: "docker",
    command: ["docker"],
    env: { ...process.env, DOCKER_HOST: host },
    flags: networked ? [] : ["--network", "none"],
    pidSupervises: false,
    async end() {
      daemon.kill();
      await daemon.exited;
      removePodmanGroups("docker");
    },
  };
  for (let turn = 0; turn < 100 && daemon.exitCode === null; turn++) {
    if (Bun.spawnSync(["docker", "version"], { env: tool.env }).exitCode === 0) return tool;
    await Bun.sleep(100);
  }
  await tool.end();
  console.log("docker: dockerd does not answer, left out\n");
  return undefined;
}
