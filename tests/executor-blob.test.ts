/** The executor's committed bytes: that they come from its source, are position independent and few. @module */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EXECUTOR_BLOB } from "../syscalls/executor/blob.ts";
import { ARCHES, missingCompiler } from "./headers.ts";

const source = join(import.meta.dirname, "../syscalls/executor");
const folder = mkdtempSync(join(tmpdir(), "tsbox-executor-"));
afterAll(() => rmSync(folder, { recursive: true }));

const missing = missingCompiler(...ARCHES);
// another compiler may choose other instructions
const sameCompiler = missing === "" && Bun.spawnSync(["gcc", "-dumpversion"]).stdout.toString().trim() === "12";
const reason = missing || (sameCompiler ? "" : " (skipped: gcc is not version 12, the one of Debian 12)");

test.skipIf(reason !== "")(`build.sh makes the committed bytes of the source${reason}`, () => {
  const build = Bun.spawnSync(["sh", join(source, "build.sh")], { stderr: "inherit" });
  expect(build.exitCode).toBe(0);
  expect(build.stdout.toString()).toBe(readFileSync(join(source, "blob.ts"), "utf8"));
});

/** What a linker fills in that is relative to where it stands. */
const RELATIVE =
  /^R_(X86_64_(PLT32|PC32)|AARCH64_(CALL26|JUMP26|ADR_PREL\w*|ADD_ABS_LO12_NC|LDST\d+_ABS_LO12_NC|PREL(16|32)))$/;

for (const arch of ARCHES) {
  test.skipIf(missing !== "")(`${arch}: no address is fixed, nothing lies in writable memory${missing}`, () => {
    const prefix = arch === "x64" ? "x86_64-linux-gnu" : "aarch64-linux-gnu";
    const object = join(folder, `${arch}.o`);
    const registers = arch === "x64" ? "-mno-sse" : "-mgeneral-regs-only";
    const flags = ["-Os", "-ffreestanding", "-fPIE", "-fno-asynchronous-unwind-tables", registers];
    const compile = [`${prefix}-gcc`, ...flags, "-c", join(source, "executor.c"), "-o", object];
    expect(Bun.spawnSync(compile, { stderr: "inherit" }).exitCode).toBe(0);
    const relocations = Bun.spawnSync([`${prefix}-objdump`, "-r", object]).stdout.toString();
    const kinds = new Set([...relocations.matchAll(/R_[A-Z0-9_]+/g)].map((match) => match[0]));
    expect(kinds.size).toBeGreaterThan(0);
    expect([...kinds].filter((kind) => !RELATIVE.test(kind))).toEqual([]);
    const sizes = Bun.spawnSync([`${prefix}-size`, "-A", object]).stdout.toString();
    for (const section of [".data", ".bss"]) expect(sizes).toMatch(new RegExp(`^\\${section} +0 `, "m"));
  });

  test(`${arch}: fewer than 1.5 KiB`, () => {
    expect(Buffer.from(EXECUTOR_BLOB[arch], "base64").length).toBeLessThan(1536);
  });
}
