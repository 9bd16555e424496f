/** Health checks: performed in a container that runs, by what its supervisor executes. @module */
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { readFileSync } from "node:fs";
import type { Container } from "../lib/containers/index.ts";
import { TestEngine } from "./support/engine.ts";
import { noBusybox, noLimits, testUnless } from "./support/machine.ts";
import { adoptOrphans, eventually, processes, reapOrphans } from "./support/processes.ts";

let engine: TestEngine;
beforeAll(() => {
  adoptOrphans();
  engine = new TestEngine();
});
afterAll(async () => {
  await engine[Symbol.asyncDispose]();
  reapOrphans();
});

/** What tsbox is executed for takes its time on a busy machine. */
const WAIT_MS = 60_000;
const TIMEOUT_MS = 120_000;

const lifeTest = (name: string, body: () => unknown) => testUnless(noBusybox, name, body, TIMEOUT_MS);
const limitTest = (name: string, body: () => unknown) => testUnless(noLimits, name, body, TIMEOUT_MS);
const becomes = (container: Container, holds: (row: NonNullable<ReturnType<TestEngine["row"]>>) => boolean) =>
  eventually(() => {
    const row = engine.row(container);
    return row !== undefined && holds(row);
  }, WAIT_MS);

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
  } catch {
    return "";
  }
}

describe("a health check", () => {
  const health = { interval: "50ms", timeout: "5s", retries: 2 };

  lifeTest("makes healthy and unhealthy, and both are events", async () => {
    const container = await engine.run("touch /ok; sleep 1000", {
      health: { ...health, test: "echo looked; test -e /ok" },
    });
    expect((await container.record()).health).toEqual({ status: "starting", failingStreak: 0, log: [] });
    expect(await becomes(container, (row) => row.health?.status === "healthy")).toBe(true);
    const seen = engine.row(container)?.health?.log[0];
    expect(seen).toMatchObject({ exitCode: 0, output: "looked\n" });
    expect(seen!.end).toBeGreaterThanOrEqual(seen!.start);
    await container.execDetached(["rm", "/ok"]);
    expect(await becomes(container, (row) => row.health?.status === "unhealthy")).toBe(true);
    const told = engine.events(container).filter((event) => event.startsWith("health_status"));
    expect(told).toEqual(["health_status: healthy", "health_status: unhealthy"]);
    expect(await becomes(container, (row) => row.health?.log.length === 5)).toBe(true);
    // a new start begins anew
    await container.restart({ timeout: 0 });
    expect((await container.record()).health).toMatchObject({ status: "starting", failingStreak: 0 });
    await container.kill();
    // what does not run is not healthy; nobody is told, as nobody has looked
    expect((await container.record()).health).toMatchObject({ status: "unhealthy" });
    expect(engine.events(container).at(-1)).toBe("die 137");
  });

  lifeTest("that takes too long, or is none, has failed", async () => {
    const slow = await engine.run("sleep 1000", {
      health: { ...health, timeout: "300ms", test: ["CMD", "sleep", "90017"] },
    });
    const none = await engine.run("sleep 1000", { health: { ...health, test: ["CMD", "/no/such"] } });
    expect(await becomes(slow, (row) => row.health?.status === "unhealthy")).toBe(true);
    expect(await becomes(none, (row) => row.health?.status === "unhealthy")).toBe(true);
    const [late] = engine.row(slow)?.health?.log ?? [];
    expect(late).toMatchObject({ exitCode: -1, output: "Health check exceeded timeout (300ms): " });
    expect(engine.row(none)?.health?.log[0]?.output).toContain("/no/such");
    // one at a time, and that is killed
    const looking = processes().filter(({ pid }) => commandLine(pid) === "sleep 90017 ");
    expect(looking.length).toBeLessThanOrEqual(1);
    for (const container of [slow, none]) await container.kill();
  });

  lifeTest("is that of the image, unless something else is asked for", async () => {
    const line = "HEALTHCHECK --interval=50ms --retries=1 CMD echo $WHO; test -e /ok";
    const image = await engine.image("checked", ["ENV PATH=/bin WHO=image", line]);
    const container = await engine.run("sleep 1000", { image, env: { WHO: "me" } });
    const none = await engine.run("sleep 1000", { image, health: { test: ["NONE"] } });
    const other = await engine.run("sleep 1000", { image, health: { test: "true" } });
    expect(await becomes(container, (row) => row.health?.status === "unhealthy")).toBe(true);
    expect(engine.row(container)?.health?.log[0]).toMatchObject({ exitCode: 1, output: "me\n" });
    expect(await none.record()).not.toHaveProperty("health");
    expect(await becomes(other, (row) => row.health?.status === "healthy")).toBe(true);
    for (const each of [container, none, other]) await each.kill();
  });

  lifeTest("keeps the beginning of what it says, and counts none of its failures in the start period", async () => {
    const container = await engine.run("sleep 1000", {
      health: { test: "yes | head -c 9000; exit 4", startPeriod: "1h", startInterval: "20ms", interval: "1h" },
    });
    expect(await becomes(container, (row) => (row.health?.log.length ?? 0) >= 3)).toBe(true);
    const { health } = await container.record();
    expect(health).toMatchObject({ status: "starting", failingStreak: 0 });
    expect(health?.log[0]).toMatchObject({ exitCode: 4, output: `${"y\n".repeat(2048)}...` });
    await container.kill();
  });

  limitTest("is not performed while the container is paused", async () => {
    const container = await engine.run("sleep 1000", { health: { ...health, test: "true" } });
    expect(await becomes(container, (row) => row.health?.status === "healthy")).toBe(true);
    await container.pause();
    const { log } = (await container.record()).health!;
    await Bun.sleep(500);
    // one that had begun before may have come to its end
    const later = (await container.record()).health!.log.filter(({ start }) => start > log.at(-1)!.end);
    expect(later.length).toBeLessThanOrEqual(1);
    await container.kill();
  });

  lifeTest("is not there without one, nor for NONE", async () => {
    for (const options of [{}, { health: { test: ["NONE"] } }]) {
      const container = await engine.run("sleep 1000", options);
      expect(await container.record()).not.toHaveProperty("health");
      await container.kill();
    }
  });
});
