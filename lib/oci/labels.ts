/** Which labels of a container mean something on this machine. @module */
import { show } from "../../syscalls/index.ts";
import { securityModules } from "../launch/index.ts";
import type { Facts, StartableSpec } from "../plan/index.ts";
import type { Logger } from "./log.ts";

/** Looked at only where there are labels. */
export function labelFacts({ process, linux }: StartableSpec, log: Logger): Pick<Facts, "modules"> {
  const { apparmorProfile, selinuxLabel } = process;
  if ((apparmorProfile ?? selinuxLabel ?? linux.mountLabel) === undefined) return {};
  const modules = securityModules();
  if (apparmorProfile !== undefined && !modules.apparmor)
    log.warn(`ignoring the AppArmor profile ${show(apparmorProfile)}: AppArmor is not enabled on this machine`);
  return { modules };
}
