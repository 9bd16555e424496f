/** Programs as executable files, for this architecture and, emulated, for the other. @module */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  ARCH,
  close,
  cstring,
  elfImage,
  Program,
  readReport,
  ref,
  sealedFile,
  words,
  type Arch,
} from "../syscalls/index.ts";
import { ARCHES } from "./headers.ts";
import { label, op, step } from "./ops.ts";

const folder = mkdtempSync(join(tmpdir(), "tsbox-image-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Says hello, goes once around a loop, meets two errors on the way, exits with 42. */
function imageProgram(arch: Arch): Program {
  const count = words("count", 0);
  const text = cstring("hello from an image\n");
  return new Program(
    step(
      op("write", [1, text, text.data.length - 1]),
      label("again"),
      op("load", [count, 8], { out: "count" }),
      op("jumpIf", [ref("count"), 3, 0], { label: "counted" }),
      op("store", [count, 3, 8]),
      op("fchdir", [-1], { onError: { ignore: "EBADF" } }),
      op("jump", [], { label: "again" }),
      label("counted"),
      op("fchdir", [-1], { onError: { jump: "caught" } }),
      op("exit_group", [1]),
      label("caught"),
      op("exit_group", [42]),
    ),
    arch,
  );
}

function imageFile(name: string, program: Program): string {
  const file = join(folder, name);
  writeFileSync(file, elfImage(program), { mode: 0o700 });
  return file;
}

test("it runs from a sealed memory file", () => {
  const fd = sealedFile("image", elfImage(imageProgram(ARCH)));
  const { exitCode, stdout } = Bun.spawnSync([`/proc/${process.pid}/fd/${fd}`]);
  close(fd);
  expect([exitCode, stdout.toString()]).toEqual([42, "hello from an image\n"]);
});

test("a plan that fails exits with 127", () => {
  const file = imageFile("fails", new Program(step(op("fchdir", [-1])), ARCH));
  expect(Bun.spawnSync([file]).exitCode).toBe(127);
});

test("slots can be bound, and a failure be reported", () => {
  const plan = step(op("fail", [ref("errno")]));
  const file = join(folder, "bound");
  writeFileSync(file, elfImage(new Program(plan, ARCH), { errno: 40 }, 1), { mode: 0o700 });
  const { exitCode, stdout } = Bun.spawnSync([file]);
  expect(exitCode).toBe(127);
  const report = new DataView(stdout.buffer, stdout.byteOffset, stdout.byteLength);
  expect(readReport(report, plan)).toEqual({ step: plan[0]!, errno: 40, call: "fail" });
});

const emulators: Record<Arch, string[]> = {
  x64: ["qemu-x86_64", "qemu-x86_64-static"],
  arm64: ["qemu-aarch64", "qemu-aarch64-static"],
};
test.each(ARCHES)("%s: addresses and file offsets agree for pages of up to 64 KiB", (arch) => {
  const view = new DataView(elfImage(imageProgram(arch)).buffer);
  for (const header of [64, 64 + 56]) {
    const word = (at: number) => Number(view.getBigUint64(header + at, true));
    expect([word(8) % 65536, word(48)]).toEqual([word(16) % 65536, 65536]);
  }
});

for (const arch of ARCHES) {
  const command = arch === ARCH ? [] : emulators[arch].filter((name) => Bun.which(name)).slice(0, 1);
  const reason = arch === ARCH || command.length > 0 ? "" : ` (skipped: no ${emulators[arch][0]})`;
  test.skipIf(reason !== "")(`the code of ${arch} runs${reason}`, () => {
    const { exitCode, stdout } = Bun.spawnSync([...command, imageFile(arch, imageProgram(arch))]);
    expect([exitCode, stdout.toString()]).toEqual([42, "hello from an image\n"]);
  });
}
