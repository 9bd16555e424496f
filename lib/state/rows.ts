/** A table of JSON values, known by an id and by a name that no two have. @module */
import type { DatabaseSync } from "node:sqlite";
import { show, TsboxError } from "../../syscalls/index.ts";
import type { Database } from "./database.ts";
import { fromText, toText } from "./values.ts";

/** Whatever else it holds is the business of who keeps it. */
export interface Row {
  id: string;
  name: string;
  /** Milliseconds since 1970. */
  created: number;
}

/** Behind all that ids and names are made of. */
const LAST = "~";

export const rowsSchema = (table: string): string => `
  CREATE TABLE IF NOT EXISTS ${table} (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, created INTEGER NOT NULL, value TEXT NOT NULL) STRICT;
`;

/** Every method is one transaction, or part of the one that it is called in. */
export class Rows {
  readonly #database: Database;
  readonly #table: string;

  /** @param table one of the schema's, whose name is that of what is kept there, in plural */
  constructor(database: Database, table: string) {
    this.#database = database;
    this.#table = table;
  }

  /** @throws TsboxError `name_in_use` */
  insert<T extends Row>(row: T): void {
    this.#database.transaction((database) => {
      this.checkName(row);
      insertRow(database, this.#table, row);
    });
  }

  get<T extends Row>(id: string): T | undefined {
    return this.#select<T>("WHERE id = ?", id)[0];
  }

  byName<T extends Row>(name: string): T | undefined {
    return this.#select<T>("WHERE name = ?", name)[0];
  }

  /** Those whose ids begin so. */
  byPrefix<T extends Row>(prefix: string): T[] {
    return this.#select<T>("WHERE id >= ? AND id < ? ORDER BY id", prefix, `${prefix}${LAST}`);
  }

  /** The newest first. */
  list<T extends Row>(): T[] {
    return this.#select<T>("ORDER BY created DESC, id");
  }

  /**
   * @param change gets what is there now; what it returns replaces it, `undefined` leaves it as it is
   * @returns what is there afterwards; undefined where there is none
   * @throws TsboxError `name_in_use`
   */
  update<T extends Row>(id: string, change: (row: T) => T | undefined): T | undefined {
    return this.#database.transaction((database) => {
      const row = this.get<T>(id);
      const changed = row && change(row);
      if (!changed) return row;
      this.checkName(changed);
      database
        .prepare(`UPDATE ${this.#table} SET name = ?, created = ?, value = ? WHERE id = ?`)
        .run(changed.name, changed.created, toText(changed), id);
      return changed;
    });
  }

  /** @returns whether there was one */
  remove(id: string): boolean {
    return this.#database.transaction(
      (database) => Number(database.prepare(`DELETE FROM ${this.#table} WHERE id = ?`).run(id).changes) > 0,
    );
  }

  /** @throws TsboxError `name_in_use` where it is that of another */
  checkName({ id, name }: Pick<Row, "id" | "name">): void {
    const found = this.#database.use((database) =>
      database.prepare(`SELECT id FROM ${this.#table} WHERE name = ? AND id <> ?`).get(name, id),
    );
    if (!found) return;
    if (this.#table === "containers") {
      throw new TsboxError(
        `Conflict. The container name "/${name}" is already in use by container "${String(found["id"])}". ` +
          "You have to remove (or rename) that container to be able to reuse that name.",
        { code: "name_in_use" },
      );
    }
    throw new TsboxError(`use the name ${show(name)}: it is that of another of the ${this.#table}`, {
      code: "name_in_use",
    });
  }

  ids(): string[] {
    return this.#database.use((database) =>
      database
        .prepare(`SELECT id FROM ${this.#table}`)
        .all()
        .map(({ id }) => String(id)),
    );
  }

  /** Those of which a field is one of these texts. @param field a plain word */
  where<T extends Row>(field: string, values: readonly string[]): T[] {
    const marks = values.map(() => "?").join(", ");
    return this.#select<T>(
      `WHERE json_extract(value, '$.${field}') IN (${marks}) ORDER BY created DESC, id`,
      ...values,
    );
  }

  /** What there is of a field, with whose it is. @param field `"image.digest"` */
  fields(field: string): { id: string; value: unknown }[] {
    return this.#database.use((database) =>
      database
        .prepare(`SELECT id, json_extract(value, '$.${field}') AS field FROM ${this.#table} WHERE field IS NOT NULL`)
        .all()
        .map(({ id, field: value }) => ({ id: String(id), value })),
    );
  }

  #select<T>(condition: string, ...values: string[]): T[] {
    return this.#database.use((database) =>
      database
        .prepare(`SELECT value FROM ${this.#table} ${condition}`)
        .all(...values)
        .map(({ value }) => parsed<T>(value)),
    );
  }
}

export function insertRow(database: DatabaseSync, table: string, row: Row): void {
  database
    .prepare(`INSERT INTO ${table} (id, name, created, value) VALUES (?, ?, ?, ?)`)
    .run(row.id, row.name, row.created, toText(row));
}

/** SQLite has no checksums: what the disk has changed is found here. */
export function parsed<T>(value: unknown): T {
  try {
    return fromText(String(value)) as T;
  } catch {
    throw new Error("a row is malformed");
  }
}
