/**
 * Layers and commits against the tools of others: `bun bench/images.ts [--quick] [--rootfs TAR] [unpack] [commit]`.
 *
 * All of it happens in one directory of a tmpfs, which is removed again: what is compared is work, not a disk. The root
 * filesystem is Debian's smallest, from mmdebstrap, or what TAR holds. Needs root.
 * @module
 */
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { digestOf } from "../lib/image/index.ts";
import { Images } from "../lib/images/index.ts";
import { filePieces } from "../lib/images/pieces.ts";
import { Compressor, packLayer, unpackLayer, type LayerSource } from "../lib/layer/index.ts";
import { installed } from "./contenders.ts";
import { interleave, type Contender, type Samples } from "./measure.ts";
import { bars, compare, timings, type Bar } from "./report.ts";

const { values, positionals } = parseArgs({
  args: process.argv.slice(2),
  options: { quick: { type: "boolean", default: false }, rootfs: { type: "string" } },
  allowPositionals: true,
});
const ROUNDS = values.quick ? { warmUp: 1, count: 3 } : { warmUp: 2, count: 10 };
const SUITE = "bookworm";
/** 600 files that are longer, 300 that are new, 100 that are gone. */
const CHANGES = `for f in $(find usr/share usr/lib etc -type f -size -64k | sort | head -600); do echo x >>$f; done
mkdir new; i=0; while [ $i -lt 300 ]; do head -c 8192 /dev/urandom >new/$i; i=$((i+1)); done
for f in $(find usr/share usr/lib -type f | sort -r | head -100); do rm -f $f; done`;

function shell(command: string, ...args: string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync(["bash", "-ec", command, "bash", ...args], { stderr: "pipe" });
  if (exitCode !== 0) throw new Error(`${command}: ${stderr.toString()}`);
  return stdout.toString().trim();
}

async function spawned(command: string[]): Promise<void> {
  const child = Bun.spawn(command, { stdout: "ignore", stderr: "pipe" });
  const [stderr, exitCode] = await Promise.all([child.stderr.text(), child.exited]);
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: exit status ${exitCode}: ${stderr}`);
}

class Workplace implements Disposable {
  readonly path = mkdtempSync("/dev/shm/tsbox-images-");
  readonly tar: string;
  #made = 0;

  constructor() {
    process.once("exit", () => this[Symbol.dispose]());
    for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));
    this.tar = values.rootfs ?? join(this.path, "rootfs.tar");
    if (values.rootfs === undefined) shell('mmdebstrap --quiet --variant=minbase "$1" "$2"', SUITE, this.tar);
  }

  at(name: string): string {
    return join(this.path, name);
  }

  fresh(): string {
    const directory = this.at(`fresh${this.#made++}`);
    mkdirSync(directory);
    return directory;
  }

  [Symbol.dispose](): void {
    shell('rm -rf "$1"', this.path);
  }
}

const remove = (directory: string) => void shell('rm -rf "$1"', directory);

/** Whole layers, into a directory that is new each time; it is removed while nobody watches. */
async function unpack(place: Workplace): Promise<Bar[]> {
  const tar = readFileSync(place.tar);
  const all: Bar[] = [];
  for (const [compression, pack, other] of [
    ["gzip", "gzip -c", "pigz"],
    ["zstd", "zstd -qc", "zstd"],
  ] as const) {
    const file = place.at(`layer.${compression}`);
    shell(`${pack} "$1" >"$2"`, place.tar, file);
    const sizeBytes = statSync(file).size;
    const [digest, diffId] = [digestOf(readFileSync(file)), digestOf(tar)];
    let into = "";
    const before = () => void (into = place.fresh());
    const after = () => remove(into);
    const ours: Contender = {
      name: `unpackLayer, ${compression}`,
      before,
      after,
      run: () => unpackFile(file, { compression, digest, sizeBytes, diffId }, into),
    };
    const path = installed(other);
    const pipe = `${other} -dc "$1" | tar -xpf - --xattrs --numeric-owner -C "$2"`;
    const theirs: Contender = {
      name: `${other} -dc | tar -x`,
      before,
      after,
      run: () => spawned(["bash", "-ec", pipe, "bash", file, into]),
    };
    const results = await interleave(path ? [ours, theirs] : [ours], ROUNDS);
    console.log(`### Unpack alone: ${compression}, ${(tar.length / 1e6).toFixed(0)} MB\n\n${timings(results)}\n`);
    const [our, their] = results as [Samples, Samples?];
    if (their) all.push(compare(`unpack alone, ${compression}, vs ${other} | tar`, our, their, { most: 1 }));
  }
  return all;
}

/** Read as the store reads a blob. */
async function unpackFile(file: string, layer: Omit<LayerSource, "pieces">, into: string): Promise<void> {
  const fd = openSync(file, "r");
  try {
    await unpackLayer({ ...layer, pieces: filePieces(fd, 0, layer.sizeBytes) }, into);
  } finally {
    closeSync(fd);
  }
}

/** The changed files lie where buildah has them; all contenders make a layer of the same directory. */
async function commit(place: Workplace): Promise<Bar[]> {
  const buildah = installed("buildah");
  const storage = ["--root", place.at("buildah"), "--runroot", place.at("buildah-run"), "--storage-driver", "overlay"];
  const run = (...args: string[]) => shell('"$@"', buildah as string, ...storage, ...args);
  const upper = buildah ? changedByBuildah(run, place) : changedHere(place);
  try {
    const images = new Images(place.at("store"));
    const base = await images.import(place.tar, { reference: "bench/base" });
    const reference = "bench/committed";
    const script = `import { Images } from ${JSON.stringify(join(import.meta.dir, "../lib/images/index.ts"))};
      await new Images(${JSON.stringify(place.at("store"))}).commit(${JSON.stringify(base.id)}, ${JSON.stringify(upper)}, { reference: ${JSON.stringify(reference)} });`;
    const forget = async () => void (await images.remove(reference));
    const packed = (name: string, format?: "gzip" | "zstd"): Contender => ({
      name,
      async run() {
        if (!format) return packLayer(upper, () => {});
        const compressor = new Compressor(format, () => {});
        await packLayer(upper, (bytes) => compressor.write(bytes));
        return compressor.end();
      },
    });
    const file = place.at("upper.tar");
    const contenders: Contender[] = [
      { name: "images.commit", after: forget, run: () => images.commit(base.id, upper, { reference }) },
      { name: "a Bun that commits", after: forget, run: () => spawned([process.execPath, "-e", script]) },
      packed("packLayer"),
      packed("packLayer, gzip", "gzip"),
      packed("packLayer, zstd", "zstd"),
      { name: "tar -c", run: () => spawned(["tar", "--xattrs", "-cf", file, "-C", upper, "."]) },
    ];
    if (buildah)
      contenders.push({
        name: "buildah commit",
        after: () => void run("rmi", "localhost/bench:1"),
        run: () => spawned([buildah, ...storage, "commit", "--quiet", "bench", "localhost/bench:1"]),
      });
    const results = await interleave(contenders, ROUNDS);
    console.log(`### Commit of 1,000 changed files\n\n${timings(results)}\n`);
    const theirs = results.find(({ name }) => name === "buildah commit");
    const ours = results.filter(({ name }) => name.includes("commit") && name !== "buildah commit");
    return theirs ? ours.map((each) => compare(`${each.name} vs buildah commit`, each, theirs, { most: 0.4 })) : [];
  } finally {
    if (buildah) run("rm", "bench");
  }
}

function changedByBuildah(run: (...args: string[]) => string, place: Workplace): string {
  const empty = run("from", "--name", "empty", "scratch");
  run("add", "--quiet", empty, place.tar, "/");
  run("commit", "--quiet", "--rm", empty, "localhost/base:1");
  run("from", "--name", "bench", "localhost/base:1");
  const merged = run("mount", "bench");
  shell(`cd "$1"\n${CHANGES}`, merged);
  const upper = /upperdir=([^,]+)/.exec(
    readFileSync("/proc/self/mountinfo", "utf8")
      .split("\n")
      .find((line) => line.includes(` ${merged} `)) ?? "",
  )?.[1];
  if (upper === undefined) throw new Error(`no overlay at ${merged}`);
  // relative to where it was mounted from
  return upper.startsWith("/") ? upper : join(merged, "../diff");
}

/** Without buildah: an overlay of the root filesystem. */
function changedHere(place: Workplace): string {
  const [lower, upper, work, merged] = [place.fresh(), place.fresh(), place.fresh(), place.fresh()];
  shell('tar -xpf "$1" -C "$2"', place.tar, lower);
  const mount = `mount -t overlay overlay -o "lowerdir=$1,upperdir=$2,workdir=$3" "$4"; cd "$4"\n${CHANGES}`;
  shell('exec unshare -m bash -ec "$@"', mount, "bash", lower, upper, work, merged);
  return upper;
}

const TABLES = { unpack, commit };
const chosen = positionals.length > 0 ? positionals : Object.keys(TABLES);
const unknown = chosen.find((name) => !(name in TABLES));
if (unknown !== undefined) throw new Error(`no table "${unknown}": ${Object.keys(TABLES).join(", ")}`);
if (values.rootfs !== undefined && !existsSync(values.rootfs)) throw new Error(`there is no ${values.rootfs}`);
using place = new Workplace();
const all: Bar[] = [];
for (const name of chosen) all.push(...(await TABLES[name as keyof typeof TABLES](place)));
console.log(bars(all));
