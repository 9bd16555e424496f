/** Containers whose creator is killed at any of its steps: what it has made ends, and can be deleted. @module */
import { afterAll, expect } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Container, isRunning } from "../lib/oci/index.ts";
import { inGuest, noBusybox, SLOW, testUnless } from "./support/machine.ts";
import { bundleIn, ociAs, runtimeIn } from "./support/oci.ts";
import { descendants, eventually, reapOrphans } from "./support/processes.ts";
import { Folder, makeRootfs } from "./support/rootfs.ts";

const folder = new Folder();
const rootfs = makeRootfs();
const runtime = runtimeIn(folder);
afterAll(() => [folder, rootfs].forEach((each) => each.remove()));

const oci = (...words: string[]) => ociAs({}, "--root", runtime.root, ...words);
const gone = { status: 0, stdout: "", stderr: "" };

const bundle = bundleIn(folder, rootfs.path, ["/bin/sleep", "60"]);
const options = { bundle, preserveFds: 0, listenFds: 0, pivot: true, newKeyring: true };
const counted = join(folder.path, "counted");
const creator = folder.write(
  "create.ts",
  `import { create, Log } from ${JSON.stringify(join(import.meta.dir, "../lib/oci/index.ts"))};
   import { writeFileSync } from "node:fs";
   const runtime = { ...${JSON.stringify({ ...runtime, log: undefined, told: undefined })}, log: new Log() };
   arm();
   await create(runtime, process.argv[2], ${JSON.stringify(options)});
   writeFileSync(${JSON.stringify(counted)}, String(counted()));
   process.exit();`,
);

/** @returns the signal that it was killed by */
async function createKilled(id: string, at: number): Promise<unknown> {
  const preload = join(import.meta.dir, "support/crash-containers.ts");
  const child = Bun.spawn([process.execPath, "--preload", preload, creator, id], {
    stdio: ["ignore", "ignore", "ignore"],
    // what it has cloned comes as far as it can
    env: { ...process.env, CRASH_AT: String(at), CRASH_AFTER_MS: String(50 * SLOW) },
  });
  await child.exited;
  return child.signalCode;
}

testUnless(
  noBusybox,
  "create, killed before each of its calls: unless the container was made, its process ends by itself",
  async () => {
    const id = (at: number) => `tsbox-test-${process.pid}-${at}`;
    expect(await createKilled(id(0), 0)).toBe(null);
    expect(oci("delete", "--force", id(0))).toEqual(gone);
    const steps = Number(readFileSync(counted, "utf8"));
    expect(steps).toBeGreaterThan(20);
    let made = 0;
    for (let at = 1; at <= steps; at += inGuest ? 5 : 1) {
      // how many there are is not always the same
      if ((await createKilled(id(at), at)) === null) expect(at).toBeGreaterThan(steps - 5);
      const isThere = existsSync(join(runtime.root, id(at), "state.json"));
      using container = isThere ? Container.open(runtime, id(at)) : undefined;
      const isMade = container?.record.stage === "created" && isRunning(container.record);
      if (isMade) made++;
      else expect([at, await eventually(() => (reapOrphans(), descendants().length === 0))]).toEqual([at, true]);
      expect([at, oci("delete", "--force", id(at))]).toEqual([at, gone]);
      expect(Object.values(container?.record.cgroup?.paths ?? {}).filter(existsSync)).toEqual([]);
    }
    expect(made).toBeGreaterThan(0);
    expect(readdirSync(runtime.root)).toEqual([]);
    expect(await eventually(() => (reapOrphans(), descendants().length === 0))).toBe(true);
  },
  300_000,
);
