/** Dockerfiles: text to instructions. @module */
export { checkDockerfile, readCheckSettings, RULES, type CheckSettings, type Finding, type Rule } from "./checks.ts";
export { configure, DEFAULT_SHELL, directoryFrom, withVariables, wordsOf, type Setting } from "./configure.ts";
export { expand, expandWords, type ExpandOptions, type ValueOf } from "./expand.ts";
export { expandInstruction } from "./expand-instruction.ts";
export { dockerfileError, Flaw } from "./flaw.ts";
export { scriptOf, type Script } from "./here-document.ts";
export { cleanPath, excluding, Ignore, readIgnore } from "./ignore.ts";
export type * from "./instruction.ts";
export { parseDockerfile, parseInstruction } from "./parse.ts";
