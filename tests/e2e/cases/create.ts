/** `create`, names and identities. @module */
import { expect } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { e2e } from "../case.ts";
import { BOX, FULL } from "../images.ts";

const ID = /^[0-9a-f]{64}$/;

e2e("create prints the whole id", async (c) => {
  expect(await c.ok("create", BOX, "true")).toMatch(ID);
});

e2e("container create is the same as create", async (c) => {
  expect(await c.ok("container", "create", BOX, "true")).toMatch(ID);
});

e2e("what is created does not run yet", async (c) => {
  const name = c.name();
  await c.ok("create", "--name", name, BOX, "true");
  expect(await c.inspect(name, "{{.State.Status}} {{.State.Running}} {{.State.Pid}} {{.State.ExitCode}}")).toBe(
    "created false 0 0",
  );
});

e2e("what is created has not started at any time", async (c) => {
  const id = await c.ok("create", BOX, "true");
  expect(await c.inspect(id, "{{.State.StartedAt}}")).toStartWith("0001-01-01");
});

e2e("a name is made up where none is given: an adjective and a surname", async (c) => {
  const id = await c.ok("create", BOX, "true");
  expect(await c.inspect(id, "{{.Name}}")).toMatch(/^\/?[a-z]+_[a-z]+\d?$/);
});

e2e("a name in use is refused, with the id of who has it", async (c) => {
  const name = c.name();
  const id = await c.ok("create", "--name", name, BOX, "true");
  expect(await c.fails(1, "create", "--name", name, BOX, "true")).toContain(
    `Conflict. The container name "/${name}" is already in use by container "${id}". You have to remove (or rename) that container to be able to reuse that name.`,
  );
});

e2e("create with a name in use exits with 1", async (c) => {
  const name = c.name();
  await c.ok("create", "--name", name, BOX, "true");
  await c.fails(1, "create", "--name", name, BOX, "true");
});

e2e("run with a name in use exits with 125", async (c) => {
  const name = c.name();
  await c.ok("create", "--name", name, BOX, "true");
  expect(await c.fails(125, "run", "--name", name, BOX, "true")).toContain("is already in use");
});

e2e("a name is free again when its container is removed", async (c) => {
  const name = c.name();
  const first = await c.ok("create", "--name", name, BOX, "true");
  await c.ok("rm", name);
  expect(await c.ok("create", "--name", name, BOX, "true")).not.toBe(first);
});

e2e("a name with other characters is refused", async (c) => {
  for (const name of ["a b", "-a", "a/b", "é"])
    expect((await c.call(["create", `--name=${name}`, BOX, "true"])).status).not.toBe(0);
  expect(await c.fails(1, "create", "--name", "a b", BOX, "true")).toContain(
    "only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
  );
});

e2e("an image that is not here, and not to be pulled, is an error", async (c) => {
  expect(await c.fails(1, "create", "--pull", "never", "e2e.test/none:1")).toContain("No such image: e2e.test/none:1");
});

e2e("run of an image that is not here exits with 125", async (c) => {
  await c.fails(125, "run", "--pull", "never", "e2e.test/none:1", "true");
});

e2e("without a command, the image's is taken", async (c) => {
  const id = await c.ok("create", FULL);
  expect(await c.inspect(id, "{{.Path}} {{json .Args}}")).toBe('echo ["entry","default"]');
});

e2e("create has labels, also out of files, which the image's are added to", async (c) => {
  const file = c.file("# a comment\none=1\n");
  const id = await c.ok("create", "--label", "both=mine", "-l", "empty", "--label-file", file, FULL);
  expect(JSON.parse(await c.inspect(id, "{{json .Config.Labels}}"))).toEqual({
    from: "image",
    both: "mine",
    empty: "",
    one: "1",
  });
});

e2e("--cidfile gets the id", async (c) => {
  const id = await c.ok("create", "--cidfile", "cid", BOX, "true");
  expect(readFileSync(join(c.directory, "cid"), "utf8")).toBe(id);
});

e2e("a --cidfile that is there is refused", async (c) => {
  c.file("", "cid");
  const said = await c.fails(125, "run", "--cidfile", "cid", BOX, "true");
  expect(said.toLowerCase()).toMatch(/container id file (found|exists)/);
});

e2e("a container is named by a beginning of its id that is its alone", async (c) => {
  const id = await c.ok("create", BOX, "true");
  for (const length of [12, 6, 32]) expect(await c.inspect(id.slice(0, length), "{{.Id}}")).toBe(id);
});

e2e("a name goes before a beginning of an id", async (c) => {
  const first = await c.ok("create", BOX, "true");
  const second = await c.ok("create", "--name", first.slice(0, 8), BOX, "true");
  expect(await c.inspect(first.slice(0, 8), "{{.Id}}")).toBe(second);
});

e2e("a beginning of nothing is no container", async (c) => {
  expect(await c.fails(1, "start", "ffffffffffff")).toContain("ffffffffffff");
});

e2e("a container's default command is shown as its image has it", async (c) => {
  const id = await c.ok("create", BOX);
  expect(await c.inspect(id, "{{.Path}} {{len .Args}}")).toBe("sh 0");
});

e2e("create without an image is a usage error", async (c) => {
  expect((await c.call(["create"])).status).not.toBe(0);
});

e2e("an unknown flag exits with 125 and names the flag", async (c) => {
  expect(await c.fails(125, "run", "--no-such-flag", BOX)).toContain("no-such-flag");
});
