/** `spec`: a config.json to begin with. @module */
import { effectiveGid, effectiveUid, TsboxError } from "../../syscalls/index.ts";
import { findHierarchies } from "../cgroup/index.ts";
import { template } from "./template.ts";

/**
 * Writes it, where there is none.
 *
 * @param rootless for the caller, who is not root
 * @throws TsboxError `invalid_option`
 */
export function writeSpec(bundle: string, rootless: boolean): void {
  const spec = template({
    unified: findHierarchies().v1.size === 0,
    ...(rootless ? { rootless: { uid: effectiveUid(), gid: effectiveGid() } } : {}),
  });
  try {
    const { writeFileSync } = process.getBuiltinModule("node:fs");
    writeFileSync(`${bundle}/config.json`, `${JSON.stringify(spec, null, "\t")}\n`, { flag: "wx" });
  } catch (error) {
    if ((error as { code?: string }).code !== "EEXIST") throw error;
    throw new TsboxError("write config.json: File config.json exists. Remove it first", {
      code: "invalid_option",
      path: `${bundle}/config.json`,
    });
  }
}
