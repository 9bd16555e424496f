/** What each RUN of a build is limited to. No part of what is made, and of no key: it fails, or does the same. @module */
import { checkKeys } from "../options/index.ts";
import { GROUP_LIMITS, limitsAsResources, parseSize, rlimitsOf } from "../sandbox/index.ts";
import type { RunSettings } from "./options.ts";

/** Of `security`: what a RUN may do otherwise is for `--security` of the file. */
const PROTECTIONS = ["seccomp", "noNewPrivileges", "landlock"];

/** Also where no RUN is performed. @throws TsboxError `invalid_option` */
export function checkRunSettings(settings: RunSettings): void {
  const { limits = {}, shmSize, ulimits, security = {} } = settings;
  checkKeys("build option", limits, [...GROUP_LIMITS, "optional"], "run.limits");
  checkKeys("build option", security, PROTECTIONS, "run.security");
  limitsAsResources(limits);
  rlimitsOf({ ulimits } as Parameters<typeof rlimitsOf>[0]);
  if (shmSize !== undefined) parseSize("use the shmSize", shmSize);
}
