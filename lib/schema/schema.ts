/**
 * What a value of JSON has to be, as data: a few readers, and how they are put together. Each takes a value and returns
 * it as what it is. Of an object only the fields that are named come through: all others are ignored, as the
 * specification has it, and nothing of theirs (`__proto__`) reaches what is made of it. `null` stands for absent, as Go
 * writes it.
 * @module
 */
import { show } from "../../syscalls/index.ts";

export type Reader<T> = (value: unknown) => T;

/** A field that has a value also where there is none. */
export interface Present<T> {
  read: Reader<T>;
  absent: () => T;
}

/** One reader for each field of a type: those that may be absent alone, the others with what stands for them. */
export type Fields<T> = {
  readonly [Name in keyof T]-?: Pick<T, Name> extends Required<Pick<T, Name>>
    ? Present<Exclude<T[Name], undefined>>
    : Reader<T[Name] | undefined>;
};

/** A value that is not what it has to be, and the way to it: `process`, `user`, `uid`. */
export class Mismatch extends Error {
  readonly why: string;
  readonly hint: string | undefined;
  readonly path: string[];

  constructor(why: string, hint?: string, path: string[] = []) {
    super(why);
    this.path = path;
    this.why = why;
    this.hint = hint;
  }

  /** `process.rlimits[0].type` */
  get where(): string {
    return this.path.join("").replace(/^\./, "");
  }
}

/** The same error, one step further from where it arose. */
function from(step: string | number, error: unknown): unknown {
  if (error instanceof Mismatch) error.path.unshift(stepText(step));
  return error;
}

const stepText = (step: string | number): string => {
  if (typeof step === "number") return `[${step}]`;
  return /^[A-Za-z_]\w*$/.test(step) ? `.${step}` : `[${show(step)}]`;
};

const refuse = (value: unknown, what: string): never => {
  throw new Mismatch(`${show(value)} is not ${what}`);
};

export const required = <T>(read: Reader<T>, why = "it is missing"): Present<T> => ({
  read,
  absent() {
    throw new Mismatch(why);
  },
});

export const otherwise = <T>(read: Reader<T>, byDefault: () => T): Present<T> => ({ read, absent: byDefault });

export const boolean: Reader<boolean> = (value) =>
  typeof value === "boolean" ? value : refuse(value, "true or false");

/** Without NUL bytes: the kernel's own texts end there. */
export const text: Reader<string> = (value) => {
  if (typeof value !== "string") return refuse(value, "a text");
  return value.includes("\0") ? refuse(value, "a text without NUL bytes") : value;
};

/** Of what may be absent: `""` is, as for Go. */
export const unlessEmpty =
  <T>(read: Reader<T>): Reader<T | undefined> =>
  (value) =>
    value === "" ? undefined : read(value);

/** A text that a pattern describes, in words. */
export const matching =
  (pattern: RegExp, what: string): Reader<string> =>
  (value) =>
    pattern.test(text(value)) ? (value as string) : refuse(value, what);

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

export const absolutePath = matching(/^\//, "an absolute path");

/** One of a few words; `other` is what any other is called. */
export function oneOf<Word extends string>(words: readonly Word[], other = "unknown"): Reader<Word> {
  const known = new Set<unknown>(words);
  return (value) => {
    if (known.has(value)) return value as Word;
    throw new Mismatch(`${other} ${show(value)}`, words.join(", "));
  };
}

export const whole =
  (least: number, most: number): Reader<number> =>
  (value) =>
    Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most
      ? (value as number)
      : refuse(value, `a number from ${least} to ${most}`);

const U64_MAX = 2n ** 64n - 1n;
const I64_MIN = -(2n ** 63n);

/** Unsigned, 64 bits: exact, so a bigint where a number would not be. */
export const unsigned64: Reader<number | bigint> = (value) => {
  if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number;
  return typeof value === "bigint" && value >= 0 && value <= U64_MAX
    ? value
    : refuse(value, `a number from 0 to ${U64_MAX}`);
};

/** 64 bits, signed or not; what no number holds exactly stands for the nearest that one does. */
export const nearest64: Reader<number> = (value) => {
  if (Number.isSafeInteger(value)) return value as number;
  if (typeof value !== "bigint" || value < I64_MIN || value > U64_MAX)
    return refuse(value, `a number from ${I64_MIN} to ${U64_MAX}`);
  return value < 0 ? Number.MIN_SAFE_INTEGER : Number.MAX_SAFE_INTEGER;
};

/** The same, of what -1 is unlimited for: more than 8 PiB is. */
export const limit64: Reader<number> = (value) => {
  const nearest = nearest64(value);
  return nearest === Number.MAX_SAFE_INTEGER ? -1 : nearest;
};

export const list =
  <T>(read: Reader<T>): Reader<T[]> =>
  (value) => {
    if (!Array.isArray(value)) return refuse(value, "a list");
    const result: T[] = [];
    try {
      for (const each of value) result.push(read(each));
    } catch (error) {
      throw from(result.length, error);
    }
    return result;
  };

/** Any names, and values of one kind. */
export const record =
  <T>(read: Reader<T>, name: Reader<string> = text): Reader<Record<string, T>> =>
  (value) => {
    if (!isObject(value)) return refuse(value, "an object");
    const entries = Object.entries(value).map(([key, each]) => {
      try {
        return [name(key), read(each)] as const;
      } catch (error) {
        throw from(key, error);
      }
    });
    // they become properties of its own, whatever they are called
    return Object.fromEntries(entries);
  };

export function object<T extends object>(fields: Fields<T>): Reader<T> {
  const table = fields as Record<string, Reader<unknown> | Present<unknown>>;
  const names = Object.keys(table);
  return (value) => {
    if (!isObject(value)) return refuse(value, "an object");
    const result: Record<string, unknown> = {};
    let name = "";
    try {
      for (name of names) {
        const field = table[name]!;
        const given = value[name] ?? undefined;
        if (typeof field === "function") {
          if (given === undefined) continue;
          const read = field(given);
          if (read !== undefined) result[name] = read;
        } else result[name] = given === undefined ? field.absent() : field.read(given);
      }
    } catch (error) {
      throw from(name, error);
    }
    return result as T;
  };
}
