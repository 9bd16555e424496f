/**
 * The calls that making a group would take; for a plan that is only printed.
 * @module
 */
import { cstring, named, ref, TsboxError, type Op, type Plan, type Step } from "../../syscalls/index.ts";
import type { Resources } from "../spec/index.ts";
import { findPlaces, isCrowded, isEnabled, unavailable, type Place } from "./place.ts";
import { settingsOf, type Setting } from "./settings.ts";

const here = named("AT_FDCWD", -100);

/** The steps, and how the group would be joined. */
export function cgroupPlan(
  resources: Resources,
  below?: string,
): { steps: Plan; membership: { tasks: number; into: boolean; crowded: boolean } } {
  const steps: Plan = [];
  const [tasks, v2] = [new Set<string>(), new Set<string>()];
  for (const setting of settingsOf(resources)) {
    try {
      const place = findPlaces([setting.controller], below, isEnabled).get(setting.controller) as Place;
      const directory = `${place.parent}/tsbox-…`;
      steps.push(stepOf(setting, place, directory));
      (place.version === "v1" ? tasks : v2).add(directory);
    } catch (error) {
      if (!(error instanceof TsboxError)) throw error;
      steps.push({ action: `${error.message}: ${error.hint}`, ops: [] });
    }
  }
  const crowded = below !== undefined && isCrowded(below);
  return { steps, membership: { tasks: tasks.size, into: v2.size > 0, crowded } };
}

function stepOf(setting: Setting, { version }: Place, directory: string): Step {
  const writes = setting[version];
  if (!Array.isArray(writes)) throw unavailable(setting.controller, `cgroup ${version} has no ${writes.lacks}`);
  const ops: Op[] = [{ call: "mkdirat", args: [here, cstring(directory), 0o755], onError: { ignore: "EEXIST" } }];
  for (const { file, value } of writes) {
    const path = cstring(`${directory}/${file}`);
    ops.push(
      { call: "openat", args: [here, path, named("O_WRONLY|O_CLOEXEC", 0o2000001), 0], out: "file" },
      { call: "write", args: [ref("file"), cstring(value), value.length] },
    );
  }
  if (setting.controller === "devices" && version === "v2") {
    const [load, attach] = [named("BPF_PROG_LOAD", 5), named("BPF_PROG_ATTACH", 8)];
    for (const command of [load, attach]) ops.push({ call: "bpf", args: [command, named("attr", 0), 72] });
  }
  return { action: `limit ${setting.controller}`, ops };
}
