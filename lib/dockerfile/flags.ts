/** Flags of instructions: `--from=build`, `--link`. @module */
import { show } from "../../syscalls/index.ts";
import { Flaw } from "./flaw.ts";
import { unknownWord } from "./lines.ts";
import type { Text } from "./words.ts";

/** `true` or `false`; one value; or each time another. */
export type FlagKind = "switch" | "value" | "values";

/** What was given, by name. */
export class Flags {
  readonly #given = new Map<string, Text[]>();

  /** @throws Flaw */
  constructor(flags: readonly Text[], kinds: Readonly<Record<string, FlagKind>>) {
    for (const { text, at } of flags) {
      const [name, value] = splitAt(text.slice(2), "=");
      const kind = Object.hasOwn(kinds, name) ? kinds[name] : undefined;
      if (kind === undefined) throw unknownFlag(name, Object.keys(kinds), at);
      const others = this.#given.get(name) ?? [];
      if (others.length > 0 && kind !== "values") throw new Flaw(`--${name} is there twice`, { at });
      if (value === undefined && kind !== "switch") throw new Flaw(`--${name} needs a value`, { at });
      if (value !== undefined && kind === "switch" && !/^(?:true|false)$/i.test(value))
        throw new Flaw(`--${name} is ${show(value)}, and neither true nor false`, { at });
      others.push({ text: value ?? "true", at: at + 2 + name.length + 1 });
      this.#given.set(name, others);
    }
  }

  find(name: string): Text | undefined {
    return this.#given.get(name)?.[0];
  }

  value(name: string): string | undefined {
    return this.find(name)?.text;
  }

  values(name: string): Text[] {
    return this.#given.get(name) ?? [];
  }

  /** @returns undefined where nothing is said. */
  isSet(name: string): boolean | undefined {
    const value = this.value(name);
    return value === undefined ? undefined : value.toLowerCase() === "true";
  }
}

function unknownFlag(name: string, known: readonly string[], at: number): Flaw {
  if (known.length === 0) return new Flaw(`there is no flag here, and so no ${show(`--${name}`)}`, { at });
  return unknownWord(
    "flag",
    `--${name}`,
    known.map((flag) => `--${flag}`),
    at,
  );
}

/** @returns the text before `separator`, and after it where it is there. */
export function splitAt(text: string, separator: string): [before: string, after: string | undefined] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + separator.length)];
}
