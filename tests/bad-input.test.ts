/** Calls on a box and its processes with what they cannot use: typed errors, and nothing left. @module */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Sandbox, SandboxProcess, TsboxError } from "../lib/index.ts";
import { JUNK } from "./support/junk.ts";
import { noSandbox, SLOW } from "./support/machine.ts";
import { cgroups, descendants, descriptors, eventually } from "./support/processes.ts";

let before: number;
let box: Sandbox;
beforeAll(async () => {
  if (noSandbox !== undefined) return;
  // the first ones make what is kept for the next ones
  await Sandbox.run(["true"]);
  box = await Sandbox.create();
  await box.spawn(["true"], { stdin: "pipe" }).result();
  await box.stop();
  before = descriptors().size;
  box = await Sandbox.create();
});
afterAll(async () => void (await box?.stop()));

/** What comes of a call: nothing, or a typed error; all else fails the test. */
async function refused(attempt: () => unknown): Promise<boolean> {
  try {
    const made = await attempt();
    if (made instanceof SandboxProcess) await made.result();
    return false;
  } catch (error) {
    expect(error).toBeInstanceOf(TsboxError);
    expect((error as TsboxError).message.length).toBeLessThan(300);
    return true;
  }
}

/** Of the junk, what has no keys. */
const PLAIN = ["{}", "an object without a prototype"];
/** Of the junk, what is text or bytes. */
const TEXTS = ["", "\0", "x", "x".repeat(20), "\ud800", "bytes"];

/** How each is called, and the names of the junk that it can use. */
const CALLS: [what: string, call: (value: never) => unknown, takes: string[]][] = [
  ["the options of Sandbox.create", async (value) => (await Sandbox.create(value)).stop(), PLAIN],
  ["the options of box.spawn", (value) => box.spawn(["true"], value), PLAIN],
  ["a command", (value) => box.spawn(value), []],
  ["an argument", (value) => box.spawn(["true", value]), ["", "x", "x".repeat(20), "\ud800"]],
  ["stdout", (value) => box.spawn(["true"], { stdout: value }), []],
  ["stderr", (value) => box.spawn(["true"], { stderr: value }), []],
  ["stdin", (value) => box.spawn(["true"], { stdin: value }), TEXTS],
  ["env", (value) => box.spawn(["true"], { env: value }), PLAIN],
  ["cwd", (value) => box.spawn(["true"], { cwd: value }), []],
  ["user", (value) => box.spawn(["true"], { user: value }), []],
  ["signal", (value) => box.spawn(["true"], { signal: value }), []],
  ["what is written", (value) => written(value), TEXTS],
  ["a signal", (value) => killed(value), []],
  ["what is typed", (value) => typed(value), TEXTS],
  ["the size of a terminal", (value) => resized(value), []],
];

const tried = async (stream: { [Symbol.asyncIterator](): AsyncIterator<unknown> }) =>
  void (await stream[Symbol.asyncIterator]().next());

/** The same for files of the box: as a path, as options, as content. */
const FILE_CALLS: typeof CALLS = [
  ["a path that is read", (value) => box.fs.file(value).text(), []],
  ["a path that is written", (value) => box.fs.write(value, "x"), []],
  ["content", (value) => box.fs.write("/tmp/content", value), TEXTS],
  ["how it is written", (value) => box.fs.write("/tmp/file", "x", value), PLAIN],
  ["a directory that is read", (value) => box.fs.readdir(value), []],
  ["a directory whose entries are read", (value) => tried(box.fs.entries(value)), []],
  ["a directory that is made", (value) => box.fs.mkdir(value), []],
  ["what is removed", (value) => box.fs.rm(value), []],
  ["what is looked at", (value) => box.fs.stat(value), []],
  ["what may exist", (value) => box.fs.exists(value), []],
  ["what is packed", (value) => tried(box.fs.tar(value)), []],
  ["where it is unpacked", (value) => box.fs.untar(value, ""), []],
  ["an archive", (value) => box.fs.untar("/tmp", value), [""]],
  ["how it is unpacked", (value) => box.fs.untar("/tmp", "", value), PLAIN],
  ["the directory of a line of shell", (value) => box.$`true`.cwd(value).quiet(), []],
  ["the environment of a line of shell", (value) => box.$`true`.env(value).quiet(), PLAIN],
  ["new limits", (value) => box.update(value), PLAIN],
  ["how often it is counted", (value) => tried(box.stats(value)), PLAIN],
  ["a namespace", (value) => void box.namespace(value), []],
];

async function written(value: never): Promise<void> {
  const cat = box.spawn(["cat"], { stdin: "pipe", stdout: "ignore" });
  try {
    await cat.stdin?.write(value);
  } finally {
    await cat.stdin?.end();
    await cat.result();
  }
}

async function typed(value: never): Promise<void> {
  await using process = box.spawn(["true"], { terminal: true });
  await using terminal = process.terminal;
  // nobody reads what is typed, and the terminal takes only so much
  await Promise.race([terminal?.write(value), process.result()]);
}

async function resized(value: never): Promise<void> {
  await using process = box.spawn(["true"], { terminal: true });
  await using terminal = process.terminal;
  terminal?.resize(value, 24);
}

async function killed(value: never): Promise<void> {
  const sleep = box.spawn(["sleep", "100"], { stdout: "ignore" });
  try {
    sleep.kill(value);
  } finally {
    sleep.kill("SIGKILL");
    await sleep.result();
  }
}

describe.skipIf(noSandbox !== undefined)("junk is refused, or does no harm:", () => {
  test.each([...CALLS, ...FILE_CALLS])(
    "%s",
    async (_, call, takes) => {
      for (const [name, value] of JUNK) {
        const wasRefused = await refused(() => call(value as never));
        expect([name, wasRefused]).toEqual([name, !takes.includes(name)]);
      }
    },
    20_000 * SLOW,
  );

  test(
    "and nothing is left of it",
    async () => {
      await box.stop();
      const nothingIsLeft = () => {
        Bun.gc(true); // streams that nobody reads are closed when they are forgotten
        return descriptors().size <= before && descendants().length === 0;
      };
      expect(await eventually(nothingIsLeft, 4000 * SLOW)).toBe(true);
      expect(cgroups()).toEqual([]);
    },
    10_000 * SLOW,
  );
});

test("bytes are written as they are, whatever they are a view of", async () => {
  if (noSandbox !== undefined) return;
  const words = new Uint16Array([0x6261, 0x6463]);
  const cat = Sandbox.spawn(["cat"], { stdin: "pipe" });
  await cat.stdin?.write(words);
  await cat.stdin?.write(new DataView(words.buffer, 1, 2));
  await cat.stdin?.write(words.buffer);
  await cat.stdin?.end();
  expect(await new Response(cat.stdout).text()).toBe("abcdbcabcd");
});
