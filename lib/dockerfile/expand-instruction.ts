/** Variables in an instruction, wherever it is one that has them expanded. @module @see https://docs.docker.com/reference/dockerfile/#environment-replacement */
import { dockerfileError, Flaw } from "./flaw.ts";
import { expand, expandWords, type ValueOf } from "./expand.ts";
import type { CopyFlags, Dockerfile, HereDocument, Instruction, Pair } from "./instruction.ts";
import { readMount } from "./mount.ts";

/**
 * Commands are not: their shell does that. FROM is expanded with the arguments before it, which the caller knows.
 * @param within whose file and escape character count
 * @throws TsboxError `dockerfile_invalid`, with the place of the instruction
 */
export function expandInstruction<Any extends Instruction>(
  instruction: Any,
  valueOf: ValueOf,
  within: Pick<Dockerfile, "file" | "escape">,
): Any {
  const word = (text: string) => expand(text, valueOf, within.escape);
  const words = (text: string) => expandWords(text, valueOf, within.escape);
  const content = (text: string) => expand(text, valueOf, within.escape, { quotes: "kept" });
  try {
    return { ...instruction, ...expanded(instruction, word, words, content) };
  } catch (error) {
    if (!(error instanceof Flaw)) throw error;
    throw dockerfileError(within.file, instruction.place, error.message, error.hint);
  }
}

type Word = (text: string) => string;

function expanded(instruction: Instruction, word: Word, words: (text: string) => string[], content: Word) {
  switch (instruction.name) {
    case "FROM":
      return {
        image: word(instruction.image),
        ...(instruction.platform === undefined ? {} : { platform: word(instruction.platform) }),
      };
    case "ARG":
      return {
        args: instruction.args.map(({ name, value }) => ({
          name: word(name),
          ...(value === undefined ? {} : { value: word(value) }),
        })),
      };
    case "ENV":
    case "LABEL":
      return { pairs: instruction.pairs.map(([name, value]): Pair => [word(name), word(value)]) };
    case "WORKDIR":
    case "USER":
    case "STOPSIGNAL":
      return { value: word(instruction.value) };
    case "VOLUME":
      return { values: instruction.values.map(word) };
    case "EXPOSE":
      return { values: instruction.values.flatMap(words) };
    case "RUN":
      return { mounts: instruction.mounts.map(({ text }) => readMount({ text, at: 0 }, word)) };
    case "COPY":
    case "ADD":
      return {
        sources: instruction.sources.map(word),
        destination: word(instruction.destination),
        hereDocuments: instruction.hereDocuments.map((document) => expandedDocument(document, content)),
        flags: expandedFlags(instruction.flags, word),
      };
    default:
      return {};
  }
}

const expandedDocument = (document: HereDocument, content: Word): HereDocument =>
  document.isExpanded ? { ...document, content: content(document.content) } : document;

/** All but `from`. */
function expandedFlags(flags: Pick<CopyFlags, "chown" | "chmod" | "exclude"> & { checksum?: string }, word: Word) {
  const own = (["chown", "chmod", "checksum"] as const).flatMap((name) => {
    const value = flags[name];
    return value === undefined ? [] : [[name, word(value)]];
  });
  return { ...flags, ...Object.fromEntries(own), exclude: flags.exclude.map(word) };
}
