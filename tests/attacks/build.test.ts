/**
 * Builds of hostile files: what a RUN, a base image or a context could do to whoever builds. Each with a control, in
 * which the same is seen to work where it is allowed, or where nothing is in the way.
 * @module
 */
import { afterAll, beforeAll, expect } from "bun:test";
import { existsSync, lstatSync, mkdirSync, readdirSync, rmdirSync, symlinkSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { build } from "../../lib/build/index.ts";
import { failedBuild, TestBuilds } from "../support/builds.ts";
import { removeStubs } from "../../lib/build/stubs.ts";
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
  await builds.build(text, { secrets: { token: bytes, other: bytes } });
  expect(await builds.run("head -3 /seen")).toBe(`${secret.length}\n${secret.length}\n400\n`);
  expect(filesWith(secret)).toEqual([]);
  expect(readdirSync("/dev/shm").filter((name) => name.includes("tsbox"))).toEqual([]);
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
  const kilobytes = () => Math.round(process.memoryUsage.rss() / 1024);
  const before = kilobytes();
  let bytes = 0;
  const onEvent = (event: { type: string; bytes?: Uint8Array }) => void (bytes += event.bytes?.length ?? 0);
  const dockerfile = `FROM base\nRUN head -c ${BYTES} /dev/zero | tr '\\0' x; false`;
  const error = await failedBuild(build(builds.root, { dockerfile, onEvent }));
  expect(error.message.length).toBeLessThan(20_000);
  expect(bytes).toBe(BYTES);
  expect(kilobytes() - before).toBeLessThan(200_000);
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
  expect(descendants().some(({ name }) => name === "sleep")).toBe(true);
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
