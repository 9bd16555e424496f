/** What JSON of others has to be, as data; and lines of comma-separated values. @module */
export { csvFields } from "./csv.ts";
export {
  absolutePath,
  boolean,
  limit64,
  list,
  matching,
  Mismatch,
  nearest64,
  object,
  oneOf,
  otherwise,
  record,
  required,
  text,
  unlessEmpty,
  unsigned64,
  whole,
  type Fields,
  type Present,
  type Reader,
} from "./schema.ts";
