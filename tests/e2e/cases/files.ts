/** `cp diff export commit`. @module */
import { expect } from "bun:test";
import { mkdirSync, readFileSync, readlinkSync, statSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { e2e, NO_SUCH } from "../case.ts";
import { BOX, FULL } from "../images.ts";

e2e("cp copies a file in", async (c) => {
  const name = await c.up();
  await c.ok("cp", c.file("from outside\n"), `${name}:/tmp/file`);
  expect(await c.ok("exec", name, "cat", "/tmp/file")).toBe("from outside");
});

e2e("cp copies a file into a directory, under its own name", async (c) => {
  const name = await c.up();
  await c.ok("cp", c.file("x\n", "named"), `${name}:/tmp`);
  expect(await c.ok("exec", name, "cat", "/tmp/named")).toBe("x");
});

e2e("cp copies a file out", async (c) => {
  const name = await c.up();
  await c.ok("cp", `${name}:/etc/motd`, "out");
  expect(readFileSync(join(c.directory, "out"), "utf8")).toBe("hello\n");
});

e2e("cp copies out of what does not run, and into it", async (c) => {
  const name = c.name();
  await c.ok("create", "--name", name, BOX, "cat", "/made");
  await c.ok("cp", `${name}:/etc/motd`, "out");
  await c.ok("cp", "out", `${name}:/made`);
  expect(await c.ok("start", "-a", name)).toBe("hello");
});

e2e("cp copies a directory, into one that is there and as one that is not", async (c) => {
  const name = await c.up();
  c.file("deep\n", "tree/a/b");
  await c.ok("cp", "tree", `${name}:/tmp`);
  await c.ok("cp", "tree", `${name}:/tmp/new`);
  expect(await c.ok("exec", name, "cat", "/tmp/tree/a/b", "/tmp/new/a/b")).toBe("deep\ndeep");
});

e2e("cp of DIRECTORY/. copies what is in it", async (c) => {
  const name = await c.up();
  c.file("deep\n", "tree/a/b");
  await c.ok("cp", "tree/.", `${name}:/tmp`);
  expect(await c.ok("exec", name, "cat", "/tmp/a/b")).toBe("deep");
});

e2e("cp copies a directory out", async (c) => {
  const name = await c.up([], ["sh", "-c", "mkdir -p /tree/a; echo deep >/tree/a/b; chmod 640 /tree/a/b; sleep 1000"]);
  await c.until(
    "it is there",
    async () => (await c.call(["exec", name, "stat", "-c", "%a", "/tree/a/b"])).stdout === "640\n",
  );
  await c.ok("cp", `${name}:/tree`, "out");
  expect(readFileSync(join(c.directory, "out/a/b"), "utf8")).toBe("deep\n");
  expect(statSync(join(c.directory, "out/a/b")).mode & 0o777).toBe(0o640);
});

e2e("cp - is an archive on stdout", async (c) => {
  const name = await c.up();
  const { stdout } = await c.call(["cp", `${name}:/etc/motd`, "-"]);
  expect(stdout).toStartWith("motd\0");
  expect(stdout).toContain("hello\n");
});

e2e("cp - is an archive from stdin", async (c) => {
  const name = await c.up();
  c.file("packed\n", "in-archive");
  const tar = Bun.spawnSync(["tar", "-cf", "-", "in-archive"], { cwd: c.directory }).stdout.toString("latin1");
  expect((await c.call(["cp", "-", `${name}:/tmp`], tar)).status).toBe(0);
  expect(await c.ok("exec", name, "cat", "/tmp/in-archive")).toBe("packed");
});

e2e("cp keeps a symlink one, and -L follows it", async (c) => {
  const name = await c.up([], ["sh", "-c", "ln -s /etc/motd /link; sleep 1000"]);
  await c.until("it is there", async () => (await c.call(["exec", name, "readlink", "/link"])).status === 0);
  await c.ok("cp", `${name}:/link`, "link");
  await c.ok("cp", "-L", `${name}:/link`, "followed");
  expect([readlinkSync(join(c.directory, "link")), readFileSync(join(c.directory, "followed"), "utf8")]).toEqual([
    "/etc/motd",
    "hello\n",
  ]);
});

e2e("cp does not leave the container by its symlinks", async (c) => {
  const outside = c.file("outside\n", "secret");
  const name = await c.up([], ["sh", "-c", `mkdir -p $(dirname ${outside}); ln -s ${outside} /link; sleep 1000`]);
  await c.until("it is there", async () => (await c.call(["exec", name, "readlink", "/link"])).status === 0);
  expect((await c.call(["cp", "-L", `${name}:/link`, "taken"])).status).not.toBe(0);
  await c.call(["cp", c.file("overwritten\n"), `${name}:/link`]);
  expect(readFileSync(outside, "utf8")).toBe("outside\n");
});

e2e("cp of what is not there is an error", async (c) => {
  const name = await c.up();
  expect(await c.fails(1, "cp", `${name}:/no/such`, "out")).toContain("/no/such");
  expect(await c.fails(1, "cp", "no-such", `${name}:/tmp`)).toContain("no-such");
  expect(await c.fails(1, "cp", "no-such:/etc/motd", "out")).toMatch(NO_SUCH);
});

e2e("cp into a directory that is not there is an error", async (c) => {
  const name = await c.up();
  await c.fails(1, "cp", c.file("x"), `${name}:/no/such/file`);
});

e2e("cp of a directory onto a file is an error", async (c) => {
  const name = await c.up();
  mkdirSync(join(c.directory, "directory"));
  await c.fails(1, "cp", "directory", `${name}:/etc/motd`);
});

e2e("cp between two containers is refused", async (c) => {
  const name = await c.up();
  await c.fails(1, "cp", `${name}:/etc/motd`, `${name}:/tmp/other`);
});

e2e(
  "cp gives root what it copies in, -a keeps the owner",
  async (c) => {
    const name = await c.up();
    const file = c.file("x\n");
    Bun.spawnSync(["chown", "1234:1234", file]);
    await c.ok("cp", "-a", file, `${name}:/tmp/kept`);
    expect(await c.ok("exec", name, "stat", "-c", "%u:%g", "/tmp/kept")).toBe("1234:1234");
  },
  "root",
);

e2e("cp of a symlink copies it in as one", async (c) => {
  const name = await c.up();
  symlinkSync("/etc/motd", join(c.directory, "link"));
  await c.ok("cp", "link", `${name}:/tmp/link`);
  expect(await c.ok("exec", name, "readlink", "/tmp/link")).toBe("/etc/motd");
});

e2e("diff tells what was added, changed and deleted", async (c) => {
  const name = c.name();
  await c.ok(
    "run",
    "--name",
    name,
    BOX,
    "sh",
    "-c",
    "echo x >/new; echo y >>/etc/motd; rm /etc/not-executable; mkdir /d",
  );
  expect((await c.ok("diff", name)).split("\n").toSorted()).toEqual([
    "A /d",
    "A /new",
    "C /etc",
    "C /etc/motd",
    "D /etc/not-executable",
  ]);
});

e2e("diff of what has changed nothing is empty", async (c) => {
  const name = c.name();
  await c.ok("run", "--name", name, BOX, "true");
  expect(await c.ok("diff", name)).toBe("");
});

e2e("diff of what runs", async (c) => {
  const name = await c.up();
  await c.ok("exec", name, "touch", "/new");
  expect(await c.ok("diff", name)).toBe("A /new");
});

e2e("export is an archive of all files", async (c) => {
  const name = c.name();
  await c.ok("run", "--name", name, BOX, "sh", "-c", "echo mine >/new; rm /etc/not-executable");
  await c.ok("export", "-o", "files.tar", name);
  const list = Bun.spawnSync(["tar", "-tf", "files.tar"], { cwd: c.directory }).stdout.toString();
  const names = list.split("\n").map((line) => line.replace(/^\.?\//, ""));
  expect(names).toEqual(expect.arrayContaining(["new", "etc/motd", "bin/busybox"]));
  expect(names).not.toContain("etc/not-executable");
  const content = Bun.spawnSync(["tar", "-xOf", "files.tar", names.includes("new") ? "new" : "./new"], {
    cwd: c.directory,
  });
  expect(content.stdout.toString()).toBe("mine\n");
});

e2e("export writes to stdout where no file is named", async (c) => {
  const name = c.name();
  await c.ok("run", "--name", name, BOX, "sh", "-c", "echo mine >/new");
  const { status, stdout } = await c.call(["export", name]);
  expect([status, stdout.includes("mine\n")]).toEqual([0, true]);
});

e2e("commit makes an image of a container, and prints its id", async (c) => {
  const name = c.name();
  await c.ok("run", "--name", name, BOX, "sh", "-c", "echo mine >/new");
  const image = `e2e.test/committed-${name}:1`;
  const id = await c.ok("commit", "-m", "a message", name, image);
  try {
    expect(id).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(await c.ok("run", "--rm", image, "cat", "/new")).toBe("mine");
  } finally {
    await c.call(["rmi", "-f", image]);
  }
});

e2e("commit keeps what the image says, and --change changes it", async (c) => {
  const name = c.name();
  await c.ok("run", "--name", name, "-e", "C=3", FULL);
  const image = `e2e.test/committed-${name}:1`;
  const changes = ["--change", 'CMD ["other"]', "--change", "LABEL more=1", "--change", "ENV B=changed"];
  await c.ok("commit", "-a", "somebody", ...changes, name, image);
  try {
    expect(await c.ok("run", "--rm", image)).toBe("entry other");
    const config = JSON.parse(await c.ok("image", "inspect", "--format", "{{json .Config}}", image)) as {
      Labels: object;
      Env: string[];
      User: string;
    };
    expect([config.Labels, config.User]).toEqual([{ from: "image", both: "image", more: "1" }, "app"]);
    expect(config.Env).toEqual(expect.arrayContaining(["A=image", "B=changed", "C=3"]));
  } finally {
    await c.call(["rmi", "-f", image]);
  }
});

e2e("an image that a container has cannot be removed", async (c) => {
  const name = c.name();
  await c.ok("create", "--name", name, BOX, "true");
  expect(await c.fails(1, "rmi", BOX)).toMatch(/is (using|being used)|image used|in use|must force|must be forced/);
  expect(await c.ok("image", "inspect", "--format", "{{len .RepoTags}}", BOX)).toBe("1");
});
