/** How verbs of images are declared. @module */
import type { FlagGroups, Verb } from "../verb.ts";

/** A verb by its name, and where it stands: `tsbox NAME`, `tsbox image NAME`. */
export type Add = (parent: Verb, name: string) => void;

interface Declaration {
  summary: string;
  /** Behind the summary, in its help. */
  more?: string;
  usage: string;
  /** `<IMAGE>`, `[IMAGE...]` */
  words?: string[];
  flags?: [written: string, description: string][];
}

/** @param action gets the words, the flags and the verb */
export function declare(
  parent: Verb,
  name: string,
  { summary, more = "", usage, words = [], flags = [] }: Declaration,
  action: (...args: never[]) => Promise<void>,
): Verb {
  const groups: FlagGroups = flags.length > 0 ? { "Flags:": flags } : {};
  const verb = parent.command(name) as Verb;
  return verb
    .summary(summary)
    .description(summary + more)
    .action(action as (...args: unknown[]) => Promise<void>)
    .declareLater((each) => {
      each.usage(usage).optionsGroup("Help:").helpOption("--help", "Print this help and quit");
      for (const word of words) each.argument(word);
    }, groups);
}

/** What `--format` takes. */
export const FORMAT = 'A template such as "{{.ID}} {{.Size}}", "table" and a template, or "json"';
export const PLATFORM = 'Of several, the one for "linux/arm64" (default this host\'s)';
