/** `ps`: columns, filters, formats. @module */
import { expect } from "bun:test";
import { e2e, UNTIL_TERM } from "../case.ts";
import { BOX, DATA, FULL } from "../images.ts";

const lines = (text: string): string[] => text.split("\n").filter((line) => line !== "");

e2e("ps has Docker's columns", async (c) => {
  expect((await c.ok("ps")).split(/\s{2,}/).map((word) => word.trim())).toEqual([
    "CONTAINER ID",
    "IMAGE",
    "COMMAND",
    "CREATED",
    "STATUS",
    "PORTS",
    "NAMES",
  ]);
});

e2e("ps shows a line for each that runs: its id, image, command, age, status and name", async (c) => {
  const id = await c.ok("run", "-d", "--name", c.name(), BOX, "sleep", "1000");
  await c.ok("create", BOX, "true");
  const [, row = "", ...more] = lines(await c.ok("ps"));
  expect(row).toMatch(
    new RegExp(
      `^${id.slice(0, 12)} +${BOX} +"sleep 1000" +(Less than a second|\\d seconds?) ago +Up (Less than a second|\\d seconds?) +${c.name()}$`,
    ),
  );
  expect(more).toEqual([]);
});

e2e("ps -a shows those that do not run as well, the newest first", async (c) => {
  const first = await c.ok("create", BOX, "true");
  const second = await c.ok("run", "-d", BOX, "sleep", "1000");
  const third = await c.ok("create", BOX, "true");
  expect(lines(await c.ok("ps", "-a", "--no-trunc", "-q"))).toEqual([third, second, first]);
});

e2e("ps -q prints short ids and nothing else", async (c) => {
  const id = await c.ok("run", "-d", BOX, "sleep", "1000");
  expect(await c.ok("ps", "-q")).toBe(id.slice(0, 12));
});

e2e("ps -l shows the newest, whatever it does", async (c) => {
  await c.ok("run", "-d", BOX, "sleep", "1000");
  const newest = await c.ok("create", BOX, "true");
  expect(await c.ok("ps", "-l", "-q", "--no-trunc")).toBe(newest);
});

e2e("ps -n shows so many of the newest", async (c) => {
  const ids = [];
  for (let turn = 0; turn < 3; turn++) ids.unshift(await c.ok("create", BOX, "true"));
  expect(lines(await c.ok("ps", "-n", "2", "-q", "--no-trunc"))).toEqual(ids.slice(0, 2));
});

e2e("ps cuts commands after 20 characters, --no-trunc does not", async (c) => {
  await c.ok("create", BOX, "echo", "0123456789", "0123456789");
  expect(await c.ok("ps", "-a", "--format", "{{.Command}}")).toBe('"echo 0123456789 012…"');
  expect(await c.ok("ps", "-a", "--no-trunc", "--format", "{{.Command}}")).toBe('"echo 0123456789 0123456789"');
});

e2e("ps -s has a column of sizes", async (c) => {
  await c.ok("run", BOX, "sh", "-c", "head -c 5000 /dev/zero >/file");
  const [head = "", row = ""] = lines(await c.ok("ps", "-a", "-s"));
  expect(head).toMatch(/SIZE$/);
  expect(row).toMatch(/ 5(\.\d+)?kB \(virtual \d+(\.\d+)?MB\)$/);
});

e2e("ps tells how long ago something has exited, and with what", async (c) => {
  await c.call(["run", BOX, "sh", "-c", "exit 3"]);
  expect(await c.ok("ps", "-a", "--format", "{{.Status}}")).toMatch(
    /^Exited \(3\) (Less than a second|\d+ seconds?) ago$/,
  );
});

e2e("ps calls Created what has never run", async (c) => {
  await c.ok("create", BOX, "true");
  expect(await c.ok("ps", "-a", "--format", "{{.Status}} {{.State}}")).toBe("Created created");
});

e2e(
  "ps says which are paused",
  async (c) => {
    await c.ok("pause", await c.up());
    expect(await c.ok("ps", "--format", "{{.Status}}")).toMatch(/^Up .* \(Paused\)$/);
  },
  "freezer",
);

e2e("ps --format has names of fields", async (c) => {
  const id = await c.ok("run", "-d", "--name", c.name(), "--label", "a=b", BOX, "sleep", "1000");
  const format = '{{.ID}}|{{.Image}}|{{.Names}}|{{.State}}|{{.Label "a"}}|{{.Labels}}|{{.Ports}}';
  expect(await c.ok("ps", "--format", format)).toBe(`${id.slice(0, 12)}|${BOX}|${c.name()}|running|b|a=b|`);
});

e2e("ps --format table has a head", async (c) => {
  await c.up();
  const [head = "", row = ""] = lines(await c.ok("ps", "--format", "table {{.Names}}\t{{.Image}}"));
  expect(head).toMatch(/^NAMES +IMAGE$/);
  expect(row).toMatch(new RegExp(`^${c.name()} +${BOX}$`));
});

e2e("ps --format json has an object a line", async (c) => {
  await c.up();
  expect(JSON.parse(await c.ok("ps", "--format", "json"))).toMatchObject({
    Names: c.name(),
    Image: BOX,
    State: "running",
  });
});

e2e("ps --format with an unknown field is an error", async (c) => {
  await c.up();
  await c.fails(1, "ps", "--format", "{{.NoSuchField}}");
});

e2e("ps --filter name finds parts of names, and patterns", async (c) => {
  for (const which of ["alpha", "alphabet", "beta"]) await c.ok("create", "--name", c.name(which), BOX, "true");
  const found = async (pattern: string) =>
    lines(await c.ok("ps", "-a", "--filter", `name=${pattern}`, "--format", "{{.Names}}")).toSorted();
  expect(await found("alpha")).toEqual([c.name("alpha"), c.name("alphabet")]);
  expect(await found(`^${c.name("alpha")}$`)).toEqual([c.name("alpha")]);
  expect(await found("no-such")).toEqual([]);
});

e2e("ps --filter id finds a beginning of an id", async (c) => {
  const [first] = [await c.ok("create", BOX, "true"), await c.ok("create", BOX, "true")];
  expect(await c.ok("ps", "-aq", "--no-trunc", "--filter", `id=${first.slice(0, 10)}`)).toBe(first);
});

e2e("ps --filter label takes a key, or a key and a value", async (c) => {
  const first = await c.ok("create", "--label", "a=1", BOX, "true");
  const second = await c.ok("create", "--label", "a=2", BOX, "true");
  await c.ok("create", BOX, "true");
  const found = async (label: string) => lines(await c.ok("ps", "-aq", "--no-trunc", "--filter", `label=${label}`));
  expect([await found("a"), await found("a=1"), await found("a=3")]).toEqual([[second, first], [first], []]);
});

e2e("ps --filter status: several mean any of them", async (c) => {
  const running = await c.ok("run", "-d", BOX, "sleep", "1000");
  const created = await c.ok("create", BOX, "true");
  await c.ok("run", BOX, "true");
  const found = async (...states: string[]) =>
    lines(await c.ok("ps", "-aq", "--no-trunc", ...states.flatMap((state) => ["--filter", `status=${state}`])));
  expect([await found("created"), await found("running", "created")]).toEqual([[created], [created, running]]);
});

e2e("ps --filter status shows those that do not run without -a", async (c) => {
  const created = await c.ok("create", BOX, "true");
  expect(await c.ok("ps", "-q", "--no-trunc", "--filter", "status=created")).toBe(created);
});

e2e("ps --filter exited takes an exit code", async (c) => {
  const name = c.name();
  await c.call(["run", "--name", name, BOX, "sh", "-c", "exit 3"]);
  await c.ok("run", BOX, "true");
  expect(await c.ok("ps", "-a", "--filter", "exited=3", "--format", "{{.Names}}")).toBe(name);
});

e2e("ps --filter ancestor takes an image", async (c) => {
  await c.ok("create", BOX, "true");
  const full = await c.ok("create", FULL);
  expect(await c.ok("ps", "-aq", "--no-trunc", "--filter", `ancestor=${FULL}`)).toBe(full);
});

e2e("ps --filter before and since take a container", async (c) => {
  const ids = [];
  for (let turn = 0; turn < 3; turn++) ids.push(await c.ok("create", BOX, "true"));
  const [first = "", second = "", third = ""] = ids;
  expect(await c.ok("ps", "-aq", "--no-trunc", "--filter", `before=${second}`)).toBe(first);
  expect(await c.ok("ps", "-aq", "--no-trunc", "--filter", `since=${second}`)).toBe(third);
});

e2e("ps --filter volume takes a name, or where it is mounted", async (c) => {
  const volume = c.name("v");
  const id = await c.ok("create", "-v", `${volume}:/there`, BOX, "true");
  await c.ok("create", BOX, "true");
  for (const value of [volume, "/there"])
    expect(await c.ok("ps", "-aq", "--no-trunc", "--filter", `volume=${value}`)).toBe(id);
});

e2e("ps --filter of different kinds have to hold together", async (c) => {
  await c.ok("create", "--label", "a=1", BOX, "true");
  const both = await c.ok("run", "-d", "--label", "a=1", BOX, "sleep", "1000");
  expect(await c.ok("ps", "-aq", "--no-trunc", "--filter", "label=a=1", "--filter", "status=running")).toBe(both);
});

e2e("ps --filter that does not exist is an error", async (c) => {
  expect((await c.fails(1, "ps", "--filter", "no-such=x")).toLowerCase()).toMatch(/invalid filter/);
});

e2e("container ls and container ps are ps", async (c) => {
  const id = await c.ok("run", "-d", BOX, "sleep", "1000");
  for (const verb of ["ls", "ps", "list"]) expect(await c.ok("container", verb, "-q", "--no-trunc")).toBe(id);
});

e2e("ps --format shows mounts", async (c) => {
  const volume = c.name("v");
  await c.ok("create", "-v", `${volume}:/data`, DATA);
  expect(await c.ok("ps", "-a", "--no-trunc", "--format", "{{.Mounts}}")).toBe(volume);
});

e2e("ps does not show a container any more once it is stopped", async (c) => {
  const name = await c.up([], UNTIL_TERM);
  await c.ok("stop", name);
  expect(await c.ok("ps", "-q")).toBe("");
});
