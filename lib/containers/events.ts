/** What happens to containers. @module */
import type { Home } from "./home.ts";
import type { ContainerEvent } from "./record.ts";

export interface EventsOptions {
  /** Milliseconds since 1970. */
  since?: number;
  /** Ends there. */
  until?: number;
  /** Docker's, by name. */
  filters?: Record<string, string[]>;
  signal?: AbortSignal;
}

export async function* events(_home: Home, _options: EventsOptions): AsyncGenerator<ContainerEvent, void, void> {
  yield* [] as ContainerEvent[];
  throw new Error("todo");
}
