/** A further process in a container. @module */
import type { SandboxProcess, SpawnOptions } from "../sandbox/index.ts";
import type { Home } from "./home.ts";

export interface ExecOptions extends SpawnOptions {
  /** With all capabilities, and without a seccomp filter. */
  privileged?: boolean;
}

export async function exec(
  _home: Home,
  _id: string,
  _command: string[],
  _options: ExecOptions,
): Promise<SandboxProcess> {
  throw new Error("todo");
}

export async function execDetached(_home: Home, _id: string, _command: string[], _options: ExecOptions): Promise<void> {
  throw new Error("todo");
}
