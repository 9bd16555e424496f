/** What a runtime tells of a container, and what hooks read. @see https://github.com/opencontainers/runtime-spec/blob/v1.2.0/runtime.md#state @module */

/** `paused` is runc's: the specification allows others than its own. */
export type Status = "creating" | "created" | "running" | "paused" | "stopped";

export interface State {
  ociVersion: string;
  id: string;
  status: Status;
  /** Absent where there is no process. */
  pid?: number;
  /** Absolute. */
  bundle: string;
  annotations?: Record<string, string>;
}
