/**
 * The smallest root filesystem: mount points, and a static program. That is busybox's `true` where it is installed
 * (Debian: busybox-static); or, to run calls of our own, an image made of a plan, so that no compiler is needed.
 * @module
 */
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ARCH, elfImage, Program, type Op } from "../syscalls/index.ts";

const BUSYBOX = "/bin/busybox";

/** Path of the program inside. */
export const TRUE = "/true";

export class Rootfs implements Disposable {
  readonly path: string;

  /** @param ops what the program does before it exits with status 0; without, it is busybox's */
  constructor(ops?: Op[]) {
    this.path = mkdtempSync(join(tmpdir(), "tsbox-bench-"));
    chmodSync(this.path, 0o755); // whoever is mapped has to get in
    for (const name of ["proc", "sys", "dev", "tmp"]) mkdirSync(join(this.path, name));
    if (ops === undefined && existsSync(BUSYBOX)) copyFileSync(BUSYBOX, join(this.path, TRUE));
    else writeFileSync(join(this.path, TRUE), image(ops ?? []), { mode: 0o755 });
    process.once("exit", () => this[Symbol.dispose]());
    for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

function image(ops: Op[]): Uint8Array {
  const exit: Op = { call: "exit_group", args: [0] };
  return elfImage(new Program([{ action: "exit", ops: [...ops, exit] }], ARCH));
}
