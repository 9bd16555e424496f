/** Programs that are run at points of a container's life. @see https://github.com/opencontainers/runtime-spec/blob/v1.2.0/config.md#posix-platform-hooks @module */

export interface Hook {
  /** Absolute. */
  path: string;
  /** As of execve(2): the first is its name. Absent: the path alone. */
  args?: readonly string[];
  env?: readonly string[];
  /** Seconds: after them it is killed, which is an error. */
  timeout?: number;
}

export type HookKind = "prestart" | "createRuntime" | "createContainer" | "startContainer" | "poststart" | "poststop";
export type Hooks = Partial<Record<HookKind, readonly Hook[]>>;
