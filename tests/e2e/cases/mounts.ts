/** `-v`, `--mount` and `--tmpfs`: what is mounted, and how. @module */
import { expect } from "bun:test";
import { chmodSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { e2e } from "../case.ts";
import { BOX } from "../images.ts";

e2e("-v binds a directory of the host's", async (c) => {
  c.file("outside\n", "shared/file");
  chmodSync(join(c.directory, "shared"), 0o777);
  const flags = ["-v", `${c.directory}/shared:/in`];
  expect(await c.sh(flags, "cat /in/file; echo inside >/in/made")).toBe("outside");
  expect(readFileSync(join(c.directory, "shared/made"), "utf8")).toBe("inside\n");
});

e2e("-v binds a single file", async (c) => {
  const file = c.file("alone\n");
  expect(await c.ok("run", "--rm", "-v", `${file}:/etc/motd:ro`, BOX, "cat", "/etc/motd")).toBe("alone");
});

e2e("-v makes a directory of the host's that is not there", async (c) => {
  const path = join(c.directory, "made/by/it");
  await c.ok("run", "--rm", "-v", `${path}:/in`, BOX, "true");
  expect(existsSync(path)).toBe(true);
});

e2e("-v :ro cannot be written to", async (c) => {
  c.file("x\n", "shared/file");
  expect(await c.sh(["-v", `${c.directory}/shared:/in:ro`], "cat /in/file; touch /in/f || echo refused")).toContain(
    "refused",
  );
});

e2e("-v of a relative path is one of the working directory", async (c) => {
  c.file("here\n", "shared/file");
  expect(await c.ok("run", "--rm", "-v", "./shared:/in", BOX, "cat", "/in/file")).toBe("here");
});

e2e("-v with a target that is not absolute is an error", async (c) => {
  await c.fails(125, "run", "--rm", "-v", `${c.directory}:relative`, BOX, "true");
});

e2e("-v with an option that does not exist is an error", async (c) => {
  await c.fails(125, "run", "--rm", "-v", `${c.directory}:/in:no-such`, BOX, "true");
});

e2e("-v with a name of other characters is an error", async (c) => {
  await c.fails(125, "run", "--rm", "-v", "a b:/in", BOX, "true");
});

e2e("-v twice at the same place is an error", async (c) => {
  mkdirSync(join(c.directory, "a"));
  const flags = ["-v", `${c.directory}/a:/in`, "-v", `${c.directory}:/in`];
  expect((await c.fails(125, "run", "--rm", ...flags, BOX, "true")).toLowerCase()).toContain("duplicate mount");
});

e2e("--mount type=bind, with readonly", async (c) => {
  c.file("x\n", "shared/file");
  const flag = `type=bind,source=${c.directory}/shared,target=/in,readonly`;
  expect(await c.sh(["--mount", flag], "cat /in/file; touch /in/f || echo refused")).toContain("refused");
});

e2e("--mount type=bind of what is not there is an error, and makes nothing", async (c) => {
  const path = join(c.directory, "none");
  const said = await c.fails(125, "run", "--rm", "--mount", `type=bind,src=${path},dst=/in`, BOX, "true");
  expect([said.includes(path), existsSync(path)]).toEqual([true, false]);
});

e2e("--mount type=volume is a volume by name", async (c) => {
  const flag = `type=volume,src=${c.name("v")},dst=/data`;
  expect(await c.ok("run", "--rm", "--mount", flag, BOX, "cat", "/data/from-image")).toBe("image");
  expect(await c.ok("volume", "ls", "-q")).toBe(c.name("v"));
});

e2e("--mount without a type is a volume", async (c) => {
  await c.ok("run", "--rm", "--mount", `source=${c.name("v")},target=/data`, BOX, "true");
  expect(await c.ok("volume", "ls", "-q")).toBe(c.name("v"));
});

e2e("--mount type=volume,volume-nocopy leaves it empty", async (c) => {
  const flag = `type=volume,src=${c.name("v")},dst=/data,volume-nocopy`;
  expect(await c.ok("run", "--rm", "--mount", flag, BOX, "ls", "/data")).toBe("");
});

e2e("--mount type=tmpfs has a size and a mode", async (c) => {
  const flag = "type=tmpfs,dst=/scratch,tmpfs-size=1048576,tmpfs-mode=1770";
  expect(await c.sh(["--mount", flag], "stat -c %a /scratch; df -k /scratch | tail -n 1")).toMatch(
    /^1770\n\w+\s+1024 /,
  );
});

e2e("--mount with an unknown type or key is an error", async (c) => {
  await c.fails(125, "run", "--rm", "--mount", "type=no-such,dst=/in", BOX, "true");
  await c.fails(125, "run", "--rm", "--mount", "type=tmpfs,dst=/in,no-such=1", BOX, "true");
});

e2e("--mount without a target is an error", async (c) => {
  await c.fails(125, "run", "--rm", "--mount", "type=tmpfs", BOX, "true");
});

e2e("a read-only container's volume can be written to", async (c) => {
  expect(await c.sh(["--read-only", "-v", `${c.name("v")}:/v`], "echo x >/v/f && cat /v/f")).toBe("x");
});

e2e("inspect tells mounts: type, source, destination, whether they can be written to", async (c) => {
  mkdirSync(join(c.directory, "shared"));
  const flags = ["-v", `${c.directory}/shared:/bound:ro`, "-v", `${c.name("v")}:/named`];
  const id = await c.ok("create", ...flags, BOX, "true");
  const mounts = JSON.parse(await c.inspect(id, "{{json .Mounts}}")) as { Destination: string }[];
  expect(mounts.toSorted((a, b) => a.Destination.localeCompare(b.Destination))).toMatchObject([
    { Type: "bind", Source: `${c.directory}/shared`, Destination: "/bound", RW: false },
    { Type: "volume", Name: c.name("v"), Destination: "/named", RW: true, Driver: "local" },
  ]);
});

e2e("mounts at places below each other", async (c) => {
  c.file("deep\n", "inner/file");
  const flags = ["-v", `${c.directory}/inner:/outer/inner`, "--tmpfs", "/outer"];
  expect(await c.sh(flags, "cat /outer/inner/file; touch /outer/f && echo written")).toBe("deep\nwritten");
});
