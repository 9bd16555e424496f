/** Builds: a Dockerfile and what lies around it, made an image. @module */
export { build, checkBuild, planBuild } from "./build.ts";
export type { Finding } from "../dockerfile/index.ts";
export type { BuildEvent, PlannedStep } from "./events.ts";
export type { BuildOptions, BuildOutput, BuildResult, ContextSource, RemoteCache } from "./options.ts";
export { buildCacheUsage, pruneBuildCache, type CacheUsage, type PrunedCache, type PruneOptions } from "./prune.ts";
