/** Removes a container, with all that it has. @module */
import type { Home } from "./home.ts";

export interface RemoveOptions {
  /** Also one that runs, which is killed. */
  force?: boolean;
  /** With its own volumes. */
  volumes?: boolean;
}

export async function remove(_home: Home, _id: string, _options: RemoveOptions): Promise<void> {
  throw new Error("todo");
}
