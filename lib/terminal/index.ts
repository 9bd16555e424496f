/** Terminals: the owner's end of a command's, and the one that somebody sits at. @module */
export { DETACH_KEYS, DetachKeys } from "./detach-keys.ts";
export { callersSize, joinTerminals, type Joining } from "./join.ts";
export { makeRaw, sizeOfTerminal, withoutEcho } from "./raw-mode.ts";
export { sizeOf, Terminal, type TerminalOptions } from "./terminal.ts";
