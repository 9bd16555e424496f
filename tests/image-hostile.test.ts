/** Registries and images that lie, break off or refuse: one clear error each, and the store as it was. @module */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Tsbox } from "../lib/index.ts";
import {
  digestOf,
  DOCKER_MANIFEST,
  OCI_CONFIG,
  OCI_INDEX,
  OCI_LAYER,
  type Descriptor,
  type Digest,
} from "../lib/image/index.ts";
import { jsonBlob, manifestBlob, type Blob } from "../lib/images/config.ts";
import type { ImageEvent, PullOptions } from "../lib/images/index.ts";
import { imageIds } from "../lib/launch/index.ts";
import { Store, type StoredImage } from "../lib/store/index.ts";
import { failureOf } from "./support/failure.ts";
import { startHostile, type Answer, type HostileRegistry } from "./support/hostile-registry.ts";
import { noMounts, smallDisk } from "./support/full-disk.ts";
import { storeListing } from "./support/made-images.ts";
import { SLOW, testUnless } from "./support/machine.ts";
import { Folder } from "./support/rootfs.ts";
import { tarEnd, tarHeader, tarPadding } from "../lib/tar/index.ts";

const folder = new Folder();
const root = join(folder.path, "store");

/** A plain tar with one file in it. */
function tarOf(name: string, content: Uint8Array): Uint8Array<ArrayBuffer> {
  const header = { name: new TextEncoder().encode(name), type: "file" as const, mode: 0o644, uid: 0, gid: 0 };
  const mtime = { seconds: 0, nanoseconds: 0 };
  const parts = [tarHeader({ ...header, size: content.length, mtime }), content, tarPadding(content.length), tarEnd()];
  return new Uint8Array(Buffer.concat(parts));
}

interface Made {
  layers: Blob[];
  diffIds: Digest[];
  config: Blob;
  manifest: Blob;
}

type Change = Partial<{
  /** Of the file in each layer. */
  bytes: number;
  layers: (layers: Blob[]) => Blob[];
  diffIds: (diffIds: Digest[]) => unknown[];
  config: (bytes: Blob) => Blob;
  descriptors: (layers: Descriptor[]) => Descriptor[];
  manifest: (blob: Blob) => Blob;
}>;

let made = 0;
const blobOf = (mediaType: string, bytes: Uint8Array): Blob => ({
  bytes,
  descriptor: { mediaType, digest: digestOf(bytes), size: bytes.length },
});

/** Two gzip layers that nobody has seen yet, and what lies about them. */
function makeImage(change: Change = {}): Made {
  const tars = ["one", "two"].map((name) =>
    tarOf(
      name,
      crypto.getRandomValues(new Uint8Array(change.bytes ?? 60_000)).map((byte) => byte ^ made++),
    ),
  );
  const honest = tars.map((tar) => blobOf(`${OCI_LAYER}+gzip`, Bun.gzipSync(tar)));
  const layers = change.layers?.(honest) ?? honest;
  const diffIds = tars.map((tar) => digestOf(tar));
  const image = {
    os: "linux",
    architecture: process.arch === "x64" ? "amd64" : "arm64",
    rootfs: { type: "layers", diff_ids: change.diffIds?.(diffIds) ?? diffIds },
  };
  const plain = jsonBlob(OCI_CONFIG, image);
  const config = change.config?.(plain) ?? plain;
  const descriptors = honest.map(({ descriptor }) => descriptor);
  const manifest = manifestBlob(config.descriptor, change.descriptors?.(descriptors) ?? descriptors);
  return { layers, diffIds, config, manifest: change.manifest?.(manifest) ?? manifest };
}

/** Serves an image as a registry does, by whatever names its blobs have. */
function serving({ layers, config, manifest }: Made, more: Blob[] = []): Answer {
  const blobs = new Map<string, Blob>(
    [...layers, config, manifest, ...more].map((blob) => [blob.descriptor.digest, blob]),
  );
  return ({ path, headers }, reply) => {
    if (path === "/v2/") return reply.json(200, {});
    const [, kind, name = ""] = /^\/v2\/app\/(manifests|blobs)\/(.+)$/.exec(path) ?? [];
    const blob = kind === "manifests" && name === "1" ? manifest : blobs.get(name);
    if (!blob) return reply.json(404, { errors: [{ code: "NOT_FOUND" }] });
    const from = Number(/^bytes=(\d+)-/.exec(headers["range"] ?? "")?.[1] ?? 0);
    const type: Record<string, string> = kind === "manifests" ? { "Content-Type": blob.descriptor.mediaType } : {};
    if (from === 0) return reply.send(200, type, blob.bytes);
    const range = `bytes ${from}-${blob.bytes.length - 1}/${blob.bytes.length}`;
    return reply.send(206, { "Content-Range": range }, blob.bytes.subarray(from));
  };
}

let registry: HostileRegistry;
let answer: Answer;
beforeAll(async () => {
  registry = await startHostile((asked, reply, count) => answer(asked, reply, count));
  // something good that stays as it is
  answer = serving(makeImage());
  using engine = new Tsbox({ root });
  await engine.images.pull(`${registry.host}/app:1`, impatient);
});
afterAll(async () => {
  await registry[Symbol.asyncDispose]();
  folder.remove();
});

const impatient: PullOptions = {
  registry: {
    insecure: true,
    credentials: false,
    patience: { attempts: 2, delayMs: 5, longestMs: 10 },
    times: { answerMs: 500 * SLOW, stallMs: 500 * SLOW },
  },
};

async function failedPull(as: Answer, options: PullOptions = {}, name = `${registry.host}/app:1`) {
  answer = as;
  using engine = new Tsbox({ root });
  return await failureOf(() => engine.images.pull(name, { ...impatient, ...options }));
}

const wrong = (blob: Blob): Blob => ({
  ...blob,
  bytes: blob.bytes.map((byte, at) => (at === blob.bytes.length - 20 ? byte ^ 1 : byte)),
});
const shorter = (blob: Blob): Blob => ({ ...blob, bytes: blob.bytes.subarray(0, -100) });
const longer = (blob: Blob): Blob => ({ ...blob, bytes: new Uint8Array([...blob.bytes, 1, 2, 3]) });
const second =
  (change: (blob: Blob) => Blob) =>
  ([first, last]: Blob[]) => [first as Blob, change(last as Blob)];
const sized = (by: number) => (descriptors: Descriptor[]) =>
  descriptors.map((each, at) => (at === 1 ? { ...each, size: each.size + by } : each));
const zeros: Digest = `sha256:${"0".repeat(64)}`;

describe("refused, and nothing is left of it:", () => {
  test.each<[string, () => Answer, string, RegExp]>([
    [
      "a layer with other bytes",
      () => serving(makeImage({ layers: second(wrong) })),
      "digest_mismatch|image_invalid",
      /sha256:/,
    ],
    [
      "a layer that is cut short",
      () => serving(makeImage({ layers: second(shorter) })),
      "image_invalid|registry_error",
      /bytes/,
    ],
    [
      "a size that is too small",
      () => serving(makeImage({ descriptors: sized(-5) })),
      "image_invalid|registry_error|digest_mismatch",
      /bytes/,
    ],
    [
      "a size that is too large",
      () => serving(makeImage({ descriptors: sized(5) })),
      "image_invalid|registry_error",
      /bytes/,
    ],
    [
      "a size without an end",
      () => serving(makeImage({ descriptors: sized(2 ** 52) })),
      "image_invalid|registry_error",
      /bytes/,
    ],
    [
      "a diffId of something else",
      () => serving(makeImage({ diffIds: ([first]) => [first, zeros] })),
      "digest_mismatch",
      /should be sha256:0000/,
    ],
    [
      "diffIds in another order",
      () => serving(makeImage({ diffIds: (diffIds) => diffIds.toReversed() })),
      "digest_mismatch",
      /should be/,
    ],
    [
      "more diffIds than layers",
      () => serving(makeImage({ diffIds: (diffIds) => [...diffIds, zeros] })),
      "image_invalid",
      /2 layers, its config 3/,
    ],
    [
      "fewer diffIds than layers",
      () => serving(makeImage({ diffIds: ([first]) => [first] })),
      "image_invalid",
      /2 layers, its config 1/,
    ],
    [
      "a diffId that leads elsewhere",
      () => serving(makeImage({ diffIds: ([first]) => [first, "sha256:../../../etc"] })),
      "image_invalid",
      /is not a digest/,
    ],
    [
      "a config that is a layer",
      () => serving(makeImage({ config: () => blobOf(OCI_CONFIG, new Uint8Array(100)) })),
      "image_invalid",
      /no JSON/,
    ],
    [
      "a config that is none",
      () => serving(makeImage({ config: () => jsonBlob(OCI_CONFIG, []) })),
      "image_invalid",
      /config/,
    ],
    [
      "a config with other bytes",
      () => serving(makeImage({ config: (blob) => ({ ...blob, bytes: blob.bytes.toReversed() }) })),
      "digest_mismatch",
      /its digest is/,
    ],
    ["a config that is longer", () => serving(makeImage({ config: longer })), "image_invalid|registry_error", /bytes/],
    [
      "a config without an end",
      () => serving(makeImage({ config: (blob) => ({ ...blob, descriptor: { ...blob.descriptor, size: 2 ** 40 } }) })),
      "image_invalid",
      /larger than/,
    ],
    [
      "something that is no image",
      () =>
        serving(
          makeImage({
            config: (blob) => ({
              ...blob,
              descriptor: { ...blob.descriptor, mediaType: "application/vnd.cncf.helm.config.v1+json" },
            }),
          }),
        ),
      "image_invalid",
      /not of an image/,
    ],
    [
      "a layer that is no archive",
      () => serving(layerOf(new TextEncoder().encode("no archive".repeat(100)), "+gzip", true)),
      "image_invalid",
      /sha256:/,
    ],
    [
      "a layer that is packed with xz",
      () => serving(layerOf(new Uint8Array([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 1, 2]), "+gzip", false)),
      "image_invalid",
      /xz/,
    ],
    [
      "a manifest of schema 1",
      () =>
        serving(
          makeImage({
            manifest: () => jsonBlob("application/vnd.docker.distribution.manifest.v1+prettyjws", { schemaVersion: 1 }),
          }),
        ),
      "image_invalid",
      /schema 1/,
    ],
    [
      "a manifest that is none",
      () => serving(makeImage({ manifest: () => blobOf(DOCKER_MANIFEST, new TextEncoder().encode("<html>")) })),
      "image_invalid|registry_error",
      /./,
    ],
    [
      "an index without this platform",
      () => indexed({ os: "linux", architecture: "s390x" }),
      "platform_not_found",
      /there is none/,
    ],
    ["an index that says another size", () => indexed(undefined, 1), "image_invalid", /bytes/],
    [
      "an index that leads to other bytes",
      () => indexed(undefined, undefined, zeros),
      "digest_mismatch|image_invalid",
      /sha256:/,
    ],
    [
      "404",
      () => (_, reply) => reply.json(404, { errors: [{ code: "MANIFEST_UNKNOWN" }] }),
      "image_not_found",
      /app:1/,
    ],
    [
      "401",
      () => (_, reply) => reply.json(401, {}, { "WWW-Authenticate": 'Basic realm="x"' }),
      "registry_denied",
      /app:1/,
    ],
    ["403", () => (_, reply) => reply.json(403, {}), "registry_denied", /app:1/],
    ["429", () => (_, reply) => reply.json(429, {}), "rate_limited", /app:1/],
    ["500", () => (_, reply) => reply.json(500, {}), "registry_error", /500/],
    ["no answer", () => () => {}, "registry_error", /app:1/],
    ["a connection that is cut", () => (_, reply) => reply.cut(), "registry_error", /app:1/],
  ])("%s", async (_, as, code, message) => {
    const before = storeListing(root);
    const failure = await failedPull(as());
    expect([failure.code, failure.message]).toEqual([
      expect.stringMatching(new RegExp(`^(?:${code})$`)) as never,
      expect.stringMatching(message),
    ]);
    expect(storeListing(root)).toEqual(before);
    expect(unfinished(root)).toEqual([]);
  });

  test("a layer that lies, and what has come of the other one by then", async () => {
    const before = storeListing(root);
    const image = makeImage({ diffIds: (digests) => [digestOf("other"), ...digests.slice(1)] });
    const [lying, last] = image.layers as [Blob, Blob];
    const honest = serving(image);
    const failure = await failedPull(async (asked, reply, count) => {
      if (asked.path.includes(last.descriptor.digest)) {
        reply.raw(`HTTP/1.1 200 OK\r\nContent-Length: ${last.bytes.length}\r\n\r\n`);
        reply.raw(last.bytes.subarray(0, last.bytes.length >> 1));
        return;
      }
      if (asked.path.includes(lying.descriptor.digest)) await hasCome(root, last, last.bytes.length >> 1);
      return honest(asked, reply, count);
    });
    expect(failure.code).toBe("digest_mismatch");
    expect(storeListing(root)).toEqual(before);
    expect(unfinished(root)).toEqual([]);
  });

  test("a size that is not that of a layer which is here already", async () => {
    const image = makeImage();
    answer = serving(image);
    using engine = new Tsbox({ root });
    await engine.images.pull(`${registry.host}/app:1`, impatient);
    const before = storeListing(root);
    for (const by of [-1, 1]) {
      const [first, last] = image.layers.map(({ descriptor }) => descriptor) as [Descriptor, Descriptor];
      const manifest = manifestBlob(image.config.descriptor, [first, { ...last, size: last.size + by }]);
      expect((await failedPull(serving({ ...image, manifest }))).code).toBe("image_invalid");
      expect(storeListing(root)).toEqual(before);
    }
  });

  test("a name that is none asks nobody", async () => {
    for (const name of ["", "UPPER", "a b", "../x", "a:", "a@sha256:1", "x".repeat(300)])
      expect((await failedPull(() => expect.unreachable(), {}, name)).code).toBe("reference_invalid");
  });
});

/** Waits until so much of a blob is on the disk. */
async function hasCome(store: string, { descriptor }: Blob, bytes: number): Promise<void> {
  const file = join(store, "ingest", `blob-sha256-${descriptor.digest.slice(7)}`);
  while (!(existsSync(file) && statSync(file).size >= bytes)) await Bun.sleep(5);
}

async function isStored(store: string, { descriptor }: Blob): Promise<void> {
  while (!existsSync(join(store, "oci/blobs/sha256", descriptor.digest.slice(7)))) await Bun.sleep(5);
}

/** Layers half unpacked, and downloads that will not be gone on with. */
const unfinished = (store: string) => readdirSync(join(store, "ingest"));

/** An image of one layer, by what its blob is. */
function layerOf(bytes: Uint8Array, type: string, packed: boolean): Made {
  const layer = blobOf(`${OCI_LAYER}${type}`, packed ? Bun.gzipSync(bytes as Uint8Array<ArrayBuffer>) : bytes);
  const config = jsonBlob(OCI_CONFIG, { os: "linux", architecture: "amd64", rootfs: { diff_ids: [digestOf(bytes)] } });
  return { layers: [layer], diffIds: [], config, manifest: manifestBlob(config.descriptor, [layer.descriptor]) };
}

function indexed(platform: object | undefined, size?: number, digest?: Digest): Answer {
  const image = makeImage();
  const { descriptor } = image.manifest;
  const own = { os: "linux", architecture: process.arch === "x64" ? "amd64" : "arm64" };
  const manifests = [
    {
      ...descriptor,
      ...(size === undefined ? {} : { size }),
      ...(digest ? { digest } : {}),
      platform: platform ?? own,
    },
  ];
  const index = jsonBlob(OCI_INDEX, { schemaVersion: 2, mediaType: OCI_INDEX, manifests });
  const served = { ...image.manifest, descriptor: { ...descriptor, ...(digest ? { digest } : {}) } };
  return serving({ ...image, manifest: index }, [served]);
}

describe("a download that breaks off", () => {
  const image = makeImage();
  const honest = serving(image);
  const [first, last] = image.layers as [Blob, Blob];
  const half = last.bytes.length >> 1;

  test("leaves the names and layers as they were, and what has come", async () => {
    const before = storeListing(root).filter((line) => !line.includes(first.descriptor.digest.slice(7)));
    const failure = await failedPull(async (asked, reply, count) => {
      if (!asked.path.includes(last.descriptor.digest)) return honest(asked, reply, count);
      reply.raw(`HTTP/1.1 200 OK\r\nContent-Length: ${last.bytes.length}\r\n\r\n`);
      reply.raw(last.bytes.subarray(0, half));
      await hasCome(root, last, half);
      await isStored(root, first);
      return reply.end();
    });
    expect(failure.code).toBe("registry_error");
    expect(storeListing(root).filter((line) => !line.includes(first.descriptor.digest.slice(7)))).toEqual(before);
    expect(unfinished(root).filter((name) => !name.startsWith("blob-sha256-"))).toEqual([]);
  });

  test("goes on where it was, and what was there is unpacked from the disk", async () => {
    const ranges: string[] = [];
    answer = (asked, reply, count) => {
      if (asked.path.includes(last.descriptor.digest)) ranges.push(asked.headers["range"] ?? "");
      expect(asked.path).not.toContain(first.descriptor.digest);
      return honest(asked, reply, count);
    };
    using engine = new Tsbox({ root });
    const counts: number[] = [];
    const onProgress = (event: ImageEvent) =>
      void (event.type === "layer" && event.state === "downloading" && counts.push(event.bytes));
    const { id } = await engine.images.pull(`${registry.host}/app:1`, { ...impatient, onProgress });
    expect(ranges).toEqual([`bytes=${half}-`]);
    expect(counts.at(-1)).toBe(last.bytes.length);
    const { GraphDriver } = await engine.images.inspect(id);
    const [top = "", base = ""] = (GraphDriver.Data.LowerDir ?? "").split(":");
    expect([readdirSync(top), readdirSync(base)]).toEqual([["two"], ["one"]]);
    expect(unfinished(root)).toEqual([]);
  });
});

test("a signal ends a pull at once", async () => {
  const image = makeImage();
  const before = storeListing(root);
  const stop = new AbortController();
  const [first] = image.layers as [Blob];
  const failure = await failedPull(
    (asked, reply, count) => {
      if (!asked.path.includes("/blobs/")) return serving(image)(asked, reply, count);
      if (asked.path.includes(image.config.descriptor.digest)) return serving(image)(asked, reply, count);
      reply.raw(`HTTP/1.1 200 OK\r\nContent-Length: ${first.bytes.length}\r\n\r\n`);
      stop.abort();
    },
    { signal: stop.signal },
  );
  expect(failure.code).toBe("aborted");
  expect(storeListing(root)).toEqual(before);
  using engine = new Tsbox({ root });
  expect((await failureOf(() => engine.images.pull("x", { signal: stop.signal }))).code).toBe("aborted");
});

test("what is damaged on the disk is fetched again", async () => {
  const own = join(folder.path, "damaged");
  const image = makeImage();
  answer = serving(image);
  using engine = new Tsbox({ root: own });
  const pull = () => engine.images.pull(`${registry.host}/app:1`, impatient);
  const { id } = await pull();
  const [first, last] = image.layers as [Blob, Blob];
  for (const { descriptor } of [first, last, image.config, image.manifest]) {
    const file = join(own, "oci/blobs/sha256", descriptor.digest.slice(7));
    const bytes = readFileSync(file);
    writeFileSync(file, wrong({ descriptor, bytes }).bytes);
    for (const name of readdirSync(join(own, "layers"))) rmSync(join(own, "layers", name), { recursive: true });
    expect((await pull()).id).toBe(id);
    expect(readFileSync(file).equals(bytes)).toBe(true);
    expect((await engine.images.inspect(id)).Id).toBe(id);
    expect(unfinished(own)).toEqual([]);
  }
});

describe("a signal ends", () => {
  test.each(["import", "load"] as const)("an %s whose source says nothing", async (verb) => {
    const before = storeListing(root);
    const stop = new AbortController();
    const silent = new ReadableStream<Uint8Array>({ pull: () => new Promise(() => stop.abort()) });
    using engine = new Tsbox({ root });
    const failure = await failureOf(() => engine.images[verb](silent, { signal: stop.signal }));
    expect(failure.code).toBe("aborted");
    expect(storeListing(root)).toEqual(before);
    expect(unfinished(root)).toEqual([]);
  });

  test("an import, a load and a push of much before they are through", async () => {
    const large = join(folder.path, "large.tar");
    await Bun.write(large, tarOf("large", new Uint8Array(100 * 2 ** 20)));
    const own = join(folder.path, "large");
    using engine = new Tsbox({ root: own });
    using empty = new Tsbox({ root: join(folder.path, "empty") });
    const name = `${registry.host}/large:1`;
    const { id } = await engine.images.import(large, { reference: name });
    const archive = join(folder.path, "large-image.tar");
    await Bun.write(archive, new Response(await engine.images.save([id])));
    answer = ({ method }, reply) => reply.send(method === "HEAD" ? 404 : 200);
    for (const work of [
      (options: PullOptions) => engine.images.import(large, options),
      (options: PullOptions) => empty.images.load(archive, options),
      (options: PullOptions) => engine.images.push(name, { ...impatient, ...options }),
    ]) {
      // whoever is busy all the time does not see that it is time
      const failure = await failureOf(() => work({ signal: AbortSignal.timeout(10) }));
      expect(failure.code).toBe("aborted");
    }
    expect([(await engine.images.list()).length, (await empty.images.list()).length]).toEqual([1, 0]);
  });
});

test("two at once pull each layer once", async () => {
  const image = makeImage();
  answer = serving(image);
  registry.asked.length = 0;
  const pulls = Array.from({ length: 3 }, async () => {
    using engine = new Tsbox({ root });
    return await engine.images.pull(`${registry.host}/app:1`, impatient);
  });
  const ids = new Set((await Promise.all(pulls)).map(({ id }) => id));
  expect(ids.size).toBe(1);
  const blobs = registry.asked.filter(({ path }) =>
    image.layers.some(({ descriptor }) => path.includes(descriptor.digest)),
  );
  expect(blobs.length).toBe(2);
});

test("kill -9 at any moment of a pull loses nothing: the next one makes it whole", async () => {
  const image = makeImage();
  const honest = serving(image);
  const [first, last] = image.layers as [Blob, Blob];
  const store = join(folder.path, "killed");
  const script = folder.script(
    `const { Tsbox } = await import(${JSON.stringify(join(import.meta.dir, "../lib/index.ts"))});
     using engine = new Tsbox({ root: ${JSON.stringify(store)} });
     await engine.images.pull(${JSON.stringify(`${registry.host}/app:1`)}, { registry: { insecure: true, credentials: false } });`,
  );
  const half = last.bytes.length >> 1;
  const killed = Promise.withResolvers<void>();
  answer = async (asked, reply, count) => {
    if (!asked.path.includes(last.descriptor.digest)) return honest(asked, reply, count);
    reply.raw(`HTTP/1.1 200 OK\r\nContent-Length: ${last.bytes.length}\r\n\r\n`);
    reply.raw(last.bytes.subarray(0, half));
    await hasCome(store, last, half);
    await isStored(store, first);
    killed.resolve();
  };
  const child = Bun.spawn([process.execPath, script], { stdin: "ignore", stdout: "ignore", stderr: "inherit" });
  await killed.promise;
  child.kill("SIGKILL");
  await child.exited;
  using engine = new Tsbox({ root: store });
  expect(await engine.images.list()).toEqual([]);
  expect(unfinished(store).filter((name) => name.startsWith("layer-")).length).toBe(2);
  const ranges: string[] = [];
  answer = (asked, reply, count) => {
    ranges.push(...(asked.headers["range"] ? [asked.headers["range"]] : []));
    expect(asked.path).not.toContain(first.descriptor.digest);
    return honest(asked, reply, count);
  };
  const { id } = await engine.images.pull(`${registry.host}/app:1`, impatient);
  expect(ranges).toEqual([`bytes=${half}-`]);
  const { GraphDriver } = await engine.images.inspect(id);
  expect(GraphDriver.Data.LowerDir?.split(":").map((path) => readdirSync(path))).toEqual([["two"], ["one"]]);
  await engine.images.prune();
  expect(unfinished(store)).toEqual([]);
});

describe("a disk", () => {
  testUnless(noMounts, "that is full: the store is as it was, and room is found again", async () => {
    using disk = smallDisk(folder, 1600);
    const store = join(disk.path, "store");
    using engine = new Tsbox({ root: store });
    const name = `${registry.host}/app:1`;
    answer = serving(makeImage());
    await engine.images.pull(name, impatient);
    const before = storeListing(store);
    answer = serving(makeImage({ bytes: 800_000 }));
    const failure = await failureOf(() => engine.images.pull(name, impatient));
    expect([failure.code, failure.hint]).toEqual(["store_unavailable", expect.stringContaining("full")]);
    expect(storeListing(store)).toEqual(before);
    await engine.images.prune();
    expect(storeListing(store)).toEqual(before);
    expect(unfinished(store)).toEqual([]);
    // what there is room for is pulled
    answer = serving(makeImage());
    await engine.images.pull(name, impatient);
  });

  testUnless(noMounts, "that is only read", async () => {
    using disk = smallDisk(folder, 1600);
    const store = join(disk.path, "store");
    answer = serving(makeImage());
    const name = `${registry.host}/app:1`;
    {
      using engine = new Tsbox({ root: store });
      await engine.images.pull(name, impatient);
    }
    const before = storeListing(store);
    disk.readOnly();
    using engine = new Tsbox({ root: store });
    answer = serving(makeImage());
    expect((await failureOf(() => engine.images.pull(name, impatient))).code).toBe("store_unavailable");
    expect((await failureOf(() => engine.images.tag(name, "other"))).code).toBe("store_unavailable");
    expect((await failureOf(() => engine.images.remove(name))).code).toBe("store_unavailable");
    expect(storeListing(store)).toEqual(before);
    expect((await engine.images.list()).length).toBe(1);
  });
});

describe("odd, but whole, are", () => {
  const pulled = async (image: Made, more?: Blob[]) => {
    answer = serving(image, more);
    using engine = new Tsbox({ root });
    return await engine.images.inspect((await engine.images.pull(`${registry.host}/app:1`, impatient)).id);
  };
  const tar = () => tarOf("file", crypto.getRandomValues(new Uint8Array(1000)));
  test("plain and zstd layers, also where their types say something else", async () => {
    for (const type of ["", "+gzip", "+zstd"]) {
      expect((await pulled(layerOf(tar(), type, false))).RootFS.Layers.length).toBe(1);
      const plain = tar();
      const image = layerOf(plain, type, false);
      const layer = blobOf(`${OCI_LAYER}${type}`, Bun.zstdCompressSync(plain));
      await pulled({ ...image, layers: [layer], manifest: manifestBlob(image.config.descriptor, [layer.descriptor]) });
    }
  });
  test("the same layer twice, and an empty one", async () => {
    const image = makeImage();
    const [first] = image.layers as [Blob];
    const empty = tarEnd();
    const emptyLayer = blobOf(`${OCI_LAYER}+gzip`, Bun.gzipSync(empty as Uint8Array<ArrayBuffer>));
    const diff = image.diffIds[0] as Digest;
    const config = jsonBlob(OCI_CONFIG, { os: "linux", rootfs: { diff_ids: [diff, digestOf(empty), diff] } });
    const manifest = manifestBlob(config.descriptor, [first.descriptor, emptyLayer.descriptor, first.descriptor]);
    const { GraphDriver } = await pulled({ layers: [first, emptyLayer], diffIds: [], config, manifest });
    expect(GraphDriver.Data.LowerDir?.split(":").map((path) => readdirSync(path))).toEqual([["one"], [], ["one"]]);
  });
  test("a foreign layer, which is where its URLs say, and is not pushed", async () => {
    const [first] = makeImage().layers as [Blob];
    const urls = [`http://${registry.host}/elsewhere`];
    const foreign = {
      ...first.descriptor,
      mediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
      urls,
    };
    const diffId = digestOf(Bun.gunzipSync(first.bytes as Uint8Array<ArrayBuffer>));
    const config = jsonBlob(OCI_CONFIG, { os: "linux", rootfs: { diff_ids: [diffId] } });
    const image = { layers: [], diffIds: [], config, manifest: manifestBlob(config.descriptor, [foreign]) };
    const served = serving(image);
    answer = (asked, reply, count) =>
      asked.path === "/elsewhere" ? reply.send(200, {}, first.bytes) : served(asked, reply, count);
    using engine = new Tsbox({ root });
    const { id } = await engine.images.pull(`${registry.host}/app:1`, impatient);
    await engine.images.tag(id, `${registry.host}/other:1`);
    registry.asked.length = 0;
    answer = ({ method, path }, reply) => {
      if (method === "HEAD") return reply.send(404);
      if (method === "POST") return reply.send(202, { Location: "/upload" });
      return reply.send(method === "PUT" ? 201 : path === "/v2/" ? 200 : 404);
    };
    await engine.images.push(`${registry.host}/other:1`, impatient);
    const sent = registry.asked.filter(({ method }) => method === "PUT").map(({ path }) => path);
    expect(sent.length).toBe(2);
    expect(sent.join(" ")).not.toContain(first.descriptor.digest.slice(7));
  });
  test("a layer that hides all below it", async () => {
    const image = makeImage();
    const [first] = image.layers as [Blob];
    const opaque = tarOf(".wh..wh..opq", new Uint8Array());
    const layer = blobOf(OCI_LAYER, opaque);
    const config = jsonBlob(OCI_CONFIG, { os: "linux", rootfs: { diff_ids: [image.diffIds[0], digestOf(opaque)] } });
    const manifest = manifestBlob(config.descriptor, [first.descriptor, layer.descriptor]);
    const { Id } = await pulled({ layers: [first, layer], diffIds: [], config, manifest });
    using store = Store.open({ root });
    using lease = store.lease(store.findImage(Id) as StoredImage, imageIds());
    expect(lease.lowers.map((path) => readdirSync(path))).toEqual([[]]);
  });
  test("no layers at all", async () => {
    const config = jsonBlob(OCI_CONFIG, { os: "linux", rootfs: { diff_ids: [] } });
    const image = { layers: [], diffIds: [], config, manifest: manifestBlob(config.descriptor, []) };
    expect((await pulled(image)).GraphDriver.Data).toEqual({});
  });
  test("an index in an index, found by its digest behind a tag as well, and removed by it", async () => {
    const image = makeImage();
    const own = { os: "linux", architecture: process.arch === "x64" ? "amd64" : "arm64" };
    const index = (...manifests: Descriptor[]) =>
      jsonBlob(OCI_INDEX, { schemaVersion: 2, mediaType: OCI_INDEX, manifests });
    const inner = index({ ...image.manifest.descriptor, platform: own });
    const outer = index(inner.descriptor);
    answer = serving({ ...image, manifest: outer }, [image.manifest, inner]);
    using engine = new Tsbox({ root });
    const name = `${registry.host}/app`;
    const pulled = await engine.images.pull(`${name}:1`, impatient);
    expect(pulled).toMatchObject({ digest: outer.descriptor.digest, id: image.config.descriptor.digest });
    const pinned = `${name}:whatever@${outer.descriptor.digest}`;
    expect((await engine.images.inspect(pinned)).Id).toBe(pulled.id);
    await engine.images.tag(`${name}:1`, `${name}:2`);
    expect(await engine.images.remove(pinned)).toMatchObject({
      untagged: [`${name}@${outer.descriptor.digest}`],
      deleted: [],
    });
    expect((await engine.images.inspect(`${name}:2`)).RepoTags).toEqual([`${name}:1`, `${name}:2`]);
  });
  test("an index that goes on without end", async () => {
    let served = makeImage().manifest;
    const blobs = [served];
    for (let depth = 0; depth < 6; depth++) {
      const manifests = [served.descriptor];
      blobs.push((served = jsonBlob(OCI_INDEX, { schemaVersion: 2, mediaType: OCI_INDEX, manifests })));
    }
    const failure = await failedPull(serving({ ...makeImage(), manifest: served }, blobs));
    expect([failure.code, failure.message]).toEqual(["image_invalid", expect.stringContaining("indexes in image")]);
  });
  test("new where only the config is: a tag that has moved on is told so", async () => {
    const image = makeImage();
    const pull = async (config: Blob) => {
      const manifest = manifestBlob(
        config.descriptor,
        image.layers.map(({ descriptor }) => descriptor),
      );
      answer = serving({ ...image, config, manifest });
      using engine = new Tsbox({ root });
      return (await engine.images.pull(`${registry.host}/app:1`, impatient)).isCurrent;
    };
    const other = jsonBlob(OCI_CONFIG, { os: "linux", rootfs: { diff_ids: image.diffIds }, author: "other" });
    expect([await pull(image.config), await pull(image.config)]).toEqual([false, true]);
    expect([await pull(other), await pull(other)]).toEqual([false, true]);
  });
  test("an image alone, but not for another platform that was asked for", async () => {
    const before = storeListing(root);
    const failure = await failedPull(serving(makeImage()), { platform: "linux/s390x" });
    expect([failure.code, failure.hint]).toEqual(["platform_not_found", expect.stringContaining("it is for linux/")]);
    expect(storeListing(root)).toEqual(before);
  });
});
