/** `run`: creates a container, starts it, and waits for it unless it is detached. @module */
import { createContainer } from "./create.ts";
import { waitForChild } from "./child.ts";
import { joinConsole } from "./console.ts";
import { removeContainer } from "./delete.ts";
import { startCreated } from "./start.ts";
import type { RunOptions, Runtime } from "./runtime.ts";

/** @returns the exit status of its process; 0 where it is detached */
export async function run(runtime: Runtime, id: string, options: RunOptions): Promise<number> {
  const { container, launched, spec } = await createContainer(runtime, id, options, options.detach);
  try {
    await startCreated(container);
    if (options.detach) return 0;
    const joined = spec.process.terminal && launched.passed ? joinConsole(launched.passed) : undefined;
    const status = await waitForChild(launched.pid);
    await joined;
    return status;
  } finally {
    if (!options.detach && !options.keep) await removeContainer(container, true);
    container[Symbol.dispose]();
  }
}
