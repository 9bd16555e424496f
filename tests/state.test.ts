/** The database of containers and volumes: rows, transactions, events; damaged, of a newer version, locked, on a full disk. @module */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Database, fromText, State, toText, type Row } from "../lib/state/index.ts";
import { Directory } from "../syscalls/index.ts";
import { failureOf } from "./support/failure.ts";
import { noMounts, smallDisk } from "./support/full-disk.ts";
import { testUnless } from "./support/machine.ts";
import { Folder } from "./support/rootfs.ts";

let folder: Folder;
let root: string;
let told: string[];
const opened: State[] = [];
const open = (): State => {
  const state = new State(root, (message) => void told.push(message));
  opened.push(state);
  return state;
};
beforeEach(() => {
  folder = new Folder();
  root = join(folder.path, "root");
  told = [];
});
afterEach(() => {
  for (const state of opened.splice(0)) state[Symbol.dispose]();
  folder.remove();
});

interface Thing extends Row {
  more?: unknown;
}
const thing = (id: string, name: string, created = 1, more?: unknown): Thing => ({
  id,
  name,
  created,
  ...(more === undefined ? {} : { more }),
});
const idOf = (start: string): string => start.padEnd(64, "0");

describe("values", () => {
  test.each([
    ["what JSON has", { a: [1, "x", null, true, { b: -0.5 }] }],
    ["undefined and infinities", { env: { GONE: undefined, A: "1" }, core: [Infinity, -Infinity, undefined] }],
    ["texts that begin as these are written", { a: "\0undefined", b: "\0=", c: "\0", d: "a\0b" }],
  ])("%s are kept", (_, value) => {
    expect(fromText(toText(value))).toStrictEqual(value);
  });
});

describe("rows", () => {
  test("are found by id, name and the beginning of an id; the newest is first", () => {
    const { containers, volumes } = open();
    const [a, b] = [thing(idOf("aa1"), "one", 1, { x: undefined, y: Infinity }), thing(idOf("aa2"), "two", 2)];
    containers.insert(a);
    containers.insert(b);
    expect(containers.get<Thing>(a.id)).toStrictEqual(a);
    expect(containers.byName<Thing>("two")).toStrictEqual(b);
    expect(containers.byPrefix("aa").map(({ id }) => id)).toEqual([a.id, b.id]);
    expect(containers.byPrefix("aa2").map(({ id }) => id)).toEqual([b.id]);
    expect(containers.byPrefix("ab")).toEqual([]);
    expect(containers.list().map(({ name }) => name)).toEqual(["two", "one"]);
    expect(containers.ids().toSorted()).toEqual([a.id, b.id]);
    expect([containers.get("b"), containers.byName("b"), volumes.list()]).toEqual([undefined, undefined, []]);
  });

  test("are found by what is in them", () => {
    const { containers } = open();
    containers.insert({ ...thing("a", "one"), status: "running", image: { digest: "sha256:1" } } as Thing);
    containers.insert({ ...thing("b", "two", 2), status: "exited" } as Thing);
    expect(containers.where("status", ["running", "paused"]).map(({ id }) => id)).toEqual(["a"]);
    expect(containers.where("status", ["dead"])).toEqual([]);
    expect(containers.fields("image.digest")).toEqual([{ id: "a", value: "sha256:1" }]);
  });

  test("change, all at once or not", () => {
    const { containers } = open();
    containers.insert(thing("a", "one"));
    expect(containers.update<Thing>("a", (row) => ({ ...row, more: 1 }))).toMatchObject({ more: 1 });
    expect(containers.update<Thing>("a", () => undefined)).toMatchObject({ more: 1 });
    expect(containers.update<Thing>("b", (row) => row)).toBeUndefined();
    expect(open().containers.get<Thing>("a")).toMatchObject({ more: 1 });
    expect([containers.remove("a"), containers.remove("a")]).toEqual([true, false]);
  });

  test("have names that are nobody else's, in Docker's words", async () => {
    const { containers, volumes } = open();
    containers.insert(thing(idOf("a"), "web"));
    containers.insert(thing(idOf("b"), "db"));
    const conflict =
      `Conflict. The container name "/web" is already in use by container "${idOf("a")}". ` +
      "You have to remove (or rename) that container to be able to reuse that name.";
    for (const attempt of [
      () => open().containers.insert(thing(idOf("c"), "web")),
      () => containers.update<Thing>(idOf("b"), (row) => ({ ...row, name: "web" })),
    ]) {
      const failure = await failureOf(attempt);
      expect([failure.code, failure.message]).toEqual(["name_in_use", conflict]);
    }
    volumes.insert(thing("web", "web"));
    expect((await failureOf(() => volumes.insert(thing("x", "web")))).message).toBe(
      'use the name "web": it is that of another of the volumes',
    );
    expect(containers.list()).toHaveLength(2);
  });
});

describe("a transaction", () => {
  test("is all or nothing, with those in it", async () => {
    const state = open();
    const event = { time: 1, type: "container", action: "create", id: "a", attributes: {} };
    const failing = () =>
      state.transaction(() => {
        state.containers.insert(thing("a", "one"));
        state.transaction(() => void state.addEvent(event));
        expect(state.containers.get("a")).toBeDefined();
        throw new RangeError("no");
      });
    expect(failing).toThrow(RangeError);
    expect([state.containers.list(), state.eventsAfter(0)]).toEqual([[], []]);
    state.transaction(() => {
      state.containers.insert(thing("a", "one"));
      state.addEvent(event);
    });
    expect([open().containers.list().length, open().eventsAfter(0).length]).toEqual([1, 1]);
  });

  test("is not seen by others before its end", () => {
    const [one, other] = [open(), open()];
    one.containers.insert(thing("a", "one"));
    one.transaction(() => {
      one.containers.remove("a");
      expect(other.containers.list()).toHaveLength(1);
    });
    expect(other.containers.list()).toEqual([]);
  });
});

test("events are in order, have numbers, and the last ten thousand are kept", () => {
  const state = open();
  const event = (id: number) => ({
    time: id,
    type: "container",
    action: "start",
    id: String(id),
    attributes: { name: "x" },
  });
  expect(state.lastEvent()).toBe(0);
  expect(state.addEvent(event(1))).toEqual({ ...event(1), sequence: 1 });
  state.transaction(() => {
    for (let id = 2; id <= 10_005; id++) state.addEvent(event(id));
  });
  expect(state.lastEvent()).toBe(10_005);
  expect(state.eventsAfter(0)[0]).toEqual({ ...event(6), sequence: 6 });
  expect(state.eventsAfter(10_004)).toEqual([{ ...event(10_005), sequence: 10_005 }]);
});

const record = (id: string, name: string, created = 1) => ({ version: 1, id, name, created, status: "created" });

function copyOf(table: string, id: string, content: string): void {
  mkdirSync(join(root, table, id), { recursive: true });
  writeFileSync(join(root, table, id, "record.json"), content);
}

describe("a damaged database", () => {
  const DAMAGE: [string, (file: string) => void][] = [
    ["no database", (file) => writeFileSync(file, "no database at all".repeat(1000))],
    ["cut short", (file) => writeFileSync(file, readFileSync(file).subarray(0, 5000))],
    ["overwritten in the middle", (file) => writeFileSync(file, readFileSync(file).fill(0xa5, 4096, 3 * 4096))],
    [
      "without a table",
      (file) => {
        const database = new DatabaseSync(file);
        database.exec("DROP TABLE containers");
        database.close();
      },
    ],
    [
      "with a row that is no JSON",
      (file) => {
        const database = new DatabaseSync(file);
        database.exec("UPDATE containers SET value = substr(value, 2)");
        database.close();
      },
    ],
  ];
  test.each(DAMAGE)("is kept, said, and made anew of the copies of its records: %s", (_, damage) => {
    const [a, b, c] = [idOf("a"), idOf("b"), idOf("c")];
    {
      using state = new State(root);
      state.containers.insert(record(a, "one"));
      state.containers.insert(record(b, "two"));
      state.volumes.insert(record("data", "data"));
    }
    copyOf("containers", a, JSON.stringify(record(a, "one")));
    copyOf("containers", b, JSON.stringify({ ...record(b, "one", 2), options: { env: { A: "\0undefined" } } }));
    // written half; of somebody else; of another version
    copyOf("containers", c, '{"version":1,"id"');
    copyOf("containers", idOf("d"), JSON.stringify(record(a, "three")));
    copyOf("containers", idOf("e"), JSON.stringify({ ...record(idOf("e"), "four"), version: 2 }));
    copyOf("volumes", "data", JSON.stringify(record("data", "data")));
    const file = join(root, "state.db");
    damage(file);
    const state = open();
    const found = state.containers.list<Row & { status: string; options?: unknown }>();
    // whether they run is found out; the later one of two with one name goes by its id
    expect(found.map(({ id, name, status }) => [id, name, status])).toEqual([
      [b, b, "starting"],
      [a, "one", "starting"],
    ]);
    expect(found[0]?.options).toStrictEqual({ env: { A: undefined } });
    expect(state.volumes.list()).toEqual([record("data", "data")]);
    const kept = readdirSync(root).filter((name) => /^state\.db\.damaged-[^.]*$/.test(name));
    expect(kept).toHaveLength(1);
    expect(told).toEqual([
      `${file} is damaged: it is kept as ${join(root, kept[0] as string)}, and made anew of what else is known; events are lost`,
    ]);
    // once
    expect(open().containers.list()).toHaveLength(2);
    expect(told).toHaveLength(1);
  });

  test("is noticed by who has it open", () => {
    const [state, other] = [open(), open()];
    state.containers.insert(record(idOf("a"), "one"));
    copyOf("containers", idOf("a"), JSON.stringify(record(idOf("a"), "one")));
    other[Symbol.dispose]();
    for (const suffix of ["", "-wal", "-shm"]) writeFileSync(join(root, `state.db${suffix}`), "x".repeat(9000));
    expect(other.containers.list().map(({ name }) => name)).toEqual(["one"]);
    other.containers.insert(record(idOf("b"), "two"));
    // its own file is another one now
    expect(
      state.containers
        .list()
        .map(({ name }) => name)
        .toSorted(),
    ).toEqual(["one", "two"]);
  });

  test("that is gone is made anew without a word", () => {
    copyOf("containers", idOf("a"), JSON.stringify(record(idOf("a"), "one")));
    expect(
      open()
        .containers.list()
        .map(({ name }) => name),
    ).toEqual(["one"]);
    expect(told).toEqual([]);
  });
});

describe("is one clear error, and stays", () => {
  const failing = async (attempt: () => unknown) => {
    const { code, message, hint = "" } = await failureOf(attempt);
    return [code, message, hint];
  };
  test("of a newer version", async () => {
    open().containers.insert(record(idOf("a"), "one"));
    opened.pop()?.[Symbol.dispose]();
    const file = join(root, "state.db");
    const database = new DatabaseSync(file);
    database.exec("PRAGMA user_version = 2");
    database.close();
    expect(await failing(() => open().containers.list())).toEqual([
      "store_unavailable",
      "open state.db: its version is 2, and this tsbox is for 1",
      "use a newer tsbox, or another store with TSBOX_ROOT or --root",
    ]);
    expect(readdirSync(root).filter((name) => name.includes("damaged"))).toEqual([]);
  });

  test("a symlink in its place", async () => {
    mkdirSync(root);
    symlinkSync("/etc/passwd", join(root, "state.db"));
    expect(await failing(() => open().containers.list())).toEqual([
      "store_unavailable",
      "open state.db: state.db is no plain file",
      "",
    ]);
  });

  test("a file in place of its directory", async () => {
    writeFileSync(root, "");
    expect((await failing(() => open().containers.list()))[0]).toBe("store_unavailable");
  });

  test("of which another process has the lock for too long", async () => {
    mkdirSync(root);
    using directory = Directory.open(root) as Directory;
    using database = new Database({
      file: "some.db",
      version: 1,
      schema: "CREATE TABLE things (id TEXT)",
      directory: () => directory,
      locked: (work) => work(),
      busyMs: 50,
    });
    const add = () => database.transaction((opened) => opened.exec("INSERT INTO things VALUES ('a')"));
    const count = () =>
      database.use((opened) => opened.prepare("SELECT COUNT(*) AS count FROM things").get()?.["count"]);
    add();
    const other = new DatabaseSync(join(root, "some.db"));
    other.exec("BEGIN EXCLUSIVE");
    expect(await failing(add)).toEqual([
      "store_unavailable",
      "use some.db: database is locked",
      "another process has it locked",
    ]);
    // readers do not wait
    expect(count()).toBe(1);
    other.exec("ROLLBACK");
    other.close();
    add();
    expect(count()).toBe(2);
  });

  test("that somebody else has made and removed: it is not made anew", async () => {
    const root = folder.directory(`removed${crypto.randomUUID()}`);
    using state = new State(root, undefined, true);
    expect(state.containers.list()).toEqual([]);
    rmSync(root, { recursive: true });
    expect(await failing(() => state.containers.list())).toEqual([
      "store_unavailable",
      `open the store ${JSON.stringify(root)}: there is none`,
      "",
    ]);
    expect(() => statSync(root)).toThrow("ENOENT");
  });

  testUnless(noMounts, "on a disk that is only read: the kernel's, which says so", async () => {
    using disk = smallDisk(folder, 4096);
    const root = join(disk.path, "root");
    {
      using state = new State(root);
      state.containers.insert(record(idOf("a1"), "n1"));
    }
    disk.readOnly();
    using state = new State(root);
    expect(await failing(() => state.containers.list())).toEqual([
      "store_unavailable",
      `open "${root}/state.db": EROFS`,
      "the file system is read-only: choose another store with TSBOX_ROOT or --root",
    ]);
  });

  testUnless(noMounts, "opened on a full disk: in spare room, which is there again afterwards", async () => {
    using disk = smallDisk(folder, 4096);
    const root = join(disk.path, "root");
    {
      using state = new State(root);
      for (const at of [1, 2, 3]) state.containers.insert(record(idOf(`a${at}`), `n${at}`));
    }
    disk.fill();
    for (const at of [1, 2, 3]) {
      using state = new State(root);
      expect(state.containers.list().length).toBe(4 - at);
      state.withSpare(() => state.containers.remove(idOf(`a${at}`)));
    }
    rmSync(join(root, "state.spare"));
    disk.fill();
    using state = new State(root);
    expect(await failing(() => state.containers.list())).toEqual([
      "store_unavailable",
      expect.stringMatching(/^use state.db: (disk I\/O error|database or disk is full)$/),
      "the disk is full: tsbox system prune removes what nobody uses",
    ]);
    for (const name of readdirSync(disk.path)) if (name.startsWith("fill")) rmSync(join(disk.path, name));
    expect(state.containers.list()).toEqual([]);
    const { size } = statSync(join(root, "state.spare"));
    expect(size).toBe(512 * 1024);
    // one that was made where there was less room
    truncateSync(join(root, "state.spare"), 65536);
    using next = new State(root);
    next.containers.list();
    expect(statSync(join(root, "state.spare")).size).toBe(size);
  });

  testUnless(noMounts, "on a full disk, where removals still work", async () => {
    using disk = smallDisk(folder, 4096);
    using state = new State(join(disk.path, "root"));
    for (let at = 1; at < 10; at++)
      state.containers.insert({ ...record(idOf(`a${at}`), `n${at}`), more: "x".repeat(2000) } as Row);
    disk.fill();
    let at = 1000;
    const [code, message, hint] = await failing(() => {
      for (; at < 3000; at++)
        state.containers.insert({ ...record(idOf(`b${at}`), `m${at}`), more: "x".repeat(2000) } as Row);
    });
    expect([code, message, hint]).toEqual([
      "store_unavailable",
      "use state.db: database or disk is full",
      "the disk is full: tsbox system prune removes what nobody uses",
    ]);
    expect(state.containers.get(idOf("a1"))).toBeDefined();
    expect(state.containers.get(idOf(`b${at}`))).toBeUndefined();
    for (const { id } of state.containers.list()) state.withSpare(() => state.containers.remove(id));
    expect(state.containers.list()).toEqual([]);
  });
});
