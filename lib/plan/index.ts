/** Spec to plan: pure. @module */
export {
  CLONE_ARGS_CGROUP,
  compile,
  compileJoin,
  type Beside,
  type Facts,
  type Root,
  type RootEntry,
  type SandboxPlan,
} from "./compile.ts";
export { CAPABILITIES, RLIMITS } from "./constants.ts";
export { mountSlot } from "./filesystem.ts";
export { FrameReader, type ExitFrame, type Frame } from "./frame.ts";
export { initSteps, type InitKind } from "./init.ts";
