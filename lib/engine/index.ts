/** The engine behind the command line. @module */
export { Tsbox, type BuildOptions, type TsboxOptions } from "./tsbox.ts";
