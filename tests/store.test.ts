/** The store of images, with one process at a time: names, blobs, layers, leases, removal; and what others put there. @module */
import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { digestOf, hexOf, OCI_INDEX, OCI_MANIFEST, type Digest } from "../lib/image/index.ts";
import { defaultRoot, REF_NAME, Store, type StoreOptions } from "../lib/store/index.ts";
import { Directory } from "../syscalls/index.ts";
import { failureOf } from "./support/failure.ts";
import { asRoot } from "./support/machine.ts";
import { Folder } from "./support/rootfs.ts";
import { bytesOf, contents, indexText, putBlob, putImage, tarOf, wholeImages } from "./support/store.ts";

const folder = new Folder();
afterAll(() => folder.remove());
const root = join(folder.path, "store");
const at = (...names: string[]) => join(root, ...names);
const blobAt = (digest: Digest) => at("oci/blobs/sha256", hexOf(digest));
beforeEach(() => rmSync(root, { recursive: true, force: true }));

const open = (options: StoreOptions = {}) => Store.open({ root, ...options });
const failure = async (attempt: () => unknown) => {
  const { code, message } = await failureOf(attempt);
  return `${code}: ${message}`;
};
const NAME = "docker.io/library/debian:12";
const descriptors = () => readdirSync("/proc/self/fd").length;

describe("where it is", () => {
  test.each<[Record<string, string>, string]>([
    [{ TSBOX_ROOT: "/a/b/" }, "/a/b"],
    ...(asRoot
      ? [[{ HOME: "/home/a", XDG_DATA_HOME: "/data" }, "/var/lib/tsbox"] as [Record<string, string>, string]]
      : [
          [{ HOME: "/home/a" }, "/home/a/.local/share/tsbox"] as [Record<string, string>, string],
          [{ HOME: "/home/a", XDG_DATA_HOME: "/data" }, "/data/tsbox"] as [Record<string, string>, string],
          [{ HOME: "/home/a", XDG_DATA_HOME: "data" }, "/home/a/.local/share/tsbox"] as [
            Record<string, string>,
            string,
          ],
        ]),
  ])("%j", (environment, expected) => expect(defaultRoot(environment)).toBe(expected));

  test("it is its owner's alone, and an image layout", () => {
    using store = open();
    expect(store.images()).toEqual([]);
    expect(statSync(root).mode & 0o777).toBe(0o700);
    expect(JSON.parse(readFileSync(at("oci/oci-layout"), "utf8"))).toEqual({ imageLayoutVersion: "1.0.0" });
    expect(JSON.parse(indexText(store))).toEqual({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [] });
  });

  test("what was begun is built to its end", () => {
    mkdirSync(at("oci/blobs"), { recursive: true });
    writeFileSync(at("oci/.index.json.new"), "{");
    using store = open();
    expect(store.images()).toEqual([]);
  });

  test.each<[string, () => void, RegExp]>([
    ["of a newer version", () => writeFileSync(at("version"), "2\n"), /its version is 2, and this tsbox is for 1$/],
    ["of no version", () => writeFileSync(at("version"), "x"), /"x" is no version$/],
    [
      "a symlink for a directory",
      () => (rmSync(at("layers"), { recursive: true }), symlinkSync(folder.directory("another"), at("layers"))),
      /layers is no directory/,
    ],
    [
      "a newer layout",
      () => writeFileSync(at("oci/oci-layout"), '{"imageLayoutVersion":"2.0.0"}'),
      /its version "2.0.0" is not 1.0.0$/,
    ],
    ["no layout", () => rmSync(at("oci/oci-layout")), /oci-layout is missing$/],
    ["a broken layout", () => writeFileSync(at("oci/oci-layout"), "["), /oci-layout is no JSON$/],
  ])("%s is one clear error, and stays", async (_, break_, expected) => {
    open()[Symbol.dispose]();
    break_();
    const before = readdirSync(root).toSorted();
    const told = await failure(async () => {
      using store = open();
      await putImage(store, NAME);
    });
    expect(told).toStartWith("store_unavailable: ");
    expect(told).toMatch(expected);
    expect(readdirSync(root).toSorted()).toEqual(before);
    expect(JSON.parse(readFileSync(at("oci/index.json"), "utf8")).manifests).toEqual([]);
  });

  test("a file is none", async () => {
    writeFileSync(root, "");
    expect(await failure(open)).toContain("it is no directory");
  });

  test("to be read only, it is not made, and not changed", async () => {
    expect(await failure(() => open({ readOnly: true }))).toContain("there is none");
    expect(existsSync(root)).toBe(false);
    {
      using store = open();
      await putImage(store, NAME);
    }
    using store = open({ readOnly: true });
    const image = store.findImage("debian:12")!;
    expect(image.names).toEqual([NAME]);
    using lease = store.lease(image);
    expect(lease.lowers.length).toBe(2);
    expect(store.diskUsage().images[0]!.isUsed).toBe(true);
    expect(existsSync(at("tsbox.db"))).toBe(false);
    const changes = [
      () => store.setName("a", image.descriptor),
      () => store.removeName(NAME),
      () => store.ingestUnknown(),
      () => store.ingest(image.descriptor),
      () => store.prepareLayer(image.id),
      () => store.removeImage(NAME),
      () => store.prune(),
    ];
    for (const change of changes)
      expect(await failure(change)).toMatch(/^store_unavailable: .* was opened for reading$/);
  });
});

describe("names", () => {
  test("an image is found by all that it is called, and by the beginning of its id", async () => {
    using store = open();
    const descriptor = await putImage(store, NAME);
    store.setName("docker.io/library/debian:latest", descriptor);
    const { id, manifestDigest } = store.findImage(NAME)!;
    for (const name of ["debian:12", "library/debian:12", "docker.io/debian:12", "debian", NAME]) {
      expect(store.findImage(name)).toMatchObject({ id, manifestDigest, descriptor: { digest: descriptor.digest } });
    }
    for (const prefix of [id, hexOf(id), hexOf(id).slice(0, 6), id.slice(0, 12), manifestDigest]) {
      expect(store.findImage(prefix)?.id).toBe(id);
    }
    expect(store.findImage(`debian@${descriptor.digest}`)?.id).toBe(id);
    expect(store.findImage("debian")!.names).toEqual(["docker.io/library/debian:latest", NAME]);
    const others = ["debian:13", "ubuntu", `ubuntu@${descriptor.digest}`, "0123456789ab", "Not A Name", "", "../x"];
    for (const other of others) expect(store.findImage(other)).toBeUndefined();
  });

  test("the beginning of two ids is none", async () => {
    using store = open();
    for (let each = 0; each < 17; each++) await putImage(store, `a:${each}`, { layers: [`${each}`], unpack: false });
    const firsts = store.images().map(({ id }) => hexOf(id)[0] as string);
    const twice = firsts.find((first, at) => firsts.indexOf(first) !== at) as string;
    expect(await failure(() => store.findImage(twice))).toStartWith("id_ambiguous: ");
  });

  test("an image that loses its name stays, without one, until it is pruned", async () => {
    using store = open();
    const old = await putImage(store, NAME, { layers: ["old"] });
    const now = await putImage(store, NAME, { layers: ["new"] });
    expect(store.images().map(({ names, descriptor }) => [names, descriptor.digest])).toEqual([
      [[], old.digest],
      [[NAME], now.digest],
    ]);
    const removed = await store.prune();
    expect(removed.images).toEqual([old.digest]);
    expect(store.images().map(({ names }) => names)).toEqual([[NAME]]);
    expect(contents(store)).toMatchObject({ ingest: [] });
  });

  test("a name that leads nowhere is not given", async () => {
    using store = open();
    const nowhere = { mediaType: OCI_MANIFEST, digest: digestOf("nothing"), size: 7 };
    expect(await failure(() => store.setName("a", nowhere))).toStartWith("image_not_found: ");
  });

  test("of an image index, the image of this machine counts, or the one that was asked for, or the one that is there", async () => {
    using store = open();
    using _ = store.hold();
    const image = await putImage(store, undefined);
    const foreign = {
      mediaType: OCI_MANIFEST,
      digest: digestOf("foreign"),
      size: 7,
      platform: { os: "linux", architecture: "s390x" },
    };
    const own = { ...image, platform: { os: "linux", architecture: "amd64" } };
    const index = await putBlob(
      store,
      bytesOf({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [foreign, own] }),
      OCI_INDEX,
    );
    store.setName("multi", index);
    const found = store.findImage("multi", { platform: { os: "linux", architecture: "amd64" } })!;
    expect([found.descriptor.digest, found.manifestDigest]).toEqual([index.digest, image.digest]);
    expect(store.findImage("multi")!.manifestDigest).toBe(image.digest);
    const others = [
      { os: "linux", architecture: "s390x" },
      { os: "linux", architecture: "riscv64" },
    ];
    const codes = await Promise.all(
      others.map(async (platform) => (await failureOf(() => store.findImage("multi", { platform }))).code),
    );
    expect(codes).toEqual(["image_not_found", "platform_not_found"]);
    expect((await store.prune()).blobs).toEqual([]);
  });
});

describe("index.json of others", () => {
  const write = (text: string) => writeFileSync(at("oci/index.json"), text);

  test("keeps all that is not understood, byte for byte", async () => {
    using store = open();
    const descriptor = await putImage(store, undefined, { unpack: false });
    const digest = JSON.stringify(descriptor.digest);
    const strange = `{ "mediaType":"${OCI_MANIFEST}", "digest":${digest},"size":${descriptor.size}, "x":1.0e2,"x":12345678901234567890, "annotations":{"a\\u0062":"\\"]}", "${REF_NAME}" : "tag" , "z":"\\\\"} }`;
    const alien = `{"mediaType":"a/b","digest":"blake3:zz","size":-1,"y":[[{"]":"}"}]]}`;
    const top = `  { "odd" : 1.50, "schemaVersion":2, "manifests" : [${strange} , ${alien}], "annotations":{"b":"\\u00e4"},"odd":[] }\n`;
    write(top);
    store.setName(NAME, descriptor);
    const named = JSON.stringify({ ...descriptor, annotations: { [REF_NAME]: NAME } });
    expect(indexText(store)).toBe(top.replace(`${strange} , ${alien}`, `${strange},${alien},${named}`));
    expect(store.findImage("tag")!.names).toEqual(["tag", NAME]);
    expect(store.removeName(NAME)).toBe(true);
    expect(store.removeName(NAME)).toBe(false);
    const rejoined = top.replace(`${strange} , ${alien}`, `${strange},${alien}`);
    expect(indexText(store)).toBe(rejoined);
    // without a name of its own, the rest of its entry is as it was
    store.removeName("tag");
    expect(indexText(store)).toBe(rejoined.replace(`, "${REF_NAME}" : "tag" , `, ","));
    expect(wholeImages(store).map(({ names }) => names)).toEqual([[]]);
    await store.prune();
    expect(indexText(store)).toBe(top.replace(`${strange} , ${alien}`, alien));
  });

  test.each(['{"schemaVersion":2}', '{"schemaVersion":2,"manifests":null}', '{"schemaVersion":2,"manifests":[ ]}'])(
    "may be empty in any way: %s",
    async (text) => {
      using store = open();
      write(text);
      expect(store.images()).toEqual([]);
      await putImage(store, NAME, { unpack: false });
      expect(wholeImages(store).length).toBe(1);
      expect(JSON.parse(indexText(store)).manifests.length).toBe(1);
    },
  );

  const entry = (fields: object) =>
    JSON.stringify({
      schemaVersion: 2,
      manifests: [{ mediaType: OCI_MANIFEST, digest: digestOf(""), size: 1, ...fields }],
    });
  const hostile: [string, string, string][] = [
    ["empty", "", "it is no JSON"],
    ["cut short", '{"schemaVersion":2,"manifests":[{', "it is no JSON"],
    ["no text", "\xff\xfe", "it is no JSON"],
    ["deep", "[".repeat(5_000_000), "it is no JSON"],
    ["a list", "[]", "it is not an object"],
    ["null", "null", "it is not an object"],
    ["of version 1", '{"schemaVersion":1,"manifests":[]}', "its version 1 is not 2"],
    ["of no version", '{"manifests":[]}', "its version undefined is not 2"],
    ["of manifests that are none", '{"schemaVersion":2,"manifests":{"0":1}}', "manifests is not a list"],
    ["of entries that are none", '{"schemaVersion":2,"manifests":[1]}', "manifests[0] is not an object"],
    [
      "of a path for a digest",
      entry({ digest: "sha256:../../../../etc/passwd" }),
      'manifests[0].digest "sha256:../../../../etc/passwd" is not a digest',
    ],
    ["of a path for an algorithm", entry({ digest: "../..:x" }), 'manifests[0].digest "../..:x" is not a digest'],
    ["of a number for a digest", entry({ digest: 1 }), "manifests[0].digest 1 is not a digest"],
    ["of a size that is none", entry({ size: -1 }), "manifests[0].size"],
    ["of a size that is text", entry({ size: "1" }), "manifests[0].size"],
    ["of annotations that are none", entry({ annotations: { [REF_NAME]: 1 } }), "manifests[0].annotations"],
  ];
  test.each(hostile)("%s is one clear error, and stays", async (_, text, expected) => {
    using store = open();
    await putImage(store, NAME, { unpack: false });
    const bytes = text === "\xff\xfe" ? new Uint8Array([0xff, 0xfe]) : bytesOf(text);
    writeFileSync(at("oci/index.json"), bytes);
    const before = contentsOf();
    for (const use of [
      () => store.images(),
      () =>
        store.setName("a", {
          mediaType: OCI_MANIFEST,
          digest: ("sha256:" + readdirSync(at("oci/blobs/sha256"))[0]) as Digest,
          size: 1,
        }),
      () => store.removeImage(NAME),
      () => store.prune(),
    ]) {
      const told = await failure(use);
      expect(told).toStartWith("store_unavailable: read index.json: ");
      expect(told).toContain(expected);
    }
    expect(contentsOf()).toEqual(before);
    expect(readFileSync(at("oci/index.json"))).toEqual(Buffer.from(bytes));
  });

  const contentsOf = () => ["oci/blobs/sha256", "layers", "ingest"].map((name) => readdirSync(at(name)).toSorted());

  test("missing, huge, a symlink or a directory is one clear error", async () => {
    using store = open();
    const file = at("oci/index.json");
    rmSync(file);
    expect(await failure(() => store.images())).toBe("store_unavailable: read index.json: it is missing");
    writeFileSync(file, " ".repeat(17 * 2 ** 20));
    expect(await failure(() => store.images())).toMatch(/^store_unavailable: .*EFBIG$/);
    rmSync(file);
    symlinkSync("/etc/passwd", file);
    expect(await failure(() => store.images())).toMatch(/^store_unavailable: .*ELOOP$/);
    rmSync(file);
    mkdirSync(file);
    expect(await failure(() => store.images())).toMatch(/^store_unavailable: .*EISDIR$/);
  });

  test("is waited for where another tool is writing it", async () => {
    using store = open();
    await putImage(store, NAME, { unpack: false });
    const text = indexText(store);
    write("");
    const script = `await Bun.sleep(20); await Bun.write(${JSON.stringify(at("oci/index.json"))}, ${JSON.stringify(text)})`;
    const child = Bun.spawn([process.execPath, "-e", `console.log(1); ${script}`], { stdout: "pipe" });
    await child.stdout.getReader().read();
    expect(store.findImage(NAME)?.names).toEqual([NAME]);
    await child.exited;
  });

  test("twenty thousand names are no trouble", async () => {
    using store = open();
    const descriptor = await putImage(store, NAME, { unpack: false });
    const many = Array.from({ length: 20_000 }, (_, at) => ({ ...descriptor, annotations: { [REF_NAME]: `a:${at}` } }));
    write(JSON.stringify({ schemaVersion: 2, manifests: many }));
    expect(store.findImage("a:19999")!.names.length).toBe(20_000);
    store.setName(NAME, descriptor);
    expect(JSON.parse(indexText(store)).manifests.length).toBe(20_001);
  });
});

describe("blobs", () => {
  const content = bytesOf("content ".repeat(100_000));
  const descriptor = { digest: digestOf(content), size: content.length };

  test("are there when they are whole, once, and are read as they were written", async () => {
    using store = open();
    using _ = store.hold();
    const ingest = (await store.ingest(descriptor))!;
    for (let from = 0; from < content.length; from += 60_000) ingest.write(content.subarray(from, from + 60_000));
    expect(store.hasBlob(descriptor.digest)).toBe(false);
    await ingest.commit();
    expect([store.hasBlob(descriptor.digest), store.blobSize(descriptor.digest)]).toEqual([true, content.length]);
    expect(await store.ingest(descriptor)).toBeUndefined();
    const pieces: Uint8Array[] = [];
    using blob = store.openBlob(descriptor.digest);
    for await (const piece of blob) pieces.push(piece);
    expect(blob.sizeBytes).toBe(content.length);
    expect(Buffer.concat(pieces).equals(content)).toBe(true);
    expect(store.readBlob(descriptor.digest, { maxBytes: content.length }).length).toBe(content.length);
    expect(await failure(() => store.readBlob(descriptor.digest, { maxBytes: 10 }))).toContain("EFBIG");
    expect(contents(store).ingest).toEqual([expect.stringMatching(/^hold-/)]);
  });

  test("go on where they were left, and are verified with what was there", async () => {
    using store = open();
    const first = (await store.ingest(descriptor))!;
    first.write(content.subarray(0, 300_001));
    first.keep();
    const second = (await store.ingest(descriptor))!;
    expect(second.offset).toBe(300_001);
    second.write(content.subarray(300_001));
    await second.commit();
    expect(store.readBlob(descriptor.digest, { maxBytes: content.length }).length).toBe(content.length);
  });

  test("with other bytes are refused, and leave nothing", async () => {
    using store = open();
    const attempts: [() => Promise<unknown>, string][] = [
      [
        async () => {
          using ingest = (await store.ingest(descriptor))!;
          ingest.write(content.with(700_000, 0));
          await ingest.commit();
        },
        "digest_mismatch",
      ],
      [
        async () => {
          using ingest = (await store.ingest(descriptor))!;
          ingest.write(content.subarray(1));
          await ingest.commit();
        },
        "image_invalid",
      ],
      [
        async () => {
          using ingest = (await store.ingest(descriptor))!;
          ingest.write(content);
          ingest.write(new Uint8Array(1));
        },
        "image_invalid",
      ],
    ];
    for (const [attempt, code] of attempts) {
      expect<string>((await failureOf(attempt)).code).toBe(code);
      expect(contents(store)).toMatchObject({ blobs: [], ingest: [] });
    }
  });

  test("that were left longer than they are, or that nobody knows, do not count", async () => {
    using store = open();
    writeFileSync(at("ingest", `blob-sha256-${hexOf(descriptor.digest)}`), Buffer.concat([content, content]));
    using ingest = (await store.ingest(descriptor))!;
    expect(ingest.offset).toBe(0);
    ingest.abort();
    const unknown = store.ingestUnknown();
    unknown.write(content);
    expect(await unknown.commit()).toEqual(descriptor);
    store.ingestUnknown().abort();
    expect(contents(store).ingest).toEqual([]);
  });

  test("that are damaged on the disk are told, and come in again where their size says so", async () => {
    using store = open();
    const { digest } = await putBlob(store, content);
    chmodSync(blobAt(digest), 0o600);
    writeFileSync(blobAt(digest), content.with(5, 0));
    expect(await failure(() => store.readBlob(digest, { maxBytes: 2 ** 20 }))).toStartWith("digest_mismatch: ");
    const read = async (verify: boolean) => {
      let length = 0;
      for await (const piece of store.openBlob(digest, { verify })) length += piece.length;
      return length;
    };
    expect((await failureOf(() => read(true))).code).toBe("digest_mismatch");
    expect(await read(false)).toBe(content.length);
    writeFileSync(blobAt(digest), "cut short");
    await putBlob(store, content);
    expect(await read(true)).toBe(content.length);
    writeFileSync(blobAt(digest), content.with(5, 0));
    store.discardBlob(digest);
    await putBlob(store, content);
    expect(await read(true)).toBe(content.length);
  });

  test("that are symlinks or directories are none", async () => {
    using store = open();
    symlinkSync("/etc/passwd", blobAt(descriptor.digest));
    expect(store.hasBlob(descriptor.digest)).toBe(false);
    expect(await failure(() => store.readBlob(descriptor.digest, { maxBytes: 1e6 }))).toStartWith("image_not_found: ");
    expect(await failure(() => store.openBlob(descriptor.digest))).toMatch(/ELOOP$/);
    const target = folder.write("target", "precious");
    symlinkSync(target, at("ingest", `blob-sha256-${hexOf(descriptor.digest)}`));
    expect(await failure(() => store.ingest(descriptor))).toMatch(/^store_unavailable: .*ELOOP$/);
    expect(readFileSync(target, "utf8")).toBe("precious");
  });

  test.each(["sha256:../../index.json", "sha256:", "../../..:x", `sha256:${"A".repeat(64)}`, "sha256:.", 1])(
    "are not looked for by what is no digest: %j",
    async (text) => {
      using store = open();
      const digest = text as Digest;
      const uses = [
        () => store.hasBlob(digest),
        () => store.blobSize(digest),
        () => store.readBlob(digest, { maxBytes: 1000 }),
        () => store.openBlob(digest),
        () => store.discardBlob(digest),
        () => store.ingest({ digest, size: 1 }),
        () => store.setName("a", { mediaType: OCI_MANIFEST, digest, size: 1 }),
        () => store.findLayer(digest),
        () => store.prepareLayer(digest),
      ];
      for (const use of uses) expect(await failure(use)).toStartWith("image_invalid: ");
      expect(existsSync(at("oci/index.json"))).toBe(true);
      expect(contents(store).ingest).toEqual([]);
    },
  );

  test("leave no descriptor open", async () => {
    const before = descriptors();
    {
      using store = open();
      await putImage(store, NAME);
      using lease = store.lease(store.findImage(NAME)!);
      for await (const piece of store.openBlob(store.findImage(NAME)!.id)) expect(piece.length).toBeGreaterThan(0);
      using _ = store.openBlob(store.findImage(NAME)!.id);
      expect(lease.lowers.length).toBe(2);
      store.diskUsage();
      await store.removeImage(NAME).catch(() => {});
    }
    expect(descriptors()).toBe(before);
  });
});

describe("layers", () => {
  test("are unpacked once, and found by their chain", async () => {
    using store = open();
    await putImage(store, NAME, { layers: ["base", "top"] });
    await putImage(store, "docker.io/library/other:1", { layers: ["base", "other"] });
    expect(contents(store).layers.length).toBe(3);
    const image = store.findImage(NAME)!;
    using lease = store.lease(image);
    expect(lease.lowers.map((lower) => readdirSync(lower).toSorted())).toEqual([
      ["directory", "top"],
      ["base", "directory"],
    ]);
    expect(store.layersOf(image).map(({ fs }) => fs)).toEqual(lease.lowers.toReversed());
  });

  test("with other ids are others", async () => {
    using store = open();
    const maps = (hostID: number) => {
      const mapping = [{ containerID: 0, hostID, size: 65536 }];
      return { uidMappings: mapping, gidMappings: mapping };
    };
    await putImage(store, NAME, { ids: maps(100_000) });
    const image = store.findImage(NAME)!;
    for (const ids of [undefined, maps(200_000)]) {
      expect(await failure(() => store.lease(image, ids))).toStartWith("image_not_found: ");
    }
    using lease = store.lease(image, maps(100_000));
    expect(lease.lowers.length).toBe(2);
    await putImage(store, NAME);
    expect(contents(store).layers.length).toBe(4);
  });

  test("that were given up leave nothing", async () => {
    using store = open();
    const chainId = digestOf("chain");
    const layer = await store.prepareLayer(chainId);
    if (!layer.isPending) throw new Error("it is there");
    mkdirSync(join(layer.fs, "a/b"), { recursive: true });
    for (const name of ["a/b", "a"]) chmodSync(join(layer.fs, name), 0o111);
    layer.abort();
    expect(store.findLayer(chainId)).toBeUndefined();
    expect(contents(store)).toMatchObject({ layers: [], ingest: [] });
  });

  test.each<[string, (key: string) => void]>([
    [
      "of another boot, not known to be on the disk",
      (key) => {
        const mark = readdirSync(at("layers", key)).find((name) => name.startsWith("boot-")) as string;
        rmSync(at("layers", key, mark));
        writeFileSync(at("layers", key, "boot-00000000-0000-0000-0000-000000000000"), "");
      },
    ],
    ["without its files", (key) => rmSync(at("layers", key, "fs"), { recursive: true })],
    [
      "with a symlink for its files",
      (key) => {
        rmSync(at("layers", key, "fs"), { recursive: true });
        symlinkSync("/etc", at("layers", key, "fs"));
      },
    ],
  ])("%s are missing, and are unpacked again", async (_, harm) => {
    using store = open();
    await putImage(store, NAME, { layers: ["base"] });
    const image = store.findImage(NAME)!;
    harm(contents(store).layers[0] as string);
    expect(await failure(() => store.lease(image))).toStartWith("image_not_found: ");
    await putImage(store, NAME, { layers: ["base"] });
    using lease = store.lease(image);
    expect(readFileSync(join(lease.lowers[0]!, "base"), "utf8")).toBe("base");
    expect(existsSync("/etc/passwd")).toBe(true);
  });

  test("are on the disk after a prune, or when they were used an hour later", async () => {
    using store = open();
    await putImage(store, NAME, { layers: ["base"] });
    const key = contents(store).layers[0] as string;
    const marks = () => readdirSync(at("layers", key)).filter((name) => /^boot-|^synced$/.test(name));
    const [boot] = marks();
    expect(boot).toStartWith("boot-");
    await store.prune();
    expect(marks()).toEqual(["synced"]);
    rmSync(at("layers", key, "synced"));
    writeFileSync(at("layers", key, boot!), "");
    store.lease(store.findImage(NAME)!)[Symbol.dispose]();
    expect(marks()).toEqual([boot!]);
    utimesSync(at("layers", key, boot!), new Date(), Date.now() / 1000 - 3601);
    store.lease(store.findImage(NAME)!)[Symbol.dispose]();
    expect(marks()).toEqual(["synced"]);
  });

  test("are none in an image without", async () => {
    using store = open();
    await putImage(store, NAME, { layers: [] });
    using lease = store.lease(store.findImage(NAME)!);
    expect(lease.lowers).toEqual([]);
    expect((await store.removeImage(NAME)).names).toEqual([NAME]);
  });
});

describe("removal", () => {
  test("takes a name, and with the last one the image and what only it needs", async () => {
    using store = open();
    const descriptor = await putImage(store, NAME, { layers: ["base", "top"] });
    await putImage(store, "docker.io/library/other:1", { layers: ["base", "other"] });
    store.setName("docker.io/library/again:1", descriptor);
    expect(await store.removeImage("debian:12")).toEqual({
      names: [NAME],
      images: [],
      blobs: [],
      layers: [],
      bytes: 0,
    });
    const removed = await store.removeImage("again:1");
    expect(removed).toMatchObject({ names: ["docker.io/library/again:1"], images: [descriptor.digest] });
    // manifest, config, upper layer
    expect([removed.blobs.length, removed.layers.length]).toEqual([3, 1]);
    const left = contents(store);
    expect([left.blobs, left.layers, left.ingest]).toEqual([left.neededBlobs, left.neededLayers, []]);
    expect(wholeImages(store).length).toBe(1);
    using lease = store.lease(store.findImage("other:1")!);
    expect(lease.lowers.length).toBe(2);
    expect(await failure(() => store.removeImage("again:1"))).toStartWith("image_not_found: ");
  });

  test("by an id takes all names, where that is said", async () => {
    using store = open();
    const descriptor = await putImage(store, NAME);
    store.setName("docker.io/library/again:1", descriptor);
    const { id } = store.findImage(NAME)!;
    expect(await failure(() => store.removeImage(hexOf(id).slice(0, 12)))).toStartWith("image_in_use: ");
    expect((await store.removeImage(hexOf(id).slice(0, 12), { force: true })).names.length).toBe(2);
    expect(contents(store)).toMatchObject({ blobs: [], layers: [], ingest: [] });
  });

  test("does not touch what is used", async () => {
    using store = open();
    await putImage(store, NAME, { layers: ["base", "top"] });
    await putImage(store, "docker.io/library/derived:1", { layers: ["base", "top", "more"] });
    const lease = store.lease(store.findImage("derived:1")!);
    expect(await failure(() => store.removeImage("derived:1", { force: true }))).toStartWith("image_in_use: ");
    expect((await store.prune({ images: () => true })).names).toEqual([NAME]);
    expect(lease.lowers.map((lower) => existsSync(lower))).toEqual([true, true, true]);
    lease[Symbol.dispose]();
    lease[Symbol.dispose]();
    await store.removeImage("derived:1");
    expect(contents(store)).toMatchObject({ blobs: [], layers: [], ingest: [] });
  });

  test("of an image whose layers another one has is none of the sandbox's business", async () => {
    using store = open();
    await putImage(store, NAME);
    await putImage(store, "docker.io/library/same:1", { config: { User: "1" } });
    using lease = store.lease(store.findImage("same:1")!);
    expect((await store.removeImage(NAME)).blobs.length).toBe(2);
    expect(await failure(() => store.removeImage("same:1"))).toStartWith("image_in_use: ");
    expect(lease.lowers.map((lower) => existsSync(lower))).toEqual([true, true]);
  });

  test("of what cannot be read any more works nevertheless", async () => {
    using store = open();
    const { digest } = await putImage(store, NAME);
    writeFileSync(blobAt(digest), "damaged");
    const told: string[] = [];
    expect(store.images(({ name, error }) => told.push(`${name} ${error.code}`))).toEqual([]);
    expect(told).toEqual([`${NAME} digest_mismatch`]);
    // what it leads to is not known, so nothing goes
    await putImage(store, "docker.io/library/other:1", { layers: ["other"] });
    const before = contents(store);
    expect(await failure(() => store.prune({ images: () => true }))).toStartWith("digest_mismatch: prune the store: ");
    expect((await store.removeImage("other:1")).blobs).toEqual([]);
    expect(contents(store).blobs).toEqual(before.blobs);
    expect((await store.removeImage(NAME)).blobs).toEqual([digest]);
    await store.prune();
    expect(contents(store)).toMatchObject({ blobs: [], layers: [], ingest: [] });
  });

  test("takes what others left, but for what another tool may be about to name", async () => {
    using store = open();
    const blob = at("oci/blobs/sha256", hexOf(digestOf("x")));
    writeFileSync(blob, "x", { mode: 0o644 });
    await putBlob(store, bytesOf("ours"));
    writeFileSync(at("oci/blobs/sha256/oci-put-blob123"), "");
    for (const name of [`blob-sha256-${"0".repeat(64)}`, "blob-new-1", "hold-1"])
      writeFileSync(at("ingest", name), "left");
    for (const name of ["layer-1/fs/a", "trash-1/b", "deep-1/c"]) mkdirSync(at("ingest", name), { recursive: true });
    await store.prune();
    expect(contents(store)).toMatchObject({ blobs: [hexOf(digestOf("x")), "oci-put-blob123"].toSorted(), ingest: [] });
    utimesSync(blob, 0, 0);
    await store.prune();
    expect(contents(store).blobs).toEqual(["oci-put-blob123"]);
  });

  test("follows no symlink, however deep and unreadable a tree is", async () => {
    using store = open();
    const precious = folder.write("precious/file", "precious");
    const layer = await store.prepareLayer(digestOf("deep"));
    if (!layer.isPending) throw new Error("it is there");
    symlinkSync(join(precious, ".."), join(layer.fs, "out"));
    symlinkSync("/", join(layer.fs, "root"));
    writeFileSync(Buffer.from(`${layer.fs}/\xff\xfe`, "latin1"), "");
    mkdirSync(join(layer.fs, "closed/below"), { recursive: true });
    symlinkSync(join(precious, ".."), join(layer.fs, "closed/below/out"));
    // deeper than a path may be long, and than descriptors suffice
    let deepest = Directory.open(layer.fs)!;
    for (let depth = 0; depth < 3000; depth++) {
      using above = deepest;
      above.makeDirectory("deeper", 0o755);
      deepest = above.directory("deeper")!;
    }
    deepest.replace("bottom", new Uint8Array(1));
    deepest[Symbol.dispose]();
    for (const name of ["closed/below", "closed"]) chmodSync(join(layer.fs, name), 0);
    const before = descriptors();
    layer.commit({ diffId: digestOf("deep"), bytes: 1, entries: 1 });
    expect((await store.prune()).layers.length).toBe(1);
    expect(contents(store)).toMatchObject({ layers: [], ingest: [] });
    expect(readFileSync(precious, "utf8")).toBe("precious");
    expect(descriptors()).toBeLessThanOrEqual(before);
  });

  test("of a symlink that somebody planted removes the symlink", async () => {
    using store = open();
    const precious = folder.write("precious/file", "precious");
    const key = "0".repeat(64);
    symlinkSync(join(precious, ".."), at("layers", key));
    symlinkSync(join(precious, ".."), at("ingest/trash-1"));
    symlinkSync(join(precious, ".."), at("ingest/layer-1"));
    symlinkSync(precious, at("ingest/deep-1"));
    await store.prune();
    expect(readFileSync(precious, "utf8")).toBe("precious");
    expect(["trash-1", "deep-1"].filter((name) => lstatSync(at("ingest", name), { throwIfNoEntry: false }))).toEqual(
      [],
    );
    expect(lstatSync(at("layers", key), { throwIfNoEntry: false })).toBeUndefined();
  });
});

describe("what the layout cannot say", () => {
  test("is kept, counted, and goes with the image", async () => {
    using store = open();
    const descriptor = await putImage(store, NAME, { layers: ["base", "top"] });
    await putImage(store, "docker.io/library/other:1", { layers: ["base", "other"] });
    const image = store.findImage(NAME)!;
    const [base] = store.layersOf(image);
    const { metadata } = store;
    metadata.setOrigin(descriptor.digest, { from: NAME, at: 1_700_000_000_000 });
    metadata.setDiffId(base!.descriptor.digest, base!.diffId);
    metadata.addSource(base!.descriptor.digest, "docker.io/library/debian");
    {
      using again = open();
      expect(again.metadata.originOf(descriptor.digest)).toEqual({ from: NAME, at: 1_700_000_000_000 });
      expect(again.metadata.digestsOf(base!.diffId)).toEqual([base!.descriptor.digest]);
      expect(again.metadata.sourcesOf(base!.descriptor.digest)).toEqual(["docker.io/library/debian"]);
    }
    const { blobs, layers } = metadata.referenceCounts();
    expect([blobs.get(base!.descriptor.digest), blobs.get(image.id), layers.get(hexOf(base!.chainId))]).toEqual([
      2, 1, 2,
    ]);
    await store.removeImage(NAME);
    expect(metadata.originOf(descriptor.digest)).toBeUndefined();
    expect(metadata.referenceCounts().blobs.get(base!.descriptor.digest)).toBe(1);
    expect(metadata.sourcesOf(base!.descriptor.digest)).toEqual(["docker.io/library/debian"]);
  });

  test("is no part of the way to an image", async () => {
    using store = open();
    await putImage(store, NAME);
    using _ = store.lease(store.findImage(NAME)!);
    expect(existsSync(at("tsbox.db"))).toBe(false);
  });

  test.each<[string, () => void]>([
    ["no database", () => writeFileSync(at("tsbox.db"), "garbage ".repeat(1000))],
    ["cut short", () => writeFileSync(at("tsbox.db"), readFileSync(at("tsbox.db")).subarray(0, 5000))],
    [
      "overwritten in the middle",
      () => {
        const bytes = readFileSync(at("tsbox.db"));
        bytes.fill(0xff, 4096);
        writeFileSync(at("tsbox.db"), bytes);
      },
    ],
  ])("is put together again from the layout where its file is %s, and that is kept", async (_, harm) => {
    using store = open();
    const descriptor = await putImage(store, NAME);
    store.metadata.setOrigin(descriptor.digest, { from: NAME, at: 1 });
    store.metadata.referenceCounts();
    store.metadata[Symbol.dispose]();
    harm();
    const damaged = readFileSync(at("tsbox.db"));
    const [base] = store.layersOf(store.findImage(NAME)!);
    expect(store.metadata.referenceCounts().blobs.get(base!.descriptor.digest)).toBe(1);
    expect(store.metadata.originOf(descriptor.digest)?.at).toBeGreaterThan(1_700_000_000_000);
    expect(store.metadata.digestsOf(base!.diffId)).toEqual([base!.descriptor.digest]);
    const kept = readdirSync(root).filter((name) => /^tsbox\.db\.damaged-[^.]*$/.test(name));
    expect(kept.length).toBe(1);
    expect(readFileSync(at(kept[0]!)).equals(damaged)).toBe(true);
    await store.removeImage(NAME);
  });

  test("of a newer version, or a symlink, is one clear error, and stays", async () => {
    using store = open();
    const descriptor = await putImage(store, NAME);
    store.metadata.referenceCounts();
    store.metadata[Symbol.dispose]();
    const { DatabaseSync } = process.getBuiltinModule("node:sqlite");
    const database = new DatabaseSync(at("tsbox.db"));
    database.exec("PRAGMA user_version = 2");
    database.close();
    expect(await failure(() => store.metadata.originOf(descriptor.digest))).toBe(
      "store_unavailable: open tsbox.db: its version is 2, and this tsbox is for 1",
    );
    rmSync(at("tsbox.db"));
    symlinkSync(folder.write("elsewhere"), at("tsbox.db"));
    expect(await failure(() => store.metadata.originOf(descriptor.digest))).toContain("is no plain file");
    expect(readFileSync(join(folder.path, "elsewhere")).length).toBe(0);
  });

  test("is how much room all of it takes", async () => {
    using store = open();
    await putImage(store, NAME, { layers: ["base", "top"] });
    await putImage(store, "docker.io/library/other:1", { layers: ["base", "other"] });
    using _ = store.lease(store.findImage(NAME)!);
    const { images, blobs, layers, reclaimableBytes } = store.diskUsage();
    const sizes = readdirSync(at("oci/blobs/sha256")).map((name) => statSync(at("oci/blobs/sha256", name)).size);
    expect([blobs.count, blobs.bytes]).toEqual([7, sizes.reduce((sum, size) => sum + size, 0)]);
    expect([layers.count, layers.bytes]).toEqual([3, "base".length + "top".length + "other".length]);
    expect(images.map(({ isUsed }) => isUsed)).toEqual([true, false]);
    const shared = Bun.gzipSync(tarOf("base", "base") as Uint8Array<ArrayBuffer>).length + "base".length;
    expect(images.map(({ bytes, uniqueBytes }) => bytes - uniqueBytes)).toEqual([shared, shared]);
    expect(reclaimableBytes).toBe(images[1]!.uniqueBytes);
  });
});
