/** Changes a container that is there. @module */
import type { Limits } from "../sandbox/index.ts";
import type { Home } from "./home.ts";
import type { RestartPolicy } from "./options.ts";

export interface UpdateOptions {
  limits?: Limits;
  restart?: RestartPolicy;
}

export async function update(_home: Home, _id: string, _options: UpdateOptions): Promise<string[]> {
  throw new Error("todo");
}

export async function rename(_home: Home, _id: string, _name: string): Promise<void> {
  throw new Error("todo");
}
