/**
 * What the C headers of this machine say, for comparison: compiled for either architecture, never run. The numbers
 * are read out of a section of the object file, so a cross compiler is enough.
 * @module
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Arch } from "../syscalls/numbers.ts";

export const ARCHES: Arch[] = ["x64", "arm64"];
const PREFIX = { x64: "x86_64-linux-gnu", arm64: "aarch64-linux-gnu" };

/** Why the headers of an architecture cannot be asked; empty when they can. For the name of a skipped test. */
export function missingCompiler(...arches: Arch[]): string {
  const missing = arches.map((arch) => `${PREFIX[arch]}-gcc`).filter((gcc) => Bun.which(gcc) === null);
  return missing.length === 0 ? "" : ` (skipped: no ${missing.join(", ")})`;
}

/** The values of C constant expressions. */
export function evaluate(arch: Arch, headers: string[], expressions: string[]): number[] {
  const folder = mkdtempSync(join(tmpdir(), "tsbox-headers-"));
  try {
    const [source, object, section] = ["c", "o", "bin"].map((suffix) => join(folder, `probe.${suffix}`)) as [
      string,
      string,
      string,
    ];
    const values = expressions.map((expression) => `(long long)(${expression}),`).join("\n");
    writeFileSync(
      source,
      `${include(headers)}\n__attribute__((section(".probe"), used)) const long long answers[] = {\n${values}\n};\n`,
    );
    run(`${PREFIX[arch]}-gcc`, "-c", "-w", source, "-o", object);
    run(`${PREFIX[arch]}-objcopy`, "-O", "binary", "-j", ".probe", object, section);
    const bytes = new Uint8Array(readFileSync(section));
    return Array.from(new BigInt64Array(bytes.buffer), Number);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Names of the macros that begin with `prefix`. */
export function macros(arch: Arch, headers: string[], prefix: string): string[] {
  const output = run(`${PREFIX[arch]}-gcc`, "-E", "-dM", "-x", "c", "-", { stdin: include(headers) });
  return [...output.matchAll(/^#define (\w+) /gm)]
    .map((match) => match[1] as string)
    .filter((n) => n.startsWith(prefix));
}

const include = (headers: string[]) =>
  ["#define _GNU_SOURCE", "#include <stddef.h>", ...headers.map((header) => `#include <${header}>`), ""].join("\n");

function run(command: string, ...rest: (string | { stdin: string })[]): string {
  const options = rest.filter((arg) => typeof arg === "object")[0];
  const args = rest.filter((arg) => typeof arg === "string");
  const { exitCode, stdout, stderr } = Bun.spawnSync([command, ...args], {
    stdin: Buffer.from(options?.stdin ?? ""),
    stderr: "pipe",
  });
  if (exitCode !== 0) throw new Error(`${command} ${args.join(" ")}: ${stderr.toString()}`);
  return stdout.toString();
}
