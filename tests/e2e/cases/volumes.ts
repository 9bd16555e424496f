/** `volume`, and what a container's volumes come to. @module */
import { expect } from "bun:test";
import { e2e, type Context } from "../case.ts";
import { BOX, DATA } from "../images.ts";

const volumes = async (c: Context, ...flags: string[]): Promise<string[]> =>
  (await c.ok("volume", "ls", "-q", ...flags)).split("\n").filter((name) => name !== "");

e2e("volume create prints its name", async (c) => {
  expect(await c.ok("volume", "create", c.name("v"))).toBe(c.name("v"));
});

e2e("volume create makes a name up", async (c) => {
  expect(await c.ok("volume", "create")).toMatch(/^[0-9a-f]{64}$/);
});

e2e("volume create of one that is there is no error", async (c) => {
  await c.ok("volume", "create", c.name("v"));
  expect(await c.ok("volume", "create", c.name("v"))).toBe(c.name("v"));
  expect(await volumes(c)).toEqual([c.name("v")]);
});

e2e("volume create with a name of other characters is refused", async (c) => {
  expect(await c.fails(1, "volume", "create", "a b")).toContain("a b");
});

e2e("volume create with an unknown driver is an error", async (c) => {
  await c.fails(1, "volume", "create", "--driver", "no-such", c.name("v"));
  expect(await volumes(c)).toEqual([]);
});

e2e("volume ls has drivers and names", async (c) => {
  await c.ok("volume", "create", c.name("v"));
  const [head = "", row = ""] = (await c.ok("volume", "ls")).split("\n");
  expect([head.split(/\s{2,}/), row.split(/\s+/)]).toEqual([
    ["DRIVER", "VOLUME NAME"],
    ["local", c.name("v")],
  ]);
});

e2e("volume ls --format and --filter", async (c) => {
  await c.ok("volume", "create", "--label", "a=1", c.name("one"));
  await c.ok("volume", "create", c.name("two"));
  expect(await c.ok("volume", "ls", "--filter", "label=a=1", "--format", '{{.Name}} {{.Driver}} {{.Label "a"}}')).toBe(
    `${c.name("one")} local 1`,
  );
  expect(await volumes(c, "--filter", "name=two")).toEqual([c.name("two")]);
});

e2e("volume ls --filter dangling tells used ones from others", async (c) => {
  await c.ok("volume", "create", c.name("free"));
  await c.ok("create", "-v", `${c.name("used")}:/data`, BOX, "true");
  expect(await volumes(c, "--filter", "dangling=true")).toEqual([c.name("free")]);
  expect(await volumes(c, "--filter", "dangling=false")).toEqual([c.name("used")]);
});

e2e("volume inspect tells all of it", async (c) => {
  const name = c.name("v");
  await c.ok("volume", "create", "--label", "a=1", name);
  const [shown] = JSON.parse(await c.ok("volume", "inspect", name)) as Record<string, string>[];
  expect(shown).toMatchObject({ Name: name, Driver: "local", Labels: { a: "1" }, Scope: "local" });
  expect(Date.parse(shown?.["CreatedAt"] ?? "")).toBeGreaterThan(Date.now() - 3_600_000);
  expect(shown?.["Mountpoint"]).toStartWith("/");
});

e2e("volume inspect --format", async (c) => {
  await c.ok("volume", "create", c.name("v"));
  expect(await c.ok("volume", "inspect", "--format", "{{.Name}}", c.name("v"))).toBe(c.name("v"));
});

e2e("volume inspect of one that is not there is an error", async (c) => {
  expect((await c.fails(1, "volume", "inspect", "no-such")).toLowerCase()).toContain("no such volume");
});

e2e("volume rm prints what it was given", async (c) => {
  await c.ok("volume", "create", c.name("v"));
  expect(await c.ok("volume", "rm", c.name("v"))).toBe(c.name("v"));
  expect(await volumes(c)).toEqual([]);
});

e2e("volume rm of one that is not there is an error, but with -f", async (c) => {
  expect((await c.fails(1, "volume", "rm", "no-such")).toLowerCase()).toContain("no such volume");
  await c.ok("volume", "rm", "-f", "no-such");
});

e2e("volume rm of one that a container has is refused", async (c) => {
  const name = c.name("v");
  const id = await c.ok("create", "-v", `${name}:/data`, BOX, "true");
  const said = await c.fails(1, "volume", "rm", name);
  expect([said.includes("volume is in use") || said.includes("is being used"), said.includes(id)]).toEqual([
    true,
    true,
  ]);
  expect(await volumes(c)).toEqual([name]);
});

e2e("volume prune removes anonymous ones that nobody has, and --all the named ones as well", async (c) => {
  await c.ok("volume", "create", c.name("v"));
  const anonymous = await c.ok("volume", "create");
  expect(await c.ok("volume", "prune", "--force")).toContain(anonymous);
  expect(await volumes(c)).toEqual([c.name("v")]);
  await c.ok("volume", "prune", "--force", "--all");
  expect(await volumes(c)).toEqual([]);
});

e2e("volume prune says what it has removed", async (c) => {
  const name = await c.ok("volume", "create");
  expect(await c.ok("volume", "prune", "-f")).toBe(`Deleted Volumes:\n${name}\n\nTotal reclaimed space: 0B`);
});

e2e("a volume that is named is made when it is needed, and stays", async (c) => {
  const name = c.name("v");
  await c.ok("run", "--rm", "-v", `${name}:/there`, BOX, "sh", "-c", "echo kept >/there/file");
  expect(await volumes(c)).toEqual([name]);
  expect(await c.ok("run", "--rm", "-v", `${name}:/else`, BOX, "cat", "/else/file")).toBe("kept");
});

e2e("a volume is shared by containers that run", async (c) => {
  const name = c.name("v");
  const other = await c.up(["-v", `${name}:/there`]);
  await c.ok("run", "--rm", "-v", `${name}:/there`, BOX, "sh", "-c", "echo seen >/there/file");
  expect(await c.ok("exec", other, "cat", "/there/file")).toBe("seen");
});

e2e("a new volume is filled with what the image has there", async (c) => {
  const name = c.name("v");
  expect(await c.ok("run", "--rm", "-v", `${name}:/data`, BOX, "cat", "/data/from-image")).toBe("image");
  expect(await c.ok("run", "--rm", "-v", `${name}:/else`, BOX, "cat", "/else/from-image")).toBe("image");
});

e2e("a volume with something in it is not filled", async (c) => {
  const name = c.name("v");
  await c.ok("run", "--rm", "-v", `${name}:/empty`, BOX, "sh", "-c", "echo mine >/empty/file");
  expect(await c.ok("run", "--rm", "-v", `${name}:/data`, BOX, "ls", "/data")).toBe("file");
});

e2e("nocopy leaves a new volume empty", async (c) => {
  expect(await c.ok("run", "--rm", "-v", `${c.name("v")}:/data:nocopy`, BOX, "ls", "/data")).toBe("");
});

e2e("the image's volumes are anonymous ones, filled from it", async (c) => {
  const name = await c.up([], [], DATA);
  const [mount] = JSON.parse(await c.inspect(name, "{{json .Mounts}}")) as Record<string, string>[];
  expect(mount).toMatchObject({ Type: "volume", Destination: "/data" });
  expect(mount?.["Name"]).toMatch(/^[0-9a-f]{64}$/);
  expect(await c.ok("exec", name, "cat", "/data/from-image")).toBe("image");
});

e2e("anonymous volumes go with run --rm, named ones do not", async (c) => {
  await c.ok("run", "--rm", "-v", "/anonymous", "-v", `${c.name("v")}:/named`, BOX, "true");
  expect(await volumes(c)).toEqual([c.name("v")]);
});

e2e("rm keeps anonymous volumes, rm -v removes them", async (c) => {
  for (const which of ["a", "b"]) await c.ok("create", "--name", c.name(which), "-v", "/anonymous", BOX, "true");
  await c.ok("rm", c.name("a"));
  expect((await volumes(c)).length).toBe(2);
  await c.ok("rm", "-v", c.name("b"));
  expect((await volumes(c)).length).toBe(1);
});

e2e("an anonymous volume keeps what is in it when its container is started again", async (c) => {
  const name = c.name();
  await c.ok("run", "--name", name, "-v", "/anonymous", BOX, "sh", "-c", "echo x >>/anonymous/f; wc -l </anonymous/f");
  expect(await c.ok("start", "-a", name)).toBe("2");
});

e2e("--volumes-from has what another container has", async (c) => {
  const other = await c.up(["-v", `${c.name("v")}:/named`, "-v", "/anonymous"]);
  await c.ok("exec", other, "sh", "-c", "echo one >/named/f; echo two >/anonymous/f");
  expect(await c.ok("run", "--rm", "--volumes-from", other, BOX, "cat", "/named/f", "/anonymous/f")).toBe("one\ntwo");
  expect(await c.ok("exec", other, "cat", "/anonymous/f")).toBe("two");
});

e2e("--volumes-from NAME:ro cannot be written to", async (c) => {
  const other = await c.up(["-v", `${c.name("v")}:/named`]);
  expect(await c.sh(["--volumes-from", `${other}:ro`], "echo x >/named/f || echo refused")).toContain("refused\n");
});

e2e("--volumes-from a container that is not there is an error", async (c) => {
  expect((await c.fails(125, "run", "--volumes-from", "no-such", BOX, "true")).toLowerCase()).toContain(
    "no such container",
  );
});

e2e(
  "volume create has options of the driver",
  async (c) => {
    const name = c.name("v");
    await c.ok("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m", name);
    expect(JSON.parse(await c.ok("volume", "inspect", "--format", "{{json .Options}}", name))).toEqual({
      type: "tmpfs",
      device: "tmpfs",
      o: "size=1m",
    });
    expect(await c.ok("run", "--rm", "-v", `${name}:/v`, BOX, "df", "-k", "/v")).toMatch(/\s1024 /);
  },
  "root",
);

e2e("a volume can be a directory of the host's by its options", async (c) => {
  const name = c.name("v");
  c.file("bound\n", "directory/file");
  const device = `device=${c.directory}/directory`;
  await c.ok("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", device, name);
  expect(await c.ok("run", "--rm", "-v", `${name}:/v`, BOX, "cat", "/v/file")).toBe("bound");
});
