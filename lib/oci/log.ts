/** What the engine tells while it works; where to, and how it is written, is up to who calls it. @module */

export interface Logger {
  debug(message: string): void;
  warn(message: string): void;
  error(message: string): void;
}
