/**
 * What stands in a Dockerfile, typed, with its place. Variables are not expanded yet: what they are is known only when
 * the instructions before have been gone through.
 * @module
 * @see https://docs.docker.com/reference/dockerfile/
 */

/** Lines and columns count from 1. */
export interface Place {
  line: number;
  column: number;
  /** The last line of the instruction, its here-documents included. */
  endLine: number;
}

export interface HereDocument {
  /** What ends it; for COPY the name of the file. */
  name: string;
  /** Without the tabs that lines begin with, where it is `<<-`. */
  content: string;
  /** Variables in it are expanded: its name was not quoted. For RUN that is the shell's business. */
  isExpanded: boolean;
}

/** A shell's words, or a program and its arguments. */
export type Command = { form: "shell"; text: string; hereDocuments: HereDocument[] } | { form: "exec"; args: string[] };

interface Common {
  place: Place;
  /** As written, lines joined, for history and messages: `RUN make`. */
  text: string;
}

/** What depends on variables is known once they are expanded: `expandInstruction` reads `text` again. */
export interface RunMount {
  /** As written: `type=cache,target=/var/cache`. */
  text: string;
  type: "bind" | "cache" | "tmpfs" | "secret" | "ssh";
  /** Relative to the working directory, which it is where nothing is said (but for secret and ssh). */
  target?: string;
  source?: string;
  /** Of a stage, an image, or a named context. */
  from?: string;
  readOnly?: boolean;
  id?: string;
  sharing?: "shared" | "private" | "locked";
  sizeBytes?: number;
  required?: boolean;
  mode?: number;
  uid?: number;
  gid?: number;
  /** A secret as an environment variable. */
  env?: string;
}

export interface CopyFlags {
  from?: string;
  /** `"user:group"`, unexpanded. */
  chown?: string;
  chmod?: string;
  link: boolean;
  parents: boolean;
  exclude: string[];
}

export interface AddFlags extends Omit<CopyFlags, "from" | "parents"> {
  checksum?: string;
  keepGitDir: boolean;
  /** Archives are unpacked; undefined: local ones are, those of URLs are not. */
  unpack?: boolean;
}

export type Pair = readonly [name: string, value: string];

export interface HealthCheck {
  /** Undefined: `NONE`. */
  test?: Command;
  intervalMs?: number;
  timeoutMs?: number;
  startPeriodMs?: number;
  startIntervalMs?: number;
  retries?: number;
}

/** The same for each of several names. */
type Each<Name extends string, Rest> = Name extends Name ? { name: Name } & Rest : never;

/** What it says, without where and how it is written. */
export type Saying =
  | { name: "FROM"; image: string; platform?: string; stage?: string }
  | { name: "ARG"; args: { name: string; value?: string }[] }
  | Each<"ENV" | "LABEL", { pairs: Pair[] }>
  | {
      name: "RUN";
      command: Command;
      mounts: RunMount[];
      network?: "default" | "none" | "host";
      security?: "sandbox" | "insecure";
    }
  | { name: "COPY"; sources: string[]; hereDocuments: HereDocument[]; destination: string; flags: CopyFlags }
  | { name: "ADD"; sources: string[]; hereDocuments: HereDocument[]; destination: string; flags: AddFlags }
  | Each<"WORKDIR" | "USER" | "STOPSIGNAL" | "MAINTAINER", { value: string }>
  | Each<"VOLUME" | "EXPOSE", { values: string[] }>
  | Each<"CMD" | "ENTRYPOINT", { command: Command }>
  | { name: "SHELL"; args: string[] }
  | { name: "HEALTHCHECK"; check: HealthCheck }
  /** Parsed already, so that what is wrong is told at once. */
  | { name: "ONBUILD"; instruction: Instruction; trigger: string };

export type Instruction = Common & Saying;

export type InstructionOf<Name extends Instruction["name"]> = Extract<Instruction, { name: Name }>;

export interface Dockerfile {
  /** What it is called in messages. */
  file: string;
  /** `syntax`, `escape`, `check`. */
  directives: ReadonlyMap<string, string>;
  escape: "\\" | "`";
  /** ARG before the first FROM. */
  globals: InstructionOf<"ARG">[];
  /** Of what is written, what no instruction has. */
  notes: Notes;
  stages: Stage[];
}

export interface Notes {
  /** Lines with nothing in them, in the middle of an instruction. */
  emptyContinuations: readonly number[];
  /** Comments between instructions, without `#`, by their lines. */
  comments: ReadonlyMap<number, string>;
}

export interface Stage {
  from: InstructionOf<"FROM">;
  instructions: Instruction[];
}
