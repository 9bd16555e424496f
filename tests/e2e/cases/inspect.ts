/** `inspect` of containers. @module */
import { expect } from "bun:test";
import { e2e } from "../case.ts";
import { BOX, FULL } from "../images.ts";

e2e("inspect prints an array of objects", async (c) => {
  const [first, second] = [await c.ok("create", BOX, "true"), await c.ok("create", BOX, "true")];
  const shown = JSON.parse(await c.ok("inspect", first, second)) as { Id: string }[];
  expect(shown.map(({ Id }) => Id)).toEqual([first, second]);
});

e2e("inspect has Docker's sections", async (c) => {
  const id = await c.ok("run", "-d", BOX, "sleep", "1000");
  const [shown] = JSON.parse(await c.ok("inspect", id)) as Record<string, unknown>[];
  const keys = [
    "Id",
    "Created",
    "Path",
    "Args",
    "State",
    "Image",
    "Name",
    "RestartCount",
    "HostConfig",
    "Mounts",
    "Config",
  ];
  expect(Object.keys(shown ?? {})).toEqual(expect.arrayContaining([...keys, "NetworkSettings", "ResolvConfPath"]));
});

e2e("inspect says what runs", async (c) => {
  const name = await c.up();
  const state = JSON.parse(await c.inspect(name, "{{json .State}}")) as Record<string, unknown>;
  expect(state).toMatchObject({
    Status: "running",
    Running: true,
    Paused: false,
    Restarting: false,
    OOMKilled: false,
    Dead: false,
  });
  expect(state["ExitCode"]).toBe(0);
  expect(state["Pid"]).toBeGreaterThan(1);
  expect(Date.parse(state["StartedAt"] as string)).toBeGreaterThan(Date.now() - 60_000);
});

e2e("inspect says when something began and ended", async (c) => {
  const name = c.name();
  // Docker writes down when something began once it has heard of it, which may have ended by then
  await c.ok("run", "--name", name, BOX, "sleep", "0.1");
  const [began = "", ended = ""] = (await c.inspect(name, "{{.State.StartedAt}} {{.State.FinishedAt}}")).split(" ");
  expect(began).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/);
  expect(Date.parse(ended)).toBeGreaterThanOrEqual(Date.parse(began));
});

e2e("a container's name begins with a slash", async (c) => {
  await c.ok("create", "--name", c.name(), BOX, "true");
  expect(await c.inspect(c.name(), "{{.Name}}")).toBe(`/${c.name()}`);
});

e2e("inspect has what was asked for: environment, user, directory, command", async (c) => {
  const flags = ["-e", "A=1", "-u", "7:8", "-w", "/there", "-h", "named", "-t", "-i"];
  const id = await c.ok("create", ...flags, BOX, "a", "b");
  const config = JSON.parse(await c.inspect(id, "{{json .Config}}")) as Record<string, unknown>;
  expect(config).toMatchObject({
    Hostname: "named",
    User: "7:8",
    WorkingDir: "/there",
    Tty: true,
    OpenStdin: true,
    Cmd: ["a", "b"],
    Image: BOX,
    Entrypoint: null,
  });
  expect(config["Env"]).toContain("A=1");
});

e2e("inspect has what comes from the image", async (c) => {
  const id = await c.ok("create", FULL);
  expect(JSON.parse(await c.inspect(id, "{{json .Config}}"))).toMatchObject({
    User: "app",
    WorkingDir: "/work",
    Entrypoint: ["echo", "entry"],
    Cmd: ["default"],
    StopSignal: "SIGUSR1",
    ExposedPorts: { "80/tcp": {} },
  });
});

e2e("inspect names the image by its id", async (c) => {
  const id = await c.ok("create", BOX, "true");
  expect(await c.inspect(id, "{{.Image}}")).toBe(await c.ok("image", "inspect", "--format", "{{.Id}}", BOX));
});

e2e("inspect has the host's part", async (c) => {
  const flags = ["--restart", "on-failure:4", "--read-only", "--cap-add", "SYS_TIME", "--network", "none"];
  const id = await c.ok("create", ...flags, BOX, "true");
  expect(JSON.parse(await c.inspect(id, "{{json .HostConfig}}"))).toMatchObject({
    RestartPolicy: { Name: "on-failure", MaximumRetryCount: 4 },
    ReadonlyRootfs: true,
    NetworkMode: "none",
    AutoRemove: false,
    Privileged: false,
  });
});

e2e("inspect --format has the functions of Go's templates", async (c) => {
  const id = await c.ok("create", "-e", "A=1", BOX, "a", "b");
  expect(await c.inspect(id, "{{range .Args}}<{{.}}>{{end}}{{len .Args}}")).toBe("<b>1");
  expect(await c.inspect(id, '{{if eq .Path "a"}}yes{{else}}no{{end}} {{join .Args ","}} {{upper .Path}}')).toBe(
    "yes b A",
  );
});

e2e("inspect --format with an unknown field is an error", async (c) => {
  const id = await c.ok("create", BOX, "true");
  await c.fails(1, "inspect", "--format", "{{.NoSuchField}}", id);
});

e2e("inspect --format finds fields that are empty, and not in the JSON", async (c) => {
  const id = await c.ok("create", "-v", `${c.directory}:/d`, BOX, "true");
  const format =
    "{{with .State.Health}}{{.Status}}{{end}}<{{range .Mounts}}{{.Name}}{{.Driver}}{{end}}>{{.Config.StopTimeout}}";
  expect(await c.ok("inspect", "--format", format, id)).toMatch(/^<>/);
});

e2e("inspect of what is not there prints an empty array, and exits with 1", async (c) => {
  const { status, stdout, stderr } = await c.call(["inspect", "no-such"]);
  expect([status, stdout]).toEqual([1, "[]\n"]);
  expect(stderr.toLowerCase()).toContain("no such object: no-such");
});

e2e("inspect goes on after what is not there", async (c) => {
  const id = await c.ok("create", BOX, "true");
  const { status, stdout } = await c.call(["inspect", "-f", "{{.Id}}", "no-such", id]);
  expect([status, stdout]).toEqual([1, `${id}\n`]);
});

e2e("container inspect finds no images, inspect --type image no containers", async (c) => {
  const id = await c.ok("create", BOX, "true");
  expect(await c.fails(1, "container", "inspect", BOX)).toContain(BOX);
  expect(await c.fails(1, "inspect", "--type", "image", id)).toContain(id);
});

e2e("inspect without a name is a usage error", async (c) => {
  expect((await c.call(["inspect"])).status).not.toBe(0);
});

e2e("inspect -s has sizes", async (c) => {
  const name = c.name();
  await c.ok("run", "--name", name, BOX, "sh", "-c", "head -c 5000 /dev/zero >/file");
  expect(await c.ok("inspect", "-s", "-f", "{{.SizeRw}}", name)).toBe("5000");
});
