/** Registries that lie, stall, cut connections, want secrets or never end; and what comes of it: one clear error. @module */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { digestOf, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, parseReference, type Descriptor } from "../lib/image/index.ts";
import { Registry, type RegistryOptions } from "../lib/registry/index.ts";
import { type Certificate, makeCertificate, noRegistryTools } from "./support/certificate.ts";
import { failureOf } from "./support/failure.ts";
import { type Answer, type Asked, type HostileRegistry, type Reply, startHostile } from "./support/hostile-registry.ts";
import { SLOW, testUnless } from "./support/machine.ts";
import { eventually } from "./support/processes.ts";

const directory = mkdtempSync(join(tmpdir(), "tsbox-hostile-"));
afterAll(() => rmSync(directory, { recursive: true }));

let made: Certificate | undefined;
const certificate = (): Certificate => (made ??= makeCertificate(directory));

const bytes = Buffer.alloc(300_000, "layer ");
const layer: Descriptor = { mediaType: OCI_LAYER, digest: digestOf(bytes), size: bytes.length };
const manifest = JSON.stringify({
  schemaVersion: 2,
  mediaType: OCI_MANIFEST,
  config: { mediaType: OCI_CONFIG, digest: digestOf("config"), size: 6 },
  layers: [layer],
});
const isManifest = { "Content-Type": OCI_MANIFEST };
/** For who says nothing; a busy machine says something in that time. */
const WAIT_MS = 700 * SLOW;
const SECRET = { username: "user", password: "secret" };
const BASIC = `Basic ${btoa("user:secret")}`;

const client = (options: RegistryOptions = {}) =>
  new Registry({
    credentials: SECRET,
    certificateDirectories: [],
    ...options,
    times: { answerMs: WAIT_MS, stallMs: WAIT_MS, ...options.times },
    patience: { attempts: 3, delayMs: 1, ...options.patience },
  });
const named = ({ host }: HostileRegistry, name = "team/app:1") => parseReference(`${host}/${name}`);

async function collect(from: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of from) parts.push(part.slice());
  return Buffer.concat(parts);
}
const pieces = (of: Uint8Array) =>
  async function* () {
    for (let at = 0; at < of.length; at += 50_000) yield of.subarray(at, at + 50_000);
  };

/** What a request for a manifest comes to. The first request finds out about TLS, which nobody but the test sees. */
async function manifestOf(answer: Answer, options: RegistryOptions = {}) {
  const server = await startHostile(answer);
  await using _ = server;
  const error = await failureOf(() => client(options).getManifest(named(server)));
  return { error, asked: server.asked };
}

describe("an answer", () => {
  test.each<[number, object, string, string]>([
    [
      401,
      { errors: [{ code: "UNAUTHORIZED", message: "authentication required" }] },
      "registry_denied",
      "UNAUTHORIZED",
    ],
    [403, { errors: [{ code: "DENIED", message: "not yours" }] }, "registry_denied", "403 DENIED: not yours"],
    [
      404,
      { errors: [{ code: "MANIFEST_UNKNOWN", message: "manifest unknown" }] },
      "image_not_found",
      "MANIFEST_UNKNOWN",
    ],
    [404, {}, "image_not_found", "404 not found"],
    [400, { errors: [{ code: "NAME_INVALID" }] }, "registry_error", "400 NAME_INVALID"],
    [500, {}, "registry_error", "500 internal error"],
    [418, { errors: "no list" }, "registry_error", "418"],
    [403, { details: "from a token server" }, "registry_denied", "from a token server"],
  ])("%p %j is an error of one line", async (status, body, code, words) => {
    const { error } = await manifestOf((_, reply) => reply.json(status, body));
    expect(error.code).toBe(code as typeof error.code);
    expect(error.message).toContain("get the manifest of ");
    expect(error.message).toContain(words);
    expect(error.message).not.toContain("\n");
  });

  test("that is a failure of the moment is asked for again, as often as was said", async () => {
    for (const status of [408, 429, 500, 502, 503, 504]) {
      await using server = await startHostile((_, reply, count) =>
        count < 3 ? reply.send(status) : reply.send(200, isManifest, manifest),
      );
      await client().getManifest(named(server));
      expect(server.asked).toHaveLength(3);
      const { asked } = await manifestOf((_, reply) => reply.send(status));
      expect(asked).toHaveLength(3);
    }
  });

  test("that will not change is not asked for again", async () => {
    for (const status of [400, 403, 404, 501]) {
      const { asked } = await manifestOf((_, reply) => reply.send(status));
      expect(asked).toHaveLength(1);
    }
  });

  test("that holds escapes for a terminal, lines or tricks of direction is harmless", async () => {
    const message = "\u001b]0;owned\u0007\u001b[31mred\n\u202eevil\u0085";
    const { error } = await manifestOf((_, reply) => reply.json(404, { errors: [{ code: "X\u001b[2J", message }] }));
    // oxlint-disable-next-line no-control-regex
    expect(error.message).not.toMatch(/[\x00-\x1f\x7f-\x9f\u202e]/);
    expect(error.message).toContain("red");
  });

  test("that has no end is not read to it", async () => {
    for (const status of [200, 500]) {
      let sent = 0;
      const server = await startHostile((_, reply) => {
        reply.raw(`HTTP/1.1 ${status} Answer\r\nTransfer-Encoding: chunked\r\nContent-Type: ${OCI_MANIFEST}\r\n\r\n`);
        const piece = `10000\r\n${" ".repeat(0x10000)}\r\n`;
        const more = () => {
          while (!reply.socket.destroyed) {
            sent += 0x10000;
            if (!reply.socket.write(piece)) return void reply.socket.once("drain", more);
          }
        };
        more();
      });
      await using _ = server;
      const error = await failureOf(() => client({ patience: { attempts: 1 } }).getManifest(named(server)));
      expect(error.code).toBe("registry_error");
      if (status === 200) expect(error.message).toContain("longer than 4194304 bytes");
      expect(sent).toBeLessThan(64 * 2 ** 20);
      expect(await eventually(() => server.open() === 0)).toBe(true);
    }
  });

  test("of as much as a manifest may be is read", async () => {
    const padded = manifest.padEnd(4 * 2 ** 20, " ");
    await using server = await startHostile((_, reply) => reply.send(200, isManifest, padded));
    expect((await client().getManifest(named(server))).bytes).toHaveLength(4 * 2 ** 20);
    const { error } = await manifestOf((_, reply) => reply.send(200, isManifest, `${padded} `));
    expect(error.message).toContain("longer than");
  });
});

test("a password that is refused is shown once to each request", async () => {
  await using server = await startHostile((_, reply) => reply.send(401, { "WWW-Authenticate": 'Basic realm="x"' }));
  const registry = client();
  for (let count = 0; count < 2; count++) await failureOf(() => registry.getManifest(named(server)));
  expect(server.asked.map(({ headers }) => headers["authorization"])).toEqual([undefined, BASIC, BASIC]);
});

describe("a rate limit", () => {
  test("of which nothing is left is not asked again", async () => {
    const { asked } = await manifestOf((_, reply) => reply.send(429, { "RateLimit-Remaining": "0;w=21600" }));
    expect(asked).toHaveLength(1);
    const left = await manifestOf((_, reply) => reply.send(429, { "RateLimit-Remaining": "50;w=21600" }));
    expect(left.asked).toHaveLength(3);
  });

  test("is explained: how much, how long, and what would help", async () => {
    const headers = { "RateLimit-Limit": "100;w=21600", "RateLimit-Remaining": "0;w=21600", "Retry-After": "5400" };
    const body = { errors: [{ code: "TOOMANYREQUESTS", message: "You have reached your pull rate limit." }] };
    const { error, asked } = await manifestOf((_, reply) => reply.json(429, body, headers), { credentials: false });
    expect(error.code).toBe("rate_limited");
    expect(error.message).toContain("You have reached your pull rate limit.");
    expect(error.hint).toMatch(
      /^it allows 100 in 6 h; again in 90 min; more after "tsbox login .*", or from a mirror$/,
    );
    // nor asked again, which would only make it longer
    expect(asked).toHaveLength(1);
  });

  test("of a moment is waited for", async () => {
    const [retry, start] = [{ "Retry-After": "1" }, performance.now()];
    await using server = await startHostile((_, reply, count) =>
      count === 1 ? reply.send(429, retry) : reply.send(200, isManifest, manifest),
    );
    await client().getManifest(named(server));
    expect(performance.now() - start).toBeGreaterThan(950);
  });

  test.each(["Fri, 31 Dec 2399 23:59:59 GMT", "99999999999999", "-1", "soon"])("of %p hangs nobody", async (after) => {
    const { error } = await manifestOf((_, reply) => reply.send(429, { "Retry-After": after }));
    expect(error.code).toBe("rate_limited");
  });
});

describe("a connection", () => {
  test("that nobody takes is no wait", async () => {
    const server = await startHostile(() => undefined);
    await server[Symbol.asyncDispose]();
    const error = await failureOf(() => client().getManifest(named(server)));
    expect(error).toMatchObject({ code: "registry_error", hint: "does it run?" });
    expect(error.message).toContain("nobody listens there");
  });

  test("that is cut before there is an answer is made again", async () => {
    await using server = await startHostile((_, reply, count) =>
      count < 3 ? reply.cut() : reply.send(200, isManifest, manifest),
    );
    await client({ mirrors: {} }).getManifest(named(server));
    expect(server.asked).toHaveLength(3);
    const { error, asked } = await manifestOf((_, reply) => reply.cut());
    expect(error.message).toContain("it closed the connection");
    expect(asked).toHaveLength(3);
  });

  test("that stays silent ends after a while, and so does one that stops in the middle", async () => {
    const silent = await manifestOf(() => undefined);
    expect(silent.error.message).toContain(`gives no answer for ${WAIT_MS} ms`);
    // not a third time: who lets others wait does so again
    expect(silent.asked).toHaveLength(2);
    const head = `HTTP/1.1 200 OK\r\nContent-Type: ${OCI_MANIFEST}\r\nContent-Length: 1000\r\n\r\n{`;
    const stalled = await manifestOf((_, reply) => reply.raw(head), { patience: { attempts: 1 } });
    expect(stalled.error.message).toContain(`has stopped sending for ${WAIT_MS} ms`);
  });

  test("is closed when its request is aborted: before the answer, within it, while it is waited for the next try", async () => {
    const answers: Answer[] = [
      () => undefined,
      (_, reply) => reply.raw("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"),
      (_, reply) => reply.send(503, { "Retry-After": "20" }),
    ];
    for (const answer of answers) {
      const server = await startHostile(answer);
      await using _ = server;
      const controller = new AbortController();
      const times = { answerMs: 20_000, stallMs: 20_000 };
      const failed = failureOf(() => client({ times }).getManifest(named(server), { signal: controller.signal }));
      expect(await eventually(() => server.asked.length > 0)).toBe(true);
      await Bun.sleep(30);
      controller.abort("enough");
      expect(await failed).toMatchObject({ code: "aborted", cause: "enough" });
      if (answer !== answers[2]) expect(await eventually(() => server.open() === 0)).toBe(true);
    }
    const signal = AbortSignal.abort("before");
    expect((await failureOf(() => client({ signal }).tags(parseReference("127.0.0.1:1/x")))).code).toBe("aborted");
  });
});

describe("a manifest", () => {
  test("of a server that does not know HEAD, or tells no digest, is looked for all the same", async () => {
    const found = { mediaType: OCI_MANIFEST, digest: digestOf(manifest), size: manifest.length };
    for (const status of [200, 405, 501]) {
      await using server = await startHostile(({ method }, reply) =>
        method === "HEAD" ? reply.send(status, isManifest) : reply.send(200, isManifest, manifest),
      );
      expect(await client().findManifest(named(server))).toEqual(found);
    }
  });

  test("of a type that nobody knows is of the type that it says itself", async () => {
    for (const type of ["application/json", "application/vnd.example+json", "text/plain"]) {
      await using server = await startHostile((_, reply) => reply.send(200, { "Content-Type": type }, manifest));
      expect((await client().getManifest(named(server))).descriptor.mediaType).toBe(OCI_MANIFEST);
    }
  });

  test("that is not the one of its digest is refused, by whichever digest", async () => {
    const wanted = digestOf("another");
    await using server = await startHostile((_, reply) => reply.send(200, isManifest, manifest));
    const byDigest = await failureOf(() => client().getManifest(named(server, `app@${wanted}`)));
    expect(byDigest.code).toBe("digest_mismatch");
    const { error } = await manifestOf((_, reply) =>
      reply.send(200, { ...isManifest, "Docker-Content-Digest": wanted }, manifest),
    );
    expect(error.code).toBe("digest_mismatch");
    // the control: the right one
    const right = named(server, `app@${digestOf(manifest)}`);
    expect((await client().getManifest(right)).descriptor.digest).toBe(digestOf(manifest));
    await using head = await startHostile((_, reply) =>
      reply.send(200, { ...isManifest, "Docker-Content-Digest": digestOf("x"), "Content-Length": "3" }),
    );
    expect((await failureOf(() => client().findManifest(named(head, `app@${wanted}`)))).code).toBe("digest_mismatch");
  });

  test.each<[string, string, string, RegExp]>([
    ["of schema 1", '{"schemaVersion":1}', "application/vnd.docker.distribution.manifest.v1+prettyjws", /schema 1/],
    ["that is none", "<html>", OCI_MANIFEST, /no JSON/],
    ["of another type than it says", manifest, "application/vnd.oci.image.index.v1+json", /is not what it is/],
    ["with a layer of a negative size", manifest.replace(String(bytes.length), "-1"), OCI_MANIFEST, /size/],
  ])("%s is refused", async (_, body, type, why) => {
    const { error } = await manifestOf((_asked, reply) => reply.send(200, { "Content-Type": type }, body));
    expect(error.code).toBe("image_invalid");
    expect(error.message).toMatch(why);
  });
});

/** Serves the layer as a test wants it; the first request, without an answer of its own, says that there is no TLS. */
async function blobOf(answer: Answer, options: RegistryOptions = {}, descriptor = layer, offset = 0) {
  const server = await startHostile(answer);
  await using _ = server;
  const parts: Uint8Array[] = [];
  let error: (Error & { code?: string }) | undefined;
  try {
    for await (const part of client(options).blob(named(server), descriptor, { offset })) parts.push(part.slice());
  } catch (caught) {
    error = caught as Error;
  }
  return { found: Buffer.concat(parts), error, asked: server.asked };
}
const rangeOf = ({ headers }: Asked) => Number(/^bytes=(\d+)-$/.exec(headers["range"] ?? "bytes=0-")?.[1]);
const partial = (reply: Reply, from: number, to = bytes.length) =>
  reply.send(206, { "Content-Range": `bytes ${from}-${to - 1}/${bytes.length}` }, bytes.subarray(from, to));
const cutAfter = (reply: Reply, head: string, sent: Uint8Array) => {
  reply.raw(head);
  reply.raw(sent);
  setTimeout(() => reply.cut(), 20);
};

describe("a blob", () => {
  test("whose connection breaks goes on where it broke", async () => {
    const { found, asked } = await blobOf((request, reply, count) => {
      if (count === 1)
        return cutAfter(
          reply,
          `HTTP/1.1 200 OK\r\nContent-Length: ${bytes.length}\r\n\r\n`,
          bytes.subarray(0, 100_000),
        );
      return partial(reply, rangeOf(request));
    });
    expect(found.equals(bytes)).toBe(true);
    expect(asked.map(({ headers }) => headers["range"])).toEqual([undefined, "bytes=100000-"]);
  });

  test("whose connection stalls goes on as well", async () => {
    const { found } = await blobOf((request, reply, count) => {
      if (count > 1) return partial(reply, rangeOf(request));
      reply.raw(`HTTP/1.1 200 OK\r\nContent-Length: ${bytes.length}\r\n\r\n`);
      reply.raw(bytes.subarray(0, 70_000));
    });
    expect(found.equals(bytes)).toBe(true);
  });

  test("of a registry that knows no ranges comes from its beginning again", async () => {
    const { found } = await blobOf((_, reply, count) =>
      count === 1
        ? cutAfter(reply, `HTTP/1.1 200 OK\r\nContent-Length: ${bytes.length}\r\n\r\n`, bytes.subarray(0, 100_000))
        : reply.send(200, {}, bytes),
    );
    expect(found.equals(bytes)).toBe(true);
    expect((await blobOf((_, reply) => reply.send(200, {}, bytes), {}, layer, 123_456)).found).toEqual(
      bytes.subarray(123_456),
    );
  });

  test("that is sent in parts, each of them announced, is whole in the end", async () => {
    const { found } = await blobOf(
      (request, reply) => {
        const from = rangeOf(request);
        return partial(reply, from, Math.min(bytes.length, from + 110_000));
      },
      {},
      layer,
      10,
    );
    expect(found).toEqual(bytes.subarray(10));
  });

  test("whose connection always breaks is given up", async () => {
    const head = `HTTP/1.1 200 OK\r\nContent-Length: ${bytes.length}\r\n\r\n`;
    const { error, asked } = await blobOf((_, reply) => cutAfter(reply, head, bytes.subarray(0, 10)));
    expect(error?.code).toBe("registry_error");
    expect(asked).toHaveLength(3);
    const silent = await blobOf(() => undefined);
    expect(silent.error?.message).toContain("gives no answer");
  });

  test("of another size than its manifest says is refused: at once where it is told, otherwise after as many bytes", async () => {
    for (const length of [bytes.length + 1, bytes.length - 1, 5]) {
      const told = await blobOf((_, reply) =>
        reply.send(200, { "Content-Length": String(length) }, Buffer.alloc(length)),
      );
      expect(told.error).toMatchObject({ code: "image_invalid" });
      expect(told.error?.message).toContain(`${length} bytes where the manifest says ${bytes.length}`);
      expect(told.found).toHaveLength(0);
    }
    let sent = 0;
    const endless = await blobOf((_, reply) => {
      reply.raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
      const more = () => {
        while (!reply.socket.destroyed && sent < 512 * 2 ** 20) {
          sent += 0x10000;
          if (!reply.socket.write(`10000\r\n${" ".repeat(0x10000)}\r\n`)) return void reply.socket.once("drain", more);
        }
      };
      more();
    });
    expect(endless.error?.message).toContain(`more than the ${bytes.length} bytes`);
    expect(endless.found.length).toBeLessThanOrEqual(bytes.length);
    expect(sent).toBeLessThan(64 * 2 ** 20);
  });

  test("that ends early without having said so is missed", async () => {
    const { error } = await blobOf((request, reply) => {
      if (rangeOf(request) > 0) return partial(reply, rangeOf(request), rangeOf(request)); // nothing more
      reply.raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nlayer\r\n0\r\n\r\n");
    });
    expect(error).toBeDefined();
  });

  test.each([
    "bytes 0-299999/300000",
    "bytes 99999-299999/300000",
    "bytes 100001-299999/300000",
    "bytes 100000-299999/300001",
    "bytes 100000-300000/300001",
    "bytes 100000-300000/*",
    "bytes */300000",
    "bytes=100000-299999/300000",
    "nonsense",
    "",
  ])("of which the range %p is sent, and not that which was asked for, is refused", async (range) => {
    const rest = bytes.subarray(100_000);
    const lie: Answer = (_, reply) => reply.send(206, { "Content-Range": range }, rest);
    const { error, found } = await blobOf(lie, {}, layer, 100_000);
    expect(error).toMatchObject({ code: "image_invalid" });
    expect(found).toHaveLength(0);
    const honest = await blobOf((_, reply) => partial(reply, 100_000), {}, layer, 100_000);
    expect(honest.found).toEqual(rest);
  });

  test("that nobody wants to the end is not got to the end, nor is its connection kept", async () => {
    await using server = await startHostile((_, reply) => {
      reply.raw(`HTTP/1.1 200 OK\r\nContent-Length: ${bytes.length}\r\n\r\n`);
      reply.raw(bytes.subarray(0, 100_000));
    });
    for await (const part of client({ times: { stallMs: 20_000 } }).blob(named(server), layer)) {
      expect(part.length).toBeGreaterThan(0);
      break;
    }
    expect(await eventually(() => server.open() === 0)).toBe(true);
  });

  test("that is not compressed by the connection, whatever that says, stays as it is", async () => {
    const packed = Buffer.from(Bun.gzipSync(Buffer.alloc(1000)));
    const descriptor = { ...layer, digest: digestOf(packed), size: packed.length };
    const { found, asked } = await blobOf(
      (_, reply) => reply.send(200, { "Content-Encoding": "gzip" }, packed),
      {},
      descriptor,
    );
    expect(found).toEqual(packed);
    expect(asked[0]?.headers["accept-encoding"]).toBe("identity");
  });
});

/** One that wants the password, and then does what the test says. */
const locked =
  (then: Answer): Answer =>
  (asked, reply, count) =>
    asked.headers["authorization"] === undefined
      ? reply.send(401, { "WWW-Authenticate": 'Basic realm="x"' })
      : then(asked, reply, count);

test("a connection serves again, also after an answer that nobody reads", async () => {
  const ports = new Set<number | undefined>();
  await using server = await startHostile(
    locked((_, reply) => {
      ports.add(reply.socket.remotePort);
      reply.send(200, isManifest, manifest);
    }),
  );
  const registry = client();
  for (let count = 0; count < 4; count++) await registry.getManifest(named(server));
  expect(ports.size).toBe(1);
  expect(server.open()).toBeLessThanOrEqual(2);
});

describe("a redirect", () => {
  test("takes the password along to where it is known, and nowhere else", async () => {
    await using store = await startHostile((_, reply) => reply.send(200, {}, bytes));
    for (const status of [301, 302, 303, 307, 308]) {
      store.asked.length = 0;
      await using server = await startHostile(
        locked(({ path }, reply) => {
          if (path === "/elsewhere") return reply.send(status, { Location: `${store.url}/blob` });
          return reply.send(status, { Location: "/elsewhere" });
        }),
      );
      expect((await collect(client().blob(named(server), layer))).equals(bytes)).toBe(true);
      const own = server.asked.filter(({ path }) => path === "/elsewhere");
      expect(own.map(({ headers }) => headers["authorization"])).toEqual([BASIC]);
      expect(store.asked.map(({ headers }) => headers["authorization"])).toEqual([undefined]);
    }
  });

  test("to somebody who wants the password gets none", async () => {
    await using store = await startHostile((_, reply) => reply.send(401, { "WWW-Authenticate": 'Basic realm="x"' }));
    const { error } = await manifestOf(locked((_, reply) => reply.send(307, { Location: `${store.url}/blob` })));
    expect(error.code).toBe("registry_denied");
    expect(store.asked.map(({ headers }) => headers["authorization"])).toEqual([undefined]);
  });

  test("to somebody who names a token server of its own does not bring that the password", async () => {
    await using tokens = await startHostile((_, reply) => reply.json(200, { token: "good" }));
    await using store = await startHostile(wantsToken(`${tokens.url}/token`));
    await using redirects = await startHostile((_, reply) => reply.send(307, { Location: `${store.url}/blob` }));
    for (let times = 0; times < 2; times++) await client().getManifest(named(redirects));
    const shown = () => tokens.asked.map(({ path, headers }) => [headers["authorization"], path.includes("account=")]);
    expect(shown()).toEqual(Array(2).fill([undefined, false]));
    // the control: the registry itself may
    await using server = await startHostile(wantsToken(`${tokens.url}/token`));
    await client().getManifest(named(server));
    expect(shown()[2]).toEqual([BASIC, true]);
  });

  test("to somebody who gives tokens to everybody gets one for each scope, once", async () => {
    await using tokens = await startHostile((asked, reply) =>
      reply.json(200, { token: new URL(asked.path, "http://x").searchParams.getAll("scope").join("+") }),
    );
    await using store = await startHostile(({ path, headers }, reply) => {
      const scope = `repository:real${path}:pull`;
      if (headers["authorization"] === `Bearer ${scope}`) return reply.send(200, isManifest, manifest);
      const challenge = `Bearer realm="${tokens.url}/token",service="s",scope="${scope}"`;
      return reply.send(401, { "WWW-Authenticate": challenge });
    });
    await using server = await startHostile(({ path }, reply) =>
      path === "/v2/" ? reply.send(200) : reply.send(307, { Location: `${store.url}/${path.split("/")[2]}` }),
    );
    const registry = client();
    for (const name of ["a/app:1", "a/app:2", "b/app:1"]) await registry.getManifest(named(server, name));
    expect(tokens.asked).toHaveLength(2);
    expect(server.asked.map(({ headers }) => headers["authorization"]).filter(Boolean)).toEqual([]);
  });

  test("has an end", async () => {
    const { error, asked } = await manifestOf((_, reply) => reply.send(302, { Location: "/v2/again" }));
    expect(error.message).toContain("redirects without end");
    expect(asked.length).toBeLessThan(10);
  });

  testUnless(noRegistryTools, "does not lead from where it is encrypted to where it is not", async () => {
    await using plain = await startHostile((_, reply) => reply.send(200, isManifest, manifest));
    await using secure = await startHostile((_, reply) => reply.send(200, isManifest, manifest), certificate());
    const to = async (target: string) => {
      const server = await startHostile((_, reply) => reply.send(302, { Location: `${target}/x` }), certificate());
      await using _ = server;
      return await client().getManifest(named(server));
    };
    const error = await failureOf(() => to(plain.url));
    expect(error.message).toContain("which is not encrypted");
    expect(plain.asked).toHaveLength(0);
    expect((await to(secure.url)).descriptor.digest).toBe(digestOf(manifest));
  });

  test.each(["file:///etc/passwd", "gopher://x/", "http://", "http://user:password@127.0.0.1/", "data:,x"])(
    "to %p is refused",
    async (location) => {
      const { error } = await manifestOf((_, reply) => reply.send(302, { Location: location }));
      expect(error).toMatchObject({ code: "registry_error" });
      expect(error.message).toContain("redirects to");
    },
  );
});

/** A registry with tokens, whose realm is what the test says; it takes any token that begins with "good". */
const wantsToken =
  (realm: string, then: Answer = (_, reply) => reply.send(200, isManifest, manifest)): Answer =>
  (asked, reply, count) =>
    asked.headers["authorization"]?.startsWith("Bearer good")
      ? then(asked, reply, count)
      : reply.send(401, { "WWW-Authenticate": `Bearer realm="${realm}",service="s",scope="repository:team/app:pull"` });

describe("a token server", () => {
  testUnless(noRegistryTools, "without encryption is not told the password by a registry with it", async () => {
    await using plain = await startHostile((_, reply) => reply.json(200, { token: "good" }));
    await using secure = await startHostile((_, reply) => reply.json(200, { token: "good" }), certificate());
    await using bad = await startHostile(wantsToken(`${plain.url}/token`), certificate());
    const error = await failureOf(() => client().getManifest(named(bad)));
    expect(error.message).toContain("which is not encrypted");
    expect(plain.asked).toHaveLength(0);
    await using good = await startHostile(wantsToken(`${secure.url}/token`), certificate());
    await client().getManifest(named(good));
    expect(secure.asked.map(({ headers }) => headers["authorization"])).toEqual([BASIC]);
  });

  test("gets the password, what it is for, and nothing of the request; the registry the token, and no password", async () => {
    await using tokens = await startHostile((_, reply) => reply.json(200, { token: "good" }));
    await using server = await startHostile(wantsToken(`${tokens.url}/token?given=1`));
    await client()
      .putManifest(named(server), Buffer.from(manifest), OCI_MANIFEST)
      .catch(() => undefined);
    const [asked] = tokens.asked;
    expect(asked).toMatchObject({ method: "GET" });
    expect(asked?.body).toHaveLength(0);
    expect(asked?.headers["content-type"]).toBeUndefined();
    const query = new URLSearchParams(asked?.path.split("?")[1]);
    expect([...query]).toEqual([
      ["given", "1"],
      ["service", "s"],
      ["scope", "repository:team/app:pull,push"],
      ["account", "user"],
    ]);
    expect(server.asked.map(({ headers }) => headers["authorization"])).toEqual([undefined, "Bearer good"]);
  });

  test("that redirects to another host takes no password there", async () => {
    await using other = await startHostile((_, reply) => reply.json(200, { token: "good" }));
    await using tokens = await startHostile((_, reply) => reply.send(302, { Location: `${other.url}/t` }));
    await using server = await startHostile(wantsToken(`${tokens.url}/token`));
    await client().getManifest(named(server));
    expect(tokens.asked.map(({ headers }) => headers["authorization"])).toEqual([BASIC]);
    expect(other.asked.map(({ headers }) => headers["authorization"])).toEqual([undefined]);
    // an identity token goes in a body, which is never sent on
    const credentials = { identityToken: "identity" };
    await failureOf(() => client({ credentials }).getManifest(named(server)));
    expect(tokens.asked.at(-1)?.body.toString()).toContain("refresh_token=identity");
    expect(other.asked).toHaveLength(1);
  });

  test("that does not know identity tokens is asked the way that all know", async () => {
    await using tokens = await startHostile(({ method }, reply) =>
      method === "POST" ? reply.send(404) : reply.json(200, { access_token: "good" }),
    );
    await using server = await startHostile(wantsToken(`${tokens.url}/token`));
    await client({ credentials: { username: "u", identityToken: "i" } }).getManifest(named(server));
    expect(tokens.asked.map(({ method }) => method)).toEqual(["POST", "GET"]);
  });

  test.each<[string, Answer, RegExp]>([
    ["no token", (_, reply) => reply.json(200, {}), /without a token/],
    ["no JSON", (_, reply) => reply.send(200, {}, "<html>"), /without a token/],
    ["null", (_, reply) => reply.send(200, {}, "null"), /without a token/],
    ["a token of another type", (_, reply) => reply.json(200, { token: { a: 1 } }), /without a token/],
    ["a token with a header behind it", (_, reply) => reply.json(200, { token: "good\r\nX: y" }), /is none/],
    ["a token with a space", (_, reply) => reply.json(200, { token: "good x" }), /is none/],
    ["more than anybody reads", (_, reply) => reply.json(200, { token: "good".repeat(100_000) }), /longer than/],
    ["401", (_, reply) => reply.send(401), /401/],
    ["nothing", () => undefined, /gives no answer/],
  ])("that answers %s is an error", async (_, answer, why) => {
    await using tokens = await startHostile(answer);
    const { error } = await manifestOf(wantsToken(`${tokens.url}/token`));
    expect(error.message).toMatch(why);
    expect(error.message).toContain("get the manifest of");
  });

  test.each(["nonsense", "file:///etc/passwd", "http://169.254.169.254", "ftp://x"])(
    "at %p is not asked",
    async (realm) => {
      const { error } = await manifestOf(wantsToken(realm.startsWith("http") ? "ftp://y" : realm));
      expect(error.code).toMatch(/registry_/);
    },
  );

  test("whose tokens are refused again and again is not asked for ever", async () => {
    let count = 0;
    await using tokens = await startHostile((_, reply) => reply.json(200, { token: `bad${count++}` }));
    const { error, asked } = await manifestOf(wantsToken(`${tokens.url}/token`));
    expect(error.code).toBe("registry_denied");
    expect(asked).toHaveLength(2);
  });

  test("is asked once for all who need the same token, and not dropped when one of them gives up", async () => {
    await using tokens = await startHostile(async (_, reply) => {
      await Bun.sleep(100);
      reply.json(200, { token: "good" });
    });
    await using server = await startHostile(wantsToken(`${tokens.url}/token`));
    const registry = client({ times: { answerMs: 5000 } });
    const controller = new AbortController();
    const first = failureOf(() => registry.getManifest(named(server), { signal: controller.signal }));
    const others = Array.from({ length: 8 }, () => registry.getManifest(named(server)));
    expect(await eventually(() => tokens.asked.length > 0)).toBe(true);
    controller.abort();
    expect((await first).code).toBe("aborted");
    expect(await Promise.all(others)).toHaveLength(8);
    expect(tokens.asked).toHaveLength(1);
  });

  test("is asked again when its token expires in the middle of a pull", async () => {
    let count = 0;
    await using tokens = await startHostile((_, reply) =>
      reply.json(200, { token: `good${++count}`, expires_in: 300 }),
    );
    let valid = "Bearer good1";
    await using server = await startHostile((asked, reply) => {
      if (asked.headers["authorization"] !== valid)
        return wantsToken(`${tokens.url}/token`)({ ...asked, headers: {} }, reply, 0);
      if (asked.path.includes("manifests")) return reply.send(200, isManifest, manifest);
      if (rangeOf(asked) > 0) return partial(reply, rangeOf(asked));
      valid = "Bearer good2"; // the first has expired
      return cutAfter(reply, `HTTP/1.1 200 OK\r\nContent-Length: ${bytes.length}\r\n\r\n`, bytes.subarray(0, 100_000));
    });
    const registry = client();
    await registry.getManifest(named(server));
    const both = await Promise.all([1, 2].map(() => collect(registry.blob(named(server), layer))));
    expect(both.every((found) => found.equals(bytes))).toBe(true);
    expect(tokens.asked).toHaveLength(2);
  });

  test("is asked before a token has expired, where it says how long that takes", async () => {
    await using tokens = await startHostile((_, reply) => reply.json(200, { token: "good", expires_in: 0.05 }));
    await using server = await startHostile(wantsToken(`${tokens.url}/token`));
    const registry = client();
    await registry.getManifest(named(server));
    await Bun.sleep(60);
    await registry.getManifest(named(server));
    expect(tokens.asked).toHaveLength(2);
    expect(server.asked.map(({ headers }) => headers["authorization"])).toEqual([
      undefined,
      "Bearer good",
      "Bearer good",
    ]);
  });
});

describe("names", () => {
  test.each(["localhost:99999", "999.1.1.1", "1.2.3.4.5:80", "[::::]:5000", "a.0x"])(
    "of the registry %s, which is no host, are refused",
    async (host) => {
      for (const insecure of [true, false]) {
        const error = await failureOf(() => client({ insecure }).getManifest(parseReference(`${host}/app`)));
        expect(error).toMatchObject({
          code: "reference_invalid",
          message: expect.stringContaining("neither the name"),
        });
      }
    },
  );

  test.each([
    { path: "team/../../secret" },
    { path: "team/app\r\nX-Injected: 1" },
    { path: "team/app?x=1" },
    { path: "team/app#x" },
    { path: "Team" },
    { path: "" },
    { tag: "1/../../../x" },
    { tag: "1\r\nX: y" },
    { tag: "1?x" },
    { digest: "sha256:../../x" as Descriptor["digest"] },
    { domain: "user:password@127.0.0.1" },
    { domain: "127.0.0.1/x" },
    { domain: "127.0.0.1\r\nX: y" },
  ])("that were put together by hand lead nowhere: %j", async (part) => {
    await using server = await startHostile((_, reply) => reply.send(200, isManifest, manifest));
    const reference = { ...named(server), ...part };
    const error = await failureOf(() => client().getManifest(reference));
    expect(error.code).toBe("reference_invalid");
    expect(server.asked).toHaveLength(0);
  });

  test("of blobs, other repositories and types lead nowhere either", async () => {
    await using server = await startHostile((_, reply) => reply.send(202, { Location: "/x" }));
    const reference = named(server);
    const digest = "sha256:../../../x" as Descriptor["digest"];
    expect((await failureOf(() => client().hasBlob(reference, digest))).code).toBe("image_invalid");
    expect((await failureOf(() => collect(client().blob(reference, { ...layer, digest })))).code).toBe("image_invalid");
    const never = () => {
      throw new Error("read, though it leads nowhere");
    };
    const upload = () => client().uploadBlob(reference, layer, never, { mountFrom: ["a&from=b"] });
    expect((await failureOf(upload)).code).toBe("reference_invalid");
    const type = "text/plain\r\nX: y";
    expect((await failureOf(() => client().putManifest(reference, Buffer.from("{}"), type))).code).toBe(
      "image_invalid",
    );
    const userAgent = "x\r\nAuthorization: y";
    expect((await failureOf(() => new Registry({ userAgent }))).code).toBe("invalid_option");
    expect(server.asked).toHaveLength(0);
  });
});

/** Takes uploads as the specification says it: in one piece or several, and tells where it stands. */
function uploads(options: { cutAt?: number; tooLarge?: number; leastBytes?: number; statusUnknown?: boolean } = {}) {
  let [held, cut] = [Buffer.alloc(0), false];
  const stored: { bytes?: Buffer; chunks: number[]; deleted: boolean } = { chunks: [], deleted: false };
  const answer: Answer = (asked, reply) => {
    const { method, path, body, headers } = asked;
    const standing = { Location: "/upload/1", ...(held.length > 0 ? { Range: `0-${held.length - 1}` } : {}) };
    if (method === "POST") {
      held = Buffer.alloc(0);
      return reply.send(202, {
        Location: "/upload/1",
        ...(options.leastBytes ? { "OCI-Chunk-Min-Length": `${options.leastBytes}` } : {}),
      });
    }
    if (method === "DELETE") {
      stored.deleted = true;
      return reply.send(204);
    }
    if (method === "GET") return options.statusUnknown ? reply.send(404) : reply.send(204, standing);
    if (options.tooLarge && body.length > options.tooLarge)
      return reply.send(413, {}, "<html>Request Entity Too Large");
    if (options.cutAt !== undefined && !cut) {
      cut = true;
      held = Buffer.from(body.subarray(0, options.cutAt));
      return reply.cut();
    }
    if (method === "PATCH") {
      const [first, last] = (headers["content-range"] ?? "").split("-").map(Number);
      if (first !== held.length || last !== held.length + body.length - 1) return reply.send(416, standing);
      stored.chunks.push(body.length);
      held = Buffer.concat([held, body]);
      return reply.send(202, { Location: "/upload/1", Range: `0-${held.length - 1}` });
    }
    stored.bytes = Buffer.concat([held, body]);
    const digest = new URL(path, "http://x").searchParams.get("digest") as string;
    return digest === digestOf(stored.bytes)
      ? reply.send(201)
      : reply.json(400, { errors: [{ code: "DIGEST_INVALID" }] });
  };
  return { answer, stored };
}

describe("an upload", () => {
  test("that breaks goes on from where the registry says that it stands", async () => {
    const { answer, stored } = uploads({ cutAt: 123_456 });
    await using server = await startHostile(answer);
    const told: number[] = [];
    const onProgress = (sent: number) => told.push(sent);
    await client().uploadBlob(named(server), layer, pieces(bytes), { onProgress });
    expect(stored.bytes?.equals(bytes)).toBe(true);
    expect(stored.chunks).toEqual([bytes.length - 123_456]);
    expect(told.at(-1)).toBe(bytes.length);
  });

  test("that the registry has forgotten begins again", async () => {
    const { answer, stored } = uploads({ cutAt: 123_456, statusUnknown: true });
    await using server = await startHostile(answer);
    await client().uploadBlob(named(server), layer, pieces(bytes));
    expect(stored.bytes?.equals(bytes)).toBe(true);
    expect(server.asked.filter(({ method }) => method === "POST")).toHaveLength(2);
  });

  test("too large for one request is sent in several, no smaller than the registry wants them", async () => {
    const small = uploads({ tooLarge: 200_000 });
    await using server = await startHostile(small.answer);
    await client().uploadBlob(named(server), layer, pieces(bytes), { chunkBytes: 100_000 });
    expect(small.stored.chunks).toEqual([100_000, 100_000, 100_000]);
    const least = uploads({ leastBytes: 200_000 });
    await using second = await startHostile(least.answer);
    await client().uploadBlob(named(second), layer, pieces(bytes), { chunkBytes: 100_000 });
    expect(least.stored.chunks).toEqual([200_000, 100_000]);
  });

  test("that fits into no request fails, and is cancelled", async () => {
    const { answer, stored } = uploads({ tooLarge: 10 });
    await using server = await startHostile(answer);
    const error = await failureOf(() => client().uploadBlob(named(server), layer, pieces(bytes)));
    expect(error.message).toContain("413");
    expect(error.hint).toContain("limits the size");
    expect(stored.deleted).toBe(true);
  });

  test("that is sent elsewhere takes no password there", async () => {
    const { answer, stored } = uploads();
    await using store = await startHostile(answer);
    await using server = await startHostile(
      locked((_, reply) => reply.send(202, { Location: `${store.url}/upload/1` })),
    );
    await client().uploadBlob(named(server), layer, pieces(bytes));
    expect(stored.bytes?.equals(bytes)).toBe(true);
    expect(store.asked.map(({ headers }) => headers["authorization"])).toEqual([undefined]);
  });

  testUnless(noRegistryTools, "does not leave the encrypted connection", async () => {
    await using plain = await startHostile((_, reply) => reply.send(201));
    await using server = await startHostile(
      (_, reply) => reply.send(202, { Location: `${plain.url}/u` }),
      certificate(),
    );
    const error = await failureOf(() => client().uploadBlob(named(server), layer, pieces(bytes)));
    expect(error.message).toContain("which is not encrypted");
    expect(plain.asked).toHaveLength(0);
  });

  test("is not taken for stored where the registry tells another digest", async () => {
    const told = { "Docker-Content-Digest": digestOf("another") };
    await using server = await startHostile(({ method }, reply) =>
      method === "POST" ? reply.send(202, { Location: "/u" }) : reply.send(201, told),
    );
    expect((await failureOf(() => client().uploadBlob(named(server), layer, pieces(bytes)))).code).toBe(
      "digest_mismatch",
    );
    const put = () => client().putManifest(named(server), Buffer.from(manifest), OCI_MANIFEST);
    expect((await failureOf(put)).code).toBe("digest_mismatch");
  });

  test("without a place, or to a registry that takes no more, is an error in time", async () => {
    await using nowhere = await startHostile((_, reply) => reply.send(202));
    expect((await failureOf(() => client().uploadBlob(named(nowhere), layer, pieces(bytes)))).message).toContain(
      "where to",
    );
    const large = Buffer.alloc(30_000_000);
    const descriptor = { ...layer, digest: digestOf(large), size: large.length };
    let count = 0;
    await using deaf = await startHostile(({ method }, reply) => {
      if (method === "POST") {
        reply.send(202, { Location: "/u" });
        if (count++ === 0) setTimeout(() => reply.socket.pause(), 1);
      } else if (method === "GET") reply.send(404);
      else reply.cut();
    });
    const error = await failureOf(() =>
      client({ patience: { attempts: 2 } }).uploadBlob(named(deaf), descriptor, pieces(large)),
    );
    expect(error.code).toBe("registry_error");
  });

  test("of a source with more or fewer bytes than its descriptor says ends", async () => {
    for (const size of [bytes.length - 1, bytes.length + 1]) {
      const { answer } = uploads();
      await using server = await startHostile(answer);
      const descriptor = { ...layer, size };
      for (const options of [{}, { chunkBytes: 100_000 }]) {
        const error = await failureOf(() => client().uploadBlob(named(server), descriptor, pieces(bytes), options));
        expect(error.code).toBe("image_invalid");
      }
    }
  });

  test("whose source fails ends with that failure, and is cancelled", async () => {
    const { answer, stored } = uploads();
    await using server = await startHostile(answer);
    const source = async function* () {
      yield bytes.subarray(0, 1000);
      throw new Error("the disk is gone");
    };
    await expect(client().uploadBlob(named(server), layer, source)).rejects.toThrow("the disk is gone");
    expect(await eventually(() => stored.deleted)).toBe(true);
  });
});

describe("a mirror", () => {
  const honest: Answer = (asked, reply) =>
    asked.path.includes("manifests") ? reply.send(200, isManifest, manifest) : reply.send(200, {}, bytes);

  test("is asked first, by its own path and without the password of the registry", async () => {
    await using mirror = await startHostile(honest);
    await using server = await startHostile(honest);
    const asked: string[] = [];
    const credentials = async (domain: string) => (asked.push(domain), domain === server.host ? SECRET : undefined);
    const registry = client({ mirrors: { [server.host]: [`${mirror.url}/cache/`] }, credentials });
    await registry.getManifest(named(server));
    expect((await collect(registry.blob(named(server), layer))).equals(bytes)).toBe(true);
    expect(mirror.asked.map(({ path }) => path)).toEqual([
      "/v2/cache/team/app/manifests/1",
      `/v2/cache/team/app/blobs/${layer.digest}`,
    ]);
    expect(server.asked).toHaveLength(0);
    await using wants = await startHostile((_, reply) => reply.send(401, { "WWW-Authenticate": 'Basic realm="x"' }));
    await client({ mirrors: { [server.host]: [wants.url] }, credentials }).getManifest(named(server));
    expect(asked).toEqual([wants.host]);
    expect(wants.asked.map(({ headers }) => headers["authorization"])).toEqual([undefined]);
  });

  test("of a part of a registry is one of that part only; the longest name counts", async () => {
    await using one = await startHostile(honest);
    await using two = await startHostile(honest);
    await using server = await startHostile(honest);
    const mirrors = { [server.host]: [one.url], [`${server.host}/team`]: [two.url] };
    await client({ mirrors }).getManifest(named(server, "team/app"));
    await client({ mirrors }).getManifest(named(server, "teams/app"));
    expect([one.asked.length, two.asked.length, server.asked.length]).toEqual([1, 1, 0]);
  });

  test.each<[string, Answer]>([
    ["has not got it", (_, reply) => reply.send(404)],
    ["fails", (_, reply) => reply.send(500)],
    ["is asked too often", (_, reply) => reply.send(429, { "Retry-After": "3600" })],
    ["cuts", (_, reply) => reply.cut()],
    ["says nothing", () => undefined],
    ["wants a password", (_, reply) => reply.send(401)],
    ["has a page for people", (_, reply) => reply.send(200, { "Content-Type": "text/html" }, "<html>")],
    ["has another one", (_, reply) => reply.send(200, isManifest, manifest.replace("2,", "2, "))],
  ])("that %s is passed over", async (_, answer) => {
    await using mirror = await startHostile(answer);
    await using server = await startHostile(honest);
    const registry = client({ mirrors: { [server.host]: [mirror.url] } });
    const { descriptor } = await registry.getManifest(named(server, `team/app@${digestOf(manifest)}`));
    expect(descriptor.digest).toBe(digestOf(manifest));
    expect(mirror.asked.length).toBeGreaterThan(0);
    const found = await collect(client({ mirrors: { [server.host]: [mirror.url] } }).blob(named(server), layer));
    expect(found.equals(bytes)).toBe(true);
  });

  test("that breaks off is taken over by the registry where it broke", async () => {
    await using mirror = await startHostile((_, reply, count) =>
      count === 1
        ? cutAfter(reply, `HTTP/1.1 200 OK\r\nContent-Length: ${bytes.length}\r\n\r\n`, bytes.subarray(0, 100_000))
        : reply.cut(),
    );
    await using server = await startHostile((asked, reply) => partial(reply, rangeOf(asked)));
    const found = await collect(client({ mirrors: { [server.host]: [mirror.url] } }).blob(named(server), layer));
    expect(found.equals(bytes)).toBe(true);
    expect(server.asked.map(({ headers }) => headers["range"])).toEqual(["bytes=100000-"]);
  });

  test("that is down is not asked for every blob", async () => {
    const mirror = await startHostile(() => undefined);
    await mirror[Symbol.asyncDispose]();
    await using silent = await startHostile(() => undefined);
    await using server = await startHostile(honest);
    const registry = client({ mirrors: { [server.host]: [mirror.url, silent.url] } });
    await registry.getManifest(named(server));
    for (let count = 0; count < 3; count++) await collect(registry.blob(named(server), layer));
    expect(silent.asked).toHaveLength(1);
    expect(server.asked).toHaveLength(4);
  });

  test("is never pushed to", async () => {
    await using mirror = await startHostile(honest);
    const { answer, stored } = uploads();
    await using server = await startHostile(answer);
    await client({ mirrors: { [server.host]: [mirror.url] } }).uploadBlob(named(server), layer, pieces(bytes));
    expect(stored.bytes?.equals(bytes)).toBe(true);
    expect(mirror.asked).toHaveLength(0);
  });

  test.each(["ftp://x", "http://user:password@x", "x/../y", "x y", "https://x/?a", ""])(
    "cannot be %p",
    async (mirror) => {
      expect((await failureOf(() => new Registry({ mirrors: [mirror] }))).code).toBe("invalid_option");
    },
  );

  test("is not told with its password", async () => {
    const { message } = await failureOf(() => new Registry({ mirrors: ["https://me:sesame@mirror.example"] }));
    expect(message).toContain("https://***@mirror.example");
    expect(message).not.toContain("sesame");
  });
});

describe("a list of tags", () => {
  test("goes over several pages, of the same registry", async () => {
    await using server = await startHostile(({ path }, reply) => {
      const next = { Link: '</v2/team/app/tags/list?n=2&last=b>; rel="next"' };
      if (path.includes("last=b")) return reply.json(200, { tags: ["c"] });
      return reply.json(200, { tags: ["a", "b", "not\u001b[31m a tag", 7] }, next);
    });
    expect(await client().tags(named(server))).toEqual(["a", "b", "c"]);
  });

  test("is not got elsewhere, and has an end", async () => {
    await using other = await startHostile((_, reply) => reply.json(200, { tags: ["x"] }));
    await using server = await startHostile((_, reply) =>
      reply.json(200, { tags: [] }, { Link: `<${other.url}/v2/x>; rel="next"` }),
    );
    expect((await failureOf(() => client().tags(named(server)))).code).toBe("registry_error");
    expect(other.asked).toHaveLength(0);
    await using endless = await startHostile((_, reply) =>
      reply.json(200, { tags: ["x"] }, { Link: '</v2/team/app/tags/list>; rel="next"' }),
    );
    await client().tags(named(endless));
    expect(endless.asked.length).toBeLessThanOrEqual(1000);
  });
});

describe("a layer that has URLs", () => {
  const foreign = (url: string): Descriptor => ({
    ...layer,
    mediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    urls: [url],
  });

  test("comes from there, without any password; and otherwise from the registry", async () => {
    await using elsewhere = await startHostile((_, reply) => reply.send(200, {}, bytes));
    await using server = await startHostile((_, reply) => reply.send(200, {}, bytes));
    expect((await collect(client().blob(named(server), foreign(`${elsewhere.url}/x`)))).equals(bytes)).toBe(true);
    expect(elsewhere.asked.map(({ headers }) => headers["authorization"])).toEqual([undefined]);
    expect(server.asked).toHaveLength(0);
    // an ordinary layer does not send anybody anywhere
    await collect(client().blob(named(server), { ...layer, urls: [`${elsewhere.url}/x`] }));
    expect(elsewhere.asked).toHaveLength(1);
  });

  test("does not come from this machine or its link, where it is not meant to", async () => {
    await using own = await startHostile((_, reply) => reply.send(200, {}, bytes), certificate());
    await using server = await startHostile((_, reply) => reply.send(200, {}, bytes), certificate());
    const strict = client({ insecure: false, ca: certificate().pem });
    for (const url of [own.url, "https://169.254.169.254/latest", "file:///etc/passwd", "nonsense"]) {
      expect((await collect(strict.blob(named(server), foreign(url)))).equals(bytes)).toBe(true);
    }
    expect(own.asked).toHaveLength(0);
    expect(server.asked).toHaveLength(4);
  });
});

test("a proxy of the environment is used", async () => {
  await using proxy = await startHostile((_, reply) => reply.send(200, isManifest, manifest));
  const program = `
    import { Registry } from ${JSON.stringify(join(import.meta.dirname, "../lib/registry/index.ts"))};
    import { parseReference } from ${JSON.stringify(join(import.meta.dirname, "../lib/image/index.ts"))};
    const registry = new Registry({ credentials: false, mirrors: { "registry.test": ["http://mirror.test"] } });
    console.log((await registry.getManifest(parseReference("registry.test/x"))).descriptor.digest);
  `;
  const child = Bun.spawn([process.execPath, "-e", program], {
    stdin: "ignore",
    env: { ...process.env, HTTP_PROXY: proxy.url, http_proxy: proxy.url, NO_PROXY: "", no_proxy: "" },
  });
  expect((await child.stdout.text()).trim()).toBe(digestOf(manifest));
  expect(await child.exited).toBe(0);
  expect(proxy.asked[0]?.path).toBe("http://mirror.test/v2/x/manifests/latest");
});

test("a proxy of the environment does not lead to this machine", async () => {
  await using proxy = await startHostile((_, reply) => reply.send(502));
  await using server = await startHostile((_, reply) => reply.send(200, isManifest, manifest));
  const program = `
    import { Registry } from ${JSON.stringify(join(import.meta.dirname, "../lib/registry/index.ts"))};
    import { parseReference } from ${JSON.stringify(join(import.meta.dirname, "../lib/image/index.ts"))};
    const registry = new Registry({ credentials: false, mirrors: {}, insecure: [] });
    console.log((await registry.getManifest(parseReference("${server.host}/x"))).descriptor.digest);
  `;
  const child = Bun.spawn([process.execPath, "-e", program], {
    stdin: "ignore",
    env: { ...process.env, HTTP_PROXY: proxy.url, http_proxy: proxy.url, NO_PROXY: "", no_proxy: "" },
  });
  expect((await child.stdout.text()).trim()).toBe(digestOf(manifest));
  expect(proxy.asked).toEqual([]);
});
