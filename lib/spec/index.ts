/** The OCI runtime specification as tsbox uses it. @module */
export type * from "./features.ts";
export type * from "./hooks.ts";
export type * from "./spec.ts";
export type * from "./state.ts";
