/**
 * Builds, against buildah and Docker's classic builder: `bun bench/build.ts [--quick] [--at DIR] [TABLE...]`, some of
 * `cached cold stages context`.
 *
 * The base image is busybox, and no RUN has a network. buildah has its store, and dockerd, which is started for this, its
 * data in one directory, of a tmpfs unless `--at` says another. What is not installed is left out. Needs root and
 * dist/tsbox. It goes on in a mount namespace of its own: `apart.ts`.
 * @module
 */
import { appendFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { BOX, makeArchive } from "../tests/e2e/images.ts";
import { Folder } from "../tests/support/rootfs.ts";
import { apartIn, goApart } from "./apart.ts";
import { installed, spawned } from "./contenders.ts";
import { call, docker, podman, tsbox, type Tool } from "./engines.ts";
import { interleave, median, type Contender, type Rounds, type Samples } from "./measure.ts";
import { bars, compare, number, timings, type Bar } from "./report.ts";

const { values, positionals } = parseArgs({
  args: process.argv.slice(2),
  options: { quick: { type: "boolean", default: false }, at: { type: "string" } },
  allowPositionals: true,
});
const [FILES, SECONDS, MEGABYTES] = values.quick ? [500, 1, 64] : [5000, 5, 1000];
const IDLE_MS = 100;

/** One that builds. */
interface Builder extends Tool {
  /** Words before the directory. */
  build: string[];
}

const builderOf = (tool: Tool, ...build: string[]): Builder => ({ ...tool, build });

function buildah(at: string): Builder | undefined {
  const found = podman(at, `tsbox-bench-${process.pid}`);
  if (!found || !installed("buildah")) return undefined;
  const tool = { ...found, name: "buildah", command: ["buildah"] };
  return builderOf(tool, "build", "--layers", "--isolation=oci", "--pull=never");
}

async function classic(at: string): Promise<Builder | undefined> {
  const tool = await docker(at);
  // the client's own builder, not that of a plug-in
  const env = { ...tool?.env, DOCKER_BUILDKIT: "0" };
  return tool && builderOf({ ...tool, env }, "build");
}

const contender = (
  tool: Builder,
  directory: string,
  words: string[] = [],
  more: Partial<Contender> = {},
): Contender => {
  const command = [...tool.command, ...tool.build, "-q", "--network", "none", "-t", "bench", ...words, directory];
  return { ...spawned(tool.name, command, { env: tool.env }), ...more };
};

const rounds = (count: number): Rounds =>
  values.quick ? { warmUp: 1, count: 3, idleMs: IDLE_MS } : { warmUp: 1, count, idleMs: IDLE_MS };

/** Against the faster of the others. */
function against(what: string, [our, ...others]: Samples[], most: number): Bar[] {
  const [fastest] = others.toSorted((a, b) => median(a.values) - median(b.values));
  return fastest ? [compare(`${what} vs ${fastest.name}`, our as Samples, fastest, { most })] : [];
}

const TREE = ["WORKDIR /srv/app", "COPY . .", "RUN echo hello", 'CMD ["sh"]'];

function makeTree(folder: Folder, name: string): string {
  for (let at = 0; at < FILES; at++) folder.write(`${name}/d${at % 50}/f${at}`, `file ${at}\n`.repeat(1 + (at % 40)));
  folder.write(`${name}/Dockerfile`, [`FROM ${BOX}`, ...TREE].join("\n"));
  return join(folder.path, name);
}

async function cached(tools: Builder[], folder: Folder): Promise<Bar[]> {
  const directory = makeTree(folder, "cached");
  const samples = await interleave(
    tools.map((tool) => contender(tool, directory)),
    rounds(20),
  );
  console.log(`### All of it in the cache, ${FILES} files\n\n${timings(samples)}\n`);
  return against("fully cached", samples, 0.2);
}

async function cold(tools: Builder[], folder: Folder): Promise<Bar[]> {
  const directory = makeTree(folder, "cold");
  const samples = await interleave(
    tools.map((tool) => contender(tool, directory, ["--no-cache"])),
    rounds(7),
  );
  console.log(`### FROM, WORKDIR, COPY of ${FILES} files, RUN, CMD, nothing in the cache\n\n${timings(samples)}\n`);
  return against("cold", samples, 0.4);
}

async function stages(tools: Builder[], folder: Folder): Promise<Bar[]> {
  const stage = (name: string) => `FROM ${BOX} AS ${name}\nRUN sleep ${SECONDS}; echo ${name}`;
  const copies = "COPY --from=a /bin/sh /a\nCOPY --from=b /bin/sh /b";
  folder.write("stages/Dockerfile", [stage("a"), stage("b"), `FROM ${BOX}`, copies].join("\n"));
  const [our] = tools as [Builder];
  const words = contender(our, join(folder.path, "stages"), ["--no-cache"]);
  const [samples] = (await interleave([words], { warmUp: 0, count: values.quick ? 1 : 3 })) as [Samples];
  const seconds = median(samples.values) / 1000;
  console.log(`### Two stages of ${SECONDS} s each\n\n${timings([samples])}\n`);
  const most = SECONDS * 1.2;
  return [
    {
      measure: `two stages of ${SECONDS} s`,
      bar: `≤ ${most} s`,
      measured: `${number(seconds)} s`,
      holds: seconds <= most,
    },
  ];
}

async function context(tools: Builder[], folder: Folder): Promise<Bar[]> {
  const directory = folder.directory("context");
  mkdirSync(join(directory, "data"));
  const megabyte = new Uint8Array(2 ** 20);
  for (let at = 0; at < MEGABYTES; at++) {
    crypto.getRandomValues(megabyte.subarray(0, 65536));
    writeFileSync(join(directory, `data/${at}`), megabyte);
  }
  writeFileSync(join(directory, "changed"), "");
  writeFileSync(join(directory, "Dockerfile"), `FROM ${BOX}\nCOPY data /data\nCOPY changed /`);
  const before = () => appendFileSync(join(directory, "changed"), "more\n");
  const all = tools.map((tool) => contender(tool, directory, [], { before }));
  const samples = await interleave(all, { warmUp: 1, count: values.quick ? 2 : 5, mostMs: 120_000 });
  console.log(`### A context of ${MEGABYTES} MB, of which one file has changed\n\n${timings(samples)}\n`);
  return against(`one file of ${MEGABYTES} MB changed`, samples, 0.3);
}

const TABLES = { cached, cold, stages, context };

async function measure(at: string): Promise<Bar[]> {
  using folder = new Folder();
  const archive = makeArchive(folder);
  const ours = builderOf(tsbox(at), "build");
  const [theirs, dockers] = [buildah(at), await classic(at)];
  const tools = [ours, theirs, dockers].filter((tool) => tool !== undefined);
  const all: Bar[] = [];
  try {
    for (const tool of tools) {
      if (tool === theirs) call({ ...tool, command: ["podman"] }, "load", "-q", "-i", archive);
      else call(tool, "load", "-i", archive);
    }
    for (const [name, table] of Object.entries(TABLES))
      if (positionals.length === 0 || positionals.includes(name)) all.push(...(await table(tools, folder)));
  } finally {
    for (const tool of tools) await tool.end();
  }
  return all;
}

const directory = apartIn() ?? process.exit(await goApart("tsbox-builds-", values.at));
console.log(bars(await measure(directory)));
