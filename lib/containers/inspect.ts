/** A container as Docker's API describes it. @module */
import type { Home } from "./home.ts";

export type ContainerInspect = Record<string, unknown>;

export async function inspect(_home: Home, _id: string, _options: { size?: boolean }): Promise<ContainerInspect> {
  throw new Error("todo");
}
