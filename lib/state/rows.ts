/** A table of JSON values, known by an id and by a name that no two have. @module */

/** Whatever else it holds is the business of who keeps it. */
export interface Row {
  id: string;
  name: string;
  /** Milliseconds since 1970. */
  created: number;
}

/** Every method is one transaction. */
export interface Rows {
  /** @throws TsboxError `name_in_use` */
  insert<T extends Row>(row: T): void;
  get<T extends Row>(id: string): T | undefined;
  byName<T extends Row>(name: string): T | undefined;
  /** Those whose ids begin so. */
  byPrefix<T extends Row>(prefix: string): T[];
  /** The newest first. */
  list<T extends Row>(): T[];
  /**
   * @param change gets what is there now; what it returns replaces it, `undefined` leaves it as it is
   * @returns what is there afterwards; undefined where there is none
   * @throws TsboxError `name_in_use`
   */
  update<T extends Row>(id: string, change: (row: T) => T | undefined): T | undefined;
  remove(id: string): boolean;
}
