/**
 * What lasts, in one SQLite file, `ROOT/state.db`: containers, volumes, networks, and what happened to them. Each of the first three
 * has a copy of what does not change of it beside its files, of which the database is made anew where it is lost.
 * @module
 */
import type { DatabaseSync } from "node:sqlite";
import { Directory, OpenFile, standStill } from "../../syscalls/index.ts";
import { Database } from "./database.ts";
import { storing, unavailable } from "./failure.ts";
import { openRoot } from "./root.ts";
import { insertRow, parsed, Rows, rowsSchema, type Row } from "./rows.ts";
import { takeSpare } from "./spare.ts";
import { fromText } from "./values.ts";

const FILE = "state.db";
/** Held while another database takes the place of a damaged one. */
const LOCK = "state.lock";
const VERSION = 1;
/** So long one process waits for another. */
const LOCK_MS = 30_000;
/** Of events, so many are kept. */
const KEPT_EVENTS = 10_000;
/** Of a copy of a record. */
const LIMIT_BYTES = 16 * 2 ** 20;

const SCHEMA = `
  ${rowsSchema("containers")}
  ${rowsSchema("volumes")}
  ${rowsSchema("networks")}
  CREATE TABLE IF NOT EXISTS events (sequence INTEGER PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL, type TEXT NOT NULL, action TEXT NOT NULL, id TEXT NOT NULL, attributes TEXT NOT NULL) STRICT
`;

export interface EventRow {
  sequence: number;
  time: number;
  type: string;
  action: string;
  id: string;
  attributes: Record<string, string>;
}

type Table = "containers" | "volumes" | "networks";

export class State implements Disposable {
  readonly root: string;
  readonly containers: Rows;
  readonly volumes: Rows;
  readonly networks: Rows;
  readonly #database: Database;
  readonly #isThere: boolean;
  #directory: Directory | undefined;

  /**
   * Nothing is opened before it is needed.
   * @param warn is told what is lost, in a sentence
   * @param isThere it was made by somebody else: where its directory is removed, it is not made anew
   */
  constructor(root: string, warn: (message: string) => void = warnOnStderr, isThere = false) {
    this.root = root;
    this.#isThere = isThere;
    this.#database = new Database({
      file: FILE,
      version: VERSION,
      schema: SCHEMA,
      directory: () => this.#opened(),
      locked: (work) => this.#locked(work),
      build: (database) => this.#build(database),
      damaged: (path) =>
        warn(`${root}/${FILE} is damaged: it is kept as ${path}, and made anew of what else is known; events are lost`),
    });
    this.containers = new Rows(this.#database, "containers");
    this.volumes = new Rows(this.#database, "volumes");
    this.networks = new Rows(this.#database, "networks");
  }

  [Symbol.dispose](): void {
    this.#database[Symbol.dispose]();
    this.#directory?.[Symbol.dispose]();
    this.#directory = undefined;
  }

  /** All that `work` does is one transaction: other processes see all of it, or nothing. It may be done twice. */
  transaction<T>(work: () => T): T {
    return this.#database.transaction(work);
  }

  /**
   * What makes room in the end, or ends what takes it: on a full disk it is done in the spare room.
   * @param work a transaction
   */
  withSpare<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      if (!/is full/.test(String(error)) || !storing(() => takeSpare(this.#opened()))) throw error;
      return work();
    }
  }

  /** @returns with its number */
  addEvent(event: Omit<EventRow, "sequence">): EventRow {
    return this.#database.transaction((database) => {
      const { lastInsertRowid } = database
        .prepare("INSERT INTO events (time, type, action, id, attributes) VALUES (?, ?, ?, ?, ?)")
        .run(Math.round(event.time), event.type, event.action, event.id, JSON.stringify(event.attributes));
      const sequence = Number(lastInsertRowid);
      database.prepare("DELETE FROM events WHERE sequence <= ?").run(sequence - KEPT_EVENTS);
      return { ...event, sequence };
    });
  }

  /** Behind a number, the oldest first. */
  eventsAfter(sequence: number): EventRow[] {
    return this.#database.use((database) =>
      database
        .prepare("SELECT * FROM events WHERE sequence > ? ORDER BY sequence")
        .all(sequence)
        .map((row) => ({
          sequence: Number(row["sequence"]),
          time: Number(row["time"]),
          type: String(row["type"]),
          action: String(row["action"]),
          id: String(row["id"]),
          attributes: parsed<Record<string, string>>(row["attributes"]),
        })),
    );
  }

  /** The number of the last event; 0 where there was none. */
  lastEvent(): number {
    return this.#database.use((database) =>
      Number(database.prepare("SELECT MAX(sequence) AS last FROM events").get()?.["last"] ?? 0),
    );
  }

  #opened(): Directory {
    if (this.#directory?.isCurrent()) return this.#directory;
    this.#directory?.[Symbol.dispose]();
    return (this.#directory = storing(() => openRoot(this.root, this.#isThere ? "there" : "make")));
  }

  #locked<T>(work: () => T): T {
    using file = storing(() => OpenFile.open(this.#opened(), LOCK, { as: "maker" })) as OpenFile;
    for (const end = performance.now() + LOCK_MS; !file.tryLock("exclusive"); standStill(1)) {
      if (performance.now() > end)
        throw unavailable(`lock ${FILE}`, `another process has had it for ${LOCK_MS / 1000} s`);
    }
    try {
      return work();
    } finally {
      file.unlock();
    }
  }

  /** Records whose copies are there. Of two with one name the later one goes by its id. */
  #build(database: DatabaseSync): void {
    for (const table of ["containers", "volumes", "networks"] as const) {
      const names = new Set<string>();
      const rows = this.#copies(table).toSorted((a, b) => a.created - b.created);
      for (const row of rows) {
        const name = names.has(row.name) ? row.id : row.name;
        names.add(name);
        insertRow(database, table, { ...row, name });
      }
    }
  }

  #copies(table: Table): Row[] {
    using directory = this.#opened().directory(table);
    if (!directory) return [];
    return directory.names().flatMap((name) => {
      using each = directory.directory(name);
      try {
        const bytes = each?.read("record.json", LIMIT_BYTES);
        const row = bytes && revive(table, fromText(new TextDecoder().decode(bytes)));
        return row?.id === name ? [row] : [];
      } catch {
        // written half, or by somebody else: nothing is known of it
        return [];
      }
    });
  }
}

const warnOnStderr = (message: string): void => void process.stderr.write(`tsbox: ${message}\n`);

/** Whether a container runs, and how it ended, is found out when it is looked at: as if somebody had begun to start it. */
function revive(table: Table, value: unknown): Row | undefined {
  const row = Object(value) as Partial<Row> & { version?: unknown };
  const { id, name, created, version } = row;
  if (version !== 1 || typeof id !== "string" || typeof name !== "string" || typeof created !== "number")
    return undefined;
  const found = table === "containers" ? { status: "starting" } : {};
  return { ...row, ...found, id, name, created };
}
