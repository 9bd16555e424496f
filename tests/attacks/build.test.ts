/**
 * Builds of hostile files: what a RUN, a base image or a context could do to whoever builds. Each with a control, in
 * which the same is seen to work where it is allowed, or where nothing is in the way.
 * @module
 */
import { afterAll, beforeAll, expect } from "bun:test";
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmdirSync } from "node:fs";
import { symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { buildCacheUsage, pruneBuildCache } from "../../lib/build/index.ts";
import { failedBuild, TestBuilds } from "../support/builds.ts";
import { agentMount } from "../../lib/build/ssh.ts";
import { removeStubs } from "../../lib/build/stubs.ts";
import { Workspace } from "../../lib/build/workspace.ts";
import { imageIds } from "../../lib/launch/index.ts";
import type { TsboxError } from "../../syscalls/index.ts";
import { noBusybox, SLOW, testUnless } from "../support/machine.ts";
import { descendants, eventually } from "../support/processes.ts";
import { Folder } from "../support/rootfs.ts";

let builds: TestBuilds;
const BYTES = 300_000_000 / SLOW;
beforeAll(async () => {
  if (noBusybox === undefined) builds = await TestBuilds.make();
});
afterAll(() => builds?.[Symbol.dispose]());

const it = (name: string, body: () => unknown, timeoutMs?: number) => testUnless(noBusybox, name, body, timeoutMs);
const noGit = noBusybox ?? (Bun.which("git") ? undefined : "git is not installed");

/** Files of the store in which a text stands, however they are called. */
function filesWith(text: string): string[] {
  const found = Bun.spawnSync(["grep", "-r", "-l", "-a", "-F", text, builds.root], { stderr: "ignore" });
  return found.stdout
    .toString()
    .split("\n")
    .filter((line) => line !== "");
}

it("a secret is in no layer, no key, no history and no database, though the step that saw it is cached", async () => {
  const secret = `secret-${crypto.randomUUID()}`;
  const text = `FROM base
RUN --mount=type=secret,id=token --mount=type=secret,id=other,env=TOKEN \\
  cat /run/secrets/token | wc -c > /seen; printf %s "$TOKEN" | wc -c >> /seen; stat -c %a /run/secrets/token >> /seen
RUN ls -A /run >> /seen 2>&1; env >> /seen`;
  const bytes = new TextEncoder().encode(secret);
  const before = readdirSync("/dev/shm");
  await builds.build(text, { secrets: { token: bytes, other: bytes } });
  expect(await builds.run("head -3 /seen")).toBe(`${secret.length}\n${secret.length}\n400\n`);
  expect(filesWith(secret)).toEqual([]);
  expect(readdirSync("/dev/shm").filter((name) => !before.includes(name))).toEqual([]);
  // another secret is no reason to do it again
  expect((await builds.build(text, { secrets: { token: new Uint8Array([1]), other: bytes } })).cached).toBe(2);
  // control: what a step writes down is found
  await builds.build("FROM base\nRUN --mount=type=secret,id=token cat /run/secrets/token > /leaked", {
    secrets: { token: bytes },
  });
  expect(filesWith(secret).length).toBeGreaterThan(0);
});

it("a secret is seen by the step that asks for it, not by one beside it", async () => {
  const secret = new TextEncoder().encode(`secret-${crypto.randomUUID()}`);
  const look =
    "cat /proc/[0-9]*/environ /proc/[0-9]*/root/run/secrets/* /run/secrets/* 2>/dev/null | grep -a -c secret- ";
  const text = `FROM base AS a
RUN --mount=type=secret,id=token sleep 1; ${look} > /count
FROM base AS b
RUN sleep 0.5; ${look} > /count; true
FROM base
COPY --from=a /count /a
COPY --from=b /count /b`;
  await builds.build(text, { secrets: { token: secret }, parallel: 2 });
  expect(await builds.run("cat /b; test $(cat /a) -gt 0 && echo seen")).toBe("0\nseen\n");
});

it("what was made for a mount is removed without following symlinks that a RUN has put in the way", async () => {
  using victims = new Folder();
  const directory = victims.directory("c");
  await builds.build(`FROM base
RUN --mount=type=tmpfs,target=/a/b/c mv /a/b /moved && ln -s ${victims.path} /a/b`);
  expect(lstatSync(directory).isDirectory()).toBe(true);
  // control: by its path it would have been reached
  using upper = new Folder();
  mkdirSync(join(upper.path, "a"));
  symlinkSync(victims.path, join(upper.path, "a/b"));
  removeStubs(upper.path, [], ["/a/b/c"]);
  expect(existsSync(directory)).toBe(true);
  rmdirSync(join(upper.path, "a/b/c"));
  expect(existsSync(directory)).toBe(false);
});

it("a RUN cannot write names that would mean something else in a layer", async () => {
  const { code } = await failedBuild(builds.build("FROM base\nRUN touch /etc/.wh.passwd"));
  expect(code).toBe("archive_refused");
  expect(builds.leftovers).toEqual([]);
  // control: another name of the kind is one
  await builds.build("FROM base\nRUN touch /etc/wh.passwd");
});

it("a RUN reaches no server of the host's loopback interface, unless it has the host's network", async () => {
  const server = createServer((client) => client.end("reached\n"));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const { port } = server.address() as { port: number };
    const ask = (host: string) => `(sleep 0.3 | /bin/busybox nc -w 1 ${host} ${port} || true) > /answer 2>&1`;
    for (const host of ["127.0.0.1", "0.0.0.0", "localhost"]) {
      await builds.build(`FROM base\nRUN ${ask(host)}`, { cache: false });
      expect(await builds.run("cat /answer")).not.toContain("reached");
      await builds.build(`FROM base\nRUN --network=none ${ask(host)}`, { cache: false });
      expect(await builds.run("cat /answer")).not.toContain("reached");
    }
    await builds.build(`FROM base\nRUN ${ask("127.0.0.1")}`, { cache: false, network: "host" });
    expect(await builds.run("cat /answer")).toBe("reached\n");
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
});

it("a RUN sees neither processes nor files of the host, and cannot change its kernel's settings", async () => {
  const marker = builds.context.write("marker", "of the host");
  await builds.build(`FROM base
RUN ls /proc | grep -c '^[0-9]' > /processes; cat ${marker} > /file 2>&1; ls ${builds.root} > /store 2>&1; \\
  sh -c 'echo 1 > /proc/sys/kernel/panic' 2> /sysctl; mknod /disk b 8 0 2> /node; mount -t tmpfs none /tmp 2> /mount; true`);
  expect(Number(await builds.run("cat /processes"))).toBeLessThan(10);
  const denied =
    "cat /file /store /sysctl /node /mount | grep -c -i -e 'no such file' -e 'read-only' -e 'denied' -e 'not permitted'";
  expect(await builds.run(denied)).toBe("5\n");
  // control: files of the context are there where they were asked for
  await builds.build("FROM base\nRUN --mount=type=bind,source=marker,target=/m cat /m > /file");
  expect(await builds.run("cat /file")).toBe("of the host");
});

it("a RUN cannot have more rights than it was allowed, whatever the file says", async () => {
  const text = "FROM base\nRUN --security=insecure grep CapEff /proc/self/status > /caps";
  const { code, message } = await failedBuild(builds.build(text));
  expect([code, message.split(": ")[0]]).toEqual(["permission_denied", "Dockerfile:2:1"]);
  await builds.build(text, { allow: ["security.insecure"] });
  const all = await builds.run("cat /caps");
  await builds.build(text.replace("--security=insecure ", ""));
  expect(await builds.run("cat /caps")).not.toBe(all);
});

it("links of a base image lead nowhere on the host when something is mounted there", async () => {
  using victims = new Folder();
  // inside, there is such a directory as well
  await builds.build(
    `FROM base AS linked
RUN mkdir -p /x ${victims.path} && ln -s ${victims.path} /x/run && ln -s ../../../../../..${victims.path} /x/cache
FROM linked
RUN --mount=type=secret,id=token,target=/x/run/token --mount=type=cache,target=/x/cache/c echo > /x/cache/c/written; \
  ls ${victims.path} > /seen; ls ${victims.path}/c >> /seen`,
    { secrets: { token: new Uint8Array([1]) } },
  );
  expect(await builds.run("cat /seen")).toBe("c\ntoken\nwritten\n");
  expect(readdirSync(victims.path)).toEqual([]);
  // control: the same links lead there outside
  symlinkSync(victims.path, join(builds.context.path, "link"));
  mkdirSync(join(builds.context.path, "link/made"));
  expect(readdirSync(victims.path)).toEqual(["made"]);
});

it("caches of RUN are the store's own: nobody else enters them, and setuid files in them are of no use", async () => {
  await builds.build(
    "FROM base\nRUN --mount=type=cache,target=/c cp /bin/busybox /c/su && chmod 4755 /c/su && ls -l /c/su > /mode",
  );
  expect(await builds.run("cut -c1-10 /mode")).toBe("-rwsr-xr-x\n");
  expect(lstatSync(`${builds.root}/build/mounts`).mode & 0o077).toBe(0);
  expect(lstatSync(`${builds.root}/build`).mode & 0o077).toBe(0);
});

it("a RUN that writes without end fills no memory of whoever builds", async () => {
  // in a program of its own: how soon memory is given back depends on how much a program has used before
  const script = builds.context.write(
    "output.ts",
    `import { build } from ${JSON.stringify(join(import.meta.dir, "../../lib/build/index.ts"))};
     const before = process.memoryUsage.rss();
     let bytes = 0;
     const onEvent = (event) => void (bytes += event.bytes?.length ?? 0);
     const dockerfile = "FROM base\\nRUN head -c ${BYTES} /dev/zero | tr '\\\\0' x; false";
     const message = await build(${JSON.stringify(builds.root)}, { dockerfile, onEvent }).catch((error) => error.message);
     console.log(JSON.stringify([message.length, bytes, process.memoryUsage.rss() - before]));`,
  );
  const child = Bun.spawn([process.execPath, script], { stdout: "pipe", stderr: "inherit" });
  const [message, bytes, memory] = (await new Response(child.stdout).json()) as [number, number, number];
  expect(message).toBeLessThan(20_000);
  expect(bytes).toBe(BYTES);
  expect(memory).toBeLessThan(200_000_000);
}, 60_000);

it("a build that is killed leaves nothing that runs, and what it leaves in the store goes with the next", async () => {
  const script = builds.context.write(
    "build.ts",
    `import { build } from ${JSON.stringify(join(import.meta.dir, "../../lib/build/index.ts"))};
     const secrets = { token: new TextEncoder().encode("killed-secret") };
     await build(${JSON.stringify(builds.root)}, { dockerfile: "FROM base\\nRUN --mount=type=secret,id=token echo begun; sleep 1000",
       secrets, tags: ["killed"], onEvent: (event) => event.type === "output" && console.log("begun") });`,
  );
  const child = Bun.spawn([process.execPath, script], { stdout: "pipe", stderr: "inherit" });
  for await (const _ of child.stdout) break;
  expect(await eventually(() => descendants().some(({ name }) => name === "sleep"))).toBe(true);
  const inside = descendants(child.pid).map(({ pid }) => pid);
  child.kill("SIGKILL");
  await child.exited;
  await eventually(() => inside.every((pid) => !existsSync(`/proc/${pid}`)), 10_000);
  expect(builds.leftovers.some((name) => name.startsWith("work-"))).toBe(true);
  expect(filesWith("killed-secret")).toEqual([]);
  await builds.build("FROM base\nRUN echo after the killed one", { cache: false });
  using images = builds.images();
  await images.prune();
  expect(builds.leftovers.filter((name) => !/^[0-9a-f]{64}$/.test(name))).toEqual([]);
  expect(await images.exists("killed")).toBe(false);
}, 30_000);

it("what two builds find different is not one step of the cache", async () => {
  const hosts = "FROM base\nRUN grep peer /etc/hosts > /seen";
  for (const address of ["10.0.0.1", "10.0.0.2"]) {
    await builds.build(hosts, { addHosts: [`peer:${address}`] });
    expect(await builds.run("cat /seen")).toBe(`${address}\tpeer\n`);
  }
  const id = crypto.randomUUID();
  const mounts = (from: string[]) => `FROM base AS files
RUN mkdir /d && echo x > /d/file
FROM base
RUN --mount=type=cache,id=${id}-a,source=/d,target=/a${from[0]} --mount=type=cache,id=${id}-b,source=/d,target=/b${from[1]} \
  ls /a /b > /seen`;
  await builds.build(mounts([",from=files", ""]));
  expect((await builds.build(mounts(["", ",from=files"]))).cached).toBe(1);
  // control: the same is
  expect((await builds.build(mounts(["", ",from=files"]))).cached).toBe(2);
});

it("a file that changes before it is mounted is not what the step is known by", async () => {
  const text = `FROM base AS other
RUN sleep 2; echo ${crypto.randomUUID()}
FROM base
RUN --mount=type=bind,source=changing,target=/m cat /m > /seen
COPY --from=other /etc/passwd /other`;
  builds.context.write("changing", "before");
  const building = builds.build(text, { parallel: 1 });
  await eventually(() => builds.events.filter(({ type }) => type === "started").length >= 2, 10_000);
  await Bun.sleep(500);
  builds.context.write("changing", "after!");
  await building;
  const seen = await builds.run("cat /seen");
  builds.context.write("changing", "before");
  await builds.build(text);
  expect(await builds.run("cat /seen")).toBe("before");
  // control: it was waited for long enough to be changed, and what is changed is another step
  builds.context.write("changing", "after!");
  await builds.build(text);
  expect([seen, await builds.run("cat /seen")]).toEqual(["before", "after!"]);
});

it("a cache of others gives no step but the one that was asked for", async () => {
  const path = join(builds.context.path, "offered");
  const [asked, other] = ["FROM base\nRUN echo asked > /f", "FROM base\nRUN echo other > /f"];
  await builds.build(asked, { cacheTo: [{ type: "local", path }] });
  const keyOf = async (text: string) => {
    await builds.build(text);
    return (await buildCacheUsage(builds.root)).find((step) => text.endsWith(step.text))?.key;
  };
  // whoever offers it says that it is the other as well
  const key = await keyOf(other);
  changeCache(path, (step) => ({ ...step, aliases: [key] }));
  using theirs = await otherStore();
  await theirs.build(asked, { cacheFrom: [{ type: "local", path }] });
  await theirs.build(other);
  expect(await theirs.run("cat /f")).toBe("other\n");
  // control: by the key of the step that is asked for, what it says is believed
  await pruneBuildCache(theirs.root, { all: true });
  await theirs.build(other, { tags: ["believed"], cacheFrom: [{ type: "local", path }] });
  expect(await theirs.run("cat /f", "believed")).toBe("asked\n");
});

/** Steps of a cache in a directory, made others. */
function changeCache(path: string, change: (step: object) => object): void {
  const blobs = join(path, "blobs/sha256");
  const read = (digest: string) => JSON.parse(readFileSync(join(blobs, digest.slice(7)), "utf8"));
  const put = (value: unknown) => {
    const bytes = JSON.stringify(value);
    const hex = new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
    writeFileSync(join(blobs, hex), bytes);
    return { digest: `sha256:${hex}`, size: bytes.length };
  };
  const index = JSON.parse(readFileSync(join(path, "index.json"), "utf8"));
  const manifest = read(index.manifests[0].digest);
  const { steps } = read(manifest.config.digest);
  Object.assign(manifest.config, put({ steps: steps.map(change) }));
  Object.assign(index.manifests[0], put(manifest));
  writeFileSync(join(path, "index.json"), JSON.stringify(index));
}

/** With the same base image. */
async function otherStore(): Promise<TestBuilds> {
  const other = await TestBuilds.make();
  const archive = join(builds.context.path, "base.tar");
  using images = builds.images();
  await Bun.write(archive, new Response(await images.save(["base"])));
  using theirs = other.images();
  await theirs.load(archive);
  return other;
}

testUnless(
  noGit,
  "ADD brings nothing of the host's loopback interface, or of what tells clouds' machines, but where that is allowed",
  async () => {
    using server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("of the host") });
    const url = `http://127.0.0.1:${server.port}/file`;
    const elsewhere = [
      "http://localhost:1/x",
      "http://0x7f.1/x",
      "http://[::ffff:127.0.0.1]/x",
      "http://169.254.169.254/x",
    ];
    const repositories = [`http://127.0.0.1:${server.port}/x.git`, "git://localhost/x.git"];
    for (const each of [url, ...elsewhere, ...repositories]) {
      const { code } = await failedBuild(builds.build(`FROM base\nADD ${each} /file`));
      expect([each, code]).toEqual([each, "permission_denied"]);
    }
    // control
    await builds.build(`FROM base\nADD ${url} /file`, { allow: ["network.host"] });
    expect(await builds.run("cat /file")).toBe("of the host");
  },
);

testUnless(
  noGit,
  "ADD of a repository has no SSH keys of the caller's, but those of an agent that is given",
  async () => {
    using folder = new Folder();
    const log = join(folder.path, "log");
    folder.write("bin/ssh", `#!/bin/sh\necho "$SSH_AUTH_SOCK" "$@" >> ${log}\nexit 255\n`);
    chmodSync(join(folder.path, "bin/ssh"), 0o755);
    const { PATH, SSH_AUTH_SOCK } = process.env;
    Object.assign(process.env, { PATH: `${folder.path}/bin:${PATH}`, SSH_AUTH_SOCK: "/caller" });
    const given = join(folder.path, "given");
    const agent = createServer();
    await new Promise<void>((resolve) => agent.listen(given, resolve));
    try {
      for (const url of ["git@203.0.113.9:x.git", "ssh://git@203.0.113.9/x.git", "git+ssh://git@203.0.113.9/x.git"]) {
        const { code, hint } = await failedBuild(builds.build(`FROM base\nADD ${url} /x`));
        expect([code, hint]).toEqual(["permission_denied", "give it an agent: --ssh default"]);
      }
      expect(existsSync(log)).toBe(false);
      // control
      await failedBuild(builds.build("FROM base\nADD git@203.0.113.9:x.git /x", { ssh: { default: given } }));
      expect(readFileSync(log, "utf8")).toStartWith(`${given} -F none -o IdentityFile=none`);
      await failedBuild(builds.build("FROM base\nCOPY . /x", { context: "git@203.0.113.9:x.git" }));
      expect(readFileSync(log, "utf8")).toContain("\n/caller ");
    } finally {
      agent.close();
      Object.assign(process.env, { PATH, SSH_AUTH_SOCK });
      if (SSH_AUTH_SOCK === undefined) delete process.env["SSH_AUTH_SOCK"];
    }
  },
);

it("who asks an SSH agent and takes no answer fills no memory of whoever builds", async () => {
  const path = join(builds.context.path, "agent.sock");
  const agent = createServer((client) => client.on("data", () => {}));
  await new Promise<void>((resolve) => agent.listen(path, resolve));
  using workspace = new Workspace(builds.root, imageIds());
  const given = { options: { ssh: { default: path } }, workspace, ids: undefined };
  const { mount, release } = await agentMount(given, { type: "ssh" }, "/agent", never);
  const socket = (mount as { source: string }).source;
  try {
    // 19 is refused, 11 is asked
    const flood = async (type: number, forMs: number) => {
      const script = `const { connect } = require("node:net"); const client = connect(process.argv[1]); let sent = 0;
        const piece = Buffer.alloc(50_000, Buffer.from([0, 0, 0, 1, ${type}]));
        client.pause(); const end = () => (console.log(sent), process.exit()); setTimeout(end, ${forMs});
        const more = () => sent < ${FLOOD} ? client.write(piece, () => ((sent += piece.length), more())) : end(); more();`;
      const child = Bun.spawn([process.execPath, "-e", script, socket], { stdout: "pipe" });
      return Number(await new Response(child.stdout).text());
    };
    expect(await flood(19, 2000)).toBeLessThan(FLOOD / 2);
    // control: to whoever takes what it is sent
    expect(await flood(11, 20_000)).toBeGreaterThanOrEqual(FLOOD);
  } finally {
    await release?.();
    await new Promise((resolve) => agent.close(resolve));
  }
});
const FLOOD = 8_000_000;
function never(): TsboxError {
  throw new Error("it is given");
}

it("an output takes no file away that was there before, and an archive no image", async () => {
  using folder = new Folder();
  const destination = folder.write("precious", "precious");
  const stop = new AbortController();
  const onEvent = (event: { type: string }) => event.type === "exporting" && stop.abort();
  const outputs = [{ type: "tar" as const, destination }];
  await failedBuild(builds.build("FROM base\nRUN echo 1 > /1", { outputs, onEvent, signal: stop.signal }));
  expect(readFileSync(destination, "utf8")).toBe("precious");
  expect(readdirSync(folder.path)).toEqual(["precious"]);
  const text = "FROM base\nRUN echo unnamed > /unnamed";
  const { id = "" } = await builds.build(text, { tags: [] });
  await builds.build(text, { tags: [], outputs: [{ type: "oci", destination }] });
  using images = builds.images();
  expect(await images.exists(id)).toBe(true);
  // control: it has been written, and what nobody had before is not there afterwards
  expect(readFileSync(destination).length).toBeGreaterThan(1000);
  const count = (await images.list()).length;
  await builds.build(`${text}2`, { tags: [], outputs: [{ type: "oci", destination }] });
  expect((await images.list()).length).toBe(count);
});
