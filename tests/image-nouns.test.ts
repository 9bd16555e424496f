/** Names, digests, manifests and configs of images, as people, registries and hostile ones write them. @module */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  chainIds,
  checkIsImage,
  chooseManifest,
  compressionOf,
  digestOf,
  familiarReference,
  formatPlatform,
  formatReference,
  hostPlatform,
  isDigest,
  isForeignLayer,
  parseDigest,
  parseImageConfig,
  parseManifest,
  parsePlatform,
  parseReference,
  withDefaultTag,
  type Digest,
  type ImageIndex,
  type Manifest,
} from "../lib/image/index.ts";
import { TsboxError } from "../syscalls/index.ts";

/** The error of a call. */
function failureOf(attempt: () => unknown): TsboxError {
  try {
    attempt();
  } catch (error) {
    if (error instanceof TsboxError) return error;
    throw error;
  }
  throw new Error("no failure");
}

const HEX = "0123456789abcdef".repeat(4);
const DIGEST = `sha256:${HEX}`;

describe("a reference", () => {
  const names: [written: string, whole: string, familiar: string][] = [
    ["debian", "docker.io/library/debian", "debian"],
    ["debian:12", "docker.io/library/debian:12", "debian:12"],
    ["library/debian", "docker.io/library/debian", "debian"],
    ["docker.io/debian", "docker.io/library/debian", "debian"],
    ["index.docker.io/library/debian:x", "docker.io/library/debian:x", "debian:x"],
    ["team/app", "docker.io/team/app", "team/app"],
    ["docker.io/team/app", "docker.io/team/app", "team/app"],
    ["docker.io/library/a/b", "docker.io/library/a/b", "library/a/b"],
    ["localhost/app", "localhost/app", "localhost/app"],
    ["localhost:5000/app:1", "localhost:5000/app:1", "localhost:5000/app:1"],
    ["[::1]:5000/app", "[::1]:5000/app", "[::1]:5000/app"],
    ["[2001:db8::1]/app", "[2001:db8::1]/app", "[2001:db8::1]/app"],
    ["example.com/a/b/c_d__e-f.g:V_1.x-2", "example.com/a/b/c_d__e-f.g:V_1.x-2", "example.com/a/b/c_d__e-f.g:V_1.x-2"],
    ["Host/app", "Host/app", "Host/app"],
    [`debian@${DIGEST}`, `docker.io/library/debian@${DIGEST}`, `debian@${DIGEST}`],
    [`debian:12@${DIGEST}`, `docker.io/library/debian:12@${DIGEST}`, `debian:12@${DIGEST}`],
  ];
  test.each(names)("%s", (written, whole, familiar) => {
    const reference = parseReference(written);
    expect(formatReference(reference)).toBe(whole);
    expect(familiarReference(reference)).toBe(familiar);
    expect(parseReference(whole)).toEqual(reference);
    expect(parseReference(familiar)).toEqual(reference);
  });

  test("has the tag latest, where nothing is said", () => {
    expect(withDefaultTag(parseReference("debian")).tag).toBe("latest");
    expect(withDefaultTag(parseReference("debian:12")).tag).toBe("12");
    expect(withDefaultTag(parseReference(`debian@${DIGEST}`)).tag).toBeUndefined();
  });

  const wrong = [
    "",
    ":tag",
    "a:",
    "a@",
    "a@sha256:12",
    `a@sha256:${HEX.toUpperCase()}`,
    "a:b:c",
    "Debian",
    "a//b",
    "/a",
    "a/",
    "a/../b",
    "../a",
    ".",
    "-a",
    "a..b",
    "a b",
    "a\nb",
    "a\r\nHost: x",
    "a\0b",
    "a?b=c",
    "a#b",
    "a%2fb",
    "a@b/c",
    "http://a/b",
    "user:password@host/a",
    "host:port/a",
    "host:123456/a",
    "[::1/a",
    HEX,
    `${HEX}:latest`,
    `a:${"t".repeat(129)}`,
    "é/a",
    `${"a".repeat(256)}`,
    `host.example/${"a/".repeat(200)}b`,
  ];
  test.each(wrong)("is not %j", (name) => {
    expect(failureOf(() => parseReference(name))).toMatchObject({ code: "reference_invalid" });
  });

  test("of noise is one that can be read again, or none", () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(..."aZ9._-:/@[]\n\0é ") }), (name) => {
        try {
          const reference = parseReference(name);
          expect(parseReference(formatReference(reference))).toEqual(reference);
          expect(formatReference(reference)).not.toMatch(/[\s\0?#%\\]|\.\.\//);
        } catch (error) {
          expect((error as TsboxError).code).toBe("reference_invalid");
        }
      }),
      { numRuns: 5000 },
    );
  });
});

describe("a digest", () => {
  test("of nothing", () => {
    expect(digestOf("")).toBe("sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    expect(digestOf("", "sha512")).toStartWith("sha512:cf83e1357eefb8bd");
  });
  test.each(["sha256:../../etc/passwd", `sha256:${HEX}/..`, `md5:${HEX}`, `sha512:${HEX}`, `sha256:${HEX}\n`, "", HEX])(
    "is not %j",
    (text) => {
      expect(isDigest(text)).toBe(false);
      expect(failureOf(() => parseDigest(text))).toMatchObject({ code: "image_invalid" });
    },
  );
  test("of a chain: each with all below it", () => {
    const [a, b, c] = ["a", "b", "c"].map((text) => digestOf(text)) as [Digest, Digest, Digest];
    expect(chainIds([])).toEqual([]);
    expect(chainIds([a, b, c])).toEqual([a, digestOf(`${a} ${b}`), digestOf(`${digestOf(`${a} ${b}`)} ${c}`)]);
  });
});

describe("a platform", () => {
  test.each([
    ["linux/amd64", "linux/amd64"],
    ["linux/x86_64", "linux/amd64"],
    ["arm64", "linux/arm64"],
    ["aarch64", "linux/arm64"],
    ["linux/arm64/v8", "linux/arm64/v8"],
    ["linux/armhf", "linux/arm/v7"],
    ["linux/arm/v6", "linux/arm/v6"],
    ["Linux/AMD64/v3", "linux/amd64/v3"],
    ["linux", formatPlatform(hostPlatform())],
  ])("%s", (written, platform) => expect(formatPlatform(parsePlatform(written))).toBe(platform));
  test.each(["", "linux/", "a/b/c/d", "linux/amd 64", "linux/../x"])("is not %j", (text) =>
    expect(failureOf(() => parsePlatform(text))).toMatchObject({ code: "invalid_option" }),
  );
  test("__proto__ is only a word", () => expect(formatPlatform(parsePlatform("__proto__"))).toBe("linux/__proto__"));
});

const OCI = "application/vnd.oci.image";
const manifestOf = (platform: object | undefined, digest: string) => ({
  mediaType: `${OCI}.manifest.v1+json`,
  digest,
  size: 5,
  ...(platform ? { platform } : {}),
});
const bytesOf = (value: unknown) => new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value));

describe("of several, a machine takes", () => {
  const digests = ["1", "2", "3", "4", "5"].map((text) => digestOf(text));
  const index = parseManifest(
    bytesOf({
      schemaVersion: 2,
      manifests: [
        manifestOf({ os: "linux", architecture: "arm", variant: "v6" }, digests[0]!),
        manifestOf({ os: "linux", architecture: "arm", variant: "v7" }, digests[1]!),
        manifestOf({ os: "linux", architecture: "arm64", variant: "v8" }, digests[2]!),
        manifestOf({ os: "linux", architecture: "amd64" }, digests[3]!),
        manifestOf({ os: "unknown", architecture: "unknown" }, digests[4]!),
      ],
    }),
  ) as ImageIndex;
  test.each([
    ["linux/arm", 1],
    ["linux/arm/v6", 0],
    ["linux/arm/v8", 1],
    ["linux/arm64", 2],
    ["linux/amd64", 3],
    ["linux/amd64/v3", 3],
  ])("%s", (platform, at) => expect(chooseManifest(index, parsePlatform(platform)).digest).toBe(digests[at]!));
  test.each(["linux/arm/v5", "windows/amd64", "linux/riscv64"])(
    "nothing for %s, and is told what there is",
    (platform) =>
      expect(failureOf(() => chooseManifest(index, parsePlatform(platform)))).toMatchObject({
        code: "platform_not_found",
        hint: "it has linux/arm/v6, linux/arm/v7, linux/arm64/v8, linux/amd64",
      }),
  );
  test("the only one that says nothing", () => {
    const one = parseManifest(bytesOf({ schemaVersion: 2, manifests: [manifestOf(undefined, digests[0]!)] }));
    expect(chooseManifest(one as ImageIndex, hostPlatform()).digest).toBe(digests[0]!);
  });
});

const config = { mediaType: `${OCI}.config.v1+json`, digest: DIGEST, size: 10 };
const layer = { mediaType: `${OCI}.layer.v1.tar+gzip`, digest: DIGEST, size: 10 };

describe("a manifest", () => {
  test("is what is known of it", () => {
    const manifest = { schemaVersion: 2, mediaType: `${OCI}.manifest.v1+json`, config, layers: [layer], extra: 1 };
    const { extra: _, ...known } = manifest;
    expect(parseManifest(bytesOf(manifest), `${OCI}.manifest.v1+json`)).toEqual(known as unknown as Manifest);
  });

  const lies: [why: string, value: unknown, type?: string][] = [
    ["no JSON", "{"],
    ["not UTF-8", new Uint8Array([0x22, 0xff, 0x22]) as unknown],
    ["of schema 1", { schemaVersion: 1, name: "a", tag: "b", fsLayers: [], history: [], signatures: [] }],
    ["of schema 1 by its type", { schemaVersion: 2 }, "application/vnd.docker.distribution.manifest.v1+prettyjws"],
    ["a list", []],
    ["null", null],
    ["without a config", { schemaVersion: 2, layers: [] }],
    ["without layers", { schemaVersion: 2, config }],
    ["manifest and index", { schemaVersion: 2, config, layers: [], manifests: [] }],
    ["a manifest, announced as an index", { schemaVersion: 2, config, layers: [] }, `${OCI}.index.v1+json`],
    ["an index, announced as a manifest", { schemaVersion: 2, manifests: [] }, `${OCI}.manifest.v1+json`],
    ["an index that says manifest", { schemaVersion: 2, mediaType: `${OCI}.manifest.v1+json`, manifests: [] }],
    ["a digest that is a path", { schemaVersion: 2, config: { ...config, digest: "sha256:../../x" }, layers: [] }],
    ["a negative size", { schemaVersion: 2, config: { ...config, size: -1 }, layers: [] }],
    ["half a byte", { schemaVersion: 2, config: { ...config, size: 0.5 }, layers: [] }],
    [
      "a size without bounds",
      `{"schemaVersion":2,"config":{"mediaType":"a/b","digest":"${DIGEST}","size":1e99},"layers":[]}`,
    ],
    ["501 layers", { schemaVersion: 2, config, layers: Array.from({ length: 501 }, () => layer) }],
    ["a header in a type", { schemaVersion: 2, config: { ...config, mediaType: "a/b\r\nX: y" }, layers: [] }],
    ["layers by number", { schemaVersion: 2, config, layers: { 0: layer } }],
  ];
  test.each(lies)("is none: %s", (...lie) => {
    const [, value, type] = lie;
    const bytes = value instanceof Uint8Array ? value : bytesOf(value);
    expect(failureOf(() => parseManifest(bytes, type))).toMatchObject({ code: "image_invalid" });
  });

  test("too large to be one", () =>
    expect(failureOf(() => parseManifest(bytesOf(" ".repeat(5 * 2 ** 20))))).toMatchObject({ code: "image_invalid" }));
  test("nested without end", () =>
    expect(failureOf(() => parseManifest(bytesOf("[".repeat(1e6))))).toMatchObject({ code: "image_invalid" }));
  test("of __proto__ nothing is taken", () => {
    const text = `{"schemaVersion":2,"__proto__":{"manifests":[]},"config":${JSON.stringify(config)},"layers":[]}`;
    const manifest = parseManifest(bytesOf(text));
    expect("manifests" in manifest).toBe(false);
  });

  test("of an artifact is no image", () => {
    const chart = { ...config, mediaType: "application/vnd.cncf.helm.config.v1+json" };
    expect(failureOf(() => checkIsImage({ schemaVersion: 2, config: chart, layers: [] } as Manifest))).toMatchObject({
      code: "image_invalid",
    });
    checkIsImage({ schemaVersion: 2, config, layers: [layer] } as Manifest);
  });
});

test("the compression of a layer is in its type", () => {
  expect(compressionOf(`${OCI}.layer.v1.tar`)).toBe("none");
  expect(compressionOf(`${OCI}.layer.v1.tar+gzip`)).toBe("gzip");
  expect(compressionOf(`${OCI}.layer.nondistributable.v1.tar+zstd`)).toBe("zstd");
  expect(compressionOf("application/vnd.docker.image.rootfs.diff.tar.gzip")).toBe("gzip");
  expect(compressionOf("application/vnd.docker.image.rootfs.diff.tar")).toBe("none");
  expect(isForeignLayer("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")).toBe(true);
  expect(isForeignLayer(`${OCI}.layer.v1.tar+gzip`)).toBe(false);
  expect(failureOf(() => compressionOf("application/vnd.in-toto+json"))).toMatchObject({ code: "image_invalid" });
});

describe("a config", () => {
  const rootfs = { type: "layers", diff_ids: [DIGEST] };
  test("is what is known of it", () => {
    const whole = {
      created: "2026-01-02T03:04:05.678Z",
      architecture: "amd64",
      os: "linux",
      config: {
        User: "a:b",
        Env: ["A=1"],
        Entrypoint: ["/a"],
        Cmd: ["b"],
        Volumes: { "/data": {} },
        ExposedPorts: { "80/tcp": {} },
        Labels: { a: "b" },
        Healthcheck: { Test: ["NONE"] },
      },
      rootfs,
      history: [{ created_by: "x", empty_layer: true }],
    };
    expect(parseImageConfig(bytesOf({ ...whole, moby: 1 }))).toEqual(whole as never);
  });
  test("of Docker has null for what is not there, and empty texts", () => {
    const config = { User: "", Env: null, Cmd: null, WorkingDir: "", Volumes: null, Labels: null };
    expect(parseImageConfig(bytesOf({ os: "linux", architecture: "amd64", rootfs, config })).config).toEqual({});
  });
  test.each([
    ["no layers", { os: "linux" }],
    ["an entrypoint that is a text", { rootfs, config: { Entrypoint: "/bin/sh" } }],
    ["a NUL in the environment", { rootfs, config: { Env: ["A=\0"] } }],
    ["a number as a user", { rootfs, config: { User: 0 } }],
    ["a volume that is a list", { rootfs, config: { Volumes: ["/data"] } }],
    ["a diffId that is a path", { rootfs: { diff_ids: ["../x"] } }],
  ])("is none: %s", (_, value) => {
    expect(failureOf(() => parseImageConfig(bytesOf(value)))).toMatchObject({ code: "image_invalid" });
  });
});
