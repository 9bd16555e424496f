/** The engine behind the command line. @module */
export { Tsbox, type TsboxOptions } from "./tsbox.ts";
