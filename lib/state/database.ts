/**
 * An SQLite file that several processes use at once. One that is damaged is kept under another name, and a new one is
 * filled with what else is known. Its module is loaded, and it is opened, when it is first needed.
 * @module
 */
import type { DatabaseSync } from "node:sqlite";
import { OpenFile, show, TsboxError, type Directory } from "../../syscalls/index.ts";
import { storing, unavailable } from "./failure.ts";
import { makeSpare, takeSpare } from "./spare.ts";

/** SQLite's, that go with it. */
const SUFFIXES = ["", "-wal", "-shm"];
const BUSY_MS = 30_000;
const FULL = "the disk is full: tsbox system prune removes what nobody uses";
const BROKEN = "the disk has an error: see dmesg";
/** Its index in memory, a file as well, cannot be made as large as it is to be. @see https://sqlite.org/rescode.html */
const SQLITE_IOERR_SHMSIZE = 4874;

export interface DatabaseOptions {
  /** Its name in its directory. */
  file: string;
  /** Of the schema; one of a newer version is refused. */
  version: number;
  schema: string;
  /** Undefined: nothing may be written there, so it is put together in memory. */
  directory(): Directory | undefined;
  /** Does what no other process may do at the same time. */
  locked<T>(work: () => T): T;
  /** Fills a new one with what is known without it; in the transaction that makes its tables. */
  build?(database: DatabaseSync): void;
  /** So long one process waits for others that write; 30 s unless set. */
  busyMs?: number;
  /** Is told where a damaged one is kept. */
  damaged?(path: string): void;
}

export class Database implements Disposable {
  readonly #options: DatabaseOptions;
  #database: DatabaseSync | undefined;
  /** Of the file that is open. */
  #identity: string | undefined;
  #isBusy = false;
  /** Opened in the spare room. */
  #isShort = false;

  constructor(options: DatabaseOptions) {
    this.#options = options;
  }

  [Symbol.dispose](): void {
    try {
      this.#database?.close();
    } catch {
      // what is damaged may not be closed in order
    }
    this.#database = undefined;
    if (this.#isShort) this.#giveBack();
  }

  /** What it needed while it was open is free again, unless it grew. */
  #giveBack(): void {
    this.#isShort = false;
    const directory = this.#options.directory();
    if (directory) makeSpare(directory);
  }

  /**
   * Where it turns out to be damaged, the work is done again with a new one.
   * @throws TsboxError `store_unavailable`
   */
  use<T>(work: (database: DatabaseSync) => T): T {
    // part of a transaction: whoever began it deals with errors
    if (this.#isBusy) return work(this.#database as DatabaseSync);
    for (const mend of [() => this.#replace(false), () => this.#replace(true), undefined]) {
      try {
        return work(this.#current());
      } catch (error) {
        if (!isDamage(error) || !mend) throw this.#failure(error);
      }
      this[Symbol.dispose]();
      this.#options.locked(mend);
    }
    throw new Error("unreachable");
  }

  /** All of the work is done, or nothing; what it calls may be a transaction as well, and is part of this one then. */
  transaction<T>(work: (database: DatabaseSync) => T): T {
    return this.use((database) => {
      if (this.#isBusy) return work(database);
      return inTransaction(database, () => {
        this.#isBusy = true;
        try {
          return work(database);
        } finally {
          this.#isBusy = false;
        }
      });
    });
  }

  /** Another process may have put one in the place of a damaged one. */
  #current(): DatabaseSync {
    if (this.#database && this.#identity !== this.#there()) this[Symbol.dispose]();
    return (this.#database ??= this.#open());
  }

  #there(): string | undefined {
    return this.#options.directory()?.status(this.#options.file)?.identity;
  }

  #open(): DatabaseSync {
    const { DatabaseSync } = process.getBuiltinModule("node:sqlite");
    const { file, version: known } = this.#options;
    const directory = this.#options.directory();
    if (!directory) return this.#made(new DatabaseSync(":memory:"));
    for (const suffix of SUFFIXES) {
      const kind = storing(() => directory.status(`${file}${suffix}`))?.kind ?? "file";
      if (kind !== "file") throw unavailable(`open ${file}`, `${file}${suffix} is no plain file`);
    }
    const database = new DatabaseSync(`${directory.path}/${file}`);
    try {
      this.#begin(database, directory);
      const version = versionOf(database);
      if (version > known) {
        throw unavailable(
          `open ${file}`,
          `its version is ${version}, and this tsbox is for ${known}`,
          "use a newer tsbox, or another store with TSBOX_ROOT or --root",
        );
      }
      if (version < known) this.#made(database);
      this.#identity = this.#there();
      return database;
    } catch (error) {
      database.close();
      throw error;
    }
  }

  /** Where the disk is full, there is no room for what it needs while it is open. */
  #begin(database: DatabaseSync, directory: Directory): void {
    const { busyMs = BUSY_MS } = this.#options;
    const begin = () =>
      database.exec(`PRAGMA busy_timeout = ${busyMs}; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL`);
    try {
      begin();
    } catch (error) {
      if (!/is full|disk I\/O/.test(String(error))) throw error;
      // or another process has made room just now
      this.#isShort = storing(() => takeSpare(directory));
      begin();
    }
    if (!this.#isShort) makeSpare(directory);
  }

  /** Nobody sees it before all is in it. */
  #made(database: DatabaseSync): DatabaseSync {
    const { schema, version, build } = this.#options;
    return inTransaction(database, () => {
      // another process may have done so meanwhile
      if (versionOf(database) < version) {
        database.exec(`${schema}; PRAGMA user_version = ${version}`);
        build?.(database);
      }
      return database;
    });
  }

  /** Another process may have done so already. What is damaged is kept. */
  #replace(isSure: boolean): void {
    try {
      const database = this.#open();
      const [row] = database.prepare("PRAGMA quick_check(1)").all();
      if (row?.["quick_check"] === "ok" && !isSure) return void (this.#database = database);
      database.close();
    } catch (error) {
      if (!isDamage(error)) throw this.#failure(error);
    }
    const { file, damaged } = this.#options;
    const directory = this.#options.directory();
    const kept = `${file}.damaged-${new Date().toISOString().replace(/[:.]/g, "-")}`;
    storing(() => {
      for (const suffix of SUFFIXES) {
        if (directory?.status(`${file}${suffix}`)) directory.move(`${file}${suffix}`, directory, `${kept}${suffix}`);
      }
    });
    damaged?.(`${directory?.path}/${kept}`);
    this.#database = this.#open();
  }

  #failure(error: unknown): unknown {
    if (error instanceof TsboxError || !isDatabaseError(error)) return error;
    const text = show(error.message).slice(1, -1);
    const refused = /unable to open|readonly/.test(text) ? this.#refusal() : undefined;
    if (refused) return refused;
    return unavailable(`use ${this.#options.file}`, text, hintFor(error), error);
  }

  /** What the kernel says of it: SQLite does not tell why. */
  #refusal(): unknown {
    try {
      const directory = this.#options.directory();
      if (directory) storing(() => OpenFile.open(directory, this.#options.file, { as: "maker" }))?.[Symbol.dispose]();
      return undefined;
    } catch (error) {
      return error;
    }
  }
}

const versionOf = (database: DatabaseSync): number =>
  Number(database.prepare("PRAGMA user_version").get()?.["user_version"]);

function inTransaction<T>(database: DatabaseSync, work: () => T): T {
  database.exec("BEGIN IMMEDIATE");
  try {
    const result = work();
    database.exec("COMMIT");
    return result;
  } catch (error) {
    try {
      database.exec("ROLLBACK");
    } catch {
      // it has ended already; the first error tells why
    }
    throw error;
  }
}

/** Deno tells no numbers: SQLITE_CORRUPT and SQLITE_NOTADB by their texts, and tables that somebody dropped. */
const isDamage = (error: unknown): boolean =>
  !(error instanceof TsboxError) &&
  /not a database|malformed|no such (?:table|column)|has no column/.test(String(error));

const isDatabaseError = (error: unknown): error is Error =>
  error instanceof Error && (error as { code?: unknown }).code === "ERR_SQLITE_ERROR";

function hintFor(error: Error): string | undefined {
  const { message, errcode } = error as Error & { errcode?: number };
  if (/is full/.test(message) || errcode === SQLITE_IOERR_SHMSIZE) return FULL;
  if (/disk I\/O/.test(message)) return BROKEN;
  return /locked|busy/.test(message) ? "another process has it locked" : undefined;
}
