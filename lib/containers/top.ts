/** The processes of a container. @module */
import type { Home } from "./home.ts";

export type TopRow = string[];

export async function top(_home: Home, _id: string, _words: string[]): Promise<{ titles: string[]; rows: TopRow[] }> {
  throw new Error("todo");
}
