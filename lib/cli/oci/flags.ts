/**
 * Flags as runc reads them, which are Go's: one dash or two, `--name value` or `--name=value`, and no clusters of short
 * ones. A table and a loop: to load the parser of `tsbox run` takes longer than starting a container may (measured).
 * @module
 */
import type { Runtime } from "../../oci/index.ts";

/** What a flag takes; `flag` is true or false. */
export type Kind = "flag" | "text" | "number" | "list";
/** `"bundle, b"`; what it takes; what it does, for help: without that, it is not shown. */
export type Flag = readonly [names: string, kind: Kind, usage?: string];

/** The command line was not understood. */
export class UsageError extends Error {}

const TRUE = new Set(["1", "t", "T", "true", "TRUE", "True"]);
const FALSE = new Set(["0", "f", "F", "false", "FALSE", "False"]);

/** The flags that were given, by their long names. */
export class Values {
  readonly #given = new Map<string, string[]>();

  add(name: string, value: string): void {
    this.#given.set(name, [...(this.#given.get(name) ?? []), value]);
  }

  isSet(name: string): boolean {
    return this.#given.has(name);
  }

  /** The last one, where it is not empty. */
  text(name: string): string | undefined {
    return this.#given.get(name)?.at(-1) || undefined;
  }

  list(name: string): string[] {
    return this.#given.get(name) ?? [];
  }

  flag(name: string): boolean {
    return TRUE.has(this.#given.get(name)?.at(-1) ?? "");
  }

  number(name: string): number | undefined {
    const text = this.#given.get(name)?.at(-1);
    return text === undefined ? undefined : Number(text);
  }
}

export interface Parsed {
  values: Values;
  args: string[];
}

/** A verb as it was called. */
export interface Call extends Parsed {
  runtime: Runtime;
}

/** @param stopAtFirst what follows the first argument belongs to somebody else, flags too @throws UsageError */
export function parseFlags(words: readonly string[], flags: readonly Flag[], stopAtFirst: boolean): Parsed {
  const values = new Values();
  const args: string[] = [];
  for (let at = 0; at < words.length; at++) {
    const word = words[at] as string;
    if (word === "--") return { values, args: [...args, ...words.slice(at + 1)] };
    const [, name, behind] = /^--?([^-=][^=]*)(?:=([^]*))?$/.exec(word) ?? [];
    if (name === undefined) {
      if (stopAtFirst) return { values, args: words.slice(at) };
      args.push(word);
      continue;
    }
    const [long, kind] = find(name, flags);
    const value = behind ?? (kind === "flag" ? "true" : words[++at]);
    if (value === undefined) throw new UsageError(`flag needs an argument: --${name}`);
    values.add(long, checked(long, kind, value));
  }
  return { values, args };
}

function find(name: string, flags: readonly Flag[]): [long: string, kind: Kind] {
  for (const [names, kind] of flags) {
    const [long = "", ...others] = names.split(", ");
    if (name === long || others.includes(name)) return [long, kind];
  }
  throw new UsageError(`flag provided but not defined: -${name}`);
}

function checked(name: string, kind: Kind, value: string): string {
  const holds = kind === "flag" ? TRUE.has(value) || FALSE.has(value) : kind !== "number" || /^[+-]?\d+$/.test(value);
  if (holds) return value;
  throw new UsageError(
    `invalid value ${JSON.stringify(value)} for flag -${name}: ${kind === "flag" ? "true or false" : "not a number"}`,
  );
}
