/** Build contexts: opened when something is taken from them, and what the Dockerfile is that lies in one. @module */
import { absolute, readFile, TsboxError } from "../../syscalls/index.ts";
import { parseDockerfile, readIgnore, type Dockerfile, type Ignore } from "../dockerfile/index.ts";
import { openContext, readInTree, type Context, type FileTree } from "./files/index.ts";
import { readNamed } from "./named-file.ts";
import { reachOf } from "./network.ts";
import type { BuildOptions } from "./options.ts";
import type { ContextNames } from "./outline.ts";
import type { Workspace } from "./workspace.ts";

const IMAGE = "docker-image://";
const USUAL_FILE = "Dockerfile";
/** As BuildKit has it: an argument that asks for `.git` of a repository. */
const KEEP_GIT = "BUILDKIT_CONTEXT_KEEP_GIT_DIR";
/** As BuildKit's, with room to spare. */
const MAX_FILE_BYTES = 4 * 2 ** 20;

export class Contexts {
  readonly #options: BuildOptions;
  readonly #workspace: Workspace;
  readonly #signal: AbortSignal;
  readonly #opened = new Map<string | undefined, Promise<Context>>();
  readonly #ignored = new Map<string | undefined, Ignore | undefined>();
  /** Of the Dockerfile, in the context: what is beside it may say what is left out. */
  #file: string | undefined;

  /** @param workspace where what is not a directory becomes one */
  constructor(options: BuildOptions, workspace: Workspace, signal: AbortSignal) {
    this.#options = options;
    this.#workspace = workspace;
    this.#signal = signal;
  }

  get names(): ContextNames {
    return new Map(
      Object.entries(this.#options.contexts ?? {}).map(([name, source]) => [
        name,
        typeof source === "string" && source.startsWith(IMAGE) ? { image: source.slice(IMAGE.length) } : undefined,
      ]),
    );
  }

  /** @param name undefined: that of the build @throws TsboxError `invalid_option` where there is none */
  async tree(name: string | undefined): Promise<FileTree> {
    const { tree } = await this.#open(name);
    const ignore = this.#ignoreOf(name, tree);
    return ignore ? { ...tree, ignore } : tree;
  }

  /** @throws TsboxError `dockerfile_invalid`, `file_not_found` */
  async dockerfile(): Promise<Dockerfile> {
    const { dockerfile, file = USUAL_FILE } = this.#options;
    if (typeof dockerfile === "object") return dockerfile;
    if (dockerfile !== undefined) return parseDockerfile(dockerfile, file);
    const bytes = file.startsWith("/")
      ? await readNamed(file, MAX_FILE_BYTES, this.#signal)
      : await this.#readFile(file);
    if (!bytes) {
      throw new TsboxError(`build: there is no ${file}`, {
        code: "file_not_found",
        path: file,
        hint: "name it with -f, or build a directory that has one",
      });
    }
    return parseDockerfile(new TextDecoder().decode(bytes), file);
  }

  async #readFile(file: string): Promise<Uint8Array | undefined> {
    this.#file = file;
    const { tree } = await this.#open(undefined);
    return readInTree(tree, file, MAX_FILE_BYTES);
  }

  #open(name: string | undefined): Promise<Context> {
    let opened = this.#opened.get(name);
    if (!opened) this.#opened.set(name, (opened = this.#source(name)));
    return opened;
  }

  async #source(name: string | undefined): Promise<Context> {
    const { context, contexts = {}, args = {} } = this.#options;
    const source = name === undefined ? context : contexts[name];
    if (source === undefined)
      throw new TsboxError("build: there is no context that files could come from", {
        code: "invalid_option",
        hint: "a directory, or an archive",
      });
    const scratch = () => this.#workspace.make("context");
    const isElsewhere = typeof source === "string" && /:/.test(source);
    const modulesReach = isElsewhere ? await reachOf(this.#options) : undefined;
    const keepGitDirectory = /^(?:1|t|true)$/i.test(args[KEEP_GIT] ?? "");
    return openContext(source, { scratch, signal: this.#signal, modulesReach, keepGitDirectory });
  }

  #ignoreOf(name: string | undefined, tree: FileTree): Ignore | undefined {
    if (!this.#ignored.has(name)) this.#ignored.set(name, this.#readIgnore(name, tree));
    return this.#ignored.get(name);
  }

  #readIgnore(name: string | undefined, tree: FileTree): Ignore | undefined {
    const { file = USUAL_FILE } = this.#options;
    const own = file.startsWith("/") ? readFile(`${absolute(file)}.dockerignore`) : undefined;
    if (own && name === undefined) return readIgnore(new TextDecoder().decode(own), `${file}.dockerignore`);
    const candidates = [...(name === undefined && this.#file ? [`${this.#file}.dockerignore`] : []), ".dockerignore"];
    for (const candidate of candidates) {
      const bytes = readInTree(tree, candidate, MAX_FILE_BYTES);
      if (bytes) return readIgnore(new TextDecoder().decode(bytes), candidate);
    }
    return undefined;
  }
}
