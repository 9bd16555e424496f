/** Plans, performed: by the owner's thread, and by the processes that it clones. @module */
export { Control, type Told } from "./control.ts";
export { failureOf } from "./failure.ts";
export { factsFor, securityModules } from "./facts.ts";
export { bindControl, bindPassing, bury, kill, start, startImage, type Launched, type Started } from "./start.ts";
export { findIdMapper, imageIds, subordinateMaps } from "./subordinate-ids.ts";
export { callVerb, findSelf } from "./self.ts";
export { startSupervised, type Meanwhile, type SupervisedResult, type SupervisedStart } from "./supervise.ts";
