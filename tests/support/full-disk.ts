/** File systems with little room, and ones that are only read; as root. @module */
import { appendFileSync, mkdirSync, statSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { asRoot } from "./machine.ts";
import type { Folder } from "./rootfs.ts";

export const noMounts = asRoot ? undefined : "mounting a small disk needs root";

interface SmallDisk extends Disposable {
  path: string;
  readOnly(): void;
  /** Until there is no more room than that. */
  fill(leftKib?: number): void;
}

/** A disk of so many KiB, gone at the end of the block. */
export function smallDisk(folder: Folder, kib: number): SmallDisk {
  const path = join(folder.path, `disk${crypto.randomUUID()}`);
  mkdirSync(path);
  const run = (...command: string[]) => {
    const { exitCode, stderr } = Bun.spawnSync(command, { stdin: "ignore", stderr: "pipe" });
    if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${stderr.toString()}`);
  };
  run("mount", "-t", "tmpfs", "-o", `size=${kib}k`, "tmpfs", path);
  return {
    path,
    fill(leftKib = 0) {
      const file = join(path, `fill${crypto.randomUUID()}`);
      for (let bytes = 2 ** 20; bytes >= 1024;) {
        try {
          appendFileSync(file, Buffer.alloc(bytes));
        } catch {
          bytes /= 2;
        }
      }
      truncateSync(file, Math.max(0, statSync(file).size - leftKib * 1024));
    },
    readOnly: () => run("mount", "-o", "remount,ro", path),
    [Symbol.dispose]() {
      // what works in the background is over soon
      for (let turn = 0; turn < 50; turn++) {
        if (Bun.spawnSync(["umount", path], { stderr: "ignore" }).exitCode === 0) return;
        Bun.sleepSync(100);
      }
      run("umount", path);
    },
  };
}
