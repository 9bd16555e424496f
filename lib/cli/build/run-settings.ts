/** Flags of `tsbox build` for what each RUN is limited to, which `tsbox run` has as well. @module */
import type { BuildOptions } from "../../build/index.ts";
import { invalid } from "../invalid.ts";
import { callersWorld, defined, limits, security, ulimit } from "../run-options.ts";
import type { BuildFlags } from "./flags.ts";

/** @throws TsboxError `invalid_option` */
export function runSettingsOf(flags: BuildFlags): Pick<BuildOptions, "run"> {
  const { shmSize, cgroupParent, isolation } = flags;
  if (isolation !== undefined && isolation !== "default" && isolation !== "")
    throw invalid("--isolation", isolation, "not known", "default");
  const ulimits = Object.fromEntries((flags.ulimit ?? []).map(ulimit));
  const options = flags.securityOpt ? { securityOpt: flags.securityOpt } : {};
  const { memory, memorySwap, cpuShares, cpuPeriod, cpuQuota, cpusetCpus, cpusetMems } = flags;
  const limited = limits(defined({ memory, memorySwap, cpuShares, cpuPeriod, cpuQuota, cpusetCpus, cpusetMems }));
  return {
    run: {
      limits: limited,
      ulimits,
      security: security(options, callersWorld()),
      ...defined({ shmSize, cgroupParent }),
    },
  };
}
