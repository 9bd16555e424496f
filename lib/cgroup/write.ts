/** What settings say, written to a group's files. @module */
import * as sys from "../../syscalls/index.ts";
import { errnoName, TsboxError } from "../../syscalls/index.ts";
import type { DeviceRule } from "../spec/index.ts";
import { deviceProgram } from "./devices.ts";
import { unavailable } from "./place.ts";
import type { Controller, Setting, Write } from "./settings.ts";

const [ENOENT, EBUSY] = [-2, -16];
const HINTS: Record<number, string> = {
  [ENOENT]: "this kernel has no such file: it lacks what the limit needs",
  [EBUSY]: "more than that is in use",
};

/** @throws TsboxError `limit_unavailable` where the version lacks it */
export function writesOf({ controller, ...files }: Setting, version: "v1" | "v2"): Write[] {
  const writes = files[version];
  if (Array.isArray(writes)) return writes;
  throw unavailable(controller, `cgroup ${version} has no ${writes.lacks}`);
}

/** @throws TsboxError `limit_unavailable` */
export function writeAll(controller: Controller, directory: string, writes: readonly Write[]): void {
  // one of two limits may have to be raised before the other can be
  const refused = writes.filter((one) => writeFile(directory, one) < 0);
  for (const one of refused) {
    const { file, value } = one;
    must(`limit ${controller}: write "${value}" to "${file}"`, writeFile(directory, one));
  }
}

function writeFile(directory: string, { file, value, optional, or }: Write): number {
  const result = sys.writeKernelFile(`${directory}/${file}`, value);
  if (result === ENOENT && or) return sys.writeKernelFile(`${directory}/${or.file}`, or.value);
  return result === ENOENT && optional ? 0 : result;
}

export function must(action: string, result: number): void {
  if (result >= 0) return;
  throw new TsboxError(`${action}: ${errnoName(-result)}`, {
    code: "limit_unavailable",
    errno: -result,
    ...(HINTS[result] === undefined ? {} : { hint: HINTS[result] }),
  });
}

/** In version 2, where a program says it. @throws TsboxError `limit_unavailable` */
export function decideDevices(path: string, rules: readonly DeviceRule[]): void {
  using opened = new sys.Descriptors();
  const group = opened.add(sys.open(path, sys.O_RDONLY | sys.O_DIRECTORY));
  sys.attachDeviceProgram(group, deviceProgram(rules));
}
