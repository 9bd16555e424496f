/** Completion for fish. @module @see complete(1) of fish */
import type { FlagWords, Value, VerbWords } from "./completion-words.ts";

/** Prints the verb whose words stand before the cursor; or "command", where they are those of a command inside. */
const WHERE = `function __tsbox_where
    set -l where tsbox
    set -l value no
    for word in (commandline -opc)[2..-1]
        if test $value = yes
            set value no
        else if string match -q -- '-?*' $word
            contains -- "$where $word" $__tsbox_valued
            and set value yes
        else if contains -- "$where $word" $__tsbox_verbs
            set where "$where $word"
        else if contains -- $where $__tsbox_runners
            set where command
            break
        end
    end
    echo $where
end
complete -c tsbox -f
complete -c tsbox -n 'test (__tsbox_where) = command' -F
`;

export function fishScript(verbs: readonly VerbWords[]): string {
  const valued = verbs.flatMap(({ path, flags }) =>
    flags.flatMap(({ names, value }) => (value ? names.map((name) => `${path} ${name}`) : [])),
  );
  const below = verbs.flatMap(({ path, verbs: names }) => names.map(({ name }) => `${path} ${name}`));
  const runners = verbs.filter(({ argument }) => argument === "command").map(({ path }) => path);
  return [
    "# Completes the words of tsbox in fish.",
    `set -g __tsbox_valued ${valued.map(quote).join(" ")}`,
    `set -g __tsbox_verbs ${below.map(quote).join(" ")}`,
    `set -g __tsbox_runners ${runners.map(quote).join(" ")}`,
    WHERE,
    ...verbs.flatMap(linesOf),
    "",
  ].join("\n");
}

function linesOf({ path, flags, verbs, argument }: VerbWords): string[] {
  const here = `complete -c tsbox -n ${quote(`test (__tsbox_where) = "${path}"`)}`;
  const lines = flags.map((flag) => `${here} ${flagWords(flag)}`);
  for (const { name, summary } of verbs) lines.push(`${here} -a ${name} -d ${quote(summary)}`);
  if (argument === "command") lines.push(`${here} -a '(__fish_complete_command)'`);
  else if (argument) lines.push(`${here} ${offers(argument)}`);
  return lines;
}

function flagWords({ names, description, value }: FlagWords): string {
  const words = names.map((name) => (name.startsWith("--") ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`));
  return [...words, ...(value ? ["-r", offers(value)] : []), "-d", quote(description)].join(" ");
}

function offers({ words, paths, from }: Value): string {
  const called = from ? [`(tsbox ${from.map(quote).join(" ")} 2>/dev/null)`] : [];
  const all = [...words, ...called, ...(paths === "directory" ? ["(__fish_complete_directories)"] : [])];
  const offered = all.length > 0 ? ` -a ${quote(all.join(" "))}` : "";
  return (paths === "file" ? "-F" : "-f") + offered;
}

const quote = (text: string) => `'${text.replaceAll(/['\\]/g, "\\$&")}'`;
