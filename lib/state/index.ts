/** What lasts, in SQLite: containers, volumes, what happened. @module */
export { Database, type DatabaseOptions } from "./database.ts";
export { asUnavailable, storing, unavailable } from "./failure.ts";
export { labelFits } from "./label-fits.ts";
export { openRoot } from "./root.ts";
export { State, type EventRow } from "./state.ts";
export type { Row, Rows } from "./rows.ts";
export { fromText, toText } from "./values.ts";
export { hasWriter, isHeldOpen, openFifo } from "./writers.ts";
