/** What each RUN of a build is limited to. No part of what is made, and of no key: it fails, or does the same. @module */
import { GROUP_LIMITS, limitsAsResources, parseSize, rlimitsOf, TsboxError } from "../sandbox/index.ts";
import type { RunSettings } from "./options.ts";

/** Of `security`: what a RUN may do otherwise is for `--security` of the file. */
const PROTECTIONS = ["seccomp", "noNewPrivileges", "landlock"];

/** Also where no RUN is performed. @throws TsboxError `invalid_option` */
export function checkRunSettings(settings: RunSettings): void {
  const { limits = {}, shmSize, ulimits, security = {} } = settings;
  checkNames("run.limits", limits, [...GROUP_LIMITS, "optional"]);
  checkNames("run.security", security, PROTECTIONS);
  limitsAsResources(limits);
  rlimitsOf({ ulimits } as Parameters<typeof rlimitsOf>[0]);
  if (shmSize !== undefined) parseSize("use the shmSize", shmSize);
}

function checkNames(what: string, value: object, names: readonly string[]): void {
  const unknown = Object.keys(value).find((name) => !names.includes(name));
  if (unknown === undefined) return;
  throw new TsboxError(`use the build option ${what}.${unknown}: unknown`, {
    code: "invalid_option",
    hint: names.join(", "),
  });
}
