/** Every example of the course runs, and prints what it says it does. @module */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { noLimits, noSandbox, SLOW, testUnless } from "./support/machine.ts";

const folder = join(import.meta.dir, "../examples");
const deno = join(import.meta.dir, "../node_modules/.bin/deno");
const hasLimits = noLimits === undefined;

/** Lines of stdout; `*` stands for anything. */
const PRINTS: Record<string, string[]> = {
  "01-run.ts": [
    "hello from tsbox",
    "0",
    'exit code 3, reason "exit"',
    "secret",
    "HOME=/root",
    "HOSTNAME=tsbox",
    "LANG=C",
    "PATH=/usr/local/sbin:*",
    "PWD=/",
    'command_not_found: execute "no-such-command": ENOENT',
  ],
  "02-limits.ts": [
    '{"time":"200ms"}: timeout, exit code null, 0 bytes',
    '{"output":"1k"}: output, exit code null, 1024 bytes',
    ...(hasLimits
      ? [
          '{"memory":"16mb"}: oom, exit code null, 0 bytes',
          '{"pids":4}: pids, exit code *, 0 bytes',
          '{"memory":"64mb","cpus":0.5,"pids":16}: exit, exit code 0, 5 bytes',
        ]
      : ["limit memory: not possible here; *"]),
  ],
  "03-box.ts": ["HELLO STREAMS", "box", "2", "null SIGTERM signal"],
  "04-files.ts": [
    "written: 42",
    "/in is read-only",
    "/scratch is full: 1048576 bytes",
    "/usr is read-only",
    "there is no /etc/shadow",
    "outside: .keep answer",
  ],
  "06-deno.ts": ["Deno", "hello Deno exit", "1", "2", "3", "0"],
  "07-plan.ts": [
    "echo hello on box",
    "mount pid uts ipc user cgroup network",
    "67108864",
    '# set the hostname "box"',
    '  sethostname("box", 3)',
    '# execute "echo"',
  ],
};

for (const [name, lines] of Object.entries(PRINTS)) {
  const inDeno = name.includes("deno");
  const command = inDeno ? [deno, "run", "--quiet", "--no-lock", "--allow-all"] : [process.execPath];
  const needsNothing = name === "07-plan.ts";
  testUnless(
    needsNothing ? undefined : noSandbox,
    name,
    async () => {
      const env = { ...process.env, DENO_NO_UPDATE_CHECK: "1" };
      const child = Bun.spawn([...command, join(folder, name)], { env, stderr: "pipe" });
      const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
      expect({ exitCode: await child.exited, stderr }).toEqual({ exitCode: 0, stderr: "" });
      expect(stdout.trimEnd().split("\n")).toEqual(lines.map((line) => expect.stringMatching(pattern(line))));
    },
    (inDeno ? 60_000 : 20_000) * Math.min(SLOW, 6),
  );
}

const pattern = (line: string) => new RegExp(`^${line.split("*").map(RegExp.escape).join(".*")}$`);

testUnless(noSandbox, "05-server.ts", async () => {
  await using server = Bun.spawn([process.execPath, join(folder, "05-server.ts")], {
    env: { ...process.env, PORT: "0" },
  });
  const url = await listening(server.stdout);
  const send = async (language: string, body: string) => {
    const response = await fetch(url + language, { method: "POST", body });
    return { status: response.status, ...((await response.json()) as object) };
  };
  expect(await send("sh", "echo hello; exit 3")).toMatchObject({ status: 200, stdout: "hello\n", exitCode: 3 });
  const flood = await send("sh", "while echo line; do :; done");
  expect(flood).toMatchObject({ status: 200, reason: "output", exitCode: null });
  const python = await send("python3", "print(6 * 7)");
  const there = Bun.spawnSync(["sh", "-c", "test -e /usr/bin/python3"]).exitCode === 0;
  if (there) expect(python).toMatchObject({ status: 200, stdout: "42\n", exitCode: 0 });
  else expect(python).toMatchObject({ status: 500, code: "command_not_found" });
  expect((await fetch(url)).status).toBe(404);
});

/** The address that the server prints. */
async function listening(stdout: ReadableStream<Uint8Array>): Promise<string> {
  let text = "";
  for await (const chunk of stdout) {
    text += new TextDecoder().decode(chunk);
    const [, url] = /^listening on (\S+)$/m.exec(text) ?? [];
    if (url) return url;
  }
  throw new Error(`no address in ${JSON.stringify(text)}`);
}

test("none is missing here, and each is short and says what it is", () => {
  const names = readdirSync(folder).toSorted();
  expect(names).toEqual([...Object.keys(PRINTS), "05-server.ts"].toSorted());
  for (const name of names) {
    const lines = readFileSync(join(folder, name), "utf8").trimEnd().split("\n");
    expect([name, lines[0]]).toEqual([name, "/**"]);
    expect([name, lines.length < 40]).toEqual([name, true]);
  }
});
