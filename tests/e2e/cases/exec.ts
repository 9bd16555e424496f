/** `exec`. @module */
import { expect } from "bun:test";
import { e2e, NO_SUCH } from "../case.ts";
import { BOX, FULL } from "../images.ts";

e2e("exec prints what its command prints, and exits as it", async (c) => {
  const name = await c.up();
  expect(await c.call(["exec", name, "sh", "-c", "echo out; echo err >&2; exit 5"])).toEqual({
    status: 5,
    stdout: "out\n",
    stderr: "err\n",
  });
});

e2e("exec is in the container: its processes, files and name", async (c) => {
  const name = await c.up(["-h", "named"], ["sh", "-c", "echo x >/made; exec sleep 4323"]);
  await c.until("the file is there", async () => (await c.call(["exec", name, "cat", "/made"])).stdout === "x\n");
  expect(await c.ok("exec", name, "sh", "-c", "hostname; ps | grep -c '[s]leep 4323'")).toBe("named\n1");
});

e2e("exec has the container's environment, user and directory", async (c) => {
  const name = await c.up(["-e", "C=3", "--entrypoint", "sleep"], ["1000"], FULL);
  expect(await c.ok("exec", name, "sh", "-c", 'echo "$A $C"; id -u; pwd')).toBe("image 3\n1000\n/work");
});

e2e("exec -e, --env-file and -w", async (c) => {
  const name = await c.up(["-e", "A=1"]);
  const file = c.file("B=2\nC=file\n");
  const flags = ["-e", "C=3", "--env-file", file, "-w", "/tmp"];
  expect(await c.ok("exec", ...flags, name, "sh", "-c", 'echo "$A $B $C"; pwd')).toBe("1 2 3\n/tmp");
});

e2e("exec -w of a directory that is not there is an error, and makes none", async (c) => {
  const name = await c.up();
  expect((await c.call(["exec", "-w", "/no/such", name, "pwd"])).status).not.toBe(0);
  expect((await c.call(["exec", name, "test", "-e", "/no"])).status).toBe(1);
});

e2e(
  "exec -u",
  async (c) => {
    const name = await c.up();
    expect(await c.ok("exec", "-u", "1000:7", name, "sh", "-c", "id -u; id -g")).toBe("1000\n7");
  },
  "root",
);

e2e("exec -i gives it stdin", async (c) => {
  const name = await c.up();
  expect((await c.call(["exec", "-i", name, "sh", "-c", "cat; echo end"], "some\ntext\n")).stdout).toBe(
    "some\ntext\nend\n",
  );
});

e2e("exec without -i has an empty stdin", async (c) => {
  const name = await c.up();
  expect(await c.call(["exec", name, "cat"], "unread\n")).toMatchObject({ status: 0, stdout: "" });
});

e2e("exec -d does not wait", async (c) => {
  const name = await c.up();
  expect(await c.ok("exec", "-d", name, "sh", "-c", "sleep 0.2; echo done >/done; sleep 1000")).toBe("");
  await c.until("it has run", async () => (await c.call(["exec", name, "cat", "/done"])).stdout === "done\n");
});

e2e("exec -it has a terminal with its size", async (c) => {
  const name = await c.up();
  const running = c.background(["exec", "-it", name, "sh"], { cols: 93, rows: 19 });
  await running.shows("#");
  running.type("stty size; tty; exit 6\r");
  expect(await running.exited()).toBe(6);
  expect(running.shown()).toContain("19 93");
});

e2e("exec -it: ctrl-c goes to the command", async (c) => {
  const name = await c.up();
  const running = c.background(
    ["exec", "-it", name, "sh", "-c", 'trap "exit 9" INT; echo ready; while :; do sleep 0.05; done'],
    { cols: 80, rows: 24 },
  );
  await running.shows("ready");
  running.type("\x03");
  expect(await running.exited()).toBe(9);
});

e2e("exec of a command that is not there exits with 127", async (c) => {
  const name = await c.up();
  const { status, stdout, stderr } = await c.call(["exec", name, "no-such-command"]);
  expect([status, (stdout + stderr).includes("no-such-command")]).toEqual([127, true]);
});

e2e("exec of a file that cannot be executed exits with 126", async (c) => {
  const name = await c.up();
  expect((await c.call(["exec", name, "/etc/not-executable"])).status).toBe(126);
});

e2e("exec that a signal kills exits with 128 and its number", async (c) => {
  const name = await c.up();
  expect((await c.call(["exec", name, "sh", "-c", "kill -9 $$"])).status).toBe(137);
});

e2e("exec in what does not run is an error", async (c) => {
  const name = c.name();
  const id = await c.ok("create", "--name", name, BOX, "true");
  expect(await c.fails(1, "exec", name, "true")).toMatch(new RegExp(`[Cc]ontainer ${id} is not running`));
});

e2e("exec in what has ended is an error", async (c) => {
  await c.ok("run", "--name", c.name(), BOX, "true");
  expect(await c.fails(1, "exec", c.name(), "true")).toContain("is not running");
});

e2e(
  "exec in what is paused is an error",
  async (c) => {
    const name = await c.up();
    await c.ok("pause", name);
    expect(await c.fails(1, "exec", name, "true")).toContain("paused");
  },
  "freezer",
);

e2e("exec in a container that is not there is an error", async (c) => {
  expect(await c.fails(1, "exec", "no-such", "true")).toMatch(NO_SUCH);
});

e2e("exec --privileged has all capabilities", async (c) => {
  const name = await c.up(["--cap-drop", "ALL"]);
  const bits = async (...flags: string[]) =>
    BigInt(`0x${(await c.ok("exec", ...flags, name, "grep", "CapEff", "/proc/self/status")).split("\t")[1]}`);
  expect(await bits()).toBe(0n);
  expect(await bits("--privileged")).toBeGreaterThan(0x1fff_ffffn);
});

e2e("exec goes on when the container's command has started others, and ends with it", async (c) => {
  const name = await c.up([], ["sleep", "1000"]);
  const running = c.background(["exec", name, "sleep", "1000"]);
  await c.until("it runs", async () => (await c.ok("exec", name, "ps")).match(/sleep 1000/g)?.length === 2);
  await c.ok("kill", name);
  expect(await running.exited()).toBe(137);
});

e2e("twenty execs at once", async (c) => {
  const name = await c.up();
  const all = Array.from({ length: 20 }, (_, at) => c.call(["exec", name, "sh", "-c", `echo ${at}; exit ${at}`]));
  const ended = await Promise.all(all);
  expect(ended.map(({ status, stdout }) => [status, stdout])).toEqual(ended.map((_, at) => [at, `${at}\n`]));
});

e2e("exec without a command is a usage error", async (c) => {
  const name = await c.up();
  expect((await c.call(["exec", name])).status).not.toBe(0);
});

e2e("container exec is exec", async (c) => {
  const name = await c.up();
  expect(await c.ok("container", "exec", name, "echo", "x")).toBe("x");
});
