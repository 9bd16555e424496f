/**
 * Images in TypeScript: each call is an instruction of a Dockerfile, and what comes of them is one. So a build of it has
 * the same plan and the same cache as a build of the file.
 * @module
 */
import { checkOptions } from "../options/index.ts";
import { show, TsboxError } from "../../syscalls/index.ts";
import { parseDockerfile, parseInstruction, type Dockerfile } from "../dockerfile/index.ts";
import type {
  AddOptions,
  CopyOptions,
  FileOptions,
  HealthcheckOptions,
  MountOptions,
  RunOptions,
  Source,
} from "./options.ts";
import { command, flag, hereDocument, json, listFlag, option, pair, paths, toggle, value, word } from "./words.ts";

/** What it is called in messages: there is no file. */
const NAME = "image";
const NOTHING = "scratch";
const OF_FILES = { chown: "text", chmod: "text", link: "flag" } as const;

/** An instruction; images that it takes files of have their names only when all is written. */
interface Written {
  text: (nameOf: (source: Source) => string) => string;
  sources: readonly ImageBuilder[];
}

/** Nothing of it ever changes: each call makes another one. */
export class ImageBuilder {
  readonly #base: Source;
  readonly #platform: string | undefined;
  readonly #stage: string | undefined;
  readonly #written: readonly Written[];

  constructor(base: Source, platform?: string, stage?: string, written: readonly Written[] = []) {
    this.#base = base;
    this.#platform = platform;
    this.#stage = stage;
    this.#written = written;
  }

  /** A name for its stage: what a build is asked for as `target`. */
  as(stage: string): ImageBuilder {
    parseInstruction(`FROM ${NOTHING} AS ${value("AS", stage)}`, NAME);
    return new ImageBuilder(this.#base, this.#platform, stage, this.#written);
  }

  /** A line for the shell, a script of several, or a program and its arguments. */
  run(given: string | readonly string[], options: RunOptions = {}): ImageBuilder {
    checkOptions("run", options, { mounts: "objects", network: "text", security: "text" });
    const { mounts = [], network, security } = options;
    const isScript = typeof given === "string" && /[\n\r]|<<|\\\s*$|^\s*--/.test(given);
    const sources = mounts.flatMap(({ from }) => (from instanceof ImageBuilder ? [from] : []));
    return this.#with(sources, (nameOf) => {
      const flags = mounts.map((mount) => mountFlag(mount, nameOf));
      const words = ["RUN", ...flags, ...option("network", network), ...option("security", security)];
      if (isScript) return hereDocument(words.join(" "), given);
      return [...words, typeof given === "string" ? given : json(given)].join(" ");
    });
  }

  copy(sources: string | readonly string[], destination: string, options: CopyOptions = {}): ImageBuilder {
    checkOptions("copy", options, { ...OF_FILES, from: "any", parents: "flag", exclude: "texts" });
    const { from, parents, exclude = [] } = options;
    return this.#with(from instanceof ImageBuilder ? [from] : [], (nameOf) =>
      [
        "COPY",
        ...(from === undefined ? [] : [flag("from", nameOf(from))]),
        ...fileFlags(options),
        ...toggle("parents", parents),
        ...exclude.map((pattern) => flag("exclude", pattern)),
        paths([...[sources].flat(), destination]),
      ].join(" "),
    );
  }

  add(sources: string | readonly string[], destination: string, options: AddOptions = {}): ImageBuilder {
    checkOptions("add", options, {
      ...OF_FILES,
      checksum: "text",
      keepGitDir: "flag",
      unpack: "flag",
      exclude: "texts",
    });
    const { checksum, keepGitDir, unpack, exclude = [] } = options;
    return this.#line(
      "ADD",
      ...fileFlags(options),
      ...option("checksum", checksum),
      ...toggle("keep-git-dir", keepGitDir),
      ...toggle("unpack", unpack),
      ...exclude.map((pattern) => flag("exclude", pattern)),
      paths([...[sources].flat(), destination]),
    );
  }

  /** A file with this content; it ends with the end of a line. */
  file(path: string, content: string, options: FileOptions = {}): ImageBuilder {
    checkOptions("file", options, OF_FILES);
    if (/[\s"'\\[<]/.test(path) || path === "")
      throw new TsboxError(`file ${show(path)}: not a path that a here-document can be copied to`, {
        code: "invalid_option",
      });
    return this.#with([], () => hereDocument(["COPY", ...fileFlags(options)].join(" "), content, ` ${path}`));
  }

  env(variables: Readonly<Record<string, string>>): ImageBuilder {
    return this.#line("ENV", ...Object.entries(variables).map(pair));
  }

  label(labels: Readonly<Record<string, string>>): ImageBuilder {
    return this.#line("LABEL", ...Object.entries(labels).map(pair));
  }

  /** An argument of the build, and what it is unless that gives it. */
  arg(name: string, value?: string): ImageBuilder {
    return this.#line("ARG", value === undefined ? word("ARG", name) : pair([name, value]));
  }

  workdir(path: string): ImageBuilder {
    return this.#line("WORKDIR", word("WORKDIR", path));
  }

  user(user: string): ImageBuilder {
    return this.#line("USER", word("USER", user));
  }

  volume(...all: string[]): ImageBuilder {
    return this.#line("VOLUME", json(all.map((path) => value("VOLUME", path))));
  }

  /** `80`, `"53/udp"` */
  expose(...ports: (number | string)[]): ImageBuilder {
    return this.#line("EXPOSE", ...ports.map((port) => word("EXPOSE", String(port))));
  }

  cmd(given: string | readonly string[]): ImageBuilder {
    return this.#line("CMD", command("CMD", given));
  }

  entrypoint(given: string | readonly string[]): ImageBuilder {
    return this.#line("ENTRYPOINT", command("ENTRYPOINT", given));
  }

  shell(words: readonly string[]): ImageBuilder {
    return this.#line("SHELL", json(words));
  }

  stopSignal(signal: string): ImageBuilder {
    return this.#line("STOPSIGNAL", word("STOPSIGNAL", signal));
  }

  /** `"none"`: not the base's either. */
  healthcheck(given: "none" | string | readonly string[], options: HealthcheckOptions = {}): ImageBuilder {
    checkOptions("healthcheck", options, {
      interval: "text",
      timeout: "text",
      startPeriod: "text",
      startInterval: "text",
      retries: "number",
    });
    const { interval, timeout, startPeriod, startInterval, retries } = options;
    if (given === "none") return this.#line("HEALTHCHECK", "NONE");
    return this.#line(
      "HEALTHCHECK",
      ...option("interval", interval),
      ...option("timeout", timeout),
      ...option("start-period", startPeriod),
      ...option("start-interval", startInterval),
      ...option("retries", retries === undefined ? undefined : String(retries)),
      "CMD",
      command("HEALTHCHECK", given),
    );
  }

  /** An instruction for who builds on it: `"RUN make"`. */
  onbuild(instruction: string): ImageBuilder {
    return this.#line("ONBUILD", instruction);
  }

  /** @throws TsboxError `dockerfile_invalid` */
  dockerfile(): Dockerfile {
    return parseDockerfile(String(this), NAME);
  }

  /** As the text of a Dockerfile. */
  toString(): string {
    const stages = stagesOf(this);
    const names = new Map<ImageBuilder, string>();
    for (const stage of stages) if (stage.#stage !== undefined) names.set(stage, stage.#stage);
    if (new Set(names.values()).size < names.size)
      throw new TsboxError(`build an image: two stages are called ${show(twice([...names.values()]))}`, {
        code: "invalid_option",
      });
    const taken = new Set(names.values());
    for (const stage of stages.slice(0, -1)) if (!names.has(stage)) names.set(stage, freeName(taken));
    const nameOf = (source: Source) => (typeof source === "string" ? source : (names.get(source) as string));
    return stages.map((stage) => stage.#text(nameOf, names.get(stage))).join("\n");
  }

  #text(nameOf: (source: Source) => string, name: string | undefined): string {
    const from = ["FROM", ...option("platform", this.#platform), nameOf(this.#base)];
    const lines = this.#written.map(({ text }) => `${text(nameOf)}\n`);
    return `${[...from, ...(name === undefined ? [] : ["AS", name])].join(" ")}\n${lines.join("")}`;
  }

  /** What has to be made before it. */
  get sources(): readonly ImageBuilder[] {
    const own = this.#written.flatMap(({ sources }) => sources);
    return this.#base instanceof ImageBuilder ? [this.#base, ...own] : own;
  }

  #line(...words: string[]): ImageBuilder {
    return this.#with([], () => words.join(" "));
  }

  /** What is wrong is told where it is written. */
  #with(sources: readonly ImageBuilder[], text: Written["text"]): ImageBuilder {
    parseInstruction(
      text((source) => (typeof source === "string" ? source : "stage")),
      NAME,
    );
    return new ImageBuilder(this.#base, this.#platform, this.#stage, [...this.#written, { text, sources }]);
  }
}

/**
 * An image that begins with another one, or with nothing: `"scratch"`.
 * @example
 * ```ts
 * import { image } from "tsbox";
 * const app = image("debian:bookworm").run("make").copy("src", "/app").cmd(["node", "/app/main.js"]);
 * console.log(String(app).split("\n")[0]); // FROM debian:bookworm
 * ```
 */
export function image(base: Source, options: { platform?: string } = {}): ImageBuilder {
  checkOptions("image", options, { platform: "text" });
  const { platform } = options;
  if (typeof base === "string" && !/^[^\s\\"'`#]+$/.test(base))
    throw new TsboxError(`build on the image ${show(base)}: not a name of one`, { code: "reference_invalid" });
  parseInstruction(
    ["FROM", ...option("platform", platform), typeof base === "string" ? base : NOTHING].join(" "),
    NAME,
  );
  return new ImageBuilder(base, platform);
}

/** Each behind those that it takes something of. */
function stagesOf(last: ImageBuilder): ImageBuilder[] {
  const found = new Set<ImageBuilder>();
  const visit = (stage: ImageBuilder): void => {
    if (found.has(stage)) return;
    for (const source of stage.sources) visit(source);
    found.add(stage);
  };
  visit(last);
  return [...found];
}

function freeName(taken: Set<string>): string {
  let count = 0;
  while (taken.has(`stage-${count}`)) count++;
  taken.add(`stage-${count}`);
  return `stage-${count}`;
}

const twice = (names: readonly string[]) => names.find((name, at) => names.indexOf(name) !== at);

const fileFlags = ({ chown, chmod, link }: FileOptions): string[] => [
  ...option("chown", chown),
  ...option("chmod", chmod),
  ...toggle("link", link),
];

function mountFlag(
  { readOnly, from, uid, gid, required, ...mount }: MountOptions,
  nameOf: (source: Source) => string,
): string {
  const fields: [string, string | undefined][] = [
    ...Object.entries(mount),
    ["from", from === undefined ? undefined : nameOf(from)],
    ["uid", uid?.toString()],
    ["gid", gid?.toString()],
    ["required", required?.toString()],
    ["readonly", readOnly?.toString()],
  ];
  const given = fields.flatMap(([name, value]): [string, string][] => (value === undefined ? [] : [[name, value]]));
  return listFlag("mount", given);
}
