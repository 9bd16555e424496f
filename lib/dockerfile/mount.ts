/** `RUN --mount=…`. @module @see https://docs.docker.com/reference/dockerfile/#run---mount */
import { show } from "../../syscalls/index.ts";
import { csvFields } from "../schema/index.ts";
import { splitAt } from "./flags.ts";
import { Flaw } from "./flaw.ts";
import type { RunMount } from "./instruction.ts";
import { unknownWord } from "./lines.ts";
import type { Text } from "./words.ts";

const TYPES = ["bind", "cache", "tmpfs", "secret", "ssh"] as const;
const SHARINGS = ["shared", "private", "locked"] as const;

type Key = Exclude<keyof RunMount, "text" | "sizeBytes"> | "size" | "readWrite";

const KEYS: Record<string, Key> = {
  type: "type",
  from: "from",
  source: "source",
  src: "source",
  target: "target",
  dst: "target",
  destination: "target",
  readonly: "readOnly",
  ro: "readOnly",
  readwrite: "readWrite",
  rw: "readWrite",
  required: "required",
  id: "id",
  sharing: "sharing",
  size: "size",
  mode: "mode",
  uid: "uid",
  gid: "gid",
  env: "env",
};

/** What each type takes; all take `type`. */
const TAKEN: Record<RunMount["type"], Key[]> = {
  bind: ["target", "source", "from", "readOnly", "readWrite"],
  cache: ["target", "source", "from", "id", "readOnly", "readWrite", "sharing", "mode", "uid", "gid"],
  tmpfs: ["target", "size", "readOnly", "readWrite"],
  secret: ["target", "source", "id", "required", "mode", "uid", "gid", "env"],
  ssh: ["target", "source", "id", "required", "mode", "uid", "gid"],
};

/**
 * @param expand given once variables are known; without it, what depends on one is left out
 * @throws Flaw
 */
export function readMount({ text, at }: Text, expand?: (text: string) => string): RunMount {
  const given = new Map<Key, string | undefined>();
  const fields = csvFields(text);
  if (!fields) throw new Flaw(`a quote in ${show(text)} is where none may be`, { at });
  for (const field of fields) {
    const [word, value] = splitAt(field, "=");
    const name = word.toLowerCase();
    const key = Object.hasOwn(KEYS, name) ? KEYS[name] : undefined;
    if (key === undefined) throw unknownWord("key of a mount", word, Object.keys(KEYS), at);
    if (value === undefined && key !== "readOnly" && key !== "readWrite" && key !== "required")
      throw new Flaw(`${word} of a mount needs a value`, { at });
    if (key === "from" && value !== undefined && /\$./.test(value))
      throw new Flaw("variables are not expanded in from=", { at, hint: "FROM $VARIABLE AS name, and from=name" });
    given.set(key, value === undefined ? undefined : (expand?.(value) ?? value));
  }
  const isKnown = (key: Key) => given.has(key) && (expand !== undefined || !given.get(key)?.includes("$"));
  if (given.has("type") && !isKnown("type")) return { text, type: "bind" };
  const mount: RunMount = {
    text,
    type: oneOf("type of a mount", given.get("type")?.toLowerCase() ?? "bind", TYPES, at),
  };
  for (const key of given.keys()) {
    if (key !== "type" && !TAKEN[mount.type].includes(key))
      throw new Flaw(`a mount of type ${mount.type} has no ${key.toLowerCase()}`, {
        at,
        hint: TAKEN[mount.type].join(" "),
      });
    if (isKnown(key)) setKey(mount, key, given.get(key), at);
  }
  check(mount, [...given.keys()], at);
  return mount;
}

function setKey(mount: RunMount, key: Key, value: string | undefined, at: number): void {
  if (key === "readWrite") mount.readOnly = !isTrue(key, value, at);
  else if (key === "readOnly" || key === "required") mount[key] = isTrue(key, value, at);
  else if (value === undefined || key === "type") return;
  else if (key === "sharing") mount.sharing = oneOf("sharing", value.toLowerCase(), SHARINGS, at);
  else if (key === "size") mount.sizeBytes = bytesOf(value, at);
  else if (key === "mode") mount.mode = whole(key, value, 8, 0o7777, at);
  else if (key === "uid" || key === "gid") mount[key] = whole(key, value, 10, 0xffff_fffe, at);
  else mount[key] = value;
}

function check(mount: RunMount, given: readonly Key[], at: number): void {
  if (mount.type === "secret") {
    if (!["source", "target", "id", "env"].some((key) => given.includes(key as Key)))
      throw new Flaw("a secret needs an id", { at, hint: "type=secret,id=NAME" });
    if (given.includes("source") && given.includes("id"))
      throw new Flaw("a secret has an id or a source, not both", { at });
  }
  // what others may write, RUN may write; the rest only where that is said
  if (!given.includes("readOnly") && !given.includes("readWrite") && mount.type !== "cache" && mount.type !== "tmpfs")
    mount.readOnly = true;
}

function oneOf<Word extends string>(what: string, word: string, words: readonly Word[], at: number): Word {
  const found = words.find((candidate) => candidate === word);
  if (found === undefined) throw unknownWord(what, word, words, at);
  return found;
}

/** As Go's `ParseBool`. */
function isTrue(key: Key, value: string | undefined, at: number): boolean {
  if (value === undefined || /^(?:1|t|T|TRUE|true|True)$/.test(value)) return true;
  if (/^(?:0|f|F|FALSE|false|False)$/.test(value)) return false;
  throw new Flaw(`${key.toLowerCase()} is ${show(value)}, and neither true nor false`, { at });
}

function whole(key: Key, value: string, radix: 8 | 10, most: number, at: number): number {
  const number = (radix === 8 ? /^[0-7]{1,12}$/ : /^\d{1,12}$/).test(value)
    ? Number.parseInt(value, radix)
    : Number.NaN;
  if (!(number <= most))
    throw new Flaw(`${key} ${show(value)} is not a number${radix === 8 ? " in octal" : ""}, or too large`, { at });
  return number;
}

const UNITS = " kmgtp";

/** `64m`, `1.5GiB`; all units are powers of 1024. */
function bytesOf(value: string, at: number): number {
  const [, number = "", unit = ""] = /^(\d{1,15}(?:\.\d{1,9})?) ?([kmgtp]?)(?:i?b)?$/i.exec(value) ?? [];
  const bytes = Math.floor(Number(number) * 1024 ** Math.max(0, UNITS.indexOf(unit.toLowerCase() || " ")));
  if (number === "" || !Number.isSafeInteger(bytes))
    throw new Flaw(`size ${show(value)} is not a size`, { at, hint: "64m, 1g" });
  return bytes;
}
