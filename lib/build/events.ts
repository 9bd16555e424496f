/** What a build tells of while it runs. @module */

/** Steps are known by their number, from 0; the whole graph is told before any of them begins. */
export type BuildEvent =
  /** Before the graph is known: an image that is fetched. */
  | { type: "resolving"; reference: string }
  | { type: "plan"; steps: PlannedStep[] }
  | { type: "started"; step: number; at: number }
  /** A piece of what a RUN writes, or of progress texts of a source. */
  | { type: "output"; step: number; stream: "stdout" | "stderr"; bytes: Uint8Array }
  | { type: "progress"; step: number; what: string; doneBytes: number; totalBytes?: number }
  /** `canceled`: it was not its own failure, but that of another step, or whoever builds ended it. */
  | { type: "ended"; step: number; at: number; cached: boolean; error?: string; canceled?: true }
  | { type: "warning"; message: string; line?: number; rule?: string }
  | { type: "exporting"; what: string };

export interface PlannedStep {
  step: number;
  /** `"[build 2/5] RUN make"`, as BuildKit's. */
  title: string;
  stage: string;
  /** Steps that have to be done before. */
  after: number[];
  line?: number;
  /** Known before anything is done: it is in the cache. */
  cached?: boolean;
}
