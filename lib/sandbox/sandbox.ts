/**
 * Sandboxes: made by a call, owned by this process, gone with it.
 * @module
 */
import * as sys from "../../syscalls/index.ts";
import { TsboxError, runtime } from "../../syscalls/index.ts";
import { EXIT_MESSAGE_BYTES } from "../plan/index.ts";
import { takeCgroup, type SandboxCgroup } from "./limits.ts";
import { failureOf, launch, type Launched, type Stdio } from "./launch.ts";
import type { Reason, RunOptions, RunResult, Stdin } from "./options.ts";
import { parseDuration, parseSize } from "./parse.ts";
import { signalName } from "./signals.ts";
import { specFor } from "./request.ts";

const SIGKILL = 9;
/** Descriptors of a run's own pipes: `ours` stays here, `theirs` goes inside. */
interface Pipe {
  ours: number;
  theirs: number;
}

export class Sandbox {
  /**
   * Runs one command in a sandbox of its own and tells how it ended; everything else in it is gone by then.
   *
   * @example
   * ```ts
   * const { stdout } = await Sandbox.run(["echo", "hello"]);
   * ```
   * @throws TsboxError, with `code` `invalid_option`, `rootfs_not_found`, `command_not_found`, `mount_failed`, … A
   * command that fails, is killed or exceeds a limit is a result, not an error.
   */
  static async run(command: string[], options: RunOptions = {}): Promise<RunResult> {
    if (!Array.isArray(command) || command.length === 0) {
      throw new TsboxError("run a command: none given", { code: "invalid_option" });
    }
    options.signal?.throwIfAborted();
    const timeMs =
      options.limits?.time === undefined ? undefined : parseDuration("use the time limit", options.limits.time);
    const outputBytes =
      options.limits?.output === undefined ? Infinity : parseSize("use the output limit", options.limits.output);
    const caller = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };
    const { spec, beside } = specFor(command, options, caller);
    const started = performance.now();
    const cgroup = takeCgroup(spec.linux.resources ?? {});
    const pipes = openPipes(options);
    let launched: Launched;
    try {
      launched = launch(spec, beside, pipes.stdio, cgroup.descriptors());
    } catch (error) {
      for (const pipe of pipes.all) sys.close(pipe.ours);
      await cgroup.remove();
      throw error;
    } finally {
      cgroup.closeDescriptors();
      for (const pipe of pipes.all) sys.close(pipe.theirs);
    }
    return new Run(launched, cgroup, started).finish(options, pipes, timeMs, outputBytes);
  }
}

/** A sandbox with one command, from its start to its result. */
class Run {
  #ended: Reason | undefined;

  constructor(
    readonly launched: Launched,
    readonly cgroup: SandboxCgroup,
    readonly started: number,
  ) {}

  async finish(options: RunOptions, pipes: Pipes, timeMs: number | undefined, outputBytes: number): Promise<RunResult> {
    const timer = timeMs === undefined ? undefined : setTimeout(() => this.#end("timeout"), timeMs);
    const abort = () => this.#end("killed");
    options.signal?.addEventListener("abort", abort, { once: true });
    let left = outputBytes;
    const collect = async (pipe: Pipe | undefined): Promise<Uint8Array> => {
      const chunks: Uint8Array[] = [];
      if (!pipe) return new Uint8Array();
      await readToEnd(pipe.ours, (chunk) => {
        const part = chunk.length > left ? chunk.subarray(0, left) : chunk;
        left -= part.length;
        chunks.push(part);
        if (part.length < chunk.length) this.#end("output");
      });
      return concatenate(chunks);
    };
    if (pipes.stdin) feed(pipes.stdin.ours, options.stdin as Exclude<Stdin, "ignore" | "inherit" | "pipe">);
    try {
      const [message, stdoutBytes, stderrBytes] = await Promise.all([
        this.#message(),
        collect(pipes.stdout),
        collect(pipes.stderr),
      ]);
      options.signal?.throwIfAborted();
      return this.#result(message, stdoutBytes, stderrBytes);
    } finally {
      clearTimeout(timer);
      options.signal?.removeEventListener("abort", abort);
      await this.#cleanUp();
    }
  }

  /** Ends everything inside; init dies, and its pid namespace with it. */
  #end(reason: Reason): void {
    this.#ended ??= reason;
    // the init of a shared pid namespace dies of this; the other one kills the command, and ends
    sys.send(this.launched.control, Uint8Array.of(SIGKILL));
  }

  async #message(): Promise<Uint8Array> {
    const chunks: Uint8Array[] = [];
    await readAll(this.launched.control, (chunk) => chunks.push(chunk.slice()));
    return concatenate(chunks);
  }

  #result(message: Uint8Array, stdoutBytes: Uint8Array, stderrBytes: Uint8Array): RunResult {
    const wallMs = performance.now() - this.started;
    // init's own message is the longer one; a failed step is told by 16 bytes before it
    const failed = message.length !== EXIT_MESSAGE_BYTES;
    if (failed && this.#ended === undefined) throw failureOf(message.subarray(0, 16), this.launched.plan);
    const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
    const status = failed ? SIGKILL : view.getUint32(4, true);
    const micros = (at: number) =>
      failed ? 0 : Number(view.getBigInt64(at, true)) * 1e6 + Number(view.getBigInt64(at + 8, true));
    const signal = status & 0x7f;
    const events = this.cgroup.events();
    const reason = this.#ended ?? reasonOf(signal, events.oomKills);
    return {
      exitCode: signal === 0 ? (status >> 8) & 0xff : null,
      signalCode: signal === 0 ? null : signalName(signal),
      reason,
      stdoutBytes,
      stderrBytes,
      stdout: new TextDecoder().decode(stdoutBytes),
      stderr: new TextDecoder().decode(stderrBytes),
      usage: {
        wallMs,
        cpuMs: (micros(8) + micros(24)) / 1000,
        peakMemoryBytes: this.cgroup.peakMemoryBytes() ?? (failed ? 0 : Number(view.getBigInt64(40, true)) * 1024),
      },
    };
  }

  async #cleanUp(): Promise<void> {
    sys.close(this.launched.control);
    // the kernel is still taking the namespaces down for a fraction of a millisecond
    for (let turn = 0; !sys.reap(this.launched.pid); turn++) await pause(turn);
    this.launched.release();
    await this.cgroup.remove();
  }
}

function reasonOf(signal: number, oomKills: number): Reason {
  if (signal === 0) return "exit";
  if (signal === SIGKILL && oomKills > 0) return "oom";
  return signal === 31 ? "seccomp" : "signal";
}

/** Busy at first, because it is nearly always soon. */
export function pause(turn: number): Promise<void> {
  return new Promise((resolve) => {
    if (turn < 50) setImmediate(resolve);
    else setTimeout(resolve, Math.min(turn - 49, 20));
  });
}

interface Pipes {
  stdio: Stdio;
  stdin?: Pipe;
  stdout?: Pipe;
  stderr?: Pipe;
  all: Pipe[];
}

function openPipes(options: RunOptions): Pipes {
  const pipes: Pipes = { stdio: { stdin: -1, stdout: -1, stderr: -1 }, all: [] };
  const stdin = options.stdin ?? "ignore";
  if (stdin === "pipe") {
    throw new TsboxError('use stdin "pipe": a run has nobody to write to it', {
      code: "invalid_option",
      hint: "pass a string, bytes, a Blob, a Response or a ReadableStream",
    });
  }
  if (stdin === "inherit") pipes.stdio.stdin = 0;
  else if (stdin !== "ignore") {
    const [theirs, ours] = sys.pipe();
    pipes.all.push((pipes.stdin = { ours, theirs }));
    pipes.stdio.stdin = theirs;
  }
  (["stdout", "stderr"] as const).forEach((name, index) => {
    const how = options[name] ?? "pipe";
    if (how === "inherit") pipes.stdio[name] = index + 1;
    else if (how === "pipe") {
      const [ours, theirs] = sys.pipe();
      pipes.all.push((pipes[name] = { ours, theirs }));
      pipes.stdio[name] = theirs;
    } else if (how !== "ignore") {
      throw new TsboxError(`use ${name} ${JSON.stringify(how)}: not understood`, {
        code: "invalid_option",
        hint: '"pipe", "inherit" or "ignore"',
      });
    }
  });
  return pipes;
}

async function readToEnd(fd: number, take: (chunk: Uint8Array) => void): Promise<void> {
  try {
    await readAll(fd, take);
  } finally {
    sys.close(fd);
  }
}

async function readAll(fd: number, take: (chunk: Uint8Array) => void): Promise<void> {
  const reader = runtime.readable(fd).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    take(value);
  }
}

/** Writes what the command reads, as fast as it reads; a command that stops reading ends it. */
async function feed(
  fd: number,
  stdin: string | Uint8Array | Blob | Response | ReadableStream<Uint8Array>,
): Promise<void> {
  const O_NONBLOCK = 0o4000;
  sys.trySyscall("fcntl", fd, 4, O_NONBLOCK);
  const EAGAIN = 11;
  try {
    const body = stdin instanceof Response ? stdin.body : new Response(stdin as string).body;
    const reader = body?.getReader();
    for (let next = await reader?.read(); next && !next.done; next = await reader?.read()) {
      for (let done = 0, turn = 0; done < next.value.length;) {
        const written = sys.write(fd, next.value.subarray(done, done + 4096));
        if (written > 0) [done, turn] = [done + written, 0];
        else if (written === -EAGAIN) await pause(turn++);
        else return void reader?.cancel();
      }
    }
  } finally {
    sys.close(fd);
  }
}

function concatenate(chunks: Uint8Array[]): Uint8Array {
  if (chunks.length === 1) return chunks[0] as Uint8Array;
  const all = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}
