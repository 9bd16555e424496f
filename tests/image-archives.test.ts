/** Archives that hold images: found, read where they lie, and refused where they lie. @module */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  digestOf,
  hexOf,
  OCI_INDEX,
  OCI_LAYER,
  OCI_MANIFEST,
  type Descriptor,
  type ImageConfig,
} from "../lib/image/index.ts";
import { ImageArchive } from "../lib/images/archive.ts";
import { configBlob, jsonBlob, manifestBlob, type Blob } from "../lib/images/config.ts";
import { imagesOf } from "../lib/images/load.ts";
import { collect, type ArchiveSource } from "../lib/images/pieces.ts";
import { Tsbox } from "../lib/index.ts";
import { tarEnd, tarHeader, tarPadding, type TarHeader } from "../lib/tar/index.ts";
import { failureOf } from "./support/failure.ts";

const folder = mkdtempSync(join(tmpdir(), "tsbox-archives-"));
mkdirSync(join(folder, "spool"));
afterAll(() => rmSync(folder, { recursive: true }));

const bytes = (content: string | Uint8Array | object) =>
  content instanceof Uint8Array
    ? content
    : new TextEncoder().encode(typeof content === "string" ? content : JSON.stringify(content));

type Content = string | Uint8Array | object | { link: string; hard?: boolean };

/** A tar of files, and of links where there is one. */
function tarOf(files: [name: string, content: Content, header?: Partial<TarHeader>][]): Uint8Array {
  const parts = files.flatMap(([name, content, header]) => {
    const link =
      typeof content === "object" && "link" in content ? (content as { link: string; hard?: boolean }) : undefined;
    const body = link ? new Uint8Array() : bytes(content);
    const made = tarHeader({
      name: bytes(name),
      type: link ? (link.hard ? "hard link" : "symlink") : "file",
      linkName: bytes(link?.link ?? ""),
      mode: 0o644,
      uid: 0,
      gid: 0,
      size: body.length,
      mtime: { seconds: 0, nanoseconds: 0 },
      ...header,
    });
    return [made, body, tarPadding(body.length)];
  });
  return Buffer.concat([...parts, tarEnd()]);
}

const open = (source: ArchiveSource) => ImageArchive.open(source, join(folder, "spool"));
const text = async (archive: ImageArchive, name: string) => new TextDecoder().decode(await archive.read(name, 1 << 20));

async function* inPieces(content: Uint8Array, size: number) {
  for (let at = 0; at < content.length; at += size) yield content.subarray(at, at + size);
}

describe("an archive is read", () => {
  const big = new Uint8Array(3_000_000).map((_, at) => at * 7);
  const plain = tarOf([
    ["a", "first"],
    ["./dir/", "", { type: "directory" }],
    ["./dir/big", big],
    ["empty", ""],
    [`${"long/".repeat(40)}name`, "long"],
    ["dir/link", { link: "../a" }],
    ["hard", { link: "dir/big", hard: true }],
    ["a", "second"],
  ]);
  const file = join(folder, "plain.tar");
  writeFileSync(file, plain);
  const gzip = Bun.gzipSync(plain as Uint8Array<ArrayBuffer>);
  const zstd = Bun.zstdCompressSync(plain);
  writeFileSync(join(folder, "gzip.tar"), gzip);
  writeFileSync(join(folder, "zstd.tar"), zstd);
  test.each<[string, () => ArchiveSource]>([
    ["a file", () => file],
    ["a gzip file", () => join(folder, "gzip.tar")],
    ["a zstd file", () => join(folder, "zstd.tar")],
    ["bytes", () => plain],
    ["gzip bytes", () => gzip],
    ["pieces of one byte", () => inPieces(zstd, 1)],
    ["uneven pieces", () => inPieces(plain, 70_001)],
    ["a Blob", () => new Blob([gzip])],
    ["a stream", () => new Response(zstd as Uint8Array<ArrayBuffer>).body as ReadableStream<Uint8Array>],
  ])("from %s", async (_, source) => {
    using archive = await open(source());
    expect(await text(archive, "a")).toBe("second");
    expect(await text(archive, "dir/../dir/link")).toBe("second");
    expect(await text(archive, "empty")).toBe("");
    expect(await text(archive, `${"long/".repeat(40)}name`)).toBe("long");
    expect(archive.sizeOf("hard")).toBe(big.length);
    expect(Buffer.compare((await collect(archive.pieces("dir/big"), 1 << 30)) as Uint8Array, big)).toBe(0);
    expect(
      Buffer.compare((await collect(archive.pieces("hard", 2_999_990), 10)) as Uint8Array, big.subarray(-10)),
    ).toBe(0);
    expect([archive.has("dir"), archive.has("../a"), archive.has("b"), archive.has("/a")]).toEqual([
      false,
      false,
      false,
      true,
    ]);
    // it was put into a file without a name
    expect(readdirSync(join(folder, "spool"))).toEqual([]);
  });

  test("from a pipe by its path", async () => {
    const fifo = join(folder, "fifo");
    expect(Bun.spawnSync(["mkfifo", fifo]).exitCode).toBe(0);
    const writer = Bun.spawn(["sh", "-c", `cat ${join(folder, "gzip.tar")} >${fifo}`], { stdin: "ignore" });
    using archive = await open(fifo);
    expect(await text(archive, "a")).toBe("second");
    expect(await writer.exited).toBe(0);
  });
});

describe("refused is", () => {
  const whole = tarOf([["a", "x".repeat(2000)]]);
  test.each<[string, () => ArchiveSource, string]>([
    ["what is missing", () => join(folder, "none"), "file_not_found"],
    ["a directory", () => folder, "image_invalid"],
    ["what is no archive", () => bytes("no archive".repeat(100)), "image_invalid"],
    ["xz", () => bytes("\xfd7zXZ\0".repeat(100)).slice(), "image_invalid"],
    ["half of an archive", () => whole.subarray(0, 1500), "image_invalid"],
    ["half of a gzip", () => Bun.gzipSync(whole as Uint8Array<ArrayBuffer>).subarray(0, 40), "image_invalid"],
    ["a name that leads out", () => tarOf([["../a", "x"]]), "image_invalid"],
    ["a size without an end", () => tarOf([["a", "x", { size: 2 ** 50 }]]), "image_invalid"],
    ["no source", () => 7 as unknown as ArchiveSource, "invalid_option"],
    ["pieces of text", () => ["text"] as unknown as Iterable<Uint8Array>, "invalid_option"],
  ])("%s", async (_, source, code) => {
    const failure = await failureOf(() => open(source()));
    expect(failure.code).toBe(code as "image_invalid");
    expect(readdirSync(join(folder, "spool"))).toEqual([]);
  });

  test.each<[string, Uint8Array, Uint8Array]>([
    ["zeros without end", new Uint8Array(), new Uint8Array(1 << 20)],
    ["bytes without end", new Uint8Array(), new Uint8Array(1 << 20).fill(0xfb)],
    ["a file of a petabyte", tarOf([["a", "", { size: 2 ** 50 }]]).subarray(0, -1024), new Uint8Array(1 << 20)],
    ["files without end", new Uint8Array(), Buffer.alloc(1 << 20, tarOf([["a", ""]]).subarray(0, -1024))],
    [
      "zeros without end, packed",
      Bun.gzipSync(new Uint8Array(1 << 20)),
      Buffer.concat(Array.from({ length: 10 }, () => Bun.gzipSync(new Uint8Array(1 << 20)))),
    ],
  ])("%s", async (what, first, more) => {
    let taken = 0;
    const endless = async function* () {
      yield first;
      for (; taken < 1000; taken++) yield more;
      expect.unreachable();
    };
    expect(await failureOf(() => open(endless()))).toMatchObject({ code: "image_invalid" });
    expect(readdirSync(join(folder, "spool"))).toEqual([]);
    // a file system has more files than an archive of images
    if (what === "files without end") return;
    taken = 0;
    using engine = new Tsbox({ root: join(folder, "store") });
    expect(await failureOf(() => engine.images.import(endless()))).toMatchObject({ code: "image_invalid" });
    expect(readdirSync(join(folder, "store/ingest"))).toEqual([]);
  });

  test("links in circles, out of the archive, and to nothing", async () => {
    using archive = await open(
      tarOf([
        ["a", { link: "b" }],
        ["b", { link: "a" }],
        ["out", { link: "../../etc/passwd" }],
        ["top", { link: "/etc/passwd" }],
        ["hard", { link: "../etc/passwd", hard: true }],
      ]),
    );
    for (const name of ["a", "b", "out", "top", "hard", "/etc/passwd", "../../etc/passwd", ""]) {
      expect((await failureOf(() => archive.read(name, 100))).code).toBe("image_invalid");
    }
  });

  test("more than is asked for", async () => {
    using archive = await open(whole);
    expect((await failureOf(() => archive.read("a", 1999))).message).toContain("2000 bytes");
  });
});

/** A plain layer of one file, a config and a manifest. */
function makeImage(name = "file"): { layer: Blob; config: Blob; manifest: Blob } {
  const tar = tarOf([[name, "content"]]);
  const digest = digestOf(tar);
  const layer = { bytes: tar, descriptor: { mediaType: OCI_LAYER, digest, size: tar.length } };
  const image: ImageConfig = { os: "linux", architecture: "amd64", rootfs: { type: "layers", diff_ids: [digest] } };
  const config = configBlob(image);
  return { layer, config, manifest: manifestBlob(config.descriptor, [layer.descriptor]) };
}

const { layer, config, manifest } = makeImage();
const blobName = ({ descriptor }: Blob) => `blobs/sha256/${hexOf(descriptor.digest)}`;
const blobFile = (blob: Blob): [string, Uint8Array] => [blobName(blob), blob.bytes];
const layoutFile: [string, object] = ["oci-layout", { imageLayoutVersion: "1.0.0" }];
const named = (descriptor: Descriptor, name?: string, key = "org.opencontainers.image.ref.name"): Descriptor =>
  name === undefined ? descriptor : { ...descriptor, annotations: { [key]: name } };
const indexFile = (...manifests: Descriptor[]): [string, object] => ["index.json", { schemaVersion: 2, manifests }];
const dockerFile = (...entries: object[]): [string, object] => ["manifest.json", entries];
const entry = { Config: "c.json", RepoTags: ["a:1"], Layers: ["l/layer.tar"] };

async function loaded(files: Parameters<typeof tarOf>[0], platform?: Parameters<typeof imagesOf>[1]) {
  using archive = await open(tarOf(files));
  const images = await imagesOf(archive, platform);
  return images.map(({ manifest: found, names }) => [
    found.descriptor.digest,
    names.map(({ path, tag }) => `${path}:${tag}`),
  ]);
}

test("what the same archive comes to where it is unpacked first: a file of the host is the config", async () => {
  const file = join(folder, "hostile.tar");
  writeFileSync(file, tarOf([["c.json", { link: "/etc/passwd" }], dockerFile({ ...entry, Layers: [] })]));
  const directory = join(folder, "unpacked");
  mkdirSync(directory);
  expect(Bun.spawnSync(["tar", "-C", directory, "-xf", file]).exitCode).toBe(0);
  expect(readFileSync(join(directory, "c.json"), "utf8")).toContain("root:");
  expect(readFileSync(join(directory, "../".repeat(20), "etc/passwd"), "utf8")).toContain("root:");
  using archive = await open(file);
  const failure = await failureOf(() => imagesOf(archive, undefined));
  expect([failure.code, failure.message]).toEqual(["image_invalid", expect.stringContaining('has no "c.json"')]);
});

describe("images are found", () => {
  const { digest } = manifest.descriptor;
  const other = makeImage("other");
  const arm = { ...other.manifest.descriptor, platform: { os: "linux", architecture: "arm64" } };
  const amd = { ...manifest.descriptor, platform: { os: "linux", architecture: "amd64" } };
  const index = jsonBlob(OCI_INDEX, { schemaVersion: 2, manifests: [arm, amd] });
  const nested = jsonBlob(OCI_INDEX, { schemaVersion: 2, manifests: [index.descriptor] });
  const blobs = [manifest, config, layer, other.manifest, other.config, other.layer].map(blobFile);
  test.each<[string, Parameters<typeof tarOf>[0], unknown]>([
    [
      "as Docker saves them",
      [["c.json", config.bytes], ["l/layer.tar", layer.bytes], dockerFile(entry)],
      [[digest, ["library/a:1"]]],
    ],
    [
      "with layers that are links",
      [["x", layer.bytes], ["c.json", config.bytes], ["l/layer.tar", { link: "../x" }], dockerFile(entry)],
      [[digest, ["library/a:1"]]],
    ],
    [
      "without a name",
      [["c.json", config.bytes], ["l/layer.tar", layer.bytes], dockerFile({ ...entry, RepoTags: null })],
      [[digest, []]],
    ],
    ["in a layout", [layoutFile, ...blobs, indexFile(named(manifest.descriptor, "q.io/b/c:2"))], [[digest, ["b/c:2"]]]],
    [
      "as containerd calls them",
      [layoutFile, ...blobs, indexFile(named(manifest.descriptor, "q.io/b/c:3", "io.containerd.image.name"))],
      [[digest, ["b/c:3"]]],
    ],
    [
      "with a tag of nobody knows what",
      [layoutFile, ...blobs, indexFile(named(manifest.descriptor, "latest"))],
      [[digest, []]],
    ],
    [
      "two with names",
      [layoutFile, ...blobs, indexFile(named(manifest.descriptor, "a:1"), named(other.manifest.descriptor, "b:1"))],
      [
        [digest, ["library/a:1"]],
        [other.manifest.descriptor.digest, ["library/b:1"]],
      ],
    ],
    [
      "through an index",
      [layoutFile, ...blobs, blobFile(index), indexFile(named(index.descriptor, "a:1"))],
      [[digest, ["library/a:1"]]],
    ],
    [
      "through an index in an index",
      [layoutFile, ...blobs, blobFile(index), blobFile(nested), indexFile(named(nested.descriptor, "a:1"))],
      [[digest, ["library/a:1"]]],
    ],
    [
      "of one name, for this machine",
      [layoutFile, ...blobs, indexFile(named(arm, "a:1"), named(amd, "a:1"))],
      [[digest, ["library/a:1"]]],
    ],
    [
      "but not attestations",
      [layoutFile, ...blobs, indexFile({ ...arm, platform: { os: "unknown", architecture: "unknown" } }, amd)],
      [[digest, []]],
    ],
  ])("%s", async (_, files, expected) => {
    expect(await loaded(files, { os: "linux", architecture: "amd64" })).toEqual(expected as never);
  });
});

describe("images are refused", () => {
  const good: [string, Uint8Array][] = [
    ["c.json", config.bytes],
    ["l/layer.tar", layer.bytes],
  ];
  const inner = jsonBlob(OCI_INDEX, { schemaVersion: 2, manifests: [manifest.descriptor] });
  const outer = jsonBlob(OCI_INDEX, {
    schemaVersion: 2,
    manifests: [{ ...inner.descriptor, mediaType: OCI_MANIFEST }],
  });
  const digest2 = `sha256:${"0".repeat(64)}` as const;
  test.each<[string, Parameters<typeof tarOf>[0], string, RegExp]>([
    ["nothing", [], "image_invalid", /neither manifest.json nor index.json/],
    ["no images", [dockerFile()], "image_invalid", /no image/],
    [
      "a digest for a name that is another image's",
      [...good, dockerFile({ ...entry, RepoTags: [`debian@${digest2}`] })],
      "image_invalid",
      /another digest/,
    ],
    ["old archives", [["repositories", {}]], "image_invalid", /before 1.10/],
    ["no JSON", [["manifest.json", "{"]], "image_invalid", /no JSON/],
    ["other JSON", [["manifest.json", { Config: 1 }]], "image_invalid", /manifest.json/],
    [
      "a config outside",
      [...good, dockerFile({ ...entry, Config: "../../etc/passwd" })],
      "image_invalid",
      /has no "\.\.\/\.\.\/etc\/passwd"/,
    ],
    [
      "a layer outside",
      [...good, dockerFile({ ...entry, Layers: ["/etc/passwd"] })],
      "image_invalid",
      /has no "\/etc\/passwd"/,
    ],
    ["a config that is none", [["c.json", "[]"], ...good.slice(1), dockerFile(entry)], "image_invalid", /config/],
    [
      "a config that is a link out",
      [["c.json", { link: "../../../etc/passwd" }], ...good.slice(1), dockerFile(entry)],
      "image_invalid",
      /has no "c.json"/,
    ],
    [
      "a huge config",
      [["c.json", new Uint8Array(9_000_000)], ...good.slice(1), dockerFile(entry)],
      "image_invalid",
      /9000000 bytes/,
    ],
    [
      "fewer layers",
      [...good, dockerFile({ ...entry, Layers: [] })],
      "image_invalid",
      /of 0 layers, whose config has 1/,
    ],
    [
      "a name that is none",
      [...good, dockerFile({ ...entry, RepoTags: ["../x:1"] })],
      "reference_invalid",
      /\.\.\/x:1/,
    ],
    [
      "too many images",
      [...good, dockerFile(...Array.from({ length: 1001 }, () => entry))],
      "image_invalid",
      /more than 1000/,
    ],
    ["a layout without the blob", [layoutFile, indexFile(manifest.descriptor)], "image_invalid", /it has no "blobs/],
    [
      "a digest that leads out",
      [
        layoutFile,
        ["index.json", { schemaVersion: 2, manifests: [{ ...manifest.descriptor, digest: "sha256:../../x" }] }],
      ],
      "image_invalid",
      /digest/,
    ],
    [
      "another blob",
      [
        layoutFile,
        [blobName(manifest), config.bytes],
        indexFile({ ...manifest.descriptor, size: config.bytes.length }),
      ],
      "digest_mismatch",
      /its digest is/,
    ],
    [
      "a size that lies",
      [layoutFile, blobFile(manifest), indexFile({ ...manifest.descriptor, size: 1 })],
      "image_invalid",
      /not the 1 that were announced/,
    ],
    [
      "another's digest as a name",
      [layoutFile, blobFile(manifest), indexFile(named(manifest.descriptor, `a@${digest2}`))],
      "image_invalid",
      /has another digest/,
    ],
    ["schema 1", [layoutFile, ["index.json", { schemaVersion: 1 }]], "image_invalid", /schema 1/],
    [
      "an index that says it is a manifest",
      [layoutFile, blobFile(inner), blobFile(outer), indexFile(outer.descriptor)],
      "image_invalid",
      /its type .* is not what it is/,
    ],
  ])("%s", async (_, files, code, message) => {
    const failure = await failureOf(() => loaded(files));
    expect([failure.code, failure.message]).toEqual([code as "image_invalid", expect.stringMatching(message)]);
  });

  test("an index without this platform", async () => {
    const arm = { ...manifest.descriptor, platform: { os: "linux", architecture: "arm64" } };
    const files: Parameters<typeof tarOf>[0] = [
      layoutFile,
      blobFile(manifest),
      indexFile(named(arm, "a:1"), named({ ...arm, platform: { os: "linux", architecture: "s390x" } }, "a:1")),
    ];
    const failure = await failureOf(() => loaded(files, { os: "linux", architecture: "riscv64" }));
    expect([failure.code, failure.hint]).toEqual(["platform_not_found", "it has linux/arm64, linux/s390x"]);
  });
});
