/** HTTP in and out of a sandbox without an address: handlers in place of servers, and requests to servers inside. @module */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compilePolicy, HostAddresses, type NetworkPolicy } from "../lib/policy/index.ts";
import { fetchInside } from "../lib/sandbox/box-fetch.ts";
import { hide, type HiddenSocket } from "../lib/sandbox/hidden-socket.ts";
import { HostServers } from "../lib/sandbox/host-servers.ts";
import { close, O_PATH, open, runtime } from "../syscalls/index.ts";
import { eventually } from "./support/processes.ts";

const DENO = join(import.meta.dirname, "../node_modules/.bin/deno");
/** Nobody else's. */
const temporary = mkdtempSync(join(tmpdir(), "tsbox-fetch-"));
const left = () => readdirSync(temporary).length;
const callers = process.env["TMPDIR"];
beforeAll(() => void (process.env["TMPDIR"] = temporary));
afterAll(() => {
  if (callers === undefined) delete process.env["TMPDIR"];
  else process.env["TMPDIR"] = callers;
  rmSync(temporary, { recursive: true });
});
/** What is answered to a request that no client makes. */
async function said(path: string, head: string): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const socket = await Bun.connect({
    unix: path,
    socket: {
      data: (_, bytes) => resolve(String(bytes)),
      close: () => resolve("closed"),
      error: () => resolve("failed"),
    },
  });
  socket.write(`${head}\r\n\r\n`);
  return promise.finally(() => socket.end());
}
/** The same of a handler in a program of Deno, which answers 200. */
async function saidByDeno(head: string): Promise<string> {
  const sources = join(import.meta.dirname, "..");
  const source = `
    import { HostServers } from "${sources}/lib/sandbox/host-servers.ts";
    import { compilePolicy } from "${sources}/lib/policy/index.ts";
    const servers = new HostServers();
    const policy = { hosts: { "api.internal": () => new Response("") } };
    servers.update(policy, compilePolicy(policy));
    const { connect } = process.getBuiltinModule("node:net");
    const socket = connect(servers.paths()["198.18.0.1"], () => socket.write(${JSON.stringify(`${head}

`)}));
    const say = (text) => { console.log(String(text)); process.exit(0); };
    socket.on("data", say).on("close", () => say("closed")).on("error", say);`;
  const file = join(temporary, "deno.ts");
  await Bun.write(file, source);
  const deno = Bun.spawn([DENO, "run", "--quiet", "--no-lock", "--allow-all", file], { stdout: "pipe" });
  return (await deno.stdout.text().finally(() => rmSync(file))).trim();
}
const descriptors = () => readdirSync("/proc/self/fd").length;

describe("a function in place of a server", () => {
  const servers = new HostServers();
  const addresses = new HostAddresses();
  const update = (policy: NetworkPolicy) => servers.update(policy, compilePolicy(policy, addresses))();
  const ask = (ip: string, url: string, init?: RequestInit) =>
    runtime.fetchOver(servers.paths()[ip] ?? "", new Request(url, init));
  let before = { left: 0, descriptors: 0 };

  beforeAll(() => void (before = { left: left(), descriptors: descriptors() }));
  afterAll(async () => {
    servers.close();
    // what other files have left to the garbage collector may go meanwhile
    const nothingIsLeft = () => left() === before.left && descriptors() <= before.descriptors;
    expect(await eventually(nothingIsLeft)).toBe(true);
  });

  test("answers for its name, with bodies in either direction, and has no name in the file system", async () => {
    update({ hosts: { "Api.Internal": async (request) => Response.json([request.url, await request.text()]) } });
    expect(left()).toBe(before.left);
    const response = await ask("198.18.0.1", "http://api.internal/a?b", { method: "POST", body: "c" });
    expect(await response.json()).toEqual(["http://api.internal/a?b", "c"]);
  });

  test.each([["another.internal"], ["127.0.0.1"], ["api.internal:8080"], ["api.internal.evil.example"]])(
    "is not asked by another name: %s",
    async (host) => {
      let asked = 0;
      update({ hosts: { "api.internal": () => (asked++, new Response("")) } });
      expect((await ask("198.18.0.1", `http://${host}/`)).status).toBe(421);
      expect(asked).toBe(0);
      expect((await ask("198.18.0.1", "http://API.internal:80/")).status).toBe(200);
      expect(asked).toBe(1);
    },
  );

  test.each([
    ["a whole URL of another", "GET http://evil.example/ HTTP/1.1\r\nHost: api.internal"],
    ["the header of another", "GET http://api.internal/ HTTP/1.1\r\nHost: evil.example"],
    ["two headers", "GET / HTTP/1.1\r\nHost: api.internal\r\nHost: evil.example"],
    ["a user", "GET / HTTP/1.1\r\nHost: evil.example@api.internal"],
    ["a part of a path", "GET / HTTP/1.1\r\nHost: api.internal#"],
    ["none", "GET / HTTP/1.0\r\nA: b"],
  ])("is told no other name, with %s in what it is asked", async (_, head) => {
    for (const deno of [false, true]) {
      const asked: (string | null)[] = [];
      update({
        hosts: { "api.internal": ({ url, headers }) => (asked.push(url, headers.get("host")), new Response()) },
      });
      const answer = deno ? await saidByDeno(head) : await said(servers.paths()["198.18.0.1"] ?? "", head);
      // the header is what counts in one, the URL in the other; what both say is passed on
      const passed = /^HTTP\/1.1 200/.test(answer);
      if (passed && !deno) expect(asked).toEqual(["http://api.internal/", "api.internal"]);
      else expect([deno, answer]).toEqual([deno, expect.stringMatching(/^HTTP\/1.\d [45]/)]);
    }
  });

  test.each<[string, () => Response | Promise<Response>]>([
    ["throws", () => { throw new Error("a secret"); }], // prettier-ignore
    ["rejects", () => Promise.reject(new Error("a secret"))],
    ["answers with something else", () => "a secret" as never],
  ])("that %s tells the sandbox nothing of this program", async (_, handler) => {
    update({ hosts: { "api.internal": handler } });
    const response = await ask("198.18.0.1", "http://api.internal/");
    expect(response.status).toBe(500);
    expect(await response.text()).not.toContain("secret");
  });

  test("is another one after an update, and its address is never another name's", async () => {
    update({ hosts: { "api.internal": () => new Response("1") } });
    expect(await (await ask("198.18.0.1", "http://api.internal/")).text()).toBe("1");
    update({ hosts: { "b.internal": () => new Response("b"), "api.internal": () => new Response("2") } });
    expect(await (await ask("198.18.0.1", "http://api.internal/")).text()).toBe("2");
    expect(await (await ask("198.18.0.2", "http://b.internal/")).text()).toBe("b");
    update({ hosts: { "b.internal": () => new Response("b") } });
    expect(Object.keys(servers.paths())).toEqual(["198.18.0.2"]);
    update({ hosts: { "c.internal": () => new Response("c") } });
    expect(Object.keys(servers.paths())).toEqual(["198.18.0.3"]);
  });
});

describe("a request to a server inside", () => {
  /** By port, as if they were inside; what is asked for outside of it is counted. */
  const inside = new Map<number, HiddenSocket>();
  const closes: (() => void)[] = [];
  let outside = 0;
  const trap = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => (outside++, new Response("the host's")) });

  const connect = async ({ host, port }: { host: string; port: number }) =>
    inside.get(host === "::1" ? port + 10000 : port)?.path ?? "/proc/self/fd/-1";
  const serve = (port: number, answer: (request: Request) => Response | Promise<Response>) => {
    const socket = hide((path) => {
      const server = runtime.serve(path, async (request) => answer(request));
      closes.push(() => server.close());
    });
    closes.push(() => socket.close());
    inside.set(port, socket);
  };

  beforeAll(() => {
    serve(80, () => new Response("80"));
    serve(10080, () => new Response("v6"));
    serve(3000, async (request) => {
      const { pathname, searchParams } = new URL(request.url);
      if (pathname === "/to")
        return new Response("", {
          status: Number(searchParams.get("status") ?? 302),
          headers: { location: searchParams.get("at") ?? "" },
        });
      const { method, headers } = request;
      return Response.json([method, await request.text(), headers.get("authorization"), headers.get("host")]);
    });
    serve(4000, ({ headers }) => Response.json([headers.get("authorization"), headers.get("cookie")]));
  });
  afterAll(() => {
    closes.forEach((close) => close());
    void trap.stop(true);
  });

  test.each([
    ["http://localhost/", "80"],
    ["http://127.0.0.1:80/", "80"],
    ["http://[::1]/", "v6"],
  ])("reaches %s", async (url, text) => {
    expect(await (await fetchInside(connect, url)).text()).toBe(text);
  });

  test("is as fetch's: methods, headers, bodies, a Request, a URL", async () => {
    const init = { method: "PUT", body: "text", headers: { authorization: "a" } };
    const said = ["PUT", "text", "a", "localhost:3000"];
    expect(await (await fetchInside(connect, new URL("http://localhost:3000/"), init)).json()).toEqual(said);
    expect(await (await fetchInside(connect, new Request("http://localhost:3000/", init))).json()).toEqual(said);
  });

  test.each([
    ["ftp://localhost/", "neither http nor https"],
    ["http://example.com/", "not a server inside"],
    ["http://127.0.0.1.example.com/", "not a server inside"],
    ["http://0.0.0.0/", "not a server inside"],
    ["http://localhost@example.com/", "not a server inside"],
    ["file:///etc/passwd", "neither http nor https"],
    ["/", "not understood"],
  ])("is none, and refused: %s", async (url, why) => {
    const asked = fetchInside(connect, url);
    expect(await asked.catch((error: unknown) => error)).toMatchObject({
      code: "invalid_option",
      message: `fetch ${JSON.stringify(url)}: ${why}`,
    });
  });

  const to = (at: string, status = 302) => `http://localhost:3000/to?status=${status}&at=${encodeURIComponent(at)}`;

  test.each([
    ["http://localhost/", undefined, 302, "80"],
    ["/", "POST", 303, '["GET","",null,"localhost:3000"]'],
    ["/", "POST", 301, '["GET","",null,"localhost:3000"]'],
    ["/", "DELETE", 307, '["DELETE","",null,"localhost:3000"]'],
  ])("follows a redirect to %s (%s, %i)", async (at, method = "GET", status, text) => {
    const response = await fetchInside(connect, to(at, status), { method, ...(method === "POST" && { body: "b" }) });
    expect(await response.text()).toBe(text);
  });

  test("to another server inside does not tell it what was meant for the first", async () => {
    const headers = { authorization: "a", cookie: "b" };
    expect(await (await fetchInside(connect, to("http://localhost:4000/"), { headers })).json()).toEqual([null, null]);
    expect(await (await fetchInside(connect, to("/"), { headers })).json()).toContain("a");
  });

  test("is not led out of the sandbox by a redirect, which fetch alone would follow to the host's own servers", async () => {
    const own = `http://127.0.0.1:${trap.port}/`;
    // the control: a socket inside, and the redirect that fetch follows by itself; over the same socket in Bun, which is
    // no way out, so the second step is what somebody would do who follows by hand
    const first = await runtime.fetchOver(
      await connect({ host: "", port: 3000 }),
      new Request(to(own), { redirect: "manual" }),
    );
    expect(await (await fetch(first.headers.get("location") as string)).text()).toBe("the host's");
    expect(outside).toBe(1);
    await fetchInside(connect, to(own)).catch(() => {}); // a port that nobody inside has
    for (const at of [
      "http://169.254.169.254/",
      "http://example.com/",
      "file:///etc/passwd",
      "http://0:80/",
      "//[::ffff:7f00:1]/",
    ]) {
      const error = await fetchInside(connect, to(at)).catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({
        code: "fetch_failed",
        message: expect.stringContaining("it redirects out of the sandbox"),
      });
    }
    expect(outside).toBe(1);
  });

  test.each<[string, RequestInit, string]>([
    [to(to("http://localhost/")), { redirect: "error" }, "it redirects"],
    [to("/", 307), { method: "POST", body: "b" }, "it redirects what has a body, which has been sent already"],
    ["http://localhost:9/", {}, "no answer"],
  ])("that comes to nothing says why: %s %j", async (url, init, why) => {
    expect(await fetchInside(connect, url, init).catch((error: unknown) => error)).toMatchObject({
      code: "fetch_failed",
      message: expect.stringContaining(`: ${why}`),
    });
  });

  test("in a circle ends", async () => {
    serve(5000, () => Response.redirect("http://localhost:5000/"));
    expect(await fetchInside(connect, "http://localhost:5000/").catch((error: unknown) => error)).toMatchObject({
      code: "fetch_failed",
      message: expect.stringContaining("more than 20 redirects"),
    });
  });

  test("is given up by its signal, whose reason is told", async () => {
    serve(6000, () => new Promise(() => {}));
    const aborting = new AbortController();
    const asked = fetchInside(connect, "http://localhost:6000/", { signal: aborting.signal });
    setTimeout(() => aborting.abort(new Error("enough")), 20);
    expect(await asked.catch(String)).toBe("Error: enough");
  });

  /** Bun has so many requests on their way at a time; the others wait, and find out later where they go. */
  const AT_A_TIME = 256;

  test.each([
    ["is another's, where nobody says that it has ended", false],
    ["is nobody's", true],
  ])("that waits while others get no answer, and whose sandbox ends meanwhile, %s", async (_, told) => {
    let asked = 0;
    const [aborting, ended] = [new AbortController(), new AbortController()];
    const hidden = (answer: () => Promise<Response>) =>
      hide((path) => {
        const server = runtime.serve(path, answer);
        closes.push(() => server.close());
      });
    const [silent, gone, another] = [
      hidden(() => new Promise(() => {})),
      hidden(async () => new Response("")),
      hidden(async () => (asked++, new Response(""))),
    ];
    const others = Array.from({ length: AT_A_TIME }, () =>
      fetchInside(async () => silent.path, "http://localhost/", { signal: aborting.signal }).catch(() => {}),
    );
    await Bun.sleep(200);
    const waiting = fetchInside(async () => gone.path, "http://localhost/", {}, ended.signal).catch(() => {});
    await Bun.sleep(50);
    if (told) ended.abort();
    gone.close();
    const next = open(another.path, O_PATH);
    expect(`/proc/self/fd/${next}`).toBe(gone.path);
    aborting.abort();
    await Promise.all([waiting, ...others]);
    expect(asked).toBe(told ? 0 : 1);
    close(next);
    for (const socket of [silent, another]) socket.close();
  });

  test("whose redirects are not followed gets the redirect", async () => {
    const response = await fetchInside(connect, to("http://example.com/"), { redirect: "manual" });
    expect([response.status, response.headers.get("location")]).toEqual([302, "http://example.com/"]);
  });
});
