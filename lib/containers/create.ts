/** A container, made but not started. @module */
import type { MakeOptions } from "./containers.ts";
import type { Home } from "./home.ts";
import type { ContainerOptions } from "./options.ts";
import type { ContainerRecord } from "./record.ts";

export async function create(_home: Home, _options: ContainerOptions, _making: MakeOptions): Promise<ContainerRecord> {
  throw new Error("todo");
}
