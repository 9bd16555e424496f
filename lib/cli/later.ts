/**
 * Verbs whose files are loaded when they are the word on the command line: there are a hundred of them, and each command
 * line has one (measured: 10 ms for those of images). Where it is known, the others are not even told of.
 * @module
 */
import type { Add } from "./images/declare.ts";
import type { Verb } from "./verb.ts";

export interface Later {
  /** As the verb itself says it; for the help of what it is in. */
  summary: string;
  load(): Promise<Add>;
  alias?: string | readonly string[];
  /** For tsbox itself: it is not in any help. */
  hidden?: boolean;
}

export type LaterVerbs = Readonly<Record<string, Later>>;

export class CommandLine {
  /** What is meant, from the outside in: `["container", "ls"]`. Undefined: anything may be. */
  readonly #path: string[] | undefined;

  /** @param words those behind `tsbox` */
  constructor(words: readonly string[]) {
    const path: string[] = [];
    let depth = 2;
    for (let at = 0; at < words.length && path.length < depth; at++) {
      const word = words[at] as string;
      // the help of what has been named so far, whatever follows
      if (word === "--help" || word === "-h") break;
      if (word === "--root") at++;
      else if (word === "help") depth = path.length + 1;
      else if (!word.startsWith("-")) path.push(word);
    }
    this.#path = path[0] === "completion" ? undefined : path;
  }

  /** @param depth 0 for `tsbox NAME`, 1 for `tsbox GROUP NAME` */
  means(depth: 0 | 1, { name, alias = [] }: { name: string; alias?: string | readonly string[] | undefined }): boolean {
    if (!this.#path) return true;
    const word = this.#path[depth];
    return word !== undefined && (word === name || [alias].flat().includes(word));
  }

  /** Completion needs all of them. */
  get meansAny(): boolean {
    return !this.#path;
  }
}

/** Adds those that are meant. @param all the others as well, in their order, with nothing but a summary */
export async function addLater(parent: Verb, verbs: LaterVerbs, line: CommandLine, all: boolean): Promise<void> {
  const depth = parent.parent ? 1 : 0;
  for (const [name, { summary, load, alias, hidden = false }] of Object.entries(verbs)) {
    if (line.means(depth, { name, alias }) && !(hidden && line.meansAny)) (await load())(parent, name);
    else if (all && !hidden) (parent.command(name) as Verb).summary(summary);
    else continue;
    const verb = parent.commands.find((each) => each.name() === name);
    if (alias !== undefined) verb?.aliases([alias].flat());
  }
}

/**
 * Adds the verb that is meant. Where there is none, what is wrong, or what there is, has to be told: then all.
 * @param add is called once more with `all`, where it has added none
 */
export async function addMeant(parent: Verb, add: (all: boolean) => Promise<void>): Promise<void> {
  await add(false);
  if (parent.commands.length === 0) await add(true);
}

/** `tsbox NAME …`, with verbs of its own; these are left out where something else is meant. */
export async function addGroup(
  tsbox: Verb,
  { name, summary, verbs }: { name: string; summary: string; verbs: LaterVerbs },
  line: CommandLine,
  all: boolean,
): Promise<void> {
  const isMeant = line.means(0, { name });
  if (!isMeant && !all) return;
  const group = tsbox.command(name) as Verb;
  group.usage("COMMAND").summary(summary).description(summary);
  if (isMeant) await addMeant(group, (others) => addLater(group, verbs, line, others));
}
