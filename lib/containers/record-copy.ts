/** The copy of a record beside the container's files, of which the database is made anew where it is lost. @module */
import { storing, toText } from "../state/index.ts";
import type { Home } from "./home.ts";
import { RECORD } from "./layout.ts";
import type { ContainerRecord } from "./record.ts";

/** Whenever what lasts of it has changed. */
export function writeCopy(home: Home, record: ContainerRecord): void {
  using directory = home.directory(record.id);
  storing(() => directory?.replace(RECORD, new TextEncoder().encode(toText(record))));
}
