/** Spec to plan: pure. @module */
export {
  compile,
  compileJoin,
  compileJoiner,
  isSized,
  type Beside,
  type Facts,
  type DiskLimit,
  type JoinKind,
  type MountedFile,
  type OverlayRoot,
  type Root,
  type RootEntry,
  type OwnedPlan,
  type SandboxPlan,
} from "./compile.ts";
export { holdSteps } from "./hold.ts";
export { listens, relaySteps } from "./listener.ts";
export { AGENT, agentRequest, ECANCELED, requestBytes } from "./agent.ts";
export { networkAgentSteps } from "./network-agent.ts";
export { sendOps } from "./pass.ts";
export { cpuMask, listMask, IO_CLASSES, PERSONALITIES, POLICIES, SCHEDULER_FLAGS } from "./attributes.ts";
export { flags } from "./constants.ts";
export { OWN_MAP } from "./mount-ids.ts";
export type { IdMapper } from "./id-maps.ts";
export { IN_USE } from "./clone.ts";
export { CAPABILITIES, RLIMITS } from "./constants.ts";
export { EXIT_FRAME_BYTES, FrameReader, type ExitFrame, type Frame } from "./frame.ts";
export type { CgroupHierarchies } from "./cgroup-mount.ts";
export { volumeSlot } from "./filesystem.ts";
export { compileTake } from "./take.ts";
export { checkMount, isBind, MOUNT_OPTIONS, parseMountOptions, PROPAGATIONS } from "./mount-options.ts";
export { NAMESPACES } from "./clone.ts";
export type { SecurityModules } from "./labels.ts";
export { MEMORY_FLAGS, MEMORY_MODES } from "./memory-policy.ts";
export { NETWORK_SOCKETS, networkSocket, ONE_SOCKET, type NetworkSocketName } from "./network-sockets.ts";
export { isHostname, namespaceOf } from "./sysctl.ts";
export { CONTROL_FD, initSteps, type InitKind } from "./init.ts";
export {
  compileContainer,
  isAsked,
  startsHooks,
  startSteps,
  type ContainerBeside,
  type StartableSpec,
} from "./container.ts";
export { compileExec } from "./exec.ts";
export { restartWaitSteps, WAITING_FDS } from "./restart-wait.ts";
export { REPORT_BYTES } from "./frame.ts";
export { INIT, LIFELINE, SUPERVISOR } from "./supervised.ts";
export { EXCEEDED, SOON_STATUS, SUPERVISED, supervisorSteps, type Executed, type Supervision } from "./supervisor.ts";
export { daemonSteps } from "./daemon.ts";
export { guardSteps } from "./guard.ts";
