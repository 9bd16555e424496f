/** What all steps of one build share. @module */
import type { Base } from "./bases.ts";
import type { BuildCache } from "./cache.ts";
import type { Checked } from "./checks.ts";
import type { Contexts } from "./contexts.ts";
import type { BuildEvent } from "./events.ts";
import type { createFiles } from "./files/index.ts";
import type { BuildOptions } from "./options.ts";
import type { RemoteSteps } from "./remote-cache.ts";
import type { Place, Snapshot } from "./snapshot.ts";
import type { Step } from "./step.ts";
import type { Workspace } from "./workspace.ts";

export interface Making extends Place {
  checked: Checked;
  cache: BuildCache;
  /** Of others. */
  remote: RemoteSteps | undefined;
  workspace: Workspace;
  files: ReturnType<typeof createFiles>;
  contexts: Contexts;
  bases: ReadonlyMap<string, Base>;
  options: BuildOptions;
  /** What the file is called. */
  file: string;
  epoch: number | undefined;
  signal: AbortSignal;
  onEvent(event: BuildEvent): void;
}

/** What a step finds. */
export interface Found {
  step: Step;
  below: Snapshot;
  /** Of steps that files come from, by their numbers. */
  snapshots: ReadonlyMap<number, Snapshot>;
}
