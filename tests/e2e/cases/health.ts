/** Health checks. @module */
import { expect } from "bun:test";
import { e2e, type Context } from "../case.ts";
import { BOX, HEALTH } from "../images.ts";

const status = (c: Context, name: string) => c.inspect(name, "{{.State.Health.Status}}");
const QUICK = ["--health-interval", "300ms", "--health-retries", "2"];

e2e("a container with a health check is starting at first, and ps says so", async (c) => {
  const name = await c.up(["--health-cmd", "true", "--health-interval", "30s"]);
  expect(await status(c, name)).toBe("starting");
  expect(await c.ok("ps", "--format", "{{.Status}}")).toContain("(health: starting)");
});

e2e("it is healthy once its check succeeds", async (c) => {
  const name = await c.up(["--health-cmd", "true", ...QUICK]);
  await c.until("it is healthy", async () => (await status(c, name)) === "healthy");
  expect(await c.ok("ps", "--format", "{{.Status}}")).toContain("(healthy)");
  expect(await c.ok("ps", "-q", "--filter", "health=healthy")).not.toBe("");
});

e2e("it is unhealthy once its check has failed so many times", async (c) => {
  const name = await c.up(["--health-cmd", "echo why; exit 1", ...QUICK]);
  await c.until("it is unhealthy", async () => (await status(c, name)) === "unhealthy");
  const health = JSON.parse(await c.inspect(name, "{{json .State.Health}}")) as {
    FailingStreak: number;
    Log: { ExitCode: number; Output: string }[];
  };
  expect(health.FailingStreak).toBeGreaterThanOrEqual(2);
  expect(health.Log[0]).toMatchObject({ ExitCode: 1, Output: "why\n" });
});

e2e("the image's check is taken", async (c) => {
  const name = await c.up([], [], HEALTH);
  await c.until("it is unhealthy", async () => (await status(c, name)) === "unhealthy");
  await c.ok("exec", name, "touch", "/ready");
  await c.until("it is healthy", async () => (await status(c, name)) === "healthy");
});

e2e("--no-healthcheck takes the image's away", async (c) => {
  const name = await c.up(["--no-healthcheck"], [], HEALTH);
  expect(await c.ok("ps", "--format", "{{.Status}}")).not.toContain("health");
  expect(await c.inspect(name, "{{json .Config.Healthcheck.Test}}")).toBe('["NONE"]');
});

e2e("a check that takes longer than --health-timeout has failed", async (c) => {
  const name = await c.up(["--health-cmd", "sleep 100", "--health-timeout", "300ms", ...QUICK]);
  await c.until("it is unhealthy", async () => (await status(c, name)) === "unhealthy");
  expect(await c.inspect(name, "{{(index .State.Health.Log 0).ExitCode}}")).toBe("-1");
});

e2e("failures within --health-start-period do not count", async (c) => {
  const flags = ["--health-cmd", "false", "--health-start-period", "60s", "--health-interval", "200ms"];
  const name = await c.up([...flags, "--health-retries", "1"]);
  await c.until("it was checked", async () => (await c.inspect(name, "{{len .State.Health.Log}}")) !== "0");
  await Bun.sleep(500);
  expect(await status(c, name)).toBe("starting");
});

e2e("changes of health are events", async (c) => {
  const name = await c.up(["--health-cmd", "true", ...QUICK]);
  await c.until("it is healthy", async () => (await status(c, name)) === "healthy");
  const said = await c.events("--filter", `container=${name}`, "--format", "{{.Action}}");
  expect(said).toContain("health_status: healthy");
});

e2e("a check with an interval below a millisecond is refused", async (c) => {
  await c.fails(125, "run", "-d", "--health-cmd", "true", "--health-interval", "1us", BOX, "true");
});

e2e("inspect has the check in nanoseconds", async (c) => {
  const flags = [
    "--health-cmd",
    "test -e /x",
    "--health-interval",
    "2s",
    "--health-timeout",
    "1s",
    "--health-retries",
    "5",
  ];
  const id = await c.ok("create", ...flags, "--health-start-period", "3s", BOX, "true");
  expect(JSON.parse(await c.inspect(id, "{{json .Config.Healthcheck}}"))).toMatchObject({
    Test: ["CMD-SHELL", "test -e /x"],
    Interval: 2_000_000_000,
    Timeout: 1_000_000_000,
    StartPeriod: 3_000_000_000,
    Retries: 5,
  });
});
