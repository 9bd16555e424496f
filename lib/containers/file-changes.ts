/** What happens to files before they are mounted: `U`, `z` and `Z`. @module */
import type { BindMount } from "../sandbox/index.ts";
import type { ImageFiles } from "./mounts.ts";
import type { ContainerOptions } from "./options.ts";
export function changeOwners(_mount: BindMount, _options: ContainerOptions, _image: ImageFiles): void {
  throw new Error("todo");
}
export function relabelFiles(_mount: BindMount): void {
  throw new Error("todo");
}
