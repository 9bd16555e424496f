/** `tsbox restart`: stopped and started again. @module */
import type { Add } from "../images/declare.ts";
import { declareEnding } from "./stop.ts";

export const addRestart: Add = (parent, name) =>
  declareEnding(parent, name, "Restart containers", (each, options) => each.restart(options));
