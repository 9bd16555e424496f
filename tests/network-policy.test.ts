/** Boxes with a network policy, in a small world: what can be done with them, wherever their files come from. @module */
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { lstatSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { SandboxOptions } from "../lib/index.ts";
import { noGateway } from "./support/gateway.ts";
import { notRoot, SLOW, testUnless } from "./support/machine.ts";
import type { Inside } from "./support/policy-attack.ts";
import { OTHER, PACKAGES, PolicyWorld } from "./support/policy-world.ts";
import { descendants, eventually, processes } from "./support/processes.ts";
import { makeRootfs } from "./support/rootfs.ts";

const reason = notRoot ?? noGateway;
const TIMEOUT_MS = 30_000 * SLOW;
const it = (name: string, body: () => Promise<void>) => testUnless(reason, name, body, TIMEOUT_MS);
const TSBOX = join(import.meta.dirname, "../lib/cli/tsbox.ts");
const DENO = join(import.meta.dirname, "../node_modules/.bin/deno");

let world: PolicyWorld;

beforeAll(async () => {
  if (reason !== undefined) return;
  world = await PolicyWorld.make();
  world.names.set("packages.example", [PACKAGES]);
  world.names.set("other.example", [OTHER]);
});
afterAll(async () => {
  if (reason === undefined) await world[Symbol.asyncDispose]();
});

const policy = { allow: ["packages.example"] };
const shell =
  "cat /etc/resolv.conf; busybox nc -w 3 packages.example 80 </dev/null; busybox nc -w 3 other.example 80 </dev/null";
const answered = ["nameserver 198.19.0.1", `hello from ${PACKAGES}`];

async function runShell(options: SandboxOptions, command = ["sh", "-c", shell]): Promise<string[]> {
  const text = await world.on(async ({ Sandbox }, words, more) => (await Sandbox.run(words, more)).stdout, command, {
    network: policy,
    ...options,
  });
  return text.trim().split("\n");
}

describe("the resolver is found", () => {
  const root = makeRootfs();
  const rootfs = root.path;
  const file = join(rootfs, "etc/resolv.conf");
  afterAll(() => root.remove());

  it("in a view of the host, and in a directory that has no file for it", async () => {
    expect(await runShell({})).toEqual(answered);
    expect(await runShell({ rootfs })).toEqual(answered);
    expect(await runShell({ rootfs, security: { readOnly: true } })).toEqual(answered);
  });

  it("where the directory has another, or a symlink to one that is not there; it is never changed", async () => {
    writeFileSync(file, "nameserver 192.0.2.53\n");
    expect(await runShell({ rootfs })).toEqual(answered);
    rmSync(file);
    symlinkSync("../run/resolve/stub.conf", file);
    expect(await runShell({ rootfs })).toEqual(answered);
    expect(lstatSync(file).isSymbolicLink()).toBe(true);
    rmSync(file);
  });

  it("but not where the caller has mounted one; any server is as good", async () => {
    const source = join(rootfs, "own.conf");
    writeFileSync(source, "nameserver 203.0.113.1\n");
    const mounts = [{ type: "bind" as const, source, target: "/etc/resolv.conf", readOnly: true }];
    expect(await runShell({ rootfs, mounts })).toEqual(["nameserver 203.0.113.1", ...answered.slice(1)]);
  });
});

it("a server inside listens at the port of a server outside that is, or was, connected to", async () => {
  const results = await world.on(async ({ Sandbox, attack }, ip) => {
    const connectThenServe = async ({ tcp }: Inside, to: string) => {
      const { connect } = require("node:net") as typeof import("node:net");
      const over = await tcp(to, 80);
      const open = connect(80, to);
      await new Promise((resolve) => open.once("connect", resolve));
      using server = Bun.serve({ port: 80, fetch: () => new Response("inside") });
      open.destroy();
      return [over, await (await fetch(`http://127.0.0.1:${server.port}/`)).text()];
    };
    const { stdout, stderr } = await Sandbox.run(attack(connectThenServe, ip), { runtime: true, network: {} });
    return [stdout, stderr];
  }, PACKAGES);
  expect(results).toEqual([JSON.stringify([`hello from ${PACKAGES}`, "inside"]), ""]);
});

it("who shares the network of a box shares its policy", async () => {
  const texts = await world.on(
    async ({ Sandbox }, words) => {
      await using box = await Sandbox.create({ network: { allow: ["packages.example"] } });
      const shared = { network: box, namespaces: { user: box } };
      const { stdout } = await Sandbox.run(words, shared);
      // another thread tells of it
      for (let left = 100; left > 0 && box.network.denied.length === 0; left--) await Bun.sleep(20);
      return [stdout, box.network.denied.map(({ host }) => host)] as const;
    },
    ["sh", "-c", shell],
  );
  expect(texts).toEqual([`${answered.join("\n")}\n`, ["other.example"]]);
});

it("the same request again is another sandbox, with a policy of its own", async () => {
  const denied = await world.on(async ({ Sandbox }) => {
    const command = ["sh", "-c", "busybox nc -w 3 packages.example 80 </dev/null; true"];
    const run = async (allow: string[]) => {
      const { stdout, denied: entries = [] } = await Sandbox.run(command, { network: { allow } });
      return [stdout.trim(), entries.length];
    };
    return Promise.all([["packages.example"], [], ["packages.example"], ["other.example"]].map(run));
  });
  const hello = [`hello from ${PACKAGES}`, 0];
  expect(denied).toEqual([hello, ["", 1], hello, ["", 1]]);
});

it("a handler that has gone is closed when nobody is led there any more: its number may be another's at once", async () => {
  const [made, changing, changed] = await world.on(async ({ Sandbox }) => {
    const { readdirSync } = await import("node:fs");
    const count = () => readdirSync("/proc/self/fd").length;
    const hosts = { "a.internal": () => new Response("a"), "b.internal": () => new Response("b") };
    await using box = await Sandbox.create({ network: { hosts } });
    const before = count();
    const done = box.network.update({});
    const meanwhile = count();
    await done;
    await new Promise((resolve) => setTimeout(resolve, 50));
    return [before, meanwhile, count()];
  });
  expect(changing).toBe(made);
  expect(changed).toBe(made - 4);
});

describe("a policy cannot be changed", () => {
  it("into one that is none, which leaves it as it was", async () => {
    const results = await world.on(async ({ Sandbox, attack }, ip) => {
      await using box = await Sandbox.create({ runtime: true, network: { allow: [ip] } });
      const failed = await box.network.update({ allow: ["http://x"] }).catch((error: Error) => error.message);
      const process = box.spawn(attack(({ tcp }: Inside, to: string) => tcp(to, 80), ip));
      return [failed, JSON.parse(await new Response(process.stdout).text())] as const;
    }, PACKAGES);
    expect(results).toEqual([expect.stringContaining("is not a port"), `hello from ${PACKAGES}`]);
  });

  it("where there is none, or the box has ended", async () => {
    const codes = await world.on(async ({ Sandbox }) => {
      const boxes = [await Sandbox.create(), await Sandbox.create({ network: {} })];
      await boxes[1]?.stop();
      const all = boxes.map((box) => box.network.update({}).catch((error: { code: string }) => error.code));
      const found = await Promise.all(all);
      await boxes[0]?.stop();
      return found;
    });
    expect(codes).toEqual(["invalid_option", "sandbox_closed"]);
  });
});

it("bodies of any size go to a handler and come back, as they are read", async () => {
  const result = await world.on(async ({ Sandbox, attack }) => {
    let largest = 0;
    await using box = await Sandbox.create({
      runtime: true,
      network: {
        allow: [],
        hosts: {
          "big.internal": async (request) => {
            const sizes = (async function* () {
              for await (const chunk of request.body ?? []) {
                largest = Math.max(largest, chunk.length);
                yield chunk;
              }
            })();
            return new Response(sizes as never);
          },
        },
      },
    });
    const send = async () => {
      const body = new Uint8Array(20_000_000).map((_, index) => index % 251);
      const response = await fetch("http://big.internal/", { method: "POST", body });
      const back = await response.bytes();
      return [back.length, Bun.hash(back) === Bun.hash(body)];
    };
    const process = box.spawn(attack(send));
    return [JSON.parse(await new Response(process.stdout).text()), largest] as const;
  });
  expect(result[0]).toEqual([20_000_000, true]);
  expect(result[1]).toBeLessThan(20_000_000);
});

describe("box.fetch", () => {
  for (const network of [false, policy] as const) {
    it(`reaches a server inside, ${network ? "with a policy" : "without a network"}`, async () => {
      world.seen();
      const results = await world.on(async ({ Sandbox, attack }, asked) => {
        await using box = await Sandbox.create({ runtime: true, network: asked });
        const serve = async () => {
          const answer = async (request: Request) =>
            new URL(request.url).pathname === "/out"
              ? Response.redirect("http://198.51.100.1/")
              : new Response(`${request.method} ${new URL(request.url).pathname} ${await request.text()}`);
          for (const hostname of ["127.0.0.1", "::1"]) Bun.serve({ port: 3000, hostname, fetch: answer });
          process.stderr.write("ready");
          await new Promise(() => {});
        };
        const server = box.spawn(attack(serve), { stderr: "pipe" });
        for await (const chunk of server.stderr ?? []) if (chunk.length > 0) break;
        const text = async (url: string, init?: RequestInit) => (await box.fetch(url, init)).text();
        const many = await Promise.all(
          Array.from({ length: 50 }, (_, index) => text(`http://localhost:3000/${index}`)),
        );
        return [
          await text("http://localhost:3000/a", { method: "POST", body: "b" }),
          await text("http://[::1]:3000/c"),
          many.every((each, index) => each === `GET /${index} `),
          await box.fetch("http://localhost:3001/").catch((error: { code: string }) => error.code),
          await box.fetch("http://localhost:3000/out").catch((error: { code: string }) => error.code),
        ];
      }, network);
      expect(results).toEqual(["POST /a b", "GET /c ", true, "fetch_failed", "fetch_failed"]);
      expect(world.seen().filter((each) => each.startsWith("tcp"))).toEqual([]);
    });
  }

  it("is over with its box", async () => {
    const result = await world.on(async ({ Sandbox, attack }) => {
      const box = await Sandbox.create({ runtime: true });
      const serve = () => {
        Bun.serve({ port: 3000, fetch: () => new Promise<Response>(() => {}) });
        process.stderr.write("ready");
        return new Promise(() => {});
      };
      const server = box.spawn(attack(serve), { stderr: "pipe" });
      for await (const chunk of server.stderr ?? []) if (chunk.length > 0) break;
      const asked = box.fetch("http://localhost:3000/").catch((error: { code: string }) => error.code);
      await new Promise((resolve) => setTimeout(resolve, 50));
      await box.stop();
      return [await asked, await box.fetch("http://localhost:3000/").catch((error: { code: string }) => error.code)];
    });
    expect(result).toEqual(["fetch_failed", "sandbox_closed"]);
  });
});

describe("tsbox run", () => {
  const run = (...words: string[]) => world.run(process.execPath, TSBOX, "run", ...words);

  it("--allow is a way out to there, and what was denied is told at the end", async () => {
    const flags = ["--rootfs", "host", "--allow", "packages.example:80", "sh", "-c", `${shell}; exit 3`];
    const { status, stdout, stderr } = await run(...flags);
    expect({ status, stdout: stdout.trim().split("\n") }).toEqual({ status: 3, stdout: answered });
    expect(stderr).toContain("tsbox: denied the name other.example (allow: nothing of it matches)\n");
  });

  it("--deny is a way out, but to there", async () => {
    const script = `busybox nc -w 3 ${OTHER} 80 </dev/null; busybox nc -w 3 ${PACKAGES} 80 </dev/null`;
    const { stdout, stderr } = await run("--rootfs", "host", "--deny", OTHER, "sh", "-c", script);
    expect(stdout.trim()).toBe(`hello from ${PACKAGES}`);
    expect(stderr).toContain(`tsbox: denied tcp ${OTHER}:80 (deny: "${OTHER}")\n`);
  });
});

it("all of it works under Deno", async () => {
  const deno = await PolicyWorld.make({ runtime: DENO });
  try {
    deno.names.set("packages.example", [PACKAGES]);
    const [text, count] = await deno.on(
      async ({ Sandbox }, words) => {
        await using box = await Sandbox.create({
          network: { allow: ["packages.example"], hosts: { "api.internal": () => new Response("a function\n") } },
        });
        const said: string[] = [];
        for (const line of words) {
          const process = box.spawn(["sh", "-c", line]);
          said.push(...(await new Response(process.stdout).text()).trim().split("\n"));
          await process.exited;
        }
        box.spawn(["sh", "-c", "echo inside >/tmp/index.html; exec busybox httpd -f -p 80 -h /tmp"]);
        for (let tries = 0; ; tries++) {
          const inside = await box.fetch("http://localhost/").then(
            (response) => response.text(),
            (error: Error) => `${String(error)}: ${String(error.cause)}`,
          );

          if (inside !== "inside\n" && tries < 50) await new Promise((resolve) => setTimeout(resolve, 20));
          else return [[...said, inside.trim()], box.network.denied.length] as const;
        }
      },
      [shell, "busybox wget -qO - http://api.internal/"],
    );
    expect(text).toEqual([...answered, "a function", "inside"]);
    expect(count).toBeGreaterThan(0);
  } finally {
    await deno[Symbol.asyncDispose]();
  }
});

it("a program that is killed leaves nothing of a box with a policy", async () => {
  const killed = await PolicyWorld.make();
  try {
    await killed.on(async ({ Sandbox, kept }) => {
      kept["box"] = await Sandbox.create({ network: { hosts: { "a.internal": () => new Response("") } } });
    });
    const pids = descendants(killed.pid);
    expect(pids.length).toBeGreaterThan(0);
    process.kill(killed.pid, "SIGKILL");
    const isGone = (pid: number) => !processes().some((each) => each.pid === pid && each.state !== "Z");
    expect(await eventually(() => pids.every(({ pid }) => isGone(pid)))).toBe(true);
  } finally {
    await killed[Symbol.asyncDispose]();
  }
});
