/** The OCI runtime specification as tsbox uses it. @module */
export type * from "./spec.ts";
