/**
 * `box.$`: lines for the box's own `/bin/sh`, in the manner of `Bun.$`.
 * @module
 * @see https://bun.sh/docs/runtime/shell
 */
import { TsboxError } from "../../syscalls/index.ts";
import { unlessAborted } from "./abort.ts";
import { checkChoice, checkSignal, invalid } from "../options/index.ts";
import type { ProcessResult, SpawnOptions } from "./options.ts";
import type { SandboxProcess } from "./process.ts";
import { escapeWord, shellLine, type ShellLine, type ShellValue } from "./shell-line.ts";

/** What a line of shell wrote, and how it ended. */
export class ShellOutput {
  readonly stdout: Uint8Array;
  readonly stderr: Uint8Array;
  readonly result: ProcessResult;
  /** As a shell has it: 128 and the number of the signal where one ended it. */
  readonly exitCode: number;

  /** @internal */
  constructor(stdout: Uint8Array, stderr: Uint8Array, result: ProcessResult, exitCode: number) {
    this.stdout = stdout;
    this.stderr = stderr;
    this.result = result;
    this.exitCode = exitCode;
  }

  /** Stdout, as UTF-8. */
  text(): string {
    return new TextDecoder().decode(this.stdout);
  }

  /** @throws SyntaxError */
  json<T = unknown>(): T {
    return JSON.parse(this.text()) as T;
  }

  bytes(): Uint8Array {
    return this.stdout;
  }

  arrayBuffer(): ArrayBuffer {
    return this.stdout.slice().buffer;
  }

  blob(): Blob {
    return new Blob([this.arrayBuffer()]);
  }
}

/** A line of shell that did not exit with 0: what it wrote is here as well. */
export class ShellError extends TsboxError {
  readonly output: ShellOutput;

  /** @internal */
  constructor(output: ShellOutput) {
    const { exitCode, result, stderr } = output;
    const how = result.reason === "exit" ? `exit code ${exitCode}` : `ended by ${result.reason}, exit code ${exitCode}`;
    const said = new TextDecoder().decode(stderr.subarray(-500)).trim();
    super(`run a line of shell: ${how}`, {
      code: "command_failed",
      hint: said === "" ? "use .nothrow() where this is expected" : `stderr: ${said}`,
    });
    this.output = output;
  }

  get exitCode(): number {
    return this.output.exitCode;
  }

  get stdout(): Uint8Array {
    return this.output.stdout;
  }

  get stderr(): Uint8Array {
    return this.output.stderr;
  }
}

type Spawn = (command: string[], options: SpawnOptions) => SandboxProcess;

/** ``box.$`…` ``; what is set by a method holds for that line. */
export interface Shell {
  /**
   * A line for `/bin/sh` inside. Values are words, whatever is in them; an array is several; `{ raw }` is text of the
   * line; behind `<`, bytes, a Blob, a Response or a ReadableStream can be read.
   *
   * @example
   * ```ts
   * const name = "it's; a $(name)";
   * console.log(await box.$`echo ${name} | tr a-z A-Z`.text()); // IT'S; A $(NAME)
   * ```
   */
  (strings: TemplateStringsArray, ...values: ShellValue[]): ShellCommand;
  /** A word in quotes, for `{ raw }` and for `sh -c`. */
  escape(word: string): string;
}

export function shellOf(spawn: Spawn): Shell {
  const shell = (strings: TemplateStringsArray, ...values: ShellValue[]) => {
    if (!Array.isArray(strings?.raw)) throw invalid("run a line of shell: not a template", "box.$`ls -l ${path}`");
    return new ShellCommand(spawn, shellLine(strings, values));
  };
  return Object.assign(shell, { escape: escapeWord });
}

/**
 * A line that runs when it is waited for, or when its output is asked for. Awaited, it also writes what it reads to the
 * caller's own stdout and stderr, unless it is {@link ShellCommand.quiet}.
 */
export class ShellCommand implements PromiseLike<ShellOutput> {
  readonly #spawn: Spawn;
  readonly #line: ShellLine;
  readonly #options: Pick<SpawnOptions, "cwd" | "env" | "signal"> = {};
  #quiet = false;
  #throws = true;
  #started = false;
  #output: Promise<ShellOutput> | undefined;

  /** @internal */
  constructor(spawn: Spawn, line: ShellLine) {
    this.#spawn = spawn;
    this.#line = line;
  }

  cwd(directory: string): this {
    return this.#set(() => (this.#options.cwd = directory));
  }

  /** Added to the sandbox's environment; the last one counts. */
  env(variables: Record<string, string>): this {
    return this.#set(() => (this.#options.env = variables));
  }

  /** Kills it when it fires, and makes it reject with its reason. */
  signal(signal: AbortSignal): this {
    checkSignal(signal);
    return this.#set(() => (this.#options.signal = signal));
  }

  /** Only collects what it writes. */
  quiet(isQuiet = true): this {
    return this.#set(() => (this.#quiet = checkChoice<boolean>("quiet", isQuiet, true, false)));
  }

  /** Whether an exit code other than 0 is an error, as it is unless told otherwise. */
  throws(doesThrow: boolean): this {
    return this.#set(() => (this.#throws = checkChoice<boolean>("throws", doesThrow, true, false)));
  }

  nothrow(): this {
    return this.throws(false);
  }

  async text(): Promise<string> {
    return (await this.#collected()).text();
  }

  /** @throws SyntaxError */
  async json<T = unknown>(): Promise<T> {
    return (await this.#collected()).json<T>();
  }

  async bytes(): Promise<Uint8Array> {
    return (await this.#collected()).bytes();
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    return (await this.#collected()).arrayBuffer();
  }

  async blob(): Promise<Blob> {
    return (await this.#collected()).blob();
  }

  /** Lines of stdout as they are written, without their ends; nothing piles up. Its stderr is the caller's own. */
  async *lines(): AsyncGenerator<string, void> {
    await using process = this.#start("inherit");
    const text = new TextDecoder();
    let rest = "";
    const reader = process.stdout?.getReader();
    try {
      // whoever has got away, and has the pipe, is not waited for
      const read = () => reader && unlessAborted(reader.read(), this.#options.signal);
      for (let next = await read(); next && !next.done; next = await read()) {
        const lines = (rest + text.decode(next.value, { stream: true })).split("\n");
        rest = lines.pop() ?? "";
        yield* lines;
      }
    } finally {
      void reader?.cancel().catch(() => {});
    }
    if (rest !== "") yield rest;
    const none = new Uint8Array();
    this.#check(new ShellOutput(none, none, await process.result(), await process.exited));
  }

  /** Starts it, where it has not been. */
  run(): Promise<ShellOutput> {
    return (this.#output ??= this.#run());
  }

  // oxlint-disable-next-line unicorn/no-thenable -- so are those of `Bun.$`
  then<A = ShellOutput, B = never>(
    fulfilled?: ((output: ShellOutput) => A | PromiseLike<A>) | null,
    rejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.run().then(fulfilled, rejected);
  }

  catch<B = never>(rejected?: ((reason: unknown) => B | PromiseLike<B>) | null): Promise<ShellOutput | B> {
    return this.run().catch(rejected);
  }

  finally(settled?: (() => void) | null): Promise<ShellOutput> {
    return this.run().finally(settled);
  }

  #set(change: () => void): this {
    if (this.#started)
      throw invalid("change a line of shell: it runs already", "set what it needs before it is awaited");
    change();
    return this;
  }

  #collected(): Promise<ShellOutput> {
    if (!this.#started) this.#quiet = true;
    return this.run();
  }

  #start(stderr: "pipe" | "inherit"): SandboxProcess {
    if (this.#started) throw invalid("read the lines of a shell: it runs already", "use each line of shell once");
    this.#started = true;
    const { script, args, input } = this.#line;
    const command = ["/bin/sh", "-c", script, "sh", ...args];
    return this.#spawn(command, { ...this.#options, stderr, ...(input === undefined ? {} : { stdin: input }) });
  }

  async #run(): Promise<ShellOutput> {
    await using process = this.#start("pipe");
    const [stdout, stderr, result] = await process.collect(this.#quiet ? undefined : echo);
    return this.#check(new ShellOutput(stdout, stderr, result, await process.exited));
  }

  #check(output: ShellOutput): ShellOutput {
    this.#options.signal?.throwIfAborted();
    // what was cut is not what it wrote, however it ended
    const isWhole = output.result.reason !== "output";
    if (this.#throws && (output.exitCode !== 0 || !isWhole)) throw new ShellError(output);
    return output;
  }
}

const echo = {
  stdout: (chunk: Uint8Array) => void process.stdout.write(chunk),
  stderr: (chunk: Uint8Array) => void process.stderr.write(chunk),
};
