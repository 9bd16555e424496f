/** An event loop of one thread's own. @module */
export { Loop, type Timer } from "./loop.ts";
