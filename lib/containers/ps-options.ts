/** Words of ps(1), as far as they make sense for the processes of one container. Pure. @module */
import { show, TsboxError } from "../../syscalls/index.ts";
import { FIELDS, FORMATS, type Field } from "./ps-fields.ts";

export interface PsOptions {
  fields: readonly Field[];
  /** By these, the first counting most. */
  sort: readonly { field: Field; isDescending: boolean }[];
}

const refuse = (word: string, why: string, hint?: string) =>
  new TsboxError(`understand the words of ps(1): ${show(word)}: ${why}`, {
    code: "invalid_option",
    hint: hint ?? "-ef, aux, -l, -o pid,user,args --sort -pid; or names of columns",
  });

/** Options that select processes: all of the container's are shown anyway. */
const SELECTS = { unix: "eAadN", bsd: "axgTr" };

/** @throws TsboxError `invalid_option` */
export function psOptions(words: readonly string[]): PsOptions {
  const parsing = new Parsing();
  // as podman has it
  if (words.length > 0 && words.every((word) => Object.hasOwn(FIELDS, word.toLowerCase()))) {
    for (const word of words) parsing.fields.push(fieldOf(word));
    return parsing.result();
  }
  for (let at = 0; at < words.length; at++) at += parsing.take(words[at] as string, words[at + 1]);
  return parsing.result();
}

class Parsing {
  readonly fields: Field[] = [];
  #format: keyof typeof FORMATS | undefined;
  readonly #sort: { field: Field; isDescending: boolean }[] = [];
  #isAny = false;

  result(): PsOptions {
    const fields = this.fields.length > 0 ? this.fields : FORMATS[this.#format ?? (this.#isAny ? "short" : "full")];
    return { fields, sort: this.#sort };
  }

  /** @returns how many of the words behind it belong to it */
  take(word: string, next: string | undefined): number {
    this.#isAny = true;
    const [, name, value] = /^--([a-z-]+)(?:=(.*))?$/.exec(word) ?? [];
    if (name !== undefined) return this.#long(word, name, value ?? next, value === undefined);
    const isUnix = word.startsWith("-");
    const letters = isUnix ? word.slice(1) : word;
    // "-aux" is taken for "aux", as everybody means it
    const isBsd = !isUnix || /^a?u?x$|^axu$|^aux$/.test(letters);
    for (let at = 0; at < letters.length; at++) {
      const letter = letters[at] as string;
      if (letter === "o" || (letter === "O" && isUnix)) {
        const rest = letters.slice(at + 1);
        const list = rest === "" ? next : rest;
        if (list === undefined) throw refuse(word, "columns are missing");
        if (letter === "O") this.fields.push(FIELDS["pid"] as Field);
        this.#columns(list);
        if (letter === "O") this.fields.push(...FORMATS.short.slice(1));
        return rest === "" ? 1 : 0;
      }
      this.#letter(word, letter, isBsd);
    }
    return 0;
  }

  #letter(word: string, letter: string, isBsd: boolean): void {
    const unix = { f: "full", F: "extra", l: "long", j: "jobs" } as const;
    const bsd = { u: "user", j: "bsdJobs", l: "long" } as const;
    const known: Record<string, keyof typeof FORMATS> = isBsd ? bsd : unix;
    // output is as wide as it is, in any case
    if (letter === "w") return;
    if ((isBsd ? SELECTS.bsd : SELECTS.unix).includes(letter)) {
      if (isBsd) this.#format ??= "bsd";
      return;
    }
    const format = known[letter];
    if (format === undefined) throw refuse(word, `there is no option ${show(letter)}`);
    this.#format = format;
  }

  #long(word: string, name: string, value: string | undefined, isNext: boolean): number {
    if (name === "forest" || name === "headers" || value === undefined) throw refuse(word, "not understood");
    if (name === "format") this.#columns(value);
    else if (name === "sort") {
      for (const key of value.split(",")) {
        this.#sort.push({ field: fieldOf(key.replace(/^[+-]/, "")), isDescending: key.startsWith("-") });
      }
    } else throw refuse(word, "not understood");
    return isNext ? 1 : 0;
  }

  /** `pid,user=WHO`: the last one's title may contain anything. */
  #columns(list: string): void {
    const titled = /^([^=]*?)([a-z_%]+)=(.*)$/is.exec(list);
    const names = (titled ? (titled[1] as string) : list).split(/[,\s]+/).filter((name) => name !== "");
    for (const name of names) this.fields.push(fieldOf(name));
    if (titled) this.fields.push({ ...fieldOf(titled[2] as string), title: titled[3] as string });
  }
}

function fieldOf(name: string): Field {
  const field = Object.hasOwn(FIELDS, name.toLowerCase()) ? FIELDS[name.toLowerCase()] : undefined;
  if (field) return field;
  throw refuse(name, "there is no such column", Object.keys(FIELDS).join(" "));
}
