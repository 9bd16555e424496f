/** The registry client, and real registries: what it pushes others read, and the other way around. @module */
import { afterAll, describe, expect, test } from "bun:test";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  digestOf,
  DOCKER_CONFIG,
  DOCKER_LAYER,
  DOCKER_MANIFEST,
  OCI_CONFIG,
  OCI_INDEX,
  OCI_LAYER,
  OCI_MANIFEST,
  parseReference,
  type Descriptor,
} from "../lib/image/index.ts";
import { CredentialFiles, login, logout, Registry, type RegistryOptions } from "../lib/registry/index.ts";
import { makeCertificate } from "./support/certificate.ts";
import { failureOf } from "./support/failure.ts";
import { testUnless } from "./support/machine.ts";
import { descendants, eventually } from "./support/processes.ts";
import { noRegistry, startRegistry, type TestRegistry } from "./support/registry.ts";

const noSkopeo = noRegistry ?? (Bun.which("skopeo") ? undefined : "skopeo is not installed");
const directory = mkdtempSync(join(tmpdir(), "tsbox-registry-test-"));
afterAll(() => rmSync(directory, { recursive: true }));
afterAll(async () => expect(await eventually(() => descendants().length === 0)).toBe(true));

const random = (bytes: number): Uint8Array => {
  const result = new Uint8Array(bytes);
  for (let at = 0; at < bytes; at += 65_536) crypto.getRandomValues(result.subarray(at, Math.min(bytes, at + 65_536)));
  return result;
};
const describeBytes = (bytes: Uint8Array, mediaType: string): Descriptor => ({
  mediaType,
  digest: digestOf(bytes),
  size: bytes.length,
});
/** Again for each try, in pieces of no particular size. */
const pieces = (bytes: Uint8Array) =>
  async function* () {
    for (let at = 0; at < bytes.length; at += 70_001) yield bytes.subarray(at, at + 70_001);
  };
async function collect(from: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of from) parts.push(part.slice());
  return Buffer.concat(parts);
}

/** A layer of 3 MB and what belongs to it. */
function makeImage(types: [manifest: string, config: string, layer: string]) {
  const layer = random(3_000_000);
  const config = Buffer.from(
    JSON.stringify({
      architecture: "amd64",
      os: "linux",
      config: {},
      rootfs: { type: "layers", diff_ids: [digestOf(layer)] },
    }),
  );
  const [manifestType, configType, layerType] = types;
  const descriptors = { config: describeBytes(config, configType), layer: describeBytes(layer, layerType) };
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: manifestType,
      config: descriptors.config,
      layers: [descriptors.layer],
    }),
  );
  return { layer, config, manifest, manifestType, descriptors };
}

const OCI = [OCI_MANIFEST, OCI_CONFIG, OCI_LAYER] as [string, string, string];
const DOCKER = [DOCKER_MANIFEST, DOCKER_CONFIG, DOCKER_LAYER] as [string, string, string];

async function push(registry: Registry, name: string, image: ReturnType<typeof makeImage>) {
  const reference = parseReference(name);
  await registry.uploadBlob(reference, image.descriptors.config, pieces(image.config));
  await registry.uploadBlob(reference, image.descriptors.layer, pieces(image.layer));
  return registry.putManifest(reference, image.manifest, image.manifestType);
}

const clientOf = (server: TestRegistry, options: RegistryOptions = {}) =>
  new Registry({ credentials: { username: server.username, password: server.password }, ...options });

async function run(command: string[], env: Record<string, string> = {}): Promise<string> {
  const child = Bun.spawn(command, { stdin: "ignore", stderr: "pipe", env: { ...process.env, ...env } });
  const [out, err, status] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (status !== 0) throw new Error(`${command.join(" ")}: ${err}`);
  return out;
}
const skopeo = (server: TestRegistry, ...words: string[]) =>
  run(["skopeo", ...words], { REGISTRY_AUTH_FILE: authFile(server) });

function authFile({ host, username, password }: TestRegistry): string {
  const file = join(directory, `auth-${host.replace(":", "-")}.json`);
  const auth = Buffer.from(`${username}:${password}`).toString("base64");
  writeFileSync(file, JSON.stringify({ auths: { [host]: { auth } } }));
  return file;
}

describe.each([
  ["without authentication", "none", false],
  ["with a password", "basic", false],
  ["with tokens", "token", false],
  ["with TLS", "none", true],
  ["with TLS and a password", "basic", true],
  ["with TLS and tokens", "token", true],
] as const)("a registry %s", (_, auth, tls) => {
  testUnless(noSkopeo, "what is pushed is read by skopeo, and its digests agree", async () => {
    await using server = await startRegistry({ auth, tls });
    for (const [name, types] of [
      ["oci", OCI],
      ["docker", DOCKER],
    ] as const) {
      const image = makeImage(types);
      const pushed = await push(clientOf(server), `${server.host}/team/${name}:1`, image);
      expect(pushed.digest).toBe(digestOf(image.manifest));
      const source = `docker://${server.host}/team/${name}:1`;
      const raw = await skopeo(server, "inspect", "--tls-verify=false", "--raw", source);
      expect(digestOf(raw)).toBe(pushed.digest);
      const copy = join(directory, `${name}-${auth}-${tls}`);
      await skopeo(server, "copy", "--src-tls-verify=false", "--preserve-digests", source, `dir:${copy}`);
      const layer = readFileSync(join(copy, image.descriptors.layer.digest.slice(7)));
      expect(digestOf(layer)).toBe(image.descriptors.layer.digest);
    }
  });

  testUnless(noSkopeo, "what skopeo pushed is read, by tag and by digest", async () => {
    await using server = await startRegistry({ auth, tls });
    const image = makeImage(OCI);
    const from = join(directory, `from-${auth}-${tls}`);
    mkdirSync(from);
    writeFileSync(join(from, "version"), "Directory Transport Version: 1.1\n");
    writeFileSync(join(from, "manifest.json"), image.manifest);
    for (const part of [image.config, image.layer]) writeFileSync(join(from, digestOf(part).slice(7)), part);
    const target = `docker://${server.host}/team/app:2`;
    await skopeo(server, "copy", "--dest-tls-verify=false", "--preserve-digests", `dir:${from}`, target);

    const registry = clientOf(server);
    const byTag = parseReference(`${server.host}/team/app:2`);
    const { descriptor, bytes, manifest } = await registry.getManifest(byTag);
    expect(descriptor).toEqual({
      mediaType: OCI_MANIFEST,
      digest: digestOf(image.manifest),
      size: image.manifest.length,
    });
    expect(digestOf(bytes)).toBe(descriptor.digest);
    expect(manifest).toMatchObject({ layers: [image.descriptors.layer] });
    const byDigest = parseReference(`${server.host}/team/app@${descriptor.digest}`);
    expect((await registry.getManifest(byDigest)).descriptor).toEqual(descriptor);
    expect(await registry.findManifest(byTag)).toEqual(descriptor);
    expect(await registry.findManifest(parseReference(`${server.host}/team/app:3`))).toBeUndefined();
    expect(await registry.tags(byTag)).toEqual(["2"]);
    const whole = await collect(registry.blob(byTag, image.descriptors.layer));
    expect(digestOf(whole)).toBe(image.descriptors.layer.digest);
    const rest = await collect(registry.blob(byTag, image.descriptors.layer, { offset: 1_234_567 }));
    expect(rest.equals(image.layer.subarray(1_234_567))).toBe(true);
  });
});

testUnless(noRegistry, "an index is pushed, and found by its digest alone", async () => {
  await using server = await startRegistry();
  const registry = clientOf(server);
  const image = makeImage(OCI);
  const manifest = await push(registry, `${server.host}/multi`, image);
  const index = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: OCI_INDEX,
      manifests: [{ ...manifest, platform: { os: "linux", architecture: "amd64" } }],
    }),
  );
  const pushed = await registry.putManifest(parseReference(`${server.host}/multi:all`), index, OCI_INDEX);
  expect(pushed).toEqual({ mediaType: OCI_INDEX, digest: digestOf(index), size: index.length });
  const found = await registry.getManifest(parseReference(`${server.host}/multi@${pushed.digest}`));
  expect(found.manifest).toMatchObject({ manifests: [{ digest: manifest.digest }] });
});

testUnless(noRegistry, "a blob is taken from another repository, where it may be, and sent where not", async () => {
  await using server = await startRegistry({ auth: "token" });
  const registry = clientOf(server);
  const bytes = random(100_000);
  const descriptor = describeBytes(bytes, OCI_LAYER);
  await registry.uploadBlob(parseReference(`${server.host}/one`), descriptor, pieces(bytes));
  const two = parseReference(`${server.host}/two`);
  const never = (): AsyncIterable<Uint8Array> => {
    throw new Error("sent, though it is there");
  };
  expect(await registry.hasBlob(two, descriptor.digest)).toBe(false);
  expect(await registry.uploadBlob(two, descriptor, never, { mountFrom: ["nowhere", "one"] })).toBe("mounted");
  expect(await registry.hasBlob(two, descriptor.digest)).toBe(true);
  const three = parseReference(`${server.host}/three`);
  expect(await registry.uploadBlob(three, descriptor, pieces(bytes), { mountFrom: ["nowhere"] })).toBe("uploaded");
  expect(server.tokens?.asked).toContain("GET repository:two:pull,push repository:one:pull someone");
  // an upload that was opened for a mount that failed has been cancelled
  const left = await run(["find", server.storage, "-path", "*/_uploads/*", "-name", "startedat"]);
  expect(left).toBe("");
});

testUnless(noRegistry, "a blob is sent in several requests", async () => {
  await using server = await startRegistry();
  const bytes = random(2_500_001);
  const told: number[] = [];
  const reference = parseReference(`${server.host}/chunks`);
  const descriptor = describeBytes(bytes, OCI_LAYER);
  await clientOf(server).uploadBlob(reference, descriptor, pieces(bytes), {
    chunkBytes: 1_000_000,
    onProgress: (sent) => told.push(sent),
  });
  expect(told).toEqual([0, 1_000_000, 2_000_000, 2_500_001]);
  expect(digestOf(await collect(clientOf(server).blob(reference, descriptor)))).toBe(descriptor.digest);
});

testUnless(noRegistry, "an empty blob goes both ways", async () => {
  await using server = await startRegistry();
  const reference = parseReference(`${server.host}/empty`);
  const descriptor = describeBytes(new Uint8Array(0), OCI_LAYER);
  await clientOf(server).uploadBlob(reference, descriptor, pieces(new Uint8Array(0)));
  expect(await collect(clientOf(server).blob(reference, descriptor))).toHaveLength(0);
});

/** Something in the middle that passes all on, until so many bytes have gone one way; it does so once for each number. */
async function cuttingProxy(target: string, way: "up" | "down", cuts: number[]) {
  const sockets = new Set<Socket>();
  let cut = 0;
  const server = createServer((client) => {
    const [host, port] = target.split(":") as [string, string];
    const upstream = connect(Number(port), host);
    let passed = 0;
    const count = (piece: Buffer) => {
      passed += piece.length;
      if (cut >= cuts.length || passed < (cuts[cut] as number)) return;
      cut++;
      client.destroy();
      upstream.destroy();
    };
    (way === "up" ? client : upstream).on("data", count);
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from);
      from.on("error", () => undefined).on("close", () => (sockets.delete(from), to.destroy()));
      from.pipe(to);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    host: `127.0.0.1:${(server.address() as { port: number }).port}`,
    cuts: () => cut,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

testUnless(noRegistry, "a download that breaks twice goes on where it broke", async () => {
  await using server = await startRegistry();
  const bytes = random(12_000_000);
  const descriptor = describeBytes(bytes, OCI_LAYER);
  await clientOf(server).uploadBlob(parseReference(`${server.host}/big`), descriptor, pieces(bytes));
  await using proxy = await cuttingProxy(server.host, "down", [3_000_000, 4_000_000]);
  const registry = clientOf(server, { patience: { delayMs: 5 } });
  const found = await collect(registry.blob(parseReference(`${proxy.host}/big`), descriptor));
  expect(proxy.cuts()).toBe(2);
  expect(digestOf(found)).toBe(descriptor.digest);
  expect(server.log().match(/"GET \/v2\/big\/blobs\/[^"]*" 206/g)).toHaveLength(2);
});

testUnless(noRegistry, "an upload that breaks twice is brought to its end", async () => {
  await using server = await startRegistry();
  await using proxy = await cuttingProxy(server.host, "up", [5_000_000, 9_000_000]);
  const bytes = random(40_000_000);
  const descriptor = describeBytes(bytes, OCI_LAYER);
  const reference = parseReference(`${proxy.host}/big`);
  const told: number[] = [];
  const registry = clientOf(server, { patience: { delayMs: 5 } });
  await registry.uploadBlob(reference, descriptor, pieces(bytes), { onProgress: (sent) => told.push(sent) });
  expect(proxy.cuts()).toBe(2);
  expect(told.at(-1)).toBe(bytes.length);
  expect(digestOf(await collect(registry.blob(reference, descriptor)))).toBe(descriptor.digest);
});

/** docker-registry has been asked to forget an upload, which it does in its own time: it remembers what it lost count of. */
const cancelled = (server: TestRegistry) =>
  eventually(() => /"DELETE \/v2\/x\/blobs\/uploads\/[^"]*"/.test(server.log()));

testUnless(
  noRegistry,
  "a blob that is not what its digest says is not taken, and its upload is cancelled",
  async () => {
    await using server = await startRegistry();
    const bytes = random(100_000);
    const descriptor = { ...describeBytes(bytes, OCI_LAYER), digest: digestOf("another") };
    const error = await failureOf(() =>
      clientOf(server).uploadBlob(parseReference(`${server.host}/x`), descriptor, pieces(bytes)),
    );
    expect(error).toMatchObject({ code: "registry_error" });
    expect(error.message).toContain("DIGEST_INVALID");
    expect(await cancelled(server)).toBe(true);
  },
);

testUnless(noRegistry, "an upload that is aborted is cancelled at the registry, and its source is closed", async () => {
  await using server = await startRegistry();
  const controller = new AbortController();
  let ended = false;
  const source = async function* () {
    try {
      for (let piece = 0; piece < 1000; piece++) {
        if (piece === 20) controller.abort();
        yield random(100_000);
      }
    } finally {
      ended = true;
    }
  };
  const descriptor: Descriptor = { mediaType: OCI_LAYER, digest: digestOf("x"), size: 100_000_000 };
  const reference = parseReference(`${server.host}/x`);
  const error = await failureOf(() =>
    clientOf(server).uploadBlob(reference, descriptor, source, { signal: controller.signal }),
  );
  expect(error.code).toBe("aborted");
  expect(await eventually(() => ended)).toBe(true);
  expect(await cancelled(server)).toBe(true);
});

const script = join(import.meta.dirname, "fixtures/registry.ts");
const deno = join(import.meta.dirname, "../node_modules/.bin/deno");

test.skipIf(noRegistry !== undefined).each([
  ["Bun", [process.execPath, script]],
  ["Deno", [deno, "run", "--quiet", "--no-lock", "--allow-all", script]],
])("all of it works under %s, and the script ends by itself", async (_, command) => {
  await using server = await startRegistry({ auth: "basic" });
  const output = await run([...command, server.host, server.username, server.password], { DENO_NO_UPDATE_CHECK: "1" });
  expect(JSON.parse(output)).toEqual({
    sent: "uploaded",
    length: 2_999_995,
    aborted: "aborted",
    missing: "image_not_found",
    refused: "it does not speak TLS",
  });
});

describe("who vouches for a registry", () => {
  const secret = (server: TestRegistry, options: RegistryOptions) =>
    clientOf(server, { insecure: false, patience: { attempts: 1 }, certificateDirectories: [], ...options });

  testUnless(noRegistry, "nobody does, so it is refused, unless it is named as insecure", async () => {
    await using server = await startRegistry({ tls: true });
    const reference = parseReference(`${server.host}/x`);
    const error = await failureOf(() => secret(server, {}).tags(reference));
    expect(error).toMatchObject({ code: "registry_error" });
    expect(error.message).toContain("nobody vouches for its certificate");
    expect(error.hint).toContain("certs.d");
    // reached: there is no such repository
    for (const insecure of [true, [server.host], ["127.0.0.1"], ["127.0.0.0/8"]]) {
      expect((await failureOf(() => secret(server, { insecure }).tags(reference))).code).toBe("image_not_found");
    }
  });

  testUnless(noRegistry, "its own certificate does, in an option or a directory", async () => {
    await using server = await startRegistry({ tls: true });
    await using other = await startRegistry({ tls: true });
    const reference = parseReference(`${server.host}/x`);
    const ca = server.certificate?.pem as string;
    expect((await failureOf(() => secret(server, { ca }).tags(reference))).code).toBe("image_not_found");
    const certs = join(directory, "certs.d");
    mkdirSync(join(certs, server.host), { recursive: true });
    copyFileSync(server.certificate?.file as string, join(certs, server.host, "ca.crt"));
    expect((await failureOf(() => secret(server, { certificateDirectories: [certs] }).tags(reference))).code).toBe(
      "image_not_found",
    );
    // and that of another does not, though it is on this machine
    for (const insecure of [false, []]) {
      const wrong = other.certificate?.pem as string;
      const error = await failureOf(() => secret(server, { ca: wrong, insecure }).tags(reference));
      expect(error.message).toContain("nobody vouches for its certificate");
    }
  });

  testUnless(noRegistry, "one without TLS is used on this machine, but not where that is not wanted", async () => {
    await using server = await startRegistry({ auth: "basic" });
    const reference = parseReference(`${server.host}/x`);
    const error = await failureOf(() => secret(server, {}).tags(reference));
    expect(error.message).toContain("does not speak TLS");
    expect(error.hint).toContain("insecure");
    // nor where it was said who vouches for it
    const { pem } = makeCertificate(directory, "other");
    const vouched = await failureOf(() => secret(server, { insecure: [], ca: pem }).tags(reference));
    expect(vouched.message).toContain("does not speak TLS");
    expect(server.log()).not.toContain("/v2/x/tags");
    expect((await failureOf(() => secret(server, { insecure: [] }).tags(reference))).code).toBe("image_not_found");
  });
});

describe("login", () => {
  const filesIn = (name: string) => new CredentialFiles({ HOME: "/nonexistent", DOCKER_CONFIG: join(directory, name) });

  testUnless(noSkopeo, "what it keeps serves skopeo, and what skopeo keeps serves us", async () => {
    await using server = await startRegistry({ auth: "basic" });
    const files = filesIn("login");
    const { username, password, host } = server;
    expect(await login(host, { username, password, files })).toEqual({ file: files.file });
    expect(statSync(files.file).mode & 0o777).toBe(0o600);
    const reference = parseReference(`${host}/team/app:1`);
    const registry = new Registry({ credentials: (domain, path) => files.find(domain, path) });
    await push(registry, `${host}/team/app:1`, makeImage(OCI));
    const inspect = ["skopeo", "inspect", "--tls-verify=false", "--raw", `docker://${host}/team/app:1`];
    expect(
      digestOf(await run(inspect, { DOCKER_CONFIG: join(directory, "login"), REGISTRY_AUTH_FILE: files.file })),
    ).toBe((await registry.getManifest(reference)).descriptor.digest);
    expect(await logout(host, files)).toBe(true);
    expect(await logout(host, files)).toBe(false);
    expect(await files.find(host)).toBeUndefined();

    const theirs = join(directory, "skopeo-auth.json");
    await run(["skopeo", "login", "--tls-verify=false", "--authfile", theirs, "-u", username, "-p", password, host]);
    const found = await new CredentialFiles({ REGISTRY_AUTH_FILE: theirs }).find(host, "team/app");
    expect(found).toEqual({ username, password });
  });

  testUnless(noRegistry, "an identity token is kept instead of the password, and gets tokens", async () => {
    await using server = await startRegistry({ auth: "token" });
    const files = filesIn("identity");
    const { username, password, host, tokens } = server;
    await login(host, { username, password, files });
    expect(readFileSync(files.file, "utf8")).not.toContain(Buffer.from(`${username}:${password}`).toString("base64"));
    expect(await files.find(host)).toEqual({ username, identityToken: tokens?.identityToken as string });
    const registry = new Registry({ credentials: (domain, path) => files.find(domain, path) });
    await push(registry, `${host}/x:1`, makeImage(OCI));
    expect(tokens?.asked.filter((line) => line.startsWith("POST"))).toContain(
      `POST repository:x:pull,push ${username}`,
    );
  });

  testUnless(noRegistry, "who is not let in is told so, and nothing is kept", async () => {
    for (const auth of ["basic", "token"] as const) {
      await using server = await startRegistry({ auth });
      const files = filesIn(`denied-${auth}`);
      const error = await failureOf(() => login(server.host, { username: "someone", password: "wrong", files }));
      expect(error).toMatchObject({ code: "registry_denied" });
      expect(await files.find(server.host)).toBeUndefined();
      const reference = parseReference(`${server.host}/x:1`);
      const anonymous = await failureOf(() => new Registry({ credentials: false }).getManifest(reference));
      expect(anonymous).toMatchObject({ code: "registry_denied" });
      expect(anonymous.hint).toContain(`tsbox login ${server.host}`);
    }
  });

  testUnless(noRegistry, "anybody may pull from a registry with tokens that lets them", async () => {
    await using server = await startRegistry({ auth: "token", anonymousPull: true });
    await push(clientOf(server), `${server.host}/x:1`, makeImage(OCI));
    const anonymous = new Registry({ credentials: false });
    const reference = parseReference(`${server.host}/x:1`);
    expect((await anonymous.getManifest(reference)).descriptor.mediaType).toBe(OCI_MANIFEST);
    const error = await failureOf(() => anonymous.putManifest(reference, Buffer.from("{}"), OCI_MANIFEST));
    expect(error.code).toBe("registry_denied");
  });

  test.each([
    ["", "x"],
    ["a:b", "x"],
    ["a", ""],
  ])("%p with the password %p is no login", async (username, password) => {
    const error = await failureOf(() => login("127.0.0.1:1", { username, password }));
    expect(error.code).toBe("invalid_option");
  });
});
