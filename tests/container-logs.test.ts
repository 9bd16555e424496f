/** The logs of containers: records, files, lines, the end of it all, and what is damaged. @module */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { appendFileSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { moment } from "../lib/cli/containers/moment.ts";
import { Containers } from "../lib/containers/index.ts";
import { Watch } from "../lib/containers/follow.ts";
import { LogCursor } from "../lib/containers/log-cursor.ts";
import { Lines, Pieces, Prefixed, timestamp, type Span } from "../lib/containers/log-lines.ts";
import { moveToTail } from "../lib/containers/log-tail.ts";
import { Directory } from "../syscalls/index.ts";
import { CommandLine } from "./support/command-line.ts";
import { noBusybox, SLOW, testUnless } from "./support/machine.ts";
import { eventually } from "./support/processes.ts";
import { Folder } from "./support/rootfs.ts";

const [STDOUT, STDERR] = [1, 2];
const SECOND = 1_000_000_000n;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

interface Written {
  stream: number;
  text: string;
  time?: bigint;
}

function recordOf({ stream, text, time = 1_700_000_000n * SECOND }: Written): Uint8Array {
  const bytes = encoder.encode(text);
  const record = new Uint8Array(24 + bytes.length);
  const view = new DataView(record.buffer);
  view.setBigInt64(0, time / SECOND, true);
  view.setBigInt64(8, time % SECOND, true);
  view.setUint32(16, bytes.length, true);
  view.setUint32(20, stream, true);
  record.set(bytes, 24);
  return record;
}

const out = (text: string, time?: bigint): Written => ({
  stream: STDOUT,
  text,
  ...(time === undefined ? {} : { time }),
});
const err = (text: string, time?: bigint): Written => ({ ...out(text, time), stream: STDERR });
const logOf = (records: Written[]) => Buffer.concat(records.map(recordOf));

/** The directory of a container, with the files of its log: the newest first. */
class Log implements Disposable {
  readonly folder = new Folder();
  readonly directory: Directory;

  constructor(...files: Uint8Array[]) {
    files.forEach((content, index) => writeFileSync(this.path(index), content));
    this.directory = Directory.open(this.folder.path) as Directory;
  }

  path(index: number): string {
    return join(this.folder.path, index === 0 ? "log" : `log.${index}`);
  }

  append(...records: Written[]): void {
    appendFileSync(this.path(0), logOf(records));
  }

  /** As the supervisor does it. */
  rotate(kept: number): void {
    for (let index = kept - 1; index > 0; index--)
      if (existsSync(this.path(index - 1))) renameSync(this.path(index - 1), this.path(index));
    if (kept === 1) rmSync(this.path(0));
    writeFileSync(this.path(0), "");
  }

  [Symbol.dispose](): void {
    this.directory[Symbol.dispose]();
    this.folder[Symbol.dispose]();
  }
}

interface Reading {
  tail?: number;
  until?: bigint;
  streams?: number[];
}

/** All that is read of streams, as it comes. */
function piecesOf(log: Log, { tail, until, streams = [STDOUT, STDERR] }: Reading = {}) {
  using cursor = new LogCursor(log.directory, (bytes) => void (damaged += bytes));
  let damaged = 0;
  cursor.stopHere();
  const chosen = { streams, leftOut: {} };
  if (tail !== undefined) chosen.leftOut = moveToTail(cursor, tail, streams, until);
  const pieces: [stream: number, text: string][] = [];
  const visitor = new Pieces(chosen, (stream, memory, start, end) => {
    pieces.push([stream, decoder.decode(memory.subarray(start, end))]);
  });
  while (cursor.read(visitor));
  return { pieces, damaged, text: pieces.map(([, text]) => text).join("") };
}

function linesOf(log: Log, span: Span = {}, { tail, streams = [STDOUT, STDERR] }: Reading = {}): string[] {
  using cursor = new LogCursor(log.directory);
  cursor.stopHere();
  const chosen = { streams, leftOut: {} };
  if (tail !== undefined) chosen.leftOut = moveToTail(cursor, tail, streams, span.until);
  const lines: string[] = [];
  const visitor = new Lines(chosen, span, (stream, _, memory, start, end, isRest) => {
    lines.push(`${stream}${isRest ? "+" : ":"}${decoder.decode(memory.subarray(start, end))}`);
  });
  while (!visitor.isOver && cursor.read(visitor));
  visitor.end();
  return lines;
}

describe("what was written", () => {
  test("is what is read, and what comes behind each other of a stream is one piece", () => {
    using log = new Log(logOf([out("a"), out("b\n"), err("x\n"), err("y\n"), out("c")]));
    expect(piecesOf(log)).toEqual({
      pieces: [
        [STDOUT, "ab\n"],
        [STDERR, "x\ny\n"],
        [STDOUT, "c"],
      ],
      damaged: 0,
      text: "ab\nx\ny\nc",
    });
    expect(piecesOf(log, { streams: [STDERR] }).text).toBe("x\ny\n");
  });

  test("lies in several files, the oldest of which has the highest number", () => {
    using log = new Log(logOf([out("4\n")]), logOf([out("3\n")]), logOf([out("2\n")]));
    writeFileSync(log.path(10), logOf([out("1\n")]));
    writeFileSync(join(log.folder.path, "log.old"), logOf([out("none of it\n")]));
    expect(piecesOf(log).text).toBe("1\n2\n3\n4\n");
  });

  test("is nothing where there is no log", () => {
    using log = new Log();
    expect(piecesOf(log)).toEqual({ pieces: [], damaged: 0, text: "" });
    expect(piecesOf(log, { tail: 3 }).text).toBe("");
  });

  test("is more than what is in memory at a time", () => {
    const records = Array.from({ length: 100 }, (_, at) => out(`${at} `.padEnd(65535, "x") + "\n"));
    using log = new Log(logOf(records));
    const { text, damaged } = piecesOf(log);
    expect([text.length, damaged]).toEqual([100 * 65536, 0]);
    expect(text.split("\n").map((line) => Number.parseInt(line))).toEqual([...records.keys(), NaN]);
  });
});

describe("lines", () => {
  test("are put together of each stream, with the time when they began", () => {
    const [one, two, three] = [1n, 2n, 3n].map((seconds) => seconds * SECOND) as [bigint, bigint, bigint];
    using log = new Log(
      logOf([out("a", one), err("x\ny", two), out("b\nc\nd", two), err("z\n", three), out("e", three)]),
    );
    expect(linesOf(log)).toEqual(["2:x\n", "1:ab\n", "1:c\n", "2:yz\n", "1:de"]);
    expect(linesOf(log, { since: two })).toEqual(["2:x\n", "1:c\n", "2:yz\n", "1:de"]);
    expect(linesOf(log, { until: two })).toEqual(
      ["2:x\n", "1:ab\n", "1:c\n", "2:y", "1:d"].toSorted().toSorted(byOrder),
    );
    expect(linesOf(log, { since: three })).toEqual([]);
  });

  test("that are very long come in parts", () => {
    const records = Array.from({ length: 40 }, () => out("x".repeat(65536)));
    using log = new Log(logOf([...records, out("end\nnext\n")]));
    const lines = linesOf(log);
    expect(lines.map((line) => [line.slice(0, 2), line.length - 2])).toEqual([
      ["1:", 1 << 20],
      ["1+", 1 << 20],
      ["1+", 8 * 65536 + 4],
      ["1:", 5],
    ]);
  });

  test("have the time before them, but not before a rest", () => {
    const shown: [number, string][] = [];
    const prefixed = new Prefixed(
      (time) => `${timestamp(time)} `,
      (stream, memory, start, end) => void shown.push([stream, decoder.decode(memory.subarray(start, end))]),
    );
    const line = (stream: number, text: string, time: bigint, isRest = false) =>
      prefixed.line(stream, time, encoder.encode(text), 0, encoder.encode(text).length, isRest);
    const time = 1_700_000_000n * SECOND + 1_020_003n;
    line(STDOUT, "a\n", time);
    line(STDOUT, "b", time + 1n);
    line(STDOUT, "c\n", time + 1n, true);
    line(STDERR, "x\n", time + SECOND);
    prefixed.flush();
    expect(shown).toEqual([
      [STDOUT, "2023-11-14T22:13:20.001020003Z a\n2023-11-14T22:13:20.001020004Z bc\n"],
      [STDERR, "2023-11-14T22:13:21.001020003Z x\n"],
    ]);
  });
});

const ORDER = ["2:x\n", "1:ab\n", "1:c\n", "1:d", "2:y"];
const byOrder = (a: string, b: string) => ORDER.indexOf(a) - ORDER.indexOf(b);

describe("a log that is damaged", () => {
  test("and cut short ends before the record that is not whole", () => {
    const whole = logOf([out("a\n"), err("b\n"), out("c\n")]);
    for (let cut = 1; cut < 26; cut++) {
      using log = new Log(whole.subarray(0, whole.length - cut));
      expect(piecesOf(log)).toMatchObject({ text: "a\nb\n", damaged: 0 });
      expect(piecesOf(log, { tail: 1 }).text).toBe("b\n");
    }
  });

  test("in the middle goes on behind it, and that is told", () => {
    const [before, after] = [logOf([out("a\n"), out("b\n")]), logOf([out("c\n"), out("d\n")])];
    for (const junk of [
      new Uint8Array(100),
      new Uint8Array(100_000),
      new Uint8Array(3_000_000),
      encoder.encode("junk"),
    ]) {
      using log = new Log(Buffer.concat([before, junk, after]));
      expect(piecesOf(log)).toMatchObject({ text: "a\nb\nc\nd\n", damaged: junk.length });
      expect(piecesOf(log, { tail: 3 }).text).toBe("b\nc\nd\n");
    }
  });

  test("by a cut record before others loses what that lacks", () => {
    using log = new Log(
      Buffer.concat([logOf([out("a\n"), out("12345\n")]).subarray(0, -3), logOf([out("c\n"), out("d\n")])]),
    );
    expect(piecesOf(log)).toMatchObject({ text: "a\n123c\nd\n", damaged: 3 });
  });

  test("at the end of a file that was rotated goes on in the next", () => {
    using log = new Log(logOf([out("c\n")]), logOf([out("a\n"), out("b\n")]).subarray(0, -5));
    expect(piecesOf(log)).toMatchObject({ text: "a\nc\n", damaged: 0 });
  });

  test("of junk only is nothing", () => {
    using log = new Log(Buffer.alloc(100_000, 7));
    expect(piecesOf(log)).toMatchObject({ text: "", damaged: 100_000 });
    expect(piecesOf(log, { tail: 2 }).text).toBe("");
  });
});

describe("the last lines", () => {
  test("are those that end last, of both streams or one", () => {
    using log = new Log(logOf([out("a\nb\n"), err("x"), out("c\n"), err("y\nz\n"), out("d\n")]));
    const tails = [0, 1, 2, 3, 4, 5, 6, 7].map((tail) => piecesOf(log, { tail }).text);
    expect(tails).toEqual([
      "",
      "d\n",
      "z\nd\n",
      "xy\nz\nd\n",
      "xc\ny\nz\nd\n",
      "b\nxc\ny\nz\nd\n",
      "a\nb\nxc\ny\nz\nd\n",
      "a\nb\nxc\ny\nz\nd\n",
    ]);
    expect([1, 2, 3].map((tail) => piecesOf(log, { tail, streams: [STDOUT] }).text)).toEqual([
      "d\n",
      "c\nd\n",
      "b\nc\nd\n",
    ]);
  });

  test("count what has no end yet", () => {
    using log = new Log(logOf([out("a\nb\nc")]));
    expect([1, 2].map((tail) => piecesOf(log, { tail }).text)).toEqual(["c", "b\nc"]);
  });

  test("until a time are those before it", () => {
    using log = new Log(logOf([out("a\nb\n", SECOND), out("c\n", 2n * SECOND), out("d\n", 3n * SECOND)]));
    expect(linesOf(log, { until: 2n * SECOND }, { tail: 2 })).toEqual(["1:b\n", "1:c\n"]);
  });

  test("are found in windows, also where a container has written records that lead on beside the true ones", () => {
    const records = Array.from({ length: 60 }, (_, at) => out(`${at} `.padEnd(65_535, "x") + "\n"));
    const honest = logOf(records);
    const lying = Buffer.from(honest);
    // as long as a record, so that the next one is in the next record
    records.forEach((record, at) => lying.set(recordOf(record).subarray(0, 24), at * 65_560 + 1000));
    for (const content of [honest, lying]) {
      using log = new Log(content);
      for (const tail of [1, 2, 16, 17, 40, 59, 60, 61]) {
        const lines = piecesOf(log, { tail }).text.split("\n").slice(0, -1);
        expect(lines.map((line) => Number.parseInt(line))).toEqual([...records.keys()].slice(-tail));
      }
    }
  });

  test("are found whatever a container writes, in as many files as it is", () => {
    const text = fc.oneof(
      fc.string({ maxLength: 20 }),
      fc.constantFrom("\n", "a\n", "a\nb", "\n\n"),
      // what looks like records, and leads to a true one
      fc
        .array(fc.constantFrom("x\n", ""), { minLength: 1, maxLength: 5 })
        .map((inner) => decoder.decode(logOf(inner.map((each) => out(`${each}y`))))),
      fc.constantFrom(1000, 60_000, 65_536).map((length) => "l".repeat(length)),
    );
    const record = fc.record({
      stream: fc.constantFrom(STDOUT, STDERR),
      text: text.filter((each) => each !== "" && encoder.encode(each).length <= 65_536),
    });
    const files = fc.array(fc.array(record, { maxLength: 60 }), { minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(
        files,
        fc.nat(12),
        fc.constantFrom<number[]>([STDOUT], [STDOUT, STDERR]),
        (written, tail, streams) => {
          using log = new Log(...written.map(logOf));
          const all = written
            .toReversed()
            .flat()
            .filter(({ stream }) => streams.includes(stream));
          const wanted = tail === 0 ? [] : linesInOrder(all).slice(-tail);
          expect(linesOf(log, {}, { tail, streams }).map(short).toSorted()).toEqual(wanted.map(short).toSorted());
        },
      ),
      { numRuns: 200 },
    );
  });
});

const short = (line: string) => (line.length > 100 ? `${line.slice(0, 10)}… ${line.length} ${Bun.hash(line)}` : line);

/** Line by line, from the beginning, in the order of their ends. */
function linesInOrder(records: Written[]): string[] {
  const lines: { line: string; order: number }[] = [];
  const open = new Map<number, { line: string; order: number }>();
  for (const [order, { stream, text }] of records.entries()) {
    const parts = ((open.get(stream)?.line ?? "") + text).split("\n");
    open.set(stream, { line: parts.pop() ?? "", order });
    lines.push(...parts.map((part) => ({ line: `${stream}:${part}\n`, order })));
  }
  for (const [stream, { line, order }] of open) if (line !== "") lines.push({ line: `${stream}:${line}`, order });
  return lines.toSorted((a, b) => a.order - b.order).map(({ line }) => line);
}

describe("what comes later", () => {
  test("is read when it is there, also in files that are begun", () => {
    using log = new Log(logOf([out("1\n")]));
    using cursor = new LogCursor(log.directory);
    let text = "";
    const visitor = new Pieces({ streams: [STDOUT], leftOut: {} }, (_, memory, start, end) => {
      text += decoder.decode(memory.subarray(start, end));
    });
    const all = () => {
      while (cursor.read(visitor));
      return text;
    };
    expect(all()).toBe("1\n");
    log.append(out("2\n"));
    log.rotate(3);
    expect(all()).toBe("1\n2\n");
    log.append(out("3\n"));
    log.rotate(3);
    log.append(out("4\n"));
    log.rotate(3);
    log.append(out("5\n"));
    expect(all()).toBe("1\n2\n3\n4\n5\n");
    // more than there are files: what is left is read
    for (const each of [6, 7, 8, 9, 10]) {
      log.append(out(`${each}\n`));
      log.rotate(3);
    }
    log.append(out("11\n"));
    expect(all()).toBe("1\n2\n3\n4\n5\n6\n9\n10\n11\n");
  });

  test("wakes who waits for it", async () => {
    using log = new Log(logOf([out("1\n")]));
    using watch = new Watch(log.directory);
    const woken = watch.next();
    log.append(out("2\n"));
    await woken;
    const again = watch.next();
    log.rotate(2);
    await again;
  });

  test("ends with whoever waits, also where the directory has gone", async () => {
    using folder = new Folder();
    const script = (removed: boolean) => `
      import { rmSync } from "node:fs";
      import { Watch } from ${JSON.stringify(join(import.meta.dir, "../lib/containers/follow.ts"))};
      import { Directory } from ${JSON.stringify(join(import.meta.dir, "../syscalls/index.ts"))};
      const path = ${JSON.stringify(folder.directory("watched"))};
      const directory = Directory.open(path);
      const watch = new Watch(directory);
      if (${removed}) rmSync(path, { recursive: true });
      await Bun.sleep(100);
      watch[Symbol.dispose]();
      await watch.next();`;
    for (const removed of [false, true]) {
      const child = Bun.spawn([process.execPath, folder.script(script(removed))], { stderr: "inherit" });
      const late = setTimeout(() => child.kill(9), 10_000 * SLOW);
      expect([removed, await child.exited]).toEqual([removed, 0]);
      clearTimeout(late);
    }
  });
});

const TIMEOUT_MS = 30_000 * SLOW;
const boxTest = (name: string, body: () => unknown) => testUnless(noBusybox, name, body, TIMEOUT_MS);
let made: CommandLine;
beforeAll(async () => void (made = await CommandLine.open()));
afterAll(() => made?.[Symbol.asyncDispose](), TIMEOUT_MS);
const tsbox = (...words: string[]) => made.tsbox(...words);
const said = (...words: string[]) => made.said(...words);
let count = 0;
const newName = () => `l${count++}-x`;
/** One that has ended. @returns its name */
function ended(script: string, ...flags: string[]): string {
  const name = newName();
  said("run", "-d", "--name", name, ...flags, "busy", "sh", "-c", script);
  said("wait", name);
  return name;
}

describe("tsbox logs", () => {
  boxTest("prints what was written where it belongs", () => {
    const name = ended("echo out; echo err >&2; printf more");
    expect(tsbox("logs", name)).toEqual({ status: 0, stdout: "out\nmore", stderr: "err\n" });
    expect(tsbox("logs", "no-such-x")).toEqual({
      status: 1,
      stdout: "",
      stderr: "tsbox: No such container: no-such-x\n",
    });
  });

  boxTest("from the end, with times, since one and until one", () => {
    const name = ended("echo one; sleep 0.05; echo two; sleep 0.05; echo three");
    expect(["0", "1", "2", "all", "-1"].map((tail) => said("logs", "--tail", tail, name).split("\n").length)).toEqual([
      1, 1, 2, 3, 3,
    ]);
    expect(said("logs", "-n", "1", name)).toBe("three");
    const lines = said("logs", "-t", name).split("\n");
    const times = lines.map((line) => line.split(" ")[0] as string);
    expect(times.every((time) => /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/.test(time))).toBe(true);
    expect(times.toSorted()).toEqual(times);
    expect(said("logs", "--since", times[1] as string, name)).toBe("two\nthree");
    expect(said("logs", "--until", times[1] as string, name)).toBe("one\ntwo");
    expect(said("logs", "--since", times[1] as string, "--until", times[1] as string, name)).toBe("two");
    expect(said("logs", "--until", times[1] as string, "-n", "1", name)).toBe("two");
    expect(said("logs", "--since", "1h", name)).toBe("one\ntwo\nthree");
    expect(said("logs", "--until", "1h", name)).toBe("");
  });

  boxTest("refuses what it does not understand", () => {
    const name = ended("true");
    for (const [flag, value] of [
      ["--tail", "many"],
      ["--since", "yesterday"],
      ["--until", "2026-13-01"],
    ] as const)
      expect(tsbox("logs", flag, value, name)).toMatchObject({
        status: 1,
        stderr: expect.stringContaining(`use ${flag} "${value}"`),
      });
  });

  boxTest("has nothing where the driver is none", () => {
    const name = ended("echo out", "--log-driver", "none");
    expect(tsbox("logs", name)).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("configured logging driver does not support reading"),
    });
  });

  boxTest("with details has the labels and variables that were chosen", () => {
    const name = ended(
      "echo out",
      "--label",
      "a=1 2",
      "--label",
      "b=2",
      "-e",
      "C=3",
      "--log-opt",
      "labels=a,none",
      "--log-opt",
      "env=C",
    );
    expect(said("logs", "--details", name)).toBe("C=3,a=1+2 out");
    expect(said("logs", name)).toBe("out");
  });

  boxTest("tells of damage, and prints the rest", () => {
    const name = ended("echo out; sleep 0.1; echo err >&2; sleep 0.1; echo more");
    const id = said("inspect", "--format", "{{.Id}}", name);
    const file = join(made.root, "containers", id, "log");
    const bytes = readFileSync(file);
    writeFileSync(file, Buffer.concat([bytes.subarray(0, 28), Buffer.alloc(9, "?"), bytes.subarray(28)]));
    expect(tsbox("logs", name)).toEqual({
      status: 0,
      stdout: "out\nmore\n",
      stderr: expect.stringContaining(`the log of ${name} is damaged: 9 bytes`),
    });
    writeFileSync(file, bytes.subarray(0, -3));
    expect(tsbox("logs", name)).toEqual({ status: 0, stdout: "out\n", stderr: "err\n" });
  });

  boxTest("-f goes on until the container has ended", async () => {
    const name = newName();
    said(
      "run",
      "-d",
      "--name",
      name,
      "busy",
      "sh",
      "-c",
      "for i in 1 2 3 4 5; do echo $i; sleep 0.2; done; printf end",
    );
    const { stdout } = Bun.spawnSync(made.command("logs", "-f", name), { env: made.env });
    expect(stdout.toString()).toBe("1\n2\n3\n4\n5\nend");
    expect(said("logs", "-f", name)).toBe("1\n2\n3\n4\n5\nend");
  });

  boxTest("-f goes on over rotations, and nothing is lost", async () => {
    const name = newName();
    const script =
      "i=0; while [ $i -lt 3000 ]; do echo $i some words of a line; i=$((i+1)); done; sleep 0.5; echo over";
    said(
      "run",
      "-d",
      "--name",
      name,
      "--log-opt",
      "max-size=20k",
      "--log-opt",
      "max-file=9",
      "busy",
      "sh",
      "-c",
      script,
    );
    const { stdout } = Bun.spawnSync(made.command("logs", "-f", name), { env: made.env });
    const lines = stdout.toString().trimEnd().split("\n");
    expect(lines.pop()).toBe("over");
    const first = Number.parseInt(lines[0] as string);
    expect(lines.map((line) => Number.parseInt(line))).toEqual(
      Array.from({ length: 3000 - first }, (_, at) => first + at),
    );
  });

  boxTest("-f goes on over restarts", async () => {
    const name = newName();
    said("run", "-d", "--name", name, "busy", "sh", "-c", "echo begun; sleep 1000");
    const follower = Bun.spawn(made.command("logs", "-f", name), { env: made.env });
    let text = "";
    const read = (async () => {
      for await (const chunk of follower.stdout) text += decoder.decode(chunk);
    })();
    expect(await eventually(() => text === "begun\n")).toBe(true);
    said("restart", "-t", "0", name);
    expect(await eventually(() => text === "begun\nbegun\n")).toBe(true);
    said("kill", name);
    expect(await follower.exited).toBe(0);
    await read;
    expect(text).toBe("begun\nbegun\n");
  });

  boxTest("-f ends when the container is removed, and by a signal", async () => {
    const [first, second] = [newName(), newName()];
    for (const name of [first, second]) said("run", "-d", "--name", name, "busy", "sleep", "1000");
    const followers = [first, second].map((name) => Bun.spawn(made.command("logs", "-f", name), { env: made.env }));
    await Bun.sleep(300 * SLOW);
    said("rm", "-f", first);
    expect(await followers[0]?.exited).toBe(0);
    followers[1]?.kill("SIGINT");
    expect(await followers[1]?.exited).toBe(130);
  });

  boxTest("by the library is lines", async () => {
    const name = ended("printf 'a\\nb'; echo err >&2; echo c");
    using containers = new Containers(made.root);
    const container = await containers.get(name);
    const lines: string[] = [];
    for await (const { stream, bytes } of container.logs()) lines.push(`${stream} ${decoder.decode(bytes)}`);
    expect(lines.toSorted()).toEqual(["stderr err\n", "stdout a\n", "stdout bc\n"]);
    const last: string[] = [];
    for await (const { bytes } of container.logs({ tail: 1, stderr: false })) last.push(decoder.decode(bytes));
    expect(last).toEqual(["bc\n"]);
    const stop = new AbortController();
    stop.abort(new Error("enough"));
    expect(container.logs({ signal: stop.signal }).next()).rejects.toThrow("enough");
  });
});

describe("times", () => {
  const now = Date.UTC(2026, 0, 31, 12);
  const at = (text: string) => moment("--since", text, now);

  test("are ago, a date, or seconds since 1970", () => {
    expect(at("1h30m") - at("90m")).toBe(0n);
    expect(BigInt(now) * 1_000_000n - at("1.5s")).toBe(1_500_000_000n);
    expect(at("2026-01-31T11:59:59.123456789Z")).toBe(BigInt(now) * 1_000_000n - 876_543_211n);
    expect(at("2026-01-31T12:00:00+02:00")).toBe((BigInt(now) - 7_200_000n) * 1_000_000n);
    expect(at("1769860800.000000001")).toBe(1_769_860_800_000_000_001n);
    expect(at("2026-01-31")).toBe(BigInt(new Date("2026-01-31T00:00:00").getTime()) * 1_000_000n);
  });

  test("that are none are refused", () => {
    for (const text of ["", "1x", "2026-1-1", "now", "2026-01-31T25:00:00Z"])
      expect(() => at(text)).toThrow(`use --since ${JSON.stringify(text)}: not understood`);
  });
});
