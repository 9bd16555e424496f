/** Pipes and devices where files are expected: those that nobody named hold nobody up, those that were named are read. @module */
import { afterAll, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { daemonHosts } from "../lib/registry/daemon-config.ts";
import { readFile } from "../syscalls/index.ts";
import { homeIn } from "./support/home.ts";
import { SLOW } from "./support/machine.ts";
import { eventually } from "./support/processes.ts";
import { Folder } from "./support/rootfs.ts";

const folder = new Folder();
afterAll(() => folder.remove());

const MAIN = [process.execPath, join(import.meta.dir, "../lib/cli/main.ts")];
const TIMEOUT_MS = 30_000 * SLOW;

function fifo(name: string): string {
  folder.directory(join(name, ".."));
  const path = join(folder.path, name);
  expect(Bun.spawnSync(["mkfifo", path]).exitCode).toBe(0);
  return path;
}

const start = (command: string[]) =>
  Bun.spawn(command, {
    cwd: folder.path,
    env: { PATH: process.env["PATH"], ...homeIn(folder.path), TSBOX_ROOT: join(folder.path, "store") },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });

/** Whether a thread of it waits for the other end of a pipe. */
function waitsForPartner(pid: number): boolean {
  const tasks = `/proc/${pid}/task`;
  if (!existsSync(tasks)) return false;
  return readdirSync(tasks).some((task) => readFileSync(`${tasks}/${task}/wchan`, "utf8") === "wait_for_partner");
}

test("configuration that is a pipe or a device is none", () => {
  expect([readFile(fifo("pipe")), readFile("/dev/zero"), readFile(folder.path)]).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
  expect(readFile(folder.write("file", "text"))).toEqual(new TextEncoder().encode("text"));
  fifo("home/.config/docker/daemon.json");
  // the next that is there counts, as where there is none
  expect(daemonHosts({ HOME: join(folder.path, "home") })).toEqual(daemonHosts({ HOME: folder.path }));
});

test.each([["load -i"], ["import"], ["build -q context -f"]])(
  "a signal ends %s that waits for the other end of a pipe",
  async (verb) => {
    folder.directory("context");
    const words = verb.split(" ");
    const pipe = fifo(`waiting-${words[0]}`);
    const child = start([...MAIN, ...words, pipe]);
    expect(await eventually(() => waitsForPartner(child.pid))).toBe(true);
    child.kill("SIGTERM");
    expect(await child.exited).toBe(128 + 15);
  },
  TIMEOUT_MS,
);

test(
  "what has no end is refused",
  async () => {
    for (const words of [
      ["build", "-q", "-f", "/dev/zero", "."],
      ["run", "--rm", "--env-file", "/dev/zero", "none"],
    ]) {
      const child = start([...MAIN, ...words]);
      const message = await child.stderr.text();
      expect([words, message]).toEqual([
        words,
        expect.stringMatching(/"\/dev\/zero": (?:more than 4194304 bytes|EFBIG)/),
      ]);
    }
  },
  TIMEOUT_MS,
);

test(
  "what a shell makes of <(…), and stdin, are Dockerfiles",
  async () => {
    folder.write("context/file", "1");
    const build = `'${MAIN.join("' '")}' build -q`;
    const line = "printf 'FROM scratch\\nCOPY file /\\n'";
    const ids = [];
    for (const command of [`${build} -f <(${line}) context`, `${line} | ${build} -f /dev/stdin context`]) {
      const child = start(["bash", "-c", command]);
      ids.push((await child.stdout.text()) + (await child.stderr.text()));
    }
    expect(ids).toEqual([expect.stringMatching(/^sha256:[0-9a-f]{64}\n$/), ids[0] as string]);
  },
  TIMEOUT_MS,
);
