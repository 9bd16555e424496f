/** Dockerfiles: text to instructions. @module */
export { configure, DEFAULT_SHELL, directoryFrom, withVariables, wordsOf, type Setting } from "./configure.ts";
export type * from "./instruction.ts";
