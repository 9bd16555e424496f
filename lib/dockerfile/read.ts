/** One joined line to one instruction: what each of them takes. @module */
import { show } from "../../syscalls/index.ts";
import { Flags, splitAt, type FlagKind } from "./flags.ts";
import { Flaw } from "./flaw.ts";
import { HEALTH_FLAGS, readHealthCheck } from "./health-check.ts";
import { openingOf, takeHereDocuments } from "./here-document.ts";
import type { AddFlags, Command, CopyFlags, HereDocument, Instruction, Pair, Saying } from "./instruction.ts";
import { unknownWord, type Line, type Lines } from "./lines.ts";
import { readMount } from "./mount.ts";
import { firstWord, jsonWords, plainWords, quotedWords, takeFlags, type Text } from "./words.ts";

/** What an instruction is made of. */
interface Parts {
  lines: Lines;
  line: Line;
  name: Instruction["name"];
  /** Where its name stands. */
  at: number;
  flags: Flags;
  rest: Text;
}

type Says<Name extends Saying["name"]> = Extract<Saying, { name: Name }>;
type Reader = (parts: Parts) => Saying;

const COPY_FLAGS: Record<string, FlagKind> = { chown: "value", chmod: "value", link: "switch", exclude: "values" };
const NETWORKS = ["default", "none", "host"] as const;
const SECURITIES = ["sandbox", "insecure"] as const;

/** The kinds of its flags, and its reader. */
const READERS: Record<Instruction["name"], [flags: Record<string, FlagKind>, read: Reader]> = {
  FROM: [{ platform: "value" }, readFrom],
  ARG: [{}, readArg],
  ENV: [{}, (parts) => ({ name: "ENV", pairs: readPairs(parts) })],
  LABEL: [{}, (parts) => ({ name: "LABEL", pairs: readPairs(parts) })],
  RUN: [{ mount: "values", network: "value", security: "value" }, readRun],
  COPY: [{ ...COPY_FLAGS, from: "value", parents: "switch" }, readCopy],
  ADD: [{ ...COPY_FLAGS, checksum: "value", "keep-git-dir": "switch", unpack: "switch" }, readAdd],
  WORKDIR: [{}, (parts) => ({ name: "WORKDIR", value: readLine(parts) })],
  USER: [{}, (parts) => ({ name: "USER", value: readLine(parts) })],
  STOPSIGNAL: [{}, (parts) => ({ name: "STOPSIGNAL", value: readLine(parts) })],
  MAINTAINER: [{}, (parts) => ({ name: "MAINTAINER", value: readLine(parts) })],
  VOLUME: [{}, readVolume],
  EXPOSE: [{}, (parts) => ({ name: "EXPOSE", values: readSome(parts).map(({ text }) => text) })],
  CMD: [{}, (parts) => ({ name: "CMD", command: readOwn(parts) })],
  ENTRYPOINT: [{}, (parts) => ({ name: "ENTRYPOINT", command: readOwn(parts) })],
  SHELL: [{}, readShell],
  HEALTHCHECK: [
    HEALTH_FLAGS,
    ({ flags, rest }) => ({ name: "HEALTHCHECK", check: readHealthCheck(flags, rest, readCommand) }),
  ],
  ONBUILD: [{}, readOnBuild],
};

export const INSTRUCTIONS = Object.keys(READERS) as Instruction["name"][];

/** @param lines stand behind `line`: its here-documents are taken. @throws TsboxError `dockerfile_invalid` */
export function readInstruction(lines: Lines, line: Line): Instruction {
  return lines.within(line, () => read(lines, line, { text: line.text, at: 0 }));
}

function read(lines: Lines, line: Line, text: Text): Instruction {
  const [word, words] = firstWord(text);
  const name = INSTRUCTIONS.find((candidate) => candidate === word.text.toUpperCase());
  if (name === undefined) throw unknownWord("instruction", word.text, INSTRUCTIONS, word.at);
  const [kinds, reader] = READERS[name];
  const [given, rest] = takeFlags(words);
  const parts = { lines, line, name, at: word.at, flags: new Flags(given, kinds), rest };
  const instruction = reader(parts);
  return { ...instruction, place: line.place, text: line.text.slice(word.at) };
}

function readFrom({ flags, rest, at }: Parts): Says<"FROM"> {
  const [image, as, stage, ...more] = plainWords(rest);
  if (!image || (as && as.text.toUpperCase() !== "AS") || (as && !stage) || more.length > 0)
    throw new Flaw("FROM takes an image, or an image, AS and a name", { at: (more[0] ?? as)?.at ?? at });
  const platform = flags.value("platform");
  const name = stage?.text.toLowerCase();
  if (stage && !/^[a-z][a-z0-9_.-]*$/.test(name as string))
    throw new Flaw(`${show(stage.text)} is no name for a stage`, {
      at: stage.at,
      hint: "a letter, then letters, digits, _ . -",
    });
  return {
    name: "FROM",
    image: image.text,
    ...(platform === undefined ? {} : { platform }),
    ...(name === undefined ? {} : { stage: name }),
  };
}

function readArg(parts: Parts): Says<"ARG"> {
  const words = quotedWords(parts.rest, parts.lines.escape);
  if (words.length === 0) throw nothing(parts);
  const args = words.map(({ text, at }) => {
    const [name, value] = splitAt(text, "=");
    if (name === "") throw new Flaw(`${show(text)} has no name`, { at });
    return { name, ...(value === undefined ? {} : { value }) };
  });
  return { name: "ARG", args };
}

/** `key=value key="va lue"`, or, as it was long ago, `key value`. */
function readPairs(parts: Parts): Pair[] {
  const words = quotedWords(parts.rest, parts.lines.escape);
  const [first] = words;
  if (!first) throw nothing(parts);
  if (!first.text.includes("=")) {
    const [name, value] = firstWord(parts.rest);
    if (value.text === "")
      throw new Flaw(`${show(name.text)} has no value`, { at: name.at, hint: `${parts.name} name=value` });
    return [[name.text, value.text]];
  }
  return words.map(({ text, at }) => {
    const [name, value] = splitAt(text, "=");
    if (name === "" || value === undefined)
      throw new Flaw(`${show(text)} is not of the form name=value`, { at, hint: "a value with blanks needs quotes" });
    return [name, value];
  });
}

function readRun(parts: Parts): Says<"RUN"> {
  const { flags } = parts;
  const command = readOwn(parts, true);
  if (command.form === "exec" && command.args.length === 0) throw noCommand(parts);
  return {
    name: "RUN",
    command,
    mounts: flags.values("mount").map((mount) => readMount(mount)),
    ...choice(flags, "network", NETWORKS),
    ...choice(flags, "security", SECURITIES),
  };
}

function choice<Name extends string, Word extends string>(flags: Flags, name: Name, words: readonly Word[]) {
  const given = flags.find(name);
  if (!given) return {};
  const found = words.find((word) => word === given.text);
  if (found === undefined) throw unknownWord(name, given.text, words, given.at);
  return { [name]: found } as Record<Name, Word>;
}

/** What COPY and ADD both have. */
function readFiles({ lines, line, flags, rest, name, at }: Parts) {
  const json = jsonWords(rest);
  const words = json?.map((text) => ({ text, at: rest.at })) ?? plainWords(rest);
  const destination = words.at(-1);
  if (!destination || words.length < 2)
    throw new Flaw(`${name} needs sources and a destination`, { at: destination?.at ?? at });
  if (!json && openingOf(destination, lines.escape))
    throw new Flaw(`a here-document is no destination of ${name}`, { at: destination.at });
  const hereDocuments: HereDocument[] = json ? [] : takeHereDocuments(lines, line, rest);
  const sources = words.slice(0, -1).filter((word) => json || !openingOf(word, lines.escape));
  if (words.some(({ text }) => text === "")) throw new Flaw(`an empty path of ${name}`, { at });
  return {
    files: { sources: sources.map(({ text }) => text), hereDocuments, destination: destination.text },
    flags: {
      ...optional("chown", flags.value("chown")),
      ...optional("chmod", flags.value("chmod")),
      link: flags.isSet("link") ?? false,
      exclude: flags.values("exclude").map(({ text }) => text),
    },
  };
}

function readCopy(parts: Parts): Says<"COPY"> {
  const { files, flags } = readFiles(parts);
  const from = parts.flags.find("from");
  if (from && /\$./.test(from.text))
    throw new Flaw("variables are not expanded in --from", {
      at: from.at,
      hint: "FROM $VARIABLE AS name, and --from=name",
    });
  const parents = parts.flags.isSet("parents") ?? false;
  return { name: "COPY", ...files, flags: { ...flags, ...optional("from", from?.text), parents } satisfies CopyFlags };
}

function readAdd(parts: Parts): Says<"ADD"> {
  const { files, flags } = readFiles(parts);
  const more = {
    ...optional("checksum", parts.flags.value("checksum")),
    keepGitDir: parts.flags.isSet("keep-git-dir") ?? false,
    ...optional("unpack", parts.flags.isSet("unpack")),
  };
  return { name: "ADD", ...files, flags: { ...flags, ...more } satisfies AddFlags };
}

function readVolume(parts: Parts): Says<"VOLUME"> {
  const values = jsonWords(parts.rest) ?? readSome(parts).map(({ text }) => text);
  if (values.length === 0) throw nothing(parts);
  if (values.some((value) => value.trim() === "")) throw new Flaw("an empty path", { at: parts.rest.at });
  return { name: "VOLUME", values };
}

function readShell({ rest, at }: Parts): Says<"SHELL"> {
  const args = jsonWords(rest);
  if (!args || args.length === 0)
    throw new Flaw("SHELL takes a JSON array of words", {
      at: rest.text === "" ? at : rest.at,
      hint: 'SHELL ["bash", "-c"]',
    });
  return { name: "SHELL", args };
}

const NOT_LATER = ["ONBUILD", "FROM", "MAINTAINER"];

function readOnBuild({ lines, line, rest, at }: Parts): Says<"ONBUILD"> {
  const name = firstWord(rest)[0].text.toUpperCase();
  if (name === "") throw new Flaw("ONBUILD needs an instruction", { at });
  if (NOT_LATER.includes(name)) throw new Flaw(`${name} is not allowed in ONBUILD`, { at: rest.at });
  const before = lines.position;
  const instruction = read(lines, line, rest);
  return { name: "ONBUILD", instruction, trigger: [rest.text, ...lines.since(before)].join("\n") };
}

const noCommand = ({ name, at }: Parts) => new Flaw(`${name} needs a command`, { at });

/** The command that is all of an instruction. */
function readOwn(parts: Parts, hasHereDocuments = false): Command {
  if (parts.rest.text === "") throw noCommand(parts);
  const command = readCommand(parts.rest);
  if (command.form === "exec" || !hasHereDocuments) return command;
  return { ...command, hereDocuments: takeHereDocuments(parts.lines, parts.line, parts.rest) };
}

function readCommand(text: Text): Command {
  if (text.text === "") throw new Flaw("no command", { at: text.at });
  const args = jsonWords(text);
  return args ? { form: "exec", args } : { form: "shell", text: text.text, hereDocuments: [] };
}

function readLine(parts: Parts): string {
  if (parts.rest.text === "") throw nothing(parts);
  return parts.rest.text;
}

function readSome(parts: Parts): Text[] {
  const words = plainWords(parts.rest);
  if (words.length === 0) throw nothing(parts);
  return words;
}

const nothing = ({ name, at }: Parts) => new Flaw(`${name} needs an argument`, { at });

function optional<Key extends string, Value>(key: Key, value: Value | undefined): Partial<Record<Key, Value>> {
  return value === undefined ? {} : ({ [key]: value } as Record<Key, Value>);
}
