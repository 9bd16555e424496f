/** Commands that are killed while they tell the kernel of networks: the next one finds what is left, and removes it. @module */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hasFirewall } from "../lib/network/firewall.ts";
import { Networks } from "../lib/network/index.ts";
import { State } from "../lib/state/index.ts";
import { inGuest, noNetworks, notRoot, SLOW } from "./support/machine.ts";
import { deviceNames, World, type Place } from "./support/network-world.ts";

const reason = notRoot ?? noNetworks();
/** Not made where nothing of this is done. */
const root = reason === undefined ? mkdtempSync(join(tmpdir(), "tsbox-network-crash-")) : "";
const preload = join(import.meta.dirname, "support/crash-containers.ts");
const script = join(import.meta.dirname, "support/crash-network.ts");
const ID = "c".repeat(64);

/** Of the container, where the kernel can; the guest takes half a second for a step. */
const bandwidth = noNetworks("bandwidth") === undefined ? "1e6" : "";
const every = inGuest ? 4 : 1;

describe.skipIf(reason !== undefined)(`a command that is killed at any step${reason ? ` (${reason})` : ""}`, () => {
  let world: World;
  let place: Place;
  const state = new State(root);
  const isThere = new Set<string>();
  const networks = new Networks(
    () => state,
    (id) => isThere.has(id),
  );
  beforeAll(() => {
    world = new World();
  });
  afterAll(() => {
    world?.[Symbol.dispose]();
    state[Symbol.dispose]();
    rmSync(root, { recursive: true, force: true });
  });

  function run(what: string, at: number): { steps: number; killed: boolean } {
    place = world.place();
    const { stdout, stderr, exitCode, signalCode } = Bun.spawnSync(
      [process.execPath, "--preload", preload, script, root, what, String(place.pid), ID],
      { env: { ...process.env, CRASH_AT: String(at), BANDWIDTH: bandwidth } },
    );
    if (exitCode !== 0 && signalCode !== "SIGKILL") throw new Error(stderr.toString());
    return { steps: Number(stdout.toString()), killed: signalCode === "SIGKILL" };
  }

  function nothingIsLeft(): void {
    expect(deviceNames()).toEqual(["lo"]);
    expect(hasFirewall()).toBe(false);
  }

  test.each(["create", "join", "leave", "remove"])(
    "of %s",
    async (what) => {
      const prepare = async () => {
        if (what !== "create") await networks.create({ name: "net", ipv6: true });
        if (what !== "leave") return;
        run("join", 0);
        isThere.add(ID);
      };
      const cleanUp = async () => {
        isThere.clear();
        place[Symbol.dispose]();
        for (const { name } of networks.list()) await networks.remove(name);
        expect(networks.list()).toEqual([]);
        nothingIsLeft();
      };
      await prepare();
      const { steps } = run(what, 0);
      await cleanUp();
      expect(steps).toBeGreaterThan(what === "create" ? 5 : 3);
      for (let at = 1; at <= steps; at += every * (what === "leave" ? 3 : 2)) {
        await prepare();
        run(what, at);
        // another container can be put there, at the same address where it is free
        if (networks.list().length > 0) {
          isThere.clear();
          const other = world.place();
          const { id } = networks.get("net");
          const second = "d".repeat(64);
          isThere.add(second);
          networks.claim(id, { container: second, name: "second", inside: "eth0" }, [
            { protocol: "tcp", hostPort: 8080, containerPort: 80 },
          ]);
          await networks.raise(id, second);
          await networks.plugIn(id, second, other.namespace, true);
          expect(Object.keys(networks.get("net").endpoints)).toEqual([second]);
          await networks.leave(second);
          other[Symbol.dispose]();
        }
        await cleanUp();
      }
    },
    240_000 * SLOW,
  );
});
