/** What a container is made of, as the kernel says it. @module */
import type { Home } from "./home.ts";

export type Explanation = Record<string, unknown>;

export async function explain(_home: Home, _id: string): Promise<Explanation> {
  throw new Error("todo");
}
