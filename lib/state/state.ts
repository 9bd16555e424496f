/** The database. @module */
import type { Rows } from "./rows.ts";

export interface EventRow {
  sequence: number;
  time: number;
  type: string;
  action: string;
  id: string;
  attributes: Record<string, string>;
}

export class State implements Disposable {
  readonly root: string;
  declare readonly containers: Rows;
  declare readonly volumes: Rows;

  /** Nothing is opened before it is needed. */
  constructor(root: string) {
    this.root = root;
  }

  /** All that `work` does is one transaction: other processes see all of it, or nothing. */
  transaction<T>(work: () => T): T {
    return work();
  }

  /** @returns with its number */
  addEvent(_event: Omit<EventRow, "sequence">): EventRow {
    throw new Error("todo");
  }

  /** Behind a number, the oldest first. */
  eventsAfter(_sequence: number): EventRow[] {
    throw new Error("todo");
  }

  [Symbol.dispose](): void {}
}
