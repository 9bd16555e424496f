/** After the machine has started. @module */
import type { Home } from "./home.ts";

/** @returns ids of those that were started */
export async function boot(_home: Home): Promise<string[]> {
  throw new Error("todo");
}
