/**
 * The smallest root filesystem: mount points, and a static program that ends at once. It is made of a plan of the
 * project's own, so no compiler is needed.
 * @module
 */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ARCH, elfImage, Program, type Op } from "../syscalls/index.ts";

/** Path of the program inside. */
export const TRUE = "/true";

export class Rootfs implements Disposable {
  readonly path: string;

  /** @param ops what the program does before it exits with status 0 */
  constructor(ops: Op[] = []) {
    this.path = mkdtempSync(join(tmpdir(), "tsbox-bench-"));
    chmodSync(this.path, 0o755); // whoever is mapped has to get in
    for (const name of ["proc", "sys", "dev", "tmp"]) mkdirSync(join(this.path, name));
    const exit: Op = { call: "exit_group", args: [0] };
    const program = new Program([{ action: "exit", ops: [...ops, exit] }], ARCH);
    writeFileSync(join(this.path, TRUE), elfImage(program), { mode: 0o755 });
    process.once("exit", () => this[Symbol.dispose]());
    for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
