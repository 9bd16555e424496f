/**
 * Whole commands about images against those of others: `bun bench/pulling.ts [--quick] [--layout DIR:TAG] [--at DIR]`.
 *
 * An image of several layers, packed with gzip, lies in Debian's docker-registry on a loopback port. Each contender pulls
 * and unpacks it into a store that is new each time; then each that can runs `true` in it. Without `--layout`, the image
 * is Debian's smallest and two layers of changes. All stores lie in one directory, of a tmpfs unless `--at` says another.
 * `docker` takes part where DOCKER_HOST leads to a daemon. Needs root, dist/tsbox, docker-registry, skopeo and umoci.
 *
 * It goes on in a mount namespace of its own, with a `/run` of its own and without the v2 tree of a machine that has both
 * versions, which crun refuses.
 * @module
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { apartIn, goApart } from "./apart.ts";
import { installed, removePodmanGroups, spawned } from "./contenders.ts";
import { interleave, type Contender, type Samples } from "./measure.ts";
import { bars, compare, timings, type Bar } from "./report.ts";

const { values } = parseArgs({
  args: process.argv.slice(2),
  options: { quick: { type: "boolean", default: false }, layout: { type: "string" }, at: { type: "string" } },
});
const TSBOX = join(import.meta.dir, "../dist/tsbox");
const IDLE_MS = 100;

function shell(script: string, env: Record<string, string | undefined> = process.env): void {
  const { exitCode, stderr } = Bun.spawnSync(["bash", "-ec", script], { env, stderr: "pipe" });
  if (exitCode !== 0) throw new Error(`${script}: ${stderr.toString()}`);
}

const CHANGES = [
  "mkdir -p opt/app; for i in $(seq 3000); do seq $i $((i + 300)) >opt/app/$i; done",
  "mkdir -p srv; head -c 20000000 /dev/urandom >srv/random; seq 2000000 >srv/numbers",
];

/** An OCI image layout of the default image. */
function makeLayout(at: string): string {
  shell(`cd ${at}
    mmdebstrap --quiet --variant=minbase bookworm base.tar
    umoci init --layout layout; umoci new --image layout:image; umoci raw add-layer --image layout:image base.tar
    ${CHANGES.map((change, index) => `mkdir change${index}; (cd change${index}; ${change}); tar --owner=0 --group=0 -C change${index} -cf change${index}.tar .; umoci raw add-layer --image layout:image change${index}.tar`).join("\n")}
    rm -rf base.tar change*`);
  return join(at, "layout:image");
}

async function freePort(): Promise<number> {
  const server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = server;
  server.stop(true);
  return port;
}

/** Runs until it is disposed of. @returns `127.0.0.1:PORT/image:1` */
async function serve(at: string, layout: string): Promise<AsyncDisposable & { name: string }> {
  const port = await freePort();
  const config = join(at, "registry.yml");
  writeFileSync(
    config,
    `version: 0.1
log: { level: error, accesslog: { disabled: true } }
storage: { filesystem: { rootdirectory: ${at}/registry } }
http: { addr: "127.0.0.1:${port}" }
`,
  );
  const registry = Bun.spawn(["docker-registry", "serve", config], { stdio: ["ignore", "ignore", "ignore"] });
  const name = `127.0.0.1:${port}/image:1`;
  for (let turn = 0; turn < 100; turn++) {
    const answer = await fetch(`http://127.0.0.1:${port}/v2/`).catch(() => undefined);
    if (answer?.ok) break;
    await Bun.sleep(50);
  }
  shell(`skopeo --insecure-policy copy -q --dest-tls-verify=false oci:${layout} docker://${name}`);
  return {
    name,
    async [Symbol.asyncDispose]() {
      registry.kill();
      await registry.exited;
    },
  };
}

interface Tool {
  pull: Contender;
  run?: Contender;
  remove?: () => void;
}

function tsbox(at: string, image: string): Tool {
  const command = [TSBOX, "--root", join(at, "tsbox")];
  return {
    pull: {
      ...spawned("tsbox pull", [...command, "pull", "-q", image]),
      before: () => shell(`rm -rf ${at}/tsbox`),
    },
    run: spawned("tsbox run", [...command, "run", "--rm", "--pull", "never", image, "true"]),
  };
}

function podman(at: string, image: string): Tool | undefined {
  if (!installed("podman")) return undefined;
  const storage = `[storage]\ndriver = "overlay"\ngraphroot = "${at}/podman"\nrunroot = "${at}/podman-run"\n`;
  writeFileSync(join(at, "storage.conf"), storage);
  writeFileSync(join(at, "containers.conf"), `[containers]\ndefault_ulimits = []\n[engine]\nlock_type = "file"\n`);
  const env = {
    ...process.env,
    CONTAINERS_STORAGE_CONF: join(at, "storage.conf"),
    CONTAINERS_CONF: join(at, "containers.conf"),
  };
  const command = ["podman", "--cgroup-manager=cgroupfs", "--events-backend=none", "--runtime=crun"];
  const pull = [...command, "pull", "-q", "--tls-verify=false", image];
  const removeImages = () =>
    shell(`${command.join(" ")} rmi --all --force >/dev/null 2>&1; rm -rf ${at}/podman/cache`, env);
  const cgroup = `tsbox-bench-podman-${process.pid}`;
  const words = ["run", "--rm", "--network", "none", "--cgroup-parent", `/${cgroup}`, image, "true"];
  return {
    pull: { ...spawned("podman pull", pull, { env }), before: removeImages },
    run: spawned("podman run", [...command, ...words], { env }),
    remove() {
      removeImages();
      removePodmanGroups(cgroup);
    },
  };
}

function skopeoAndUmoci(at: string, image: string): Tool | undefined {
  if (!installed("skopeo") || !installed("umoci")) return undefined;
  const script = `skopeo --insecure-policy copy -q --src-tls-verify=false docker://${image} oci:${at}/copy:1
    umoci unpack --image ${at}/copy:1 ${at}/unpacked`;
  return {
    pull: {
      ...spawned("skopeo copy, umoci unpack", ["bash", "-ec", script]),
      before: () => shell(`rm -rf ${at}/copy ${at}/unpacked`),
    },
  };
}

function docker(image: string): Tool | undefined {
  if (!process.env["DOCKER_HOST"] || Bun.spawnSync(["docker", "version"]).exitCode !== 0) {
    console.log("docker: DOCKER_HOST leads to no daemon, left out\n");
    return undefined;
  }
  const remove = () => shell(`docker rmi -f ${image} >/dev/null 2>&1 || true`);
  return {
    pull: { ...spawned("docker pull", ["docker", "pull", "-q", image]), before: remove },
    run: spawned("docker run", ["docker", "run", "--rm", "--network", "none", image, "true"]),
    remove,
  };
}

async function measure(at: string): Promise<Bar[]> {
  await using registry = await serve(at, values.layout ?? makeLayout(at));
  const image = registry.name;
  const ours = tsbox(at, image);
  const others = [podman(at, image), skopeoAndUmoci(at, image), docker(image)].filter((tool) => tool !== undefined);
  const all: Bar[] = [];
  try {
    const pulls = await interleave(
      [ours, ...others].map(({ pull }) => pull),
      values.quick ? { warmUp: 1, count: 3 } : { warmUp: 1, count: 7 },
    );
    console.log(`### Pull and unpack\n\n${timings(pulls)}\n`);
    all.push(...against("pull and unpack", pulls, 0.35));
    const runs = await interleave(
      [ours, ...others].flatMap(({ run }) => run ?? []),
      values.quick ? { warmUp: 2, count: 10, idleMs: IDLE_MS } : { warmUp: 3, count: 30, idleMs: IDLE_MS },
    );
    console.log(`### true in a container of the image\n\n${timings(runs)}\n`);
    all.push(...against("run --rm IMAGE true", runs, 0.1));
  } finally {
    for (const { remove } of others) remove?.();
  }
  return all;
}

/** The bar is about the fastest of them. */
const against = (what: string, [our, ...others]: Samples[], most: number): Bar[] =>
  others.map((other) => compare(`${what} vs ${other.name}`, our as Samples, other, { most }));

const directory = apartIn() ?? process.exit(await goApart("tsbox-pulling-", values.at));
console.log(bars(await measure(directory)));
