/** `tsbox update`: limits and restart policies of containers that are there. @module */
import type { RestartPolicy, UpdateOptions } from "../../containers/index.ts";
import type { RunFlags } from "../flags.ts";
import { declare, type Add } from "../images/declare.ts";
import { UsageError, warn } from "../report.ts";
import { limits } from "../run-options.ts";
import { forAll } from "./each.ts";
import { policyOf } from "./options.ts";
import { withContainers } from "./with-containers.ts";

interface UpdateFlags extends RunFlags {
  restart?: string;
}

export const addUpdate: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "Change limits, restart and network policies of containers",
      usage: "FLAGS CONTAINER [CONTAINER...]",
      words: ["<CONTAINER>", "[CONTAINER...]"],
      flags: [
        ["-m, --memory <SIZE>", "Memory of all processes together"],
        ["--memory-reservation <SIZE>", "What it keeps when memory is short elsewhere"],
        ["--memory-swap <SIZE>", "Memory and swap together; -1: any"],
        ["--cpus <NUMBER>", "CPUs' worth of time"],
        ["-c, --cpu-shares <NUMBER>", "Part of the CPUs among those who want them"],
        ["--cpu-period <US>", "Microseconds that a quota is for"],
        ["--cpu-quota <US>", "Of CPU time in a period; -1: unlimited"],
        ["--cpuset-cpus <LIST>", "CPUs that may be used"],
        ["--cpuset-mems <LIST>", "Memory nodes that may be used"],
        ["--pids-limit <NUMBER>", "Processes and threads at a time; -1: unlimited"],
        ["--blkio-weight <10-1000>", "Part of I/O"],
        ["--bandwidth <LIMITS>", 'Of each network: "down=10mbit,up=unlimited"'],
        ["--allow <WHERE>...", "With --deny, in place of the network policy that it has"],
        ["--deny <WHERE>...", "With --allow, in place of the network policy that it has"],
        ["--restart <POLICY>", "no, always, unless-stopped, on-failure[:N]"],
      ],
    },
    (first: string, more: string[], flags: UpdateFlags) =>
      withContainers((containers) => {
        const options = updateOptions(flags);
        return forAll([first, ...more], async (each) => {
          warn(await (await containers.get(each)).update(options));
          return each;
        });
      }),
  );

/** @throws UsageError, TsboxError `invalid_option` */
function updateOptions(flags: UpdateFlags): UpdateOptions {
  const { pidsLimit, ...others } = flags;
  const changed = limits(pidsLimit === "0" ? others : flags);
  // what is unlimited is not there in `run`; here it takes a limit away
  if (flags.pidsLimit === "-1" || flags.pidsLimit === "0") changed.pids = Infinity;
  if (flags.cpuQuota === "-1") changed.cpuQuotaUs = Infinity;
  const { restart } = flags;
  const network = policyOf(flags);
  if (restart === undefined && !network && Object.keys(changed).length === 0)
    throw new UsageError("you must provide one or more flags when using this command", 'see "tsbox update --help"');
  return {
    ...(Object.keys(changed).length > 0 ? { limits: changed } : {}),
    ...(network && { network }),
    ...(restart === undefined ? {} : { restart: restart as RestartPolicy }),
  };
}
