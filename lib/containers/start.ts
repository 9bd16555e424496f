/** Starts a container that does not run. @module */
import type { Home } from "./home.ts";

export async function start(_home: Home, _id: string): Promise<void> {
  throw new Error("todo");
}
