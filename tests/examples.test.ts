/** Every example of the course runs, and prints what it says it does. @module */
import { expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { descendants, eventually } from "./support/processes.ts";
import { noGateway } from "./support/gateway.ts";
import { noBusybox, noLimits, noSandbox, SLOW, testUnless } from "./support/machine.ts";

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
  "03-box.ts": ["HELLO STREAMS", "a", "b", "", "box", "2", "null SIGTERM signal"],
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
  "14-policies.ts": [
    '{"asked":"/users"}',
    "ECONNREFUSED",
    "tcp 192.0.2.1:80, allow: nothing of it matches",
    'deny: "192.0.2.0/24"',
    "inside",
  ],
  "13-build.ts": [
    "performed: 4 cached: 0",
    "hello world",
    "hello you",
    "performed: 0 the same: true",
    'Dockerfile:2:1: unknown instruction "COPPY"',
  ],
  "12-containers.ts": [
    "web running",
    "stdout: run 1",
    "exec: 3",
    "killed: 137",
    "left: 0 1",
    "ended: 1",
    "ended: 1",
    "ended: 0",
  ],
  "11-images.ts": ["small:1", "hello from an image", "good day, sh", "C /etc", "A /etc/motd", "written in a box"],
};

for (const [name, lines] of Object.entries(PRINTS)) {
  const inDeno = name.includes("deno");
  const command = inDeno ? [deno, "run", "--quiet", "--no-lock", "--allow-all"] : [process.execPath];
  const needs: Record<string, string | undefined> = {
    "07-plan.ts": undefined,
    "11-images.ts": noBusybox,
    "12-containers.ts": noBusybox,
    "13-build.ts": noBusybox,
    "14-policies.ts": noGateway,
  };
  testUnless(
    name in needs ? needs[name] : noSandbox,
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

testUnless(
  noSandbox,
  "08-stream.ts",
  async () => {
    const server = Bun.spawn([process.execPath, join(folder, "08-stream.ts")], { env: { ...process.env, PORT: "0" } });
    await using _ = server;
    const url = await listening(server.stdout);
    const post = (language: string, body: string, signal?: AbortSignal) =>
      fetch(url + language, { method: "POST", body, signal: signal ?? null });
    const programs: [language: string, program: string, printed: string][] = [
      ["javascript", "for (const n of [2, 1]) { console.log(n); await Bun.sleep(300); } process.exit(7)", "2\n1\n"],
    ];
    if (existsSync("/usr/bin/python3")) programs.push(["python", "print(6 * 7); exit(7)", "42\n"]);
    for (const [language, program, printed] of programs) {
      const events = eventsOf(await (await post(language, program)).text());
      const outputs = events.flatMap(([name, data]) => (name === "stdout" ? [data] : []));
      expect([language, outputs.join("")]).toEqual([language, printed]);
      expect(events.at(-1)).toEqual(["end", { exitCode: 7, reason: "exit" }]);
    }
    const flood = eventsOf(await (await post("javascript", "for (;;) console.error('line')")).text());
    expect(flood.at(-1)).toEqual(["end", { exitCode: null, reason: "output" }]);

    // what was printed is here before the program ends; who goes away takes it along
    const leaving = new AbortController();
    const first = (await post("javascript", "console.log('here'); setInterval(() => {}, 1000)", leaving.signal)).body;
    const { value } = (await first?.getReader().read()) ?? {};
    expect(eventsOf(new TextDecoder().decode(value))).toEqual([["stdout", "here\n"]]);
    expect(descendants(server.pid).length).toBeGreaterThan(0);
    leaving.abort();
    expect(await eventually(() => descendants(server.pid).length === 0)).toBe(true);
    expect((await fetch(url)).status).toBe(404);
  },
  30_000 * Math.min(SLOW, 6),
);

function eventsOf(text: string): [name: string, data: unknown][] {
  return [...text.matchAll(/^event: (\w+)\ndata: (.*)\n\n/gm)].map(([, name = "", data = ""]) => [
    name,
    JSON.parse(data),
  ]);
}

testUnless(
  noSandbox,
  "09-shell.ts",
  () => {
    const lines = ["echo hello >file", "cd /tmp; pwd", "cat /work/file", "hostname; ls /home", "exit 3"];
    const { exitCode, stdout, stderr } = Bun.spawnSync([process.execPath, join(folder, "09-shell.ts")], {
      stdin: Buffer.from(`${lines.join("\n")}\n`),
      stderr: "pipe",
    });
    expect({ exitCode, stderr: stderr.toString() }).toEqual({ exitCode: 3, stderr: "" });
    expect(stdout.toString()).toBe("/tmp\nhello\nbox\nthe shell ended: exit 3\n");
  },
  20_000 * SLOW,
);

testUnless(
  noSandbox,
  "09-shell.ts on a terminal",
  async () => {
    let shown = "";
    const data = (_: unknown, bytes: Uint8Array) => void (shown += new TextDecoder().decode(bytes));
    const child = Bun.spawn([process.execPath, join(folder, "09-shell.ts")], {
      terminal: { cols: 100, rows: 30, data },
    });
    const after = async (text: string, typed: string) => {
      expect([text, await eventually(() => shown.includes(text))]).toEqual([text, true]);
      child.terminal?.write(typed);
    };
    await after("# ", "tty; stty size; sleep 100\r");
    await after("30 100", "");
    // Ctrl-C ends what runs in the box, not the example; until it runs, the shell ignores it
    const prompt = () => /\^C\s+.*# $/.test(shown);
    for (let turn = 0; turn < 100 && !prompt(); turn++, await Bun.sleep(100)) child.terminal?.write("\x03");
    child.terminal?.write("exit 5\r");
    expect(await child.exited).toBe(5);
    expect(shown).toContain("/dev/pts/0");
    expect(shown).toContain("the shell ended: exit 5");
  },
  20_000 * SLOW,
);

testUnless(
  noSandbox,
  "10-fresh.test.ts",
  () => {
    const command = [process.execPath, "test", "--timeout", "30000", join(folder, "10-fresh.test.ts")];
    const { exitCode, stderr } = Bun.spawnSync(command, { stderr: "pipe", stdout: "ignore" });
    expect(stderr.toString()).toContain("\n 5 pass\n 0 fail\n");
    expect(exitCode).toBe(0);
  },
  40_000 * Math.min(SLOW, 6),
);

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
  const others = ["05-server.ts", "08-stream.ts", "09-shell.ts", "10-fresh.test.ts"];
  expect(names).toEqual([...Object.keys(PRINTS), ...others].toSorted());
  for (const name of names) {
    const lines = readFileSync(join(folder, name), "utf8").trimEnd().split("\n");
    expect([name, lines[0]]).toEqual([name, "/**"]);
    expect([name, lines.length < 60]).toEqual([name, true]);
  }
});
