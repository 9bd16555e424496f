/** The store of images with many processes at once: races, kills at every step, full disks. @module */
import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { digestOf } from "../lib/image/index.ts";
import { Store } from "../lib/store/index.ts";
import { asRoot, inGuest, SLOW, testUnless } from "./support/machine.ts";
import { Folder } from "./support/rootfs.ts";
import { bytesOf, contents, putBlob, putImage, wholeImages } from "./support/store.ts";

const folder = new Folder();
afterAll(() => folder.remove());
const root = join(folder.path, "store");
beforeEach(() => rmSync(root, { recursive: true, force: true }));
const open = (path = root) => Store.open({ root: path });

const OLD = "docker.io/library/old:1";
const NEW = "docker.io/library/new:1";
const library = JSON.stringify(join(import.meta.dir, "../lib/store/index.ts"));
const support = JSON.stringify(join(import.meta.dir, "support/store.ts"));
const preload = join(import.meta.dir, "support/crash.ts");

/** A process with an open store; it prints what it returns. */
function script(body: string): string {
  const text = `
    import { Store } from ${library};
    import { putBlob, putImage, wholeImages, bytesOf } from ${support};
    const store = Store.open({ root: process.argv[2] });
    const say = (value) => console.log(JSON.stringify(value));
    ${body}
    store[Symbol.dispose]();
  `;
  return folder.write(`script-${Bun.hash(text).toString(36)}.ts`, text);
}

async function run(file: string, path = root, environment: Record<string, string> = {}) {
  const child = Bun.spawn([process.execPath, "--preload", preload, file, path], {
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, ...environment },
  });
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { stdout, stderr, exitCode: child.exitCode, signalCode: child.signalCode };
}

/** Nothing that has a name is damaged; and a prune leaves what has one, and nothing else. */
async function expectWhole(path: string, names: string[][]): Promise<void> {
  using store = open(path);
  const found = wholeImages(store)
    .flatMap((image) => image.names)
    .toSorted();
  expect(names.map((each) => each.toSorted())).toContainEqual(found);
  await store.prune();
  const left = contents(store);
  expect({ ...left, layers: [] }).toEqual({ ...left, blobs: left.neededBlobs, ingest: [], layers: [] });
  expect(left.neededLayers).toEqual(expect.arrayContaining(left.layers));
  for (const image of wholeImages(store)) if (image.names.includes(OLD)) store.lease(image)[Symbol.dispose]();
  const others = readdirSync(path).filter((name) => !/^(tsbox\.db.*|state\.spare)$/.test(name));
  expect(others.toSorted()).toEqual(["ingest", "layers", "lock", "oci", "spare", "version"]);
  expect(readdirSync(join(path, "oci")).toSorted()).toEqual(["blobs", "index.json", "oci-layout"]);
}

interface Operation {
  /** As a process does it. */
  body: string;
  /** The same, here. */
  again: (store: Store) => Promise<unknown>;
  /** Of its steps, every so manieth is tried. */
  every?: number;
  /** Names that there may be when it was ended at any step. */
  names: string[][];
}

const removed = { names: [[OLD], []] };
const pulled = { layers: ["base", "new"] };
const OPERATIONS: [string, Operation][] = [
  [
    "a pull",
    {
      body: `arm(); await putImage(store, "${NEW}", ${JSON.stringify(pulled)});`,
      again: (store) => putImage(store, NEW, pulled),
      names: [[OLD], [OLD, NEW]],
    },
  ],
  [
    "a pull that takes a name over",
    {
      body: `arm(); await putImage(store, "${OLD}", ${JSON.stringify(pulled)});`,
      again: (store) => putImage(store, OLD, pulled),
      // but for its end, it is the same
      every: 4,
      names: [[OLD]],
    },
  ],
  [
    "a removal",
    {
      ...removed,
      body: `arm(); await store.removeImage("${OLD}");`,
      again: (store) => store.removeImage(OLD).catch(() => {}),
    },
  ],
  [
    "a prune of all",
    {
      ...removed,
      body: `arm(); await store.prune({ images: () => true });`,
      again: (store) => store.prune({ images: () => true }),
    },
  ],
];

async function makeBase(): Promise<string> {
  const base = join(folder.path, "base");
  if (existsSync(base)) return base;
  using store = open(base);
  await putImage(store, OLD, { layers: ["base", "old"] });
  // something that is left behind already
  (await store.ingest({ digest: digestOf("partial"), size: 7 }))?.keep();
  return base;
}

async function forEachStep(
  environment: Record<string, string>,
  file: string,
  every: number | undefined,
  check: (path: string, at: number) => Promise<void>,
) {
  const base = await makeBase();
  const copy = (name: string) => {
    const path = join(folder.path, `copy-${name}`);
    rmSync(path, { recursive: true, force: true });
    cpSync(base, path, { recursive: true });
    return path;
  };
  const counted = await run(file, copy("count"), { ...environment, CRASH_AT: "0" });
  expect([counted.stderr, counted.exitCode]).toEqual(["", 0]);
  const steps = Number(counted.stdout.trim().split("\n").at(-1));
  expect(steps).toBeGreaterThan(3);
  const stride = every ?? (inGuest ? 7 : 1);
  const numbers = Array.from({ length: Math.ceil(steps / stride) }, (_, at) => 1 + at * stride);
  // two at a time
  const worker = async () => {
    for (let at; (at = numbers.shift()) !== undefined;) {
      const path = copy(String(at));
      await check(path, at);
      rmSync(path, { recursive: true });
    }
  };
  await Promise.all([worker(), worker()]);
}

describe("killed at any step of", () => {
  test.each(OPERATIONS)(
    "%s, it loses nothing, and leaves nothing that a prune does not find",
    async (_, { body, names, again, every }) => {
      const file = script(`${body} say(counted());`);
      await forEachStep({}, file, every, async (path, at) => {
        const { signalCode } = await run(file, path, { CRASH_AT: String(at) });
        expect(signalCode).toBe("SIGKILL");
        await expectWhole(path, names);
        using store = open(path);
        await again(store);
      });
    },
    120_000 * SLOW,
  );

  test(
    "the making of a store, it is made by the next one",
    async () => {
      const file = folder.write(
        "make.ts",
        `import { Store } from ${library}; arm(); Store.open({ root: process.argv[2] })[Symbol.dispose](); console.log(counted());`,
      );
      const steps = Number((await run(file, join(folder.path, "made"))).stdout);
      expect(steps).toBeGreaterThan(10);
      for (let at = 1; at <= steps; at++) {
        const path = join(folder.path, `made-${at}`);
        expect((await run(file, path, { CRASH_AT: String(at) })).signalCode).toBe("SIGKILL");
        await expectWhole(path, [[]]);
      }
    },
    60_000 * SLOW,
  );
});

const ENOSPC = "28";

describe("with a full disk", () => {
  test.each(OPERATIONS)(
    "at any step of %s, it is one clear error, and nothing is lost",
    async (name, { body, names, every }) => {
      const file = script(`
        try { ${body} say(counted()); }
        catch (error) { say([error.code, String(error)]); }
      `);
      await forEachStep({ CRASH_WITH: ENOSPC }, file, every, async (path, at) => {
        const { stdout, stderr, exitCode } = await run(file, path, { CRASH_AT: String(at), CRASH_WITH: ENOSPC });
        expect([stderr, exitCode]).toEqual(["", 0]);
        const told = JSON.parse(stdout);
        if (name.startsWith("a pull")) expect(told).toEqual(["store_unavailable", expect.stringContaining("ENOSPC")]);
        await expectWhole(path, names);
      });
    },
    120_000 * SLOW,
  );

  const cannotMount = asRoot ? undefined : "mounts a tmpfs, so needs root";
  testUnless(
    cannotMount,
    "a real one: what does not fit is an error, what is there works, and can be removed",
    async () => {
      const path = folder.directory("tiny");
      expect(Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "size=2m,mode=700", "tmpfs", path]).exitCode).toBe(0);
      try {
        using store = open(join(path, "store"));
        await putImage(store, OLD);
        const noise = crypto.getRandomValues(new Uint8Array(60_000));
        const large = Buffer.concat(Array.from({ length: 100 }, () => noise));
        const failed = await putBlob(store, large).then(
          () => undefined,
          (error: unknown) => error as { code: string; hint: string },
        );
        expect(failed).toMatchObject({ code: "store_unavailable", hint: expect.stringContaining("the disk is full") });
        expect(contents(store).ingest).toEqual([]);
        // not a byte is left
        Bun.spawnSync(["sh", "-c", "cat /dev/zero >fill"], { cwd: path, stderr: "ignore" });
        for (const use of [
          () => putImage(store, NEW, { layers: ["x"] }),
          () => Promise.resolve().then(() => store.diskUsage()),
        ]) {
          const error = await use().then(
            () => undefined,
            (reason: unknown) => reason as { code: string },
          );
          expect(error?.code).toBe("store_unavailable");
        }
        store.lease(store.findImage(OLD)!)[Symbol.dispose]();
        await store.prune();
        expect(wholeImages(store).map(({ names }) => names)).toEqual([[OLD]]);
        rmSync(join(path, "fill"));
        expect(store.diskUsage().images.length).toBe(1);
        await store.removeImage(OLD);
        expect(contents(store)).toMatchObject({ blobs: [], layers: [], ingest: [] });
      } finally {
        Bun.spawnSync(["umount", path]);
      }
    },
  );

  testUnless(cannotMount, "a read-only one is one clear error, and what is there works", async () => {
    const path = folder.directory("fixed");
    expect(Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "mode=700", "tmpfs", path]).exitCode).toBe(0);
    try {
      {
        using store = open(join(path, "store"));
        await putImage(store, OLD);
      }
      expect(Bun.spawnSync(["mount", "-o", "remount,ro", path]).exitCode).toBe(0);
      using store = open(join(path, "store"));
      using lease = store.lease(store.findImage(OLD)!);
      expect(lease.lowers.length).toBe(2);
      for (const use of [() => putImage(store, NEW), () => store.removeImage(OLD), () => store.prune()]) {
        const error = await use().then(
          () => undefined,
          (reason: unknown) => reason as { code: string; hint: string },
        );
        expect(error).toMatchObject({ code: "store_unavailable" });
      }
      const absent = await Promise.resolve()
        .then(() => open(join(path, "none")))
        .catch((error: unknown) => error);
      expect(absent).toMatchObject({ code: "store_unavailable", hint: expect.stringContaining("read-only") });
    } finally {
      Bun.spawnSync(["umount", path]);
    }
  });
});

describe("at once", () => {
  test(
    "processes that pull the same write it once, and each finds it whole",
    async () => {
      const file = script(`
        let written = 0, unpacked = 0;
        const ingest = store.ingest.bind(store);
        store.ingest = async (...args) => { const it = await ingest(...args); if (it) written++; return it; };
        const prepare = store.prepareLayer.bind(store);
        store.prepareLayer = async (...args) => { const it = await prepare(...args); if (it.isPending) unpacked++; return it; };
        const names = Array.from({ length: 5 }, (_, at) => "a:" + at);
        for (const name of names) await putImage(store, name, { layers: ["base", name] });
        say([written, unpacked]);
      `);
      using _ = open();
      const results = await Promise.all([1, 2, 3, 4].map(() => run(file)));
      expect(results.map(({ stderr }) => stderr)).toEqual(["", "", "", ""]);
      const counts = results.map(({ stdout }) => JSON.parse(stdout) as [number, number]);
      const sum = (at: 0 | 1) => counts.reduce((total, count) => total + count[at], 0);
      // layers, configs and manifests of five images
      expect([sum(0), sum(1)]).toEqual([6 + 5 + 5, 6]);
      using store = open();
      expect(wholeImages(store).length).toBe(5);
      expect(contents(store).ingest).toEqual([]);
    },
    60_000 * SLOW,
  );

  test(
    "names that many give are all there",
    async () => {
      const file = script(`
        const descriptor = store.findImage("${OLD}").descriptor;
        for (let at = 0; at < 40; at++) store.setName(process.pid + ":" + at, descriptor);
      `);
      using store = open();
      await putImage(store, OLD);
      const results = await Promise.all([1, 2, 3].map(() => run(file)));
      expect(results.map(({ stderr }) => stderr)).toEqual(["", "", ""]);
      expect(store.findImage(OLD)!.names.length).toBe(121);
      // without the lock, some are lost
      const unlocked = await Promise.all([1, 2, 3].map(() => run(file, root, { CRASH_UNLOCKED: "1" })));
      const whole = unlocked.every(({ exitCode }) => exitCode === 0);
      expect(whole && store.findImage(OLD)!.names.length === 241).toBe(false);
    },
    60_000 * SLOW,
  );

  test(
    "pulls, removals, prunes and leases of the same images never lose what is named or used",
    async () => {
      const file = script(`
        const until = Date.now() + 4000;
        const expected = ["image_not_found", "image_in_use"];
        let done = 0;
        while (Date.now() < until) {
          const name = "a:" + Math.floor(Math.random() * 3);
          try {
            const kind = Math.floor(Math.random() * 5);
            if (kind < 2) await putImage(store, name, { layers: ["base", name] });
            else if (kind === 2) await store.removeImage(name);
            else if (kind === 3) await store.prune();
            else {
              const image = store.findImage(name);
              if (!image) continue;
              using lease = store.lease(image);
              await Bun.sleep(Math.random() * 20);
              for (const lower of lease.lowers) if (!require("fs").existsSync(lower + "/directory")) throw new Error("lost " + lower);
            }
            done++;
          } catch (error) {
            if (!expected.includes(error.code)) throw error;
          }
        }
        say(done);
      `);
      using store = open();
      const results = await Promise.all([1, 2, 3].map(() => run(file)));
      expect(results.map(({ stderr }) => stderr)).toEqual(["", "", ""]);
      for (const { stdout } of results) expect(Number(stdout)).toBeGreaterThan(20 / SLOW);
      wholeImages(store);
      await store.prune({ images: () => true });
      expect(contents(store)).toMatchObject({ blobs: [], layers: [], ingest: [] });
    },
    60_000 * SLOW,
  );

  test("prunes that come upon the same trash help each other", async () => {
    open()[Symbol.dispose]();
    for (let at = 0; at < 6; at++) {
      const deep = join(root, "ingest", `trash-${at}`, "deep/".repeat(150));
      mkdirSync(deep, { recursive: true });
      for (let file = 0; file < 20; file++) writeFileSync(join(deep, String(file)), "");
    }
    const file = script(`await store.prune();`);
    const results = await Promise.all([1, 2, 3].map(() => run(file)));
    expect(results.map(({ stderr }) => stderr)).toEqual(["", "", ""]);
    expect(readdirSync(join(root, "ingest"))).toEqual([]);
  });

  test("what a pull relies on stays, until it has a name", async () => {
    using store = open();
    using other = open();
    {
      using _ = store.hold();
      const there = await putBlob(store, bytesOf("there"));
      const layer = await store.prepareLayer(digestOf("layer"));
      if (layer.isPending) layer.commit({ diffId: digestOf("layer"), bytes: 1, entries: 1 });
      const under = (await store.ingest({ digest: digestOf("under way"), size: 9 }))!;
      under.write(bytesOf("under"));
      const removed = await other.prune();
      expect([removed.blobs, removed.layers]).toEqual([[], []]);
      under.write(bytesOf(" way"));
      await under.commit();
      expect(store.hasBlob(there.digest)).toBe(true);
    }
    expect((await other.prune()).blobs.length).toBe(2);
    expect(contents(store)).toMatchObject({ blobs: [], layers: [], ingest: [] });
    // without that, it goes
    await putBlob(store, bytesOf("there"));
    expect((await other.prune()).blobs.length).toBe(1);
  });

  test("a lease ends with its process, however that ends", async () => {
    using store = open();
    await putImage(store, OLD);
    const file = script(
      `globalThis.lease = store.lease(store.findImage("${OLD}")); say(1); await new Promise(() => setInterval(() => {}, 1000));`,
    );
    const child = Bun.spawn([process.execPath, "--preload", preload, file, root], { stdout: "pipe" });
    await child.stdout.getReader().read();
    expect(await store.removeImage(OLD).catch((error: { code: string }) => error.code)).toBe("image_in_use");
    expect((await store.prune({ images: () => true })).images).toEqual([]);
    child.kill("SIGKILL");
    await child.exited;
    await store.removeImage(OLD);
    expect(contents(store)).toMatchObject({ blobs: [], layers: [], ingest: [] });
  });

  test("who waits for a download may give up, or goes on where another one was killed", async () => {
    const content = bytesOf("x".repeat(300_000));
    const descriptor = { digest: digestOf(content), size: content.length };
    const file = script(`
      const ingest = await store.ingest(${JSON.stringify(descriptor)});
      ingest.write(bytesOf("x".repeat(100_000)));
      say(1);
      await new Promise(() => setInterval(() => {}, 1000));
    `);
    using store = open();
    const child = Bun.spawn([process.execPath, "--preload", preload, file, root], { stdout: "pipe" });
    await child.stdout.getReader().read();
    const controller = new AbortController();
    const waiting = store.ingest(descriptor, { signal: controller.signal });
    controller.abort(new Error("enough"));
    expect(await waiting.catch((error: Error) => error.message)).toBe("enough");
    const next = store.ingest(descriptor);
    child.kill("SIGKILL");
    using ingest = (await next)!;
    expect(ingest.offset).toBe(100_000);
    ingest.write(content.subarray(100_000));
    await ingest.commit();
    expect(store.hasBlob(descriptor.digest)).toBe(true);
  });

  test(
    "a damaged database is put aside once",
    async () => {
      {
        using store = open();
        await putImage(store, OLD);
        store.metadata.referenceCounts();
      }
      await Bun.write(join(root, "tsbox.db"), "garbage ".repeat(2000));
      const file = script(`
        for (let at = 0; at < 20; at++) store.metadata.addSource("sha256:" + String(at).padStart(64, "0"), "r" + process.pid);
        say(store.metadata.referenceCounts().blobs.size);
      `);
      const results = await Promise.all([1, 2, 3].map(() => run(file)));
      expect(results.map(({ stdout, stderr }) => [stdout.trim(), stderr])).toEqual([
        ["4", ""],
        ["4", ""],
        ["4", ""],
      ]);
      expect(readdirSync(root).filter((name) => /^tsbox\.db\.damaged-[^.]*$/.test(name)).length).toBe(1);
      using store = open();
      expect(store.metadata.sourcesOf(`sha256:${"0".repeat(64)}`).length).toBeGreaterThanOrEqual(2);
    },
    60_000 * SLOW,
  );
});

test("a symlink that somebody planted leads nowhere, and without the protection it would", async () => {
  {
    using store = open();
    await putImage(store, OLD);
  }
  const [index, planted] = [
    join(root, "oci/index.json"),
    folder.write("planted.json", readFileSync(join(root, "oci/index.json"))),
  ];
  rmSync(index);
  symlinkSync(planted, index);
  const file = script(`try { say(store.findImage("${OLD}").names); } catch (error) { say(error.code); }`);
  expect((await run(file)).stdout.trim()).toBe('"store_unavailable"');
  expect((await run(file, root, { CRASH_FOLLOWS: "1" })).stdout.trim()).toBe(JSON.stringify([OLD]));
});
