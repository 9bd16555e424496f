/** What restart policies do. @module */
import { expect } from "bun:test";
import { e2e, UNTIL_TERM } from "../case.ts";
import { BOX } from "../images.ts";

/** Counts in a file how often it was started, and ends. */
const counting = (status: number) => ["sh", "-c", `echo x >>/runs; wc -l </runs; exit ${status}`];

e2e("without a policy nothing is started again", async (c) => {
  const name = await c.up([], counting(1));
  await c.ok("wait", name);
  await Bun.sleep(300);
  expect(await c.inspect(name, "{{.State.Status}} {{.RestartCount}} {{.HostConfig.RestartPolicy.Name}}")).toBe(
    "exited 0 no",
  );
});

e2e("on-failure starts again what failed, so many times at most", async (c) => {
  const name = await c.up(["--restart", "on-failure:2"], counting(3));
  await c.until(
    "it has given up",
    async () => (await c.inspect(name, "{{.State.Status}} {{.RestartCount}}")) === "exited 2",
  );
  expect(await c.ok("logs", name)).toBe("1\n2\n3");
  expect(await c.inspect(name, "{{.State.ExitCode}}")).toBe("3");
});

e2e("on-failure does not start again what succeeded", async (c) => {
  const name = await c.up(["--restart", "on-failure"], counting(0));
  await c.untilIs(name, "exited");
  await Bun.sleep(300);
  expect(await c.inspect(name, "{{.State.Status}} {{.RestartCount}}")).toBe("exited 0");
});

for (const policy of ["always", "unless-stopped"])
  e2e(`${policy} starts again what succeeded`, async (c) => {
    const name = await c.up(["--restart", policy], counting(0));
    await c.until("it was started three times", async () => (await c.ok("logs", name)).startsWith("1\n2\n3"));
    expect(Number(await c.inspect(name, "{{.RestartCount}}"))).toBeGreaterThanOrEqual(2);
  });

e2e("always starts again what was killed from inside", async (c) => {
  const name = await c.up(["--restart", "always"], ["sh", "-c", "echo run; sleep 0.3; exit 137"]);
  await c.until("it was started again", async () => (await c.ok("logs", name)).startsWith("run\nrun"));
});

for (const policy of ["always", "unless-stopped", "on-failure"])
  e2e(`what is stopped is not started again, with ${policy}`, async (c) => {
    const name = await c.up(["--restart", policy], UNTIL_TERM);
    await c.ok("stop", name);
    await Bun.sleep(400);
    expect(await c.inspect(name, "{{.State.Status}} {{.RestartCount}}")).toBe("exited 0");
  });

e2e("what is killed by kill is not started again, with always", async (c) => {
  const name = await c.up(["--restart", "always"]);
  await c.ok("kill", name);
  await c.untilIs(name, "exited");
  await Bun.sleep(400);
  expect(await c.inspect(name, "{{.State.Status}}")).toBe("exited");
});

e2e("what restarts all the time can be stopped", async (c) => {
  const name = await c.up(["--restart", "always"], counting(1));
  await c.until("it restarts", async () => Number(await c.inspect(name, "{{.RestartCount}}")) >= 2);
  await c.ok("stop", name);
  const runs = await c.ok("logs", name);
  await Bun.sleep(500);
  expect(await c.inspect(name, "{{.State.Status}}")).toBe("exited");
  expect(await c.ok("logs", name)).toBe(runs);
});

e2e("what restarts all the time can be removed with -f", async (c) => {
  const name = await c.up(["--restart", "always"], counting(1));
  await c.until("it restarts", async () => Number(await c.inspect(name, "{{.RestartCount}}")) >= 2);
  await c.ok("rm", "-f", name);
  await Bun.sleep(300);
  expect(await c.ok("ps", "-aq")).toBe("");
});

e2e("what waits to be restarted is restarting, and ps says so", async (c) => {
  const name = await c.up(["--restart", "always"], counting(4));
  await c.until(
    "it waits",
    async () => (await c.inspect(name, "{{.State.Status}} {{.State.Restarting}}")) === "restarting true",
  );
  await c.until("ps says so", async () =>
    (await c.ok("ps", "-a", "--format", "{{.Status}}")).startsWith("Restarting (4) "),
  );
});

e2e("a policy that does not exist is an error", async (c) => {
  expect(await c.fails(125, "run", "-d", "--restart", "sometimes", BOX, "true")).toMatch(/restart policy|sometimes/);
});

e2e("a maximum is for on-failure only", async (c) => {
  expect((await c.fails(125, "run", "-d", "--restart", "always:3", BOX, "true")).toLowerCase()).toContain(
    "maximum ret",
  );
});
