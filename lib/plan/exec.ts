/**
 * Compiles a further process of a container: an image that joins its namespaces, clones the process as a child of
 * whoever asked for it, and ends.
 * @module
 * @see setns(2), https://github.com/opencontainers/runtime-spec/blob/v1.2.0/config.md#process
 */
import { named, ref, words } from "../../syscalls/index.ts";
import type { Op, Plan, Step } from "../../syscalls/index.ts";
import type { NamespaceType } from "../spec/index.ts";
import { affinityStep, anyCpuStep, attributeSteps } from "./attributes.ts";
import { cloneStep, NEW, SESSION } from "./clone.ts";
import { enterAtLast, enterIfAllowed, openDirectory, rlimitSteps, signalStep } from "./command.ts";
import { becomeKnown, joinCgroup, type Facts } from "./compile.ts";
import { flags } from "./constants.ts";
import { isAsked, isRestrictedLate, restrictSteps, type StartableSpec } from "./container.ts";
import { stdioStep } from "./descriptors.ts";
import { executeStep } from "./execute.ts";
import { CLONED_TAG, REPORT_BYTES } from "./frame.ts";
import { identitySteps } from "./identity.ts";
import { oomStep } from "./intermediate.ts";
import { checkLabels, isLabelled, labelSteps, openProc } from "./labels.ts";
import { memoryPolicySteps } from "./memory-policy.ts";
import { joinedTerminalSteps } from "./terminal.ts";

/**
 * Bound are `container` (a pidfd of its process), the cgroup, `control`, `stdin`, `stdout`, `stderr`, `pass-socket` where
 * there is a terminal, and `listener-socket` where there is a listener.
 * @param preserved descriptors from 3 on that are passed to the process
 * @param piped what its terminal shows is read by another program
 * @throws TsboxError `invalid_option`
 */
export function compileExec(spec: StartableSpec, preserved: number, facts: Facts, piped = false): Plan {
  const types = spec.linux.namespaces.map(({ type }) => type);
  const { oomScoreAdj, execCPUAffinity, cwd } = spec.process;
  const { initial } = execCPUAffinity ?? {};
  const { into } = facts.cgroup;
  const clone = flags("CLONE_PIDFD", ...(into ? (["CLONE_INTO_CGROUP"] as const) : []));
  const { uidMappings, gidMappings } = spec.linux;
  checkLabels(spec, facts.modules);
  const labelled = isLabelled(spec, facts.modules);
  const own = [...(isAsked(spec) ? ["listener-socket"] : []), ...(labelled ? ["proc"] : [])];
  return [
    ...(labelled ? [openProc] : []),
    ...(oomScoreAdj === undefined ? [] : [oomStep(oomScoreAdj)]),
    ...(initial === undefined ? [] : [affinityStep(initial)]),
    joinStep(types),
    cloneStep("clone the process", { label: "second", flags: clone, pidfd: true, intoCgroup: into, sibling: true }),
    tellStep(),
    beginStep(types, facts),
    ...(types.includes("user")
      ? [becomeKnown(uidMappings?.[0]?.containerID ?? 0, gidMappings?.[0]?.containerID ?? 0, 0)]
      : []),
    SESSION,
    ...joinedTerminalSteps(spec, piped),
    stdioStep(spec, { session: false, own, preserved }),
    ...rlimitSteps(spec),
    ...(execCPUAffinity ? [] : [anyCpuStep()]),
    ...attributeSteps(spec),
    ...memoryPolicySteps(spec),
    openDirectory(cwd),
    enterIfAllowed(cwd),
    ...identitySteps(spec, isRestrictedLate(spec) ? "CAP_SYS_ADMIN" : undefined),
    enterAtLast(cwd),
    signalStep(),
    ...labelSteps(spec, ref(`control+${own.length}`), facts.modules),
    ...restrictSteps(spec, facts, { socket: ref("control+1"), told: ref("control") }),
    executeStep(spec, undefined, true),
  ];
}

/** Not dumpable: whoever is inside already must not look into it. */
const joinStep = (types: NamespaceType[]): Step => ({
  action: "join the container",
  ops: [
    { call: "prctl", args: [flags("PR_SET_DUMPABLE"), 0] },
    // from inside the cgroup namespace, nothing is cloned into a cgroup that comes from outside (ENOENT)
    setns(types.filter((type) => type !== "cgroup")),
  ],
  hint: (errno) => (errno === "ESRCH" ? "its process has ended" : undefined),
});

const setns = (types: NamespaceType[]): Op => ({
  call: "setns",
  args: [ref("container"), flags(...types.flatMap((type) => NEW[type] ?? []))],
});

/** As this process is in the pid namespace of whoever asked, so is the number that it knows. */
function tellStep(): Step {
  const frame = words("{cloned, pid}", 0, 0);
  return {
    action: "tell its process id, and end",
    ops: [
      { call: "store", args: [{ at: frame, offset: 0 }, named("cloned", CLONED_TAG), 4] },
      { call: "store", args: [{ at: frame, offset: 4 }, ref("second"), 4] },
      { call: "write", args: [ref("control"), frame, REPORT_BYTES] },
      { call: "exit_group", args: [0] },
    ],
  };
}

function beginStep(types: NamespaceType[], facts: Facts): Step {
  return {
    action: "join the cgroup",
    ops: [
      { call: "label", args: [], label: "second" },
      ...joinCgroup(facts),
      ...(types.includes("cgroup") ? [setns(["cgroup"])] : []),
      // the image was executed with it
      { call: "fcntl", args: [ref("control"), named("F_SETFD", 2), named("FD_CLOEXEC", 1)] },
    ],
    code: "limit_unavailable",
  };
}
