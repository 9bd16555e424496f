/**
 * The WebAssembly module against the decoders of the runtime: `bun bench/wasm.ts [ROUNDS [TAR]]`.
 *
 * The archive is `TAR`, a layer of an image, or a tar of 100 MB and more out of this machine's /usr. It is held in
 * memory: nothing is left behind however this ends. Each contender gets it compressed as a whole and checks the
 * checksum; what it puts out is counted. Times are those of the CPU, and rounds end after a minute for each format.
 * @module
 */
import { readFileSync } from "node:fs";
import { createGunzip } from "node:zlib";
import { HeaderScanner, Inflate, TarReader, Zstd } from "../wasm/index.ts";
import { interleave, median, type Contender, type Samples } from "./measure.ts";
import { bars, compare, number, table, timings, type Bar } from "./report.ts";

const CHUNK_BYTES = 256 * 1024;
/** As much of each as makes a layer of programs, libraries and texts. */
const PARTS = ["usr/bin", "usr/lib", "usr/share"];
const PART_FILES = 1500;
const MAX_FILE_BYTES = 4 * 1024 ** 2;
const HEADER_BYTES = 512;

interface Layer {
  sizeBytes: number;
  tar: Uint8Array;
  gzip: Uint8Array;
  zstd: Uint8Array;
}

function makeLayer(path: string | undefined): Layer {
  const find = PARTS.map((part) => `find ${part} -type f -size -${MAX_FILE_BYTES / 1024}k | head -n ${PART_FILES}`);
  const tar = path ? readFileSync(path) : outputOf(["sh", "-c", `cd / && { ${find.join("; ")}; } | tar -cf - -T -`]);
  return { sizeBytes: tar.length, tar, gzip: outputOf(["gzip"], tar), zstd: outputOf(["zstd", "-q"], tar) };
}

function outputOf(command: string[], input?: Uint8Array): Uint8Array {
  const { exitCode, stdout, stderr } = Bun.spawnSync(command, { stdin: input ?? null, stderr: "pipe" });
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${stderr.toString()}`);
  return stdout;
}

function decoded(decoder: Inflate | Zstd, bytes: Uint8Array): number {
  let sizeBytes = 0;
  decoder.reset();
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES)
    for (const part of decoder.push(bytes.subarray(at, at + CHUNK_BYTES))) sizeBytes += part.length;
  for (const part of decoder.end()) sizeBytes += part.length;
  return sizeBytes;
}

async function streamed(bytes: Uint8Array): Promise<number> {
  const gunzip = createGunzip({ chunkSize: CHUNK_BYTES });
  let sizeBytes = 0;
  gunzip.on("data", (part: Uint8Array) => (sizeBytes += part.length));
  const ended = new Promise((resolve, reject) => gunzip.on("end", resolve).on("error", reject));
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES)
    if (!gunzip.write(bytes.subarray(at, at + CHUNK_BYTES)))
      await new Promise((resolve) => gunzip.once("drain", resolve));
  gunzip.end();
  await ended;
  return sizeBytes;
}

function contender(name: string, sizeBytes: number, run: () => number | Promise<number>): Contender {
  return {
    name,
    async run() {
      if ((await run()) !== sizeBytes) throw new Error(`${name}: another size`);
    },
  };
}

/** Of the least times: what else runs on the machine only ever adds. */
const best = ({ name, values }: Samples): Samples => ({ name, values: values.slice(0, 1) });
const faster = (of: Samples, others: Samples[], measure: string, least: number): Bar[] =>
  others
    .toSorted((a, b) => median(a.values) - median(b.values))
    .slice(0, 1)
    .flatMap((other) => [
      compare(`${measure} vs ${other.name}, median`, rate(of), rate(other), { least }),
      compare(`${measure} vs ${other.name}, best`, rate(best(of)), rate(best(other)), { least }),
    ]);
const rate = ({ name, values }: Samples): Samples => ({ name, values: values.map((ms) => 1 / ms).toReversed() });

/** Microseconds for a header: those of the layer laid one after another in a decoder's window, then the whole reader. */
function scanned({ tar }: Layer): [name: string, us: number][] {
  const headers = new HeaderScanner();
  const offsets: number[] = [];
  for (let at = 0; at < tar.length && headers.scan(tar, at) === 1;) {
    offsets.push(at);
    at += HEADER_BYTES + Math.ceil((headers.record[3] as number) / HEADER_BYTES) * HEADER_BYTES;
  }
  const zstd = new Zstd();
  const joined = Buffer.concat(offsets.map((at) => tar.subarray(at, at + HEADER_BYTES)));
  const packed = Bun.zstdCompressSync(joined);
  let us = Infinity;
  for (let round = 0; round < 30; round++) {
    zstd.reset();
    let ms = 0;
    for (const output of [() => zstd.push(packed), () => zstd.end()])
      for (const view of output()) {
        const start = performance.now();
        for (let at = 0; at + HEADER_BYTES <= view.length; at += HEADER_BYTES)
          if (zstd.headers.scan(view, at) !== 1) throw new Error("scan: no header");
        ms += performance.now() - start;
      }
    us = Math.min(us, (ms * 1000) / offsets.length);
  }
  let whole = Infinity;
  for (let round = 0; round < 30; round++) {
    const start = performance.now();
    for (const _ of new TarReader(headers).push(tar));
    whole = Math.min(whole, performance.now() - start);
  }
  return [
    ["scan a header in the window", us],
    ["TarReader, names and all", (whole * 1000) / offsets.length],
  ];
}

const rounds = { warmUp: 2, count: Number(process.argv[2] ?? 15), mostMs: 60_000, isCpuTime: true };
const layer = makeLayer(process.argv[3]);
const [inflate, zstd] = [new Inflate(), new Zstd()];
const { sizeBytes } = layer;
console.log(`A tar of ${(sizeBytes / 1e6).toFixed(0)} MB\n`);
const gunzips = await interleave(
  [
    contender("Inflate", sizeBytes, () => decoded(inflate, layer.gzip)),
    contender("Bun.gunzipSync", sizeBytes, () => Bun.gunzipSync(layer.gzip as Uint8Array<ArrayBuffer>).length),
    contender("createGunzip", sizeBytes, () => streamed(layer.gzip)),
  ],
  rounds,
);
const zstds = await interleave(
  [
    contender("Zstd", sizeBytes, () => decoded(zstd, layer.zstd)),
    contender("Bun.zstdDecompressSync", sizeBytes, () => Bun.zstdDecompressSync(layer.zstd).length),
  ],
  rounds,
);
const scans = scanned(layer);
console.log(`${timings(gunzips)}\n\n${timings(zstds)}\n`);
console.log(
  table(
    ["", "µs a header, best of 30"],
    scans.map(([name, us]) => [name, number(us)]),
  ) + "\n",
);
const [ours, ...others] = gunzips as [Samples, ...Samples[]];
const [ourZstd, theirZstd] = zstds as [Samples, Samples];
const scan = scans[0]?.[1] ?? NaN;
console.log(
  bars([
    ...faster(ours, others, "gunzip", 1.6),
    ...faster(ourZstd, [theirZstd], "zstd", 1.8),
    { measure: "scan of a header", bar: "≤ 0.3 µs", measured: `${number(scan)} µs`, holds: scan <= 0.3 },
  ]),
);
