/** Whether sandboxes can have a way out here. @module */
import { join } from "node:path";
import { noSandbox } from "./machine.ts";

const library = join(import.meta.dirname, "../../lib/index.ts");

/** In a process of its own: the thread of gateways stays in the network namespace that it was begun in. */
function findReason(): string | undefined {
  const script = `const { Sandbox } = await import(${JSON.stringify(library)});
    try { await Sandbox.run(["true"], { network: {} }); } catch (error) {
      // anything else is a failure that the tests are to see
      if (error.code === "unsupported") console.log(error.message);
    }`;
  const { stdout } = Bun.spawnSync([process.execPath, "-e", script]);
  return stdout.toString().trim() || undefined;
}

/** A reason, or undefined where there is none to skip. */
export const noGateway = noSandbox ?? findReason();
