/**
 * A process in a sandbox, in the shape of a `Bun.Subprocess`.
 * @module
 */
import * as sys from "../../syscalls/index.ts";
import { signalName, signalNumber, TsboxError } from "../../syscalls/index.ts";
import type { Counters, CpuTime } from "../cgroup/index.ts";
import type { ExitFrame } from "../plan/index.ts";
import { sizeOf, Terminal } from "../terminal/index.ts";
import { bury, kill, type Launched } from "../launch/index.ts";
import type { DeniedEntry } from "../policy/index.ts";
import type { BoxImage } from "./image.ts";
import { startHolder } from "./launch.ts";
import { killBelow } from "./members.ts";
import type { ProcessResult, Reason } from "./options.ts";
import { closePipes, feed, type Input, type Output, type OutputStream, type Pipes } from "./pipes.ts";

/** What a process has to know of the sandbox that it is in. */
export interface Surroundings {
  /** Why everything inside is being killed, if it is. */
  ending(): Reason | undefined;
  counters(): Counters;
  /** Limits that were left out. */
  warnings: readonly string[];
  /** Bytes of output that are left; shared by all processes. */
  output: { left: number };
  /** After the process is gone; the result is told when it has settled. */
  afterwards(exit: ExitFrame | undefined): Promise<void>;
  /**
   * The process is in a sandbox that was there before. It began in an address space of its own, so the kernel's peak is
   * its own; and what waits for it outside must do so to the end: an orphan that nobody reaps would keep the sandbox's
   * init from ending.
   */
  joined: boolean;
  /** What the sandbox is made of. */
  image: BoxImage | undefined;
  /** By the network policy of a sandbox that ends with the process. */
  denied?: () => readonly DeniedEntry[];
}

/** Who sees output while it is collected. */
export type Watch = Record<"stdout" | "stderr", (chunk: Uint8Array) => void>;

const [SIGKILL, SIGSYS] = [9, 31];
/** How long the gentle way of killing, which tells what was used, may take. */
const KILL_GRACE_MS = 500;
/** How long output may wait in its pipe, and how often to look for any: what is over by then needs no stream. */
const LAZY_MS = 3;
const LAZY_LOOKS = 8;

/**
 * A process in a sandbox. Its names are those of `Bun.Subprocess`.
 *
 * @example
 * ```ts
 * const process = box.spawn(["cat"], { stdin: "pipe" });
 * await process.stdin?.write("hello");
 * await process.stdin?.end();
 * await new Response(process.stdout).text(); // "hello"
 * ```
 */
export class SandboxProcess implements AsyncDisposable {
  /** Where `stdin: "pipe"` was asked for. */
  readonly stdin: Input | undefined;
  /** Where `terminal` was asked for; there are no streams then. */
  readonly terminal: Terminal | undefined;
  readonly #launched: Launched;
  readonly #pipes: Pipes;
  readonly #around: Surroundings;
  readonly #started: number;
  readonly #result: Promise<ProcessResult>;
  #ended: Reason | undefined;
  #over = false;
  #isCut = false;
  #settled: ProcessResult | undefined;

  /** @internal */
  constructor(launched: Launched, pipes: Pipes, around: Surroundings, started: number, signal?: AbortSignal) {
    this.stdin = pipes.content === undefined ? pipes.stdin : undefined;
    this.#launched = launched;
    this.#pipes = pipes;
    this.#around = around;
    this.#started = started;
    if (pipes.terminal) {
      this.terminal = new Terminal(pipes.terminal, sizeOf(pipes.terminal), (chunk) => this.#count(chunk));
      this.terminal.attach(launched.passed ?? Promise.resolve(undefined));
    }
    this.#result = this.#supervise(signal);
    // whoever does not ask how it ended does not want to be told by a crash
    this.#result.catch(() => {});
    if (pipes.content !== undefined && pipes.stdin) void feed(pipes.stdin, pipes.content);
  }

  /** What its sandbox is made of, where that is an image. */
  get image(): BoxImage | undefined {
    return this.#around.image;
  }

  /** Process id on the host: of the sandbox's init, or of the process outside that waits for one that joined. */
  get pid(): number {
    return this.#launched.pid;
  }

  /** What the process writes; where stdout is `"pipe"`, as it is unless said otherwise. */
  get stdout(): OutputStream | undefined {
    return this.#pipes.stdout?.stream((chunk) => this.#count(chunk));
  }

  get stderr(): OutputStream | undefined {
    return this.#pipes.stderr?.stream((chunk) => this.#count(chunk));
  }

  /** 0 to 255; null while it runs and where a signal ended it. */
  get exitCode(): number | null {
    return this.#settled?.exitCode ?? null;
  }

  /** `"SIGKILL"`; null while it runs and where it exited. */
  get signalCode(): string | null {
    return this.#settled?.signalCode ?? null;
  }

  /** Limits that are not possible here and were left out, where they are optional. */
  get warnings(): readonly string[] {
    return this.#around.warnings;
  }

  /** Whether a signal ended it. */
  get killed(): boolean {
    return this.signalCode !== null;
  }

  /** The exit code, or 128 and the number of the signal. Rejects like {@link result}. */
  get exited(): Promise<number> {
    return this.#result.then(({ exitCode, signalCode }) => exitCode ?? 128 + signalNumber(signalCode ?? "SIGKILL"));
  }

  /**
   * How it ended, once nothing is left of it.
   * @throws TsboxError where it could not be started: `command_not_found`, `command_not_executable`, `mount_failed`, …
   */
  result(): Promise<ProcessResult> {
    return this.#result;
  }

  /** CPU time and memory; undefined while it runs. */
  resourceUsage(): ProcessResult["usage"] | undefined {
    return this.#settled?.usage;
  }

  /**
   * Sends a signal to the process; nothing where it has ended.
   * @param signal name or number, SIGTERM where none is given
   * @throws TsboxError `invalid_option`
   */
  kill(signal: number | string = "SIGTERM"): void {
    const number = signalNumber(signal);
    if (!this.#over) this.#launched.control.send(number);
  }

  /**
   * @internal Leaves one alone that has joined a sandbox with a terminal: it goes on when this program has ended, which
   * it has to do without closing anything.
   */
  leave(): void {
    const { descriptor = -1 } = this.terminal ?? {};
    if (!this.#over && descriptor >= 0) startHolder(descriptor, this.#launched.control.descriptor);
  }

  /** @internal Kills it for a reason that the result tells. */
  end(reason: Reason): void {
    if (this.#over || this.#ended) return;
    this.#ended = reason;
    if (this.#around.joined) return this.#endInside();
    this.kill(SIGKILL);
    // a sandbox that hangs in its set-up does not listen
    const force = setTimeout(() => this.#over || kill(this.#launched), KILL_GRACE_MS);
    force.unref();
  }

  /** With all that it has started; where the whole sandbox ends, that does so by itself. */
  #endInside(): void {
    if (this.#over) return;
    if (this.#around.ending() || killBelow(this.pid)) this.kill(SIGKILL);
    // it is not there yet: killed later, it could have started something
    else setTimeout(() => this.#endInside(), 1);
  }

  /** @internal All of stdout and stderr, and how it ended. @param watch sees it as it comes */
  async collect(watch?: Watch): Promise<[stdout: Uint8Array, stderr: Uint8Array, result: ProcessResult]> {
    try {
      const [[stdout, stderr], result] = await Promise.all([this.#readAll(watch), this.#result]);
      // it may have ended before what was too much of it was read
      const { reason } = result;
      const isOver = this.#isCut && (reason === "exit" || reason === "signal");
      return [stdout, stderr, isOver ? { ...result, reason: "output" } : result];
    } catch (error) {
      // nobody would read it any more, nor stop it
      await this[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #readAll(watch: Watch | undefined): Promise<[stdout: Uint8Array, stderr: Uint8Array]> {
    if (this.terminal) return [await new Response(this.terminal.readable).bytes(), new Uint8Array()];
    const { stdout, stderr } = this.#pipes;
    const ended = this.#result.then(
      () => true,
      () => true,
    );
    for (let look = 0; look < LAZY_LOOKS; look++) {
      let timer: ReturnType<typeof setTimeout> | undefined;
      const late = new Promise<false>((resolve) => (timer = setTimeout(resolve, LAZY_MS, false)));
      const over = await Promise.race([ended, late]);
      clearTimeout(timer);
      if (over || stdout?.hasData() || stderr?.hasData()) break;
    }
    // of a sandbox that goes on: whoever has got away, and has the pipe, is not waited for
    const until = this.#around.joined ? ended.then(() => this.#ended !== undefined) : undefined;
    const read = (output: Output | undefined, see?: (chunk: Uint8Array) => void) => {
      const seen = (chunk: Uint8Array) => {
        const part = this.#count(chunk);
        see?.(part);
        return part;
      };
      return output?.readToEnd(seen, this.#over, until) ?? new Uint8Array();
    };
    return await Promise.all([read(stdout, watch?.stdout), read(stderr, watch?.stderr)]);
  }

  /** Kills it where it still runs, and waits until nothing is left of it. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.end("killed");
    await this.#result.catch(() => {});
    closePipes(this.#pipes);
    this.terminal?.close();
  }

  #count(chunk: Uint8Array): Uint8Array {
    const { output } = this.#around;
    const part = chunk.length > output.left ? chunk.subarray(0, output.left) : chunk;
    output.left -= part.length;
    if (part.length < chunk.length) {
      this.#isCut = true;
      this.end("output");
    }
    return part;
  }

  async #supervise(signal: AbortSignal | undefined): Promise<ProcessResult> {
    const abort = () => this.end("killed");
    signal?.addEventListener("abort", abort, { once: true });
    const { failure, diskFull = false, ...told } = await this.#launched.control.told;
    // one that was killed before it had started ends with a failed step, which is not its own exit
    const exit = failure ? undefined : told.exit;
    signal?.removeEventListener("abort", abort);
    // where init could not be loaded, or has been killed, its process group may be left; what waits outside is alive
    if (failure ? !this.#around.joined : !exit) sys.killGroup(this.pid);
    this.#over = true;
    const status = await bury(this.#launched);
    const counters = this.#around.counters();
    await this.#around.afterwards(exit);
    this.#pipes.stdin?.close();
    if (failure && !this.#ended) throw failure;
    if (!exit && (status & 0x7f) === 0 && !this.#ended && !this.#around.ending()) {
      throw new TsboxError("start the process: it ended before it could say why", { code: "system" });
    }
    this.#settled = this.#resultOf(exit, { ...counters, diskFull });
    return this.#settled;
  }

  #resultOf(exit: ExitFrame | undefined, counters: Hits): ProcessResult {
    const signal = exit ? exit.signal : SIGKILL;
    return {
      exitCode: exit ? exit.exitCode : null,
      signalCode: signal === 0 ? null : signalName(signal),
      reason: this.#ended ?? this.#around.ending() ?? reasonOf(exit, counters),
      usage: {
        wallMs: performance.now() - this.#started,
        ...cpuTimeOf(exit, this.#around.joined ? undefined : counters.cpu),
        peakMemoryBytes: counters.peakMemoryBytes ?? (this.#around.joined ? exit?.peakMemoryBytes : undefined),
        readBytes: countsIo() ? exit?.readBytes : undefined,
        writeBytes: countsIo() ? exit?.writeBytes : undefined,
      },
      warnings: this.#around.warnings,
      ...(this.#around.denied ? { denied: this.#around.denied() } : {}),
    };
  }
}

function cpuTimeOf(exit: ExitFrame | undefined, counted: CpuTime | undefined) {
  const { userMs = 0, systemMs = 0 } = counted ?? exit ?? {};
  return { cpuMs: counted?.cpuMs ?? userMs + systemMs, cpuUserMs: userMs, cpuSystemMs: systemMs };
}

let ioCounted: boolean | undefined;
/** Without CONFIG_TASK_IO_ACCOUNTING, it would be always 0. */
const countsIo = (): boolean => (ioCounted ??= sys.access("/proc/self/io", 0));

/** What the kernel said of limits. */
type Hits = Counters & { diskFull: boolean };

/** A limit is the reason where it was hit and the process did not do well. */
function reasonOf(exit: ExitFrame | undefined, counters: Hits): Reason {
  if (exit?.exitCode === 0) return "exit";
  if (counters.oomKills > 0) return "oom";
  if (exit?.signal === SIGSYS) return "seccomp";
  if (counters.pidsDenied > 0) return "pids";
  if (counters.diskFull) return "disk";
  if (!exit) return "killed";
  return exit.signal === 0 ? "exit" : "signal";
}
