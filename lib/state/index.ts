/** What lasts, in SQLite: containers, volumes, what happened. @module */
export { State } from "./state.ts";
export type { Row, Rows } from "./rows.ts";
