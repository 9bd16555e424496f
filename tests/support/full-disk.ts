/** File systems with little room, and ones that are only read; as root. @module */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { asRoot } from "./machine.ts";
import type { Folder } from "./rootfs.ts";

export const noMounts = asRoot ? undefined : "mounting a small disk needs root";

/** A disk of so many KiB, gone at the end of the block. */
export function smallDisk(folder: Folder, kib: number): { path: string; readOnly(): void } & Disposable {
  const path = join(folder.path, `disk${crypto.randomUUID()}`);
  mkdirSync(path);
  const run = (...command: string[]) => {
    const { exitCode, stderr } = Bun.spawnSync(command, { stdin: "ignore", stderr: "pipe" });
    if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${stderr.toString()}`);
  };
  run("mount", "-t", "tmpfs", "-o", `size=${kib}k`, "tmpfs", path);
  return {
    path,
    readOnly: () => run("mount", "-o", "remount,ro", path),
    [Symbol.dispose]: () => run("umount", path),
  };
}
