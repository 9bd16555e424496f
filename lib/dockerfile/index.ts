/** Dockerfiles: text to instructions. @module */
export type * from "./instruction.ts";
