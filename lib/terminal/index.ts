/** Terminals: the owner's end of a command's, and the one that somebody sits at. @module */
export { makeRaw, sizeOfTerminal } from "./raw-mode.ts";
export { sizeOf, Terminal, type TerminalOptions } from "./terminal.ts";
