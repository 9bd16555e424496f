/** Completion for bash. @module @see bash(1), "Programmable Completion" */
import type { Value, VerbWords } from "./completion-words.ts";

/**
 * The walk over the words before the cursor. bash breaks words at `=` and `:`, so `--network=host` is three of them.
 */
const WALK = `_tsbox() {
  local cur=\${COMP_WORDS[COMP_CWORD]} path=tsbox at=1 word value from only_command=
  COMPREPLY=()
  while ((at < COMP_CWORD)); do
    word=\${COMP_WORDS[at]}
    if [[ $word == -- ]]; then
      only_command=1
    elif [[ $word == -* && ! $only_command ]]; then
      if _tsbox_value "$path" "$word"; then
        value=$((at + 1))
        if [[ \${COMP_WORDS[value]} == = ]]; then
          ((value == COMP_CWORD)) && cur=
          ((value++))
        fi
        if ((value >= COMP_CWORD)); then
          _tsbox_offer "$cur"
          return
        fi
        while [[ \${COMP_WORDS[value + 1]} == [=:]* ]]; do ((value += 2)); done
        ((value >= COMP_CWORD)) && return
        at=$value
      fi
    elif _tsbox_verb "$path" "$word"; then
      path="$path $word"
    else
      _tsbox_argument "$path"
      if [[ $kind == command ]]; then
        if declare -F _command_offset >/dev/null; then _command_offset "$at"; else compopt -o default; fi
        return
      fi
    fi
    ((at++))
  done
  if [[ $cur == -* && ! $only_command ]]; then
    _tsbox_flags "$path"
  else
    _tsbox_argument "$path"
  fi
  _tsbox_offer "$cur"
}
_tsbox_offer() {
  COMPREPLY=($(compgen -W "$words" -- "$1"))
  case $kind in
    command) COMPREPLY+=($(compgen -c -- "$1")) ;;
    file) compopt -o filenames 2>/dev/null; COMPREPLY+=($(compgen -f -- "$1")) ;;
    # words of compgen are expanded, so that nothing but plain names comes to it
    names) COMPREPLY+=($(compgen -W "$(tsbox $from 2>/dev/null | grep -E '^[A-Za-z0-9_./:-]+$')" -- "$1")) ;;
    directory) compopt -o filenames 2>/dev/null; COMPREPLY+=($(compgen -d -- "$1")) ;;
  esac
  # a word that is to be continued
  [[ \${#COMPREPLY[@]} == 1 && \${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
  return 0
}
complete -F _tsbox tsbox
`;

export function bashScript(verbs: readonly VerbWords[]): string {
  const setting = ({ words, paths, from }: Pick<Value, "words" | "paths" | "from">) =>
    `words="${words.join(" ")}" ${from ? `kind=names from="${from.join(" ")}"` : `kind=${paths ?? ""}`}`;
  const values = verbs.flatMap(({ path, flags }) =>
    flags.flatMap(({ names, value }) =>
      value ? [`${names.map((name) => `"${path} ${name}"`).join(" | ")}) ${setting(value)}`] : [],
    ),
  );
  const below = verbs.flatMap(({ path, verbs: names }) => names.map(({ name }) => `"${path} ${name}") return 0`));
  const flags = verbs.map(({ path, flags: all }) => {
    const words = all.flatMap(({ names }) => names);
    return `"${path}") ${setting({ words })}`;
  });
  const operands = verbs.map(({ path, verbs: names, argument }) => {
    if (argument === "command") return `"${path}") words= kind=command`;
    return `"${path}") ${setting(argument ?? { words: names.map(({ name }) => name) })}`;
  });
  return [
    "# Completes the words of tsbox in bash.",
    select("_tsbox_value", '"$1 $2"', [...values, "*) return 1"]),
    select("_tsbox_verb", '"$1 $2"', [...below, "*) return 1"]),
    select("_tsbox_flags", '"$1"', flags),
    select("_tsbox_argument", '"$1"', operands),
    WALK,
  ].join("\n");
}

const select = (name: string, on: string, cases: string[]) =>
  [`${name}() {`, `  case ${on} in`, ...cases.map((each) => `    ${each} ;;`), "  esac", "}"].join("\n");
