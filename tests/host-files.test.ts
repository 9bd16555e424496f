/** Files of the host, read by system calls, against what `node:fs` and `node:path` say of them. @module */
import { afterAll, expect, test } from "bun:test";
import * as fs from "node:fs";
import { constants, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import * as fc from "fast-check";
import { hostFiles } from "../lib/containers/index.ts";
import { signalName, signalNumber } from "../syscalls/signals.ts";
import * as sys from "../syscalls/index.ts";
import { failureOf } from "./support/failure.ts";

const directory = fs.mkdtempSync(join(tmpdir(), "tsbox-files-"));
afterAll(() => fs.rmSync(directory, { recursive: true }));

test.each([0, 1, 65535, 65536, 65537, 300_000])("a file of %d bytes is read whole", (length) => {
  const file = join(directory, "file");
  const content = crypto.getRandomValues(new Uint8Array(Math.min(length, 65536)));
  const whole = new Uint8Array(length).map((_, at) => content[at % 65536] as number);
  fs.writeFileSync(file, whole);
  expect(sys.readFile(file)).toEqual(whole);
});

test("what is not there, or no file, is undefined", () => {
  for (const file of [join(directory, "none"), directory]) expect(sys.readFile(file)).toBeUndefined();
  expect(sys.readKernelFile(join(directory, "none"))).toBeUndefined();
  expect(sys.statFile(join(directory, "none"))).toBeUndefined();
  expect(sys.readLink(directory)).toBeUndefined();
  expect(sys.namesIn(join(directory, "none"))).toEqual([]);
});

test("a file of the kernel's, whose size is not known beforehand", () => {
  expect(sys.readKernelFile("/proc/self/mountinfo")).toBe(fs.readFileSync("/proc/self/mountinfo", "utf8"));
});

test("all names of a directory, also of one that takes several calls", () => {
  const many = join(directory, "many");
  fs.mkdirSync(many);
  expect(sys.namesIn(many)).toEqual([]);
  for (let i = 0; i < 1500; i++) fs.writeFileSync(join(many, `${i}-${"ü".repeat(i % 100)}`), "");
  expect(sys.namesIn(many).toSorted()).toEqual(fs.readdirSync(many).toSorted());
});

test("symlinks, modes and inodes", () => {
  const [link, file] = [join(directory, "link"), join(directory, "target")];
  fs.symlinkSync("target", link);
  fs.writeFileSync(file, "");
  fs.chmodSync(file, 0o4640);
  expect(sys.readLink(link)).toBe("target");
  const { mode, ino } = fs.statSync(file, { bigint: true });
  expect(sys.statFile(link)).toMatchObject({ mode: Number(mode), inode: ino });
  expect(Number(mode) & 0o7777).toBe(0o4640);
});

test("devices, and the disk that a path is on", () => {
  expect(sys.statFile("/dev/null")?.special).toEqual({ major: 1, minor: 3 });
  const number = (device: number) => ({
    major: (device >> 8) & 0xfff,
    minor: (device & 0xff) | ((device >>> 12) & 0xfff00),
  });
  expect(sys.statFile(directory)?.device).toEqual(number(fs.statSync(directory).dev));
  expect(sys.blockDeviceOf("/proc")).toBeUndefined();
  expect(sys.blockDeviceOf("/no/such")).toBeUndefined();
  const disk = sys.blockDeviceOf(directory);
  // a file system in memory is on none; a disk is no partition of another
  if (disk) {
    const { major, minor } = disk;
    expect(fs.existsSync(`/sys/dev/block/${major}:${minor}/queue`)).toBe(true);
  }
});

test("a path is made absolute as node:path does it", () => {
  const path = fc
    .array(fc.constantFrom("a", "b.c", ".", "..", "", "/"), { maxLength: 8 })
    .map((parts) => parts.join("/"));
  fc.assert(
    fc.property(path, (text) => {
      expect(sys.absolute(text)).toBe(resolve(text));
      expect(sys.absolute(text, "/x/y")).toBe(resolve("/x/y", text));
    }),
  );
});

test("what is copied of a directory is all of it: a name that cannot be told in an archive is refused", async () => {
  const { packHost } = await hostFiles();
  const folder = join(directory, "names");
  fs.mkdirSync(folder);
  const packed = () => Array.fromAsync(packHost(folder, "names", false));
  fs.symlinkSync("é", join(folder, "ü"));
  expect(Buffer.concat(await packed()).includes("names/ü")).toBe(true);
  fs.writeFileSync(Buffer.concat([Buffer.from(`${folder}/z`), Uint8Array.of(0xe9)]), "");
  expect(await failureOf(packed)).toMatchObject({
    code: "file_refused",
    message: expect.stringContaining("not UTF-8"),
  });
});

test("signals have the numbers of the C library", () => {
  for (const [name, number] of Object.entries(constants.signals)) {
    expect(signalNumber(name), name).toBe(number);
    expect(constants.signals[signalName(number) as NodeJS.Signals]).toBe(number);
  }
});
