/**
 * The JavaScript runtime that this program runs on, inside: its own file, read-only, so that nothing has to be
 * installed to run somebody's script.
 * @module
 */
import { runtime, TsboxError } from "../../syscalls/index.ts";
import type { Mount } from "../spec/index.ts";
import { checkChoice, invalid } from "../options/index.ts";
import { SYSTEM } from "./host.ts";
import type { Request } from "./stacked-root.ts";

const directory = `/opt/${runtime.name}/bin`;
/** Where it is inside. */
export const RUNTIME_TARGET = `${directory}/${runtime.name}`;

/**
 * Whether a request comes with the runtime: it was asked for, or its name is the command in a view of a host that has
 * none where sandboxes see it.
 * @param path of the environment inside
 * @throws TsboxError `invalid_option`, `unsupported`
 */
export function wantsRuntime(command: string | undefined, options: Request, path: string): boolean {
  const { rootfs = "host", namespaces, stack } = options;
  const asked = checkChoice<boolean>("runtime", options.runtime, false, true);
  if (asked && namespaces?.mount === "host")
    throw invalid('use "runtime" in the host\'s mount namespace: nothing can be mounted there');
  if (asked && !runtime.executable()) {
    const message = `use the runtime ${runtime.name}: this program has none that could run scripts`;
    throw new TsboxError(message, { code: "unsupported", hint: "a program that `deno compile` made runs only itself" });
  }
  if (asked || options.runtime === false || command !== runtime.name) return asked;
  if (stack || rootfs !== "host" || namespaces?.mount === "host" || isSeen(command, path)) return false;
  return runtime.executable() !== undefined;
}

/** Whether a view of the host has this program. */
function isSeen(name: string, path: string): boolean {
  const { realpathSync } = process.getBuiltinModule("node:fs");
  return path.split(":").some((each) => {
    try {
      const real = realpathSync(`${each}/${name}`);
      return SYSTEM.some((system) => real.startsWith(`${system}/`));
    } catch {
      return false;
    }
  });
}

export function runtimeMount(): Mount {
  const source = runtime.executable()?.path as string;
  return { destination: RUNTIME_TARGET, type: "bind", source, options: ["rbind", "rro", "rnosuid", "rnodev"] };
}

/** What has to be in the environment for it. */
export function runtimeEnvironment(path: string): Record<string, string> {
  return { PATH: `${path}:${directory}`, ...runtime.executable()?.env };
}
