/** Lines of shell in sandboxes of a root filesystem. @module */
import { expect } from "bun:test";
import { Sandbox, type RunOptions } from "../../lib/index.ts";
import type { Folder } from "./rootfs.ts";

/** What a line prints, in a sandbox of its own; it has to do well, and to say nothing on stderr. */
export const shellIn =
  (root: Folder) =>
  async (line: string, options: RunOptions = {}): Promise<string> => {
    const { exitCode, stdout, stderr } = await Sandbox.run(["/bin/sh", "-c", line], { rootfs: root.path, ...options });
    expect([stderr, exitCode]).toEqual(["", 0]);
    return stdout.trim();
  };
