/** `top stats events port`. @module */
import { expect } from "bun:test";
import { e2e, UNTIL_TERM, NO_SUCH } from "../case.ts";
import { BOX } from "../images.ts";

e2e("top shows the processes, by the host's numbers", async (c) => {
  const name = await c.up([], ["sleep", "4324"]);
  const [head = "", ...rows] = (await c.ok("top", name)).split("\n");
  expect(head.trim().split(/\s+/)).toEqual(["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]);
  const row = rows.find((line) => line.includes("sleep 4324")) ?? "";
  expect(Number(row.trim().split(/\s+/)[1])).toBe(Number(await c.inspect(name, "{{.State.Pid}}")));
});

e2e("top takes columns of ps", async (c) => {
  const name = await c.up([], ["sleep", "4325"]);
  const lines = (await c.ok("top", name, "-o", "pid,comm")).split("\n");
  expect(lines[0]?.trim().split(/\s+/)).toEqual(["PID", "COMMAND"]);
  expect(lines.some((line) => /^\s*\d+\s+sleep$/.test(line))).toBe(true);
});

e2e("top of what does not run is an error", async (c) => {
  const id = await c.ok("create", BOX, "true");
  expect(await c.fails(1, "top", id)).toContain("is not running");
});

e2e(
  "stats --no-stream shows what containers use, once",
  async (c) => {
    const name = await c.up();
    const [head = "", row = "", ...more] = (await c.ok("stats", "--no-stream", name)).split("\n");
    expect(head).toMatch(/^CONTAINER ID +NAME +CPU % +MEM USAGE \/ LIMIT +MEM % +NET I\/O +BLOCK I\/O +PIDS/);
    expect(row).toMatch(new RegExp(`^[0-9a-f]{12} +${name} +[\\d.]+% +[\\d.]+\\w+ / [\\d.]+\\w+ +[\\d.]+% .* \\d+ *$`));
    expect(more).toEqual([]);
  },
  "limits",
);

e2e(
  "stats shows all that run, where none is named",
  async (c) => {
    const names = [await c.up([], ["sleep", "1000"], BOX, "a"), await c.up([], ["sleep", "1000"], BOX, "b")];
    await c.ok("create", BOX, "true");
    const shown = await c.ok("stats", "--no-stream", "--format", "{{.Name}}");
    expect(shown.split("\n").toSorted()).toEqual(names);
  },
  "limits",
);

e2e(
  "stats --format has names of fields",
  async (c) => {
    const name = await c.up(["-m", "64m"]);
    const shown = await c.ok("stats", "--no-stream", "--format", "{{.Name}}|{{.MemUsage}}|{{.PIDs}}", name);
    expect(shown).toMatch(new RegExp(`^${name}\\|[\\d.]+\\w+ / 64MiB\\|\\d+$`));
  },
  "limits",
);

e2e("stats of a container that is not there is an error", async (c) => {
  expect(await c.fails(1, "stats", "--no-stream", "no-such")).toMatch(NO_SUCH);
});

e2e("events tells what has happened, in order", async (c) => {
  const name = await c.up([], UNTIL_TERM);
  await c.ok("stop", name);
  await c.ok("rm", name);
  const said = await c.events("--filter", `container=${name}`, "--format", "{{.Action}}");
  expect(
    said.split("\n").filter((action) => ["create", "start", "kill", "die", "stop", "destroy"].includes(action)),
  ).toEqual(["create", "start", "kill", "die", "stop", "destroy"]);
});

e2e("events has the exit code, the image and the name in what it says of an end", async (c) => {
  const name = c.name();
  await c.call(["run", "--name", name, "--label", "a=b", BOX, "sh", "-c", "exit 3"]);
  const said = await c.events("--filter", "event=die", "--filter", `container=${name}`);
  expect(said).toMatch(/^\d{4}-\d\d-\d\dT\S+ container die [0-9a-f]{64} \(.*\)$/);
  for (const word of ["exitCode=3", `image=${BOX}`, `name=${name}`, "a=b"]) expect(said).toContain(word);
});

e2e("events follows what happens", async (c) => {
  const following = c.background([
    "events",
    "--filter",
    "type=container",
    "--format",
    "{{.Action}} {{.Actor.Attributes.name}}",
  ]);
  await Bun.sleep(500);
  const name = c.name();
  await c.ok("create", "--name", name, BOX, "true");
  await following.shows(`create ${name}`);
});

e2e("events --format json has an object a line", async (c) => {
  const name = c.name();
  const id = await c.ok("create", "--name", name, BOX, "true");
  const said = await c.events("--filter", `container=${name}`, "--format", "json");
  expect(JSON.parse(said.split("\n")[0] ?? "")).toMatchObject({
    Type: "container",
    Action: "create",
    Actor: { ID: id, Attributes: { name, image: BOX } },
  });
});

e2e("events tells of volumes", async (c) => {
  const name = c.name("v");
  await c.ok("volume", "create", name);
  const said = await c.events("--filter", "type=volume", "--format", "{{.Action}} {{.Actor.ID}}");
  expect(said.split("\n")).toContain(`create ${name}`);
});

e2e("port of what publishes nothing is empty", async (c) => {
  expect(await c.ok("port", await c.up())).toBe("");
});

e2e("port of one that is not published is an error", async (c) => {
  const name = await c.up();
  expect((await c.fails(1, "port", name, "80")).toLowerCase()).toContain("no public port '80");
});
