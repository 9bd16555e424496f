/** Completion for zsh. @module @see zshcompsys(1), "_arguments" */
import type { FlagWords, Value, VerbWords } from "./completion-words.ts";

export function zshScript(verbs: readonly VerbWords[]): string {
  return [
    "#compdef tsbox",
    "# Completes the words of tsbox in zsh.",
    ...verbs.map((verb) => (verb.verbs.length > 0 ? group(verb) : leaf(verb))),
    // autoloaded from $fpath it is called; sourced, it is only declared
    'if [[ $funcstack[1] == _tsbox ]]; then _tsbox "$@"; else compdef _tsbox tsbox; fi',
    "",
  ].join("\n");
}

const functionName = (path: string) => `_${path.replaceAll(" ", "_")}`;

function group({ path, flags, verbs }: VerbWords): string {
  const name = functionName(path);
  return `${name}() {
  local state line
  local -a verbs=(${verbs.map((verb) => quote(`${verb.name}:${verb.summary}`)).join(" ")})
  _arguments -C -S ${flags.map(flagSpec).join(" ")} '1: :->verb' '*:: :->rest'
  case $state in
    verb) _describe -t commands command verbs ;;
    rest)
      case $line[1] in
${verbs.map((verb) => `        ${verb.name}) ${functionName(`${path} ${verb.name}`)} ;;`).join("\n")}
      esac ;;
  esac
}`;
}

function leaf({ path, flags, argument }: VerbWords): string {
  const specs = flags.map(flagSpec);
  if (argument === "command") specs.push("'(-):command: _command_names -e'", "'*::arguments: _normal'");
  else if (argument) specs.push(quote(`*:${message(argument)}`));
  return `${functionName(path)}() {
  _arguments -s -S ${specs.join(" \\\n    ")}
}`;
}

/** `'*'{-e,--env}'[Set a variable]:K=V: '` */
function flagSpec({ names, description, repeats, value }: FlagWords): string {
  const before = repeats ? "*" : `(${names.join(" ")})`;
  // a value behind "=" or as the next word
  const words = names.map((name) => (value && name.startsWith("--") ? `${name}=` : name));
  const text = `[${escape(description)}]${value ? `:${message(value)}` : ""}`;
  const either = words.length > 1 ? `{${words.join(",")}}` : (words[0] ?? "");
  return `${quote(before)}${either}${quote(text)}`;
}

/** `NAME:(a b)`, the message and what is offered. */
function message({ name, words, paths, from }: Value): string {
  const offers: string[] = [];
  if (words.length > 0)
    offers.push(`compadd ${words.some((word) => word.endsWith("=")) ? "-S '' " : ""}-- ${words.join(" ")}`);
  if (from) offers.push(`compadd -- \${(f)"$(tsbox ${from.map(quote).join(" ")} 2>/dev/null)"}`);
  if (paths === "file") offers.push("_files");
  if (paths === "directory") offers.push("_files -/");
  const title = escape(name);
  if (offers.length === 0) return `${title}: `;
  // in braces it is run as it stands
  return `${title}:{${offers.join("; ")}}`;
}

const escape = (text: string) => text.replaceAll(/[[\]:\\]/g, "\\$&");
const quote = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
