/** Stops all processes of a container, without their noticing. @module */
import type { Home } from "./home.ts";

export async function pause(_home: Home, _id: string): Promise<void> {
  throw new Error("todo");
}

export async function unpause(_home: Home, _id: string): Promise<void> {
  throw new Error("todo");
}
