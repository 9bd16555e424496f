/** Picks the adapter of the JavaScript runtime this runs on; nothing else knows which one it is. @module */
import { openBun } from "./bun.ts";
import { openDeno } from "./deno.ts";
import type { Runtime } from "./runtime.ts";

export type { Native, Receiver, Runtime } from "./runtime.ts";
export const runtime: Runtime = "Bun" in globalThis ? openBun() : openDeno();
