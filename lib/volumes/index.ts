/** Volumes: directories that last longer than containers. @module */
export { Volumes } from "./volumes.ts";
export type * from "./record.ts";
