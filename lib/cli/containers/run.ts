/** `tsbox run`, where it comes to a container. @module */
import type { ContainerFlags } from "../flags.ts";
import { failWhenIdle } from "../images/with-images.ts";
import { print } from "../print.ts";
import { FAILED } from "../report.ts";
import { callersWorld } from "../run-options.ts";
import { follow } from "./foreground.ts";
import { make } from "./making.ts";
import { containerRequest } from "./options.ts";

/** @returns the exit status: the container's own, or 0 where it is left alone */
export async function runContainer(words: string[], flags: ContainerFlags): Promise<number> {
  failWhenIdle(FAILED);
  const options = containerRequest(words, flags, callersWorld());
  const { attach = [] } = options;
  const { detach = false, tty = false, sigProxy = true, detachKeys } = flags;
  if (detachKeys !== undefined) new (await import("../../terminal/index.ts")).DetachKeys(detachKeys); // checked
  if (tty && !detach) {
    const { callersSize, checkTerminal } = await import("../terminal.ts");
    if (attach.includes("stdin")) checkTerminal();
    if (typeof options.terminal === "object") Object.assign(options.terminal, callersSize());
  }
  const { Containers } = await import("../../containers/index.ts");
  using containers = new Containers();
  const container = await make(containers, options, words, flags);
  const start = () => container.start();
  if (detach) {
    print(`${container.id}\n`);
    await start();
    return 0;
  }
  const [stdin, stdout, stderr] = (["stdin", "stdout", "stderr"] as const).map((name) => attach.includes(name));
  const streams = { stdin: stdin === true, stdout: stdout === true, stderr: stderr === true };
  return await follow(
    container,
    { ...streams, sigProxy: sigProxy && !tty, ...(detachKeys ? { detachKeys } : {}) },
    start,
  );
}
