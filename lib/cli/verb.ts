/**
 * A command of the command line: commander's, with the small print of Docker's flag syntax (Go's pflag) and with
 * errors that end in a hint.
 * @module
 */
import { Command, Option, type HelpContext } from "commander";
import { print } from "./print.ts";
import { FAILED, UsageError } from "./report.ts";

/** The exit status, as Docker has it. */
const WRONG_WORDS = 1;

/** A flag or a command that is not declared. */
export class UnknownWord extends UsageError {
  readonly word: string;
  /** `"tsbox run"` */
  readonly verb: string;

  constructor(message: string, hint: string, word: string, verb: string) {
    super(message, hint, word.startsWith("-") ? FAILED : WRONG_WORDS);
    this.word = word;
    this.verb = verb;
  }
}

/** By the title of a group: how a flag is written, and what it does. `...` behind one: it may be given more than once. */
export type FlagGroups = Record<string, [written: string, description: string][]>;

export class Verb extends Command {
  #declare: ((verb: Verb) => void) | undefined;
  #flags: FlagGroups = {};
  readonly #met = new Set<Option>();
  #passesThrough = false;

  constructor(name?: string) {
    super(name);
    this.configureOutput({ writeOut: print });
    // a group of commands without one of them prints its help
    this.exitOverride(({ exitCode, code }) => process.exit(exitCode === 0 || code === "commander.help" ? 0 : FAILED));
  }

  override createCommand(name?: string): Verb {
    return new Verb(name);
  }

  /**
   * Puts off what only the verb that is used needs. Of its flags, a command line needs those that are on it (measured:
   * 0.8 ms for thirty of them).
   */
  declareLater(declare: (verb: Verb) => void, flags: FlagGroups = {}): this {
    this.#declare = declare;
    this.#flags = flags;
    return this;
  }

  /** With what was put off: all of it, as help and suggestions show it. */
  declared(): this {
    this.#declareRest();
    const flags = Object.entries(this.#flags);
    if (flags.length === 0) return this;
    this.#flags = {};
    // in their order, also where some are there already
    const others = this.options.filter((option) => !this.#met.has(option));
    (this.options as Option[]).splice(0, Infinity, ...others);
    for (const [title, group] of flags) {
      this.optionsGroup(title);
      for (const [written, description] of group) this.#declareFlag(written, description);
    }
    return this;
  }

  /** What is no flag. */
  #declareRest(): void {
    this.#declare?.(this);
    this.#declare = undefined;
  }

  #declareFlag(written: string, description: string): void {
    const option = new Option(written.replace(/\.\.\.$/, ""), description);
    if (written.endsWith("...")) option.argParser((value: string, before: string[] = []) => [...before, value]);
    const options = [option];
    if (option.isBoolean()) options.push(new Option(`--no-${option.name()}`).hideHelp()); // --read-only=false
    for (const each of options) {
      this.#met.add(each);
      this.addOption(each);
    }
  }

  /** The flag of a name, declared by now. */
  #find(name: string): Option | undefined {
    const known = () => this.options.find((option) => option.short === name || option.long === name);
    const found = known();
    if (found) return found;
    const positive = name.replace(/^--no-/, "--");
    const flag = Object.values(this.#flags)
      .flat()
      .find(([written]) => written.split(/[ ,.]+/).some((word) => word === name || word === positive));
    if (flag) this.#declareFlag(...flag);
    else this.declared();
    return known();
  }

  override helpInformation(context?: HelpContext): string {
    this.declared();
    return super.helpInformation(context);
  }

  override passThroughOptions(passes = true): this {
    this.#passesThrough = passes;
    return super.passThroughOptions(passes);
  }

  override parseOptions(words: string[]): { operands: string[]; unknown: string[] } {
    this.#declareRest();
    const isLast = this.commands.length === 0 && !this.#passesThrough;
    return super.parseOptions(plainFlags(words, (name) => this.#find(name), isLast));
  }

  /** `tsbox plan run` */
  path(): string {
    return this.parent ? `${(this.parent as Verb).path()} ${this.name()}` : this.name();
  }

  override error(message: string): never {
    const [what = "", suggestion] = message.replace(/^error: /, "").split("\n");
    const hint = suggestion?.replace(/^\(D(.*)\)$/, "d$1") ?? `see "${this.path()} --help"`;
    const [, word] = /^unknown (?:option|command) '(.*)'$/.exec(what) ?? [];
    const text = what.replaceAll("'", '"');
    if (word !== undefined) throw new UnknownWord(text, hint, word, this.path());
    throw new UsageError(text, hint, /^(?:missing required|too many) argument/.test(what) ? WRONG_WORDS : FAILED);
  }
}

const TRUE = new Set(["1", "t", "T", "true", "TRUE", "True"]);
const FALSE = new Set(["0", "f", "F", "false", "FALSE", "False"]);

/**
 * Rewrites what pflag understands and commander does not: `-m=1g`, `--rm=true`, `--read-only=false` (as
 * `--no-read-only`), `-ie A=B` (as `-i -e A=B`). An unknown flag becomes the last word, so that a `--help` behind it,
 * which may belong to the command, is not taken for ours.
 * @param among flags may stand among and behind other words; otherwise the first word that is no flag ends them
 */
export function plainFlags(words: string[], find: (name: string) => Option | undefined, among = false): string[] {
  const plain: string[] = [];
  for (let at = 0; at < words.length; at++) {
    const word = words[at] as string;
    const isFlag = word.startsWith("-") && word !== "-";
    if (word === "--" || (!isFlag && !among)) return [...plain, ...words.slice(at)];
    if (!isFlag) {
      plain.push(word);
      continue;
    }
    const [, long, behind] = /^(--[^=]+)(?:=([^]*))?$/.exec(word) ?? [];
    const flags = long === undefined ? cluster(word, find) : [{ flag: long, value: behind }];
    for (const { flag, value } of flags) {
      const option = find(flag);
      if (!option) return [...plain, flag === long ? word : flag];
      if (option.isBoolean() || option.negate) {
        if (value === undefined || TRUE.has(value)) plain.push(flag);
        // of --no-trunc=false nothing is left
        else if (FALSE.has(value)) plain.push(...(option.negate ? [] : [`--no-${option.name()}`]));
        else throw new UsageError(`use ${flag} ${JSON.stringify(value)}: not understood`, "true or false");
      } else if (value !== undefined) plain.push(flag, value);
      else plain.push(flag, ...words.slice(++at, at + 1));
    }
  }
  return plain;
}

/** `-ie=A`: `-i`, and `-e` with the value `A`. */
function cluster(word: string, find: (flag: string) => Option | undefined): { flag: string; value?: string }[] {
  const flags: { flag: string; value?: string }[] = [];
  for (let at = 1; at < word.length; at++) {
    const flag = `-${word[at]}`;
    const rest = word.slice(at + 1);
    const takesRest = find(flag)?.required ? rest !== "" : rest.startsWith("=");
    if (takesRest) return [...flags, { flag, value: rest.replace(/^=/, "") }];
    flags.push({ flag });
  }
  return flags;
}
