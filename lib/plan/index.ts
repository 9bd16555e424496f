/** Spec to plan: pure. @module */
export { compile, checkSupported, type Beside, type Facts, type RootEntry, type SandboxPlan } from "./compile.ts";
export { CAPABILITIES, RLIMITS } from "./constants.ts";
export { CONTROL_FD, EXIT_MESSAGE_BYTES, initPlan } from "./init.ts";
