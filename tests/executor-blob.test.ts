/** Committed machine code: that it comes from its source, is position independent and short. @module */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EXECUTOR_BLOB } from "../syscalls/executor/blob.ts";
import { SHA256_BLOB } from "../syscalls/sha256/blob.ts";
import { ARCHES, missingCompiler } from "./headers.ts";

const syscalls = join(import.meta.dirname, "../syscalls");
/** What has machine code, the registers that it keeps to, and how many bytes it may have. */
const CODE = [
  { name: "executor", blob: EXECUTOR_BLOB, flags: { x64: "-mno-sse", arm64: "-mgeneral-regs-only" }, mostBytes: 1536 },
  {
    name: "sha256",
    blob: SHA256_BLOB,
    flags: { x64: "-msha -msse4.1", arm64: "-march=armv8-a+crypto" },
    mostBytes: 2048,
  },
] as const;
const folder = mkdtempSync(join(tmpdir(), "tsbox-executor-"));
afterAll(() => rmSync(folder, { recursive: true }));

const missing = missingCompiler(...ARCHES);
// another compiler may choose other instructions
const sameCompiler = missing === "" && Bun.spawnSync(["gcc", "-dumpversion"]).stdout.toString().trim() === "12";
const reason = missing || (sameCompiler ? "" : " (skipped: gcc is not version 12, the one of Debian 12)");

/** What a linker fills in that is relative to where it stands. */
const RELATIVE =
  /^R_(X86_64_(PLT32|PC32)|AARCH64_(CALL26|JUMP26|ADR_PREL\w*|ADD_ABS_LO12_NC|LDST\d+_ABS_LO12_NC|PREL(16|32)))$/;

for (const { name, blob, flags, mostBytes } of CODE) {
  const source = join(syscalls, name);
  test.skipIf(reason !== "")(`${name}: build.sh makes the committed bytes of the source${reason}`, () => {
    const build = Bun.spawnSync(["sh", join(source, "build.sh")], { stderr: "inherit" });
    expect(build.exitCode).toBe(0);
    expect(build.stdout.toString()).toBe(readFileSync(join(source, "blob.ts"), "utf8"));
  });

  for (const arch of ARCHES) {
    test.skipIf(missing !== "")(
      `${name}, ${arch}: no address is fixed, nothing lies in writable memory${missing}`,
      () => {
        const prefix = arch === "x64" ? "x86_64-linux-gnu" : "aarch64-linux-gnu";
        const object = join(folder, `${name}-${arch}.o`);
        const all = ["-Os", "-ffreestanding", "-fPIE", "-fno-asynchronous-unwind-tables", ...flags[arch].split(" ")];
        const compile = [`${prefix}-gcc`, ...all, "-c", join(source, `${name}.c`), "-o", object];
        expect(Bun.spawnSync(compile, { stderr: "inherit" }).exitCode).toBe(0);
        const relocations = Bun.spawnSync([`${prefix}-objdump`, "-r", object]).stdout.toString();
        const kinds = new Set([...relocations.matchAll(/R_[A-Z0-9_]+/g)].map((match) => match[0]));
        expect(kinds.size).toBeGreaterThan(0);
        expect([...kinds].filter((kind) => !RELATIVE.test(kind))).toEqual([]);
        const sizes = Bun.spawnSync([`${prefix}-size`, "-A", object]).stdout.toString();
        for (const section of [".data", ".bss"]) expect(sizes).toMatch(new RegExp(`^\\${section} +0 `, "m"));
      },
    );

    test(`${name}, ${arch}: at most ${mostBytes} bytes`, () => {
      expect(Buffer.from(blob[arch], "base64").length).toBeLessThanOrEqual(mostBytes);
    });
  }
}
