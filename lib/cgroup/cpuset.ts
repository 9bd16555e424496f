/** CPUs and memory nodes of groups of version 1. @module */
import * as sys from "../../syscalls/index.ts";
import { parentOf } from "./place.ts";
import { must } from "./write.ts";

/** No process may be in a group without CPUs and memory nodes; new ones have none. What it has stays. */
export function inheritCpuset(path: string): void {
  const read = (directory: string, file: string) => (sys.readKernelFile(`${directory}/${file}`) ?? "").trim();
  for (const file of ["cpuset.cpus", "cpuset.mems"]) {
    if (read(path, file) !== "") continue;
    must(`inherit "${file}"`, sys.writeKernelFile(`${path}/${file}`, read(parentOf(path), file)));
  }
}
