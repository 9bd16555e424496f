/** A container, by its id: everything that can be done with it. @module */
import type { Change } from "../layer/index.ts";
import type { CommittedImage, PathStat, SandboxProcess } from "../sandbox/index.ts";
import type { Attachment, AttachOptions } from "./attach.ts";
import type { ContainerCommitOptions } from "./changes.ts";
import type { CopyInOptions, CopyOutOptions } from "./copy.ts";
import type { ExecOptions } from "./exec.ts";
import type { Explanation } from "./explain.ts";
import type { Home } from "./home.ts";
import type { ContainerInspect } from "./inspect.ts";
import type { TakePiece } from "./log-lines.ts";
import type { LogEntry, LogsOptions, WriteLogsOptions } from "./logs.ts";
import type { ContainerRecord, Ended } from "./record.ts";
import type { RemoveOptions } from "./remove.ts";
import type { ContainerStats, ContainerStatsOptions } from "./stats.ts";
import type { StopOptions } from "./stop.ts";
import type { TopRow } from "./top.ts";
import type { UpdateOptions } from "./update.ts";
import type { WaitOptions } from "./wait.ts";

/**
 * What each does is loaded when it is asked for. All methods throw TsboxError `container_not_found` where it is gone,
 * `engine_closed` where its engine is, and `invalid_option` for what is not an option.
 */
export class Container {
  readonly id: string;
  readonly #home: Home;

  /** By `engine.containers`. */
  constructor(home: Home, id: string) {
    this.#home = home;
    this.id = id;
  }

  /** What is known of it now. */
  async record(): Promise<ContainerRecord> {
    return (await import("./find.ts")).recordOf(this.#home.open, this.id);
  }

  /** As Docker's API has it. */
  async inspect(options: { size?: boolean } = {}): Promise<ContainerInspect> {
    return (await import("./inspect.ts")).inspect(this.#home.open, this.id, options);
  }

  /** @throws TsboxError `container_state`, and as {@link Sandbox.run} */
  async start(): Promise<void> {
    await (await import("./start.ts")).start(this.#home.open, this.id);
  }

  /**
   * By its stop signal, and after the time-out by SIGKILL; nothing where it does not run.
   * @throws TsboxError `container_state` where it does not end; the reason of `abort`
   */
  async stop(options: StopOptions = {}): Promise<void> {
    await (await import("./stop.ts")).stop(this.#home.open, this.id, options);
  }

  /**
   * @param signal name or number, `"SIGKILL"` where none is named
   * @throws TsboxError `container_state` where it does not run
   */
  async kill(signal?: string | number): Promise<void> {
    await (await import("./stop.ts")).kill(this.#home.open, this.id, signal);
  }

  /** @throws as {@link stop}, and as {@link start} */
  async restart(options: StopOptions = {}): Promise<void> {
    await (await import("./stop.ts")).restart(this.#home.open, this.id, options);
  }

  /**
   * @throws TsboxError `container_state` where it does not run, or is paused; `limit_unavailable` where nothing can be frozen
   */
  async pause(): Promise<void> {
    await (await import("./pause.ts")).pause(this.#home.open, this.id);
  }

  /** @throws TsboxError `container_state` where it is not paused */
  async unpause(): Promise<void> {
    await (await import("./pause.ts")).unpause(this.#home.open, this.id);
  }

  /** Until it has ended, or what `condition` says. @throws the reason of `signal` */
  async wait(options: WaitOptions = {}): Promise<Ended> {
    return (await import("./wait.ts")).wait(this.#home.open, this.id, options);
  }

  /** @throws TsboxError `container_state` where it runs, and nothing is forced */
  async remove(options: RemoveOptions = {}): Promise<void> {
    await (await import("./remove.ts")).remove(this.#home.open, this.id, options);
  }

  /** @throws TsboxError `invalid_option`, `name_in_use`, `name_invalid` */
  async rename(name: string): Promise<void> {
    await (await import("./update.ts")).rename(this.#home.open, this.id, name);
  }

  /**
   * Limits, the restart policy and the network policy: what is not named stays.
   * @returns warnings
   * @throws TsboxError `invalid_option`, `limit_unavailable`
   */
  async update(options: UpdateOptions): Promise<string[]> {
    return (await import("./update.ts")).update(this.#home.open, this.id, options);
  }

  /**
   * A further process, which ends with this program.
   * @throws TsboxError `container_state` where it does not run, or is paused; `user_not_found`; all else is told by
   * {@link SandboxProcess.result}
   */
  async exec(command: string[], options: ExecOptions = {}): Promise<SandboxProcess> {
    return (await import("./exec.ts")).exec(this.#home.open, this.id, command, options);
  }

  /**
   * One that nobody waits for. @throws as {@link exec}, and TsboxError `command_not_found`, `command_not_executable`
   */
  async execDetached(command: string[], options: ExecOptions = {}): Promise<void> {
    await (await import("./exec.ts")).execDetached(this.#home.open, this.id, command, options);
  }

  /** What it writes from now on, and its stdin. @throws the reason of `signal` */
  async attach(options: AttachOptions = {}): Promise<Attachment> {
    return (await import("./attach.ts")).attach(this.#home.open, this.id, options);
  }

  /** What it has written, the oldest first. @throws TsboxError `container_state` where its log driver keeps nothing */
  async *logs(options: LogsOptions = {}): AsyncGenerator<LogEntry, void, void> {
    yield* (await import("./logs.ts")).logs(this.#home.open, this.id, options);
  }

  /**
   * The same in large pieces, which is quicker.
   * @param take gets bytes that are there as long as it works: from `start` to `end`, of stream 1 or 2
   * @throws as {@link logs}
   */
  async writeLogs(options: WriteLogsOptions, take: TakePiece): Promise<void> {
    await (await import("./logs.ts")).writeLogs(this.#home.open, this.id, options, take);
  }

  /** Its processes, as ps(1) shows them with these words. @throws TsboxError `container_state` where it does not run */
  async top(words: string[] = []): Promise<{ titles: string[]; rows: TopRow[] }> {
    return (await import("./top.ts")).top(this.#home.open, this.id, words);
  }

  /** What it uses, again and again as long as it runs; nothing where it does not. */
  async *stats(options: ContainerStatsOptions = {}): AsyncGenerator<ContainerStats, void, void> {
    yield* (await import("./stats.ts")).stats(this.#home.open, this.id, options);
  }

  /** What it has written over its image. @throws TsboxError `invalid_option` where it is made of none */
  async diff(): Promise<Change[]> {
    return (await import("./changes.ts")).diff(this.#home.open, this.id);
  }

  /**
   * An image of what it has written, over its own.
   * @throws TsboxError `invalid_option` where it is made of none; `reference_invalid`, `image_not_found`, `store_unavailable`;
   * `limit_unavailable` where it is to be paused, and cannot be
   */
  async commit(reference?: string, options: ContainerCommitOptions = {}): Promise<CommittedImage> {
    return (await import("./changes.ts")).commit(this.#home.open, this.id, reference, options);
  }

  /** All its files as a tar archive. @throws TsboxError `invalid_option` where it is made of no image */
  async export(): Promise<ReadableStream<Uint8Array>> {
    return (await import("./changes.ts")).exportFiles(this.#home.open, this.id);
  }

  /**
   * A file or directory of it as a tar archive, whether it runs or not.
   * @throws TsboxError `file_not_found`, `file_refused`, `permission_denied`
   */
  async copyOut(path: string, options: CopyOutOptions = {}): Promise<ReadableStream<Uint8Array>> {
    return (await import("./copy.ts")).copyOut(this.#home.open, this.id, path, options);
  }

  /** What a path of it leads to, or, without `follow`, what it is; undefined where there is nothing. */
  async stat(path: string, options: { follow?: boolean } = {}): Promise<PathStat | undefined> {
    return (await import("./copy.ts")).statPath(this.#home.open, this.id, path, options);
  }

  /**
   * Unpacks a tar archive in a directory of it.
   * @throws TsboxError `file_not_found`, `file_refused` where it is no directory, `archive_refused`, `permission_denied`
   */
  async copyIn(path: string, archive: ReadableStream<Uint8Array>, options: CopyInOptions = {}): Promise<void> {
    await (await import("./copy.ts")).copyIn(this.#home.open, this.id, path, archive, options);
  }

  /** What it is made of, as the kernel says it. */
  async explain(): Promise<Explanation> {
    return (await import("./explain.ts")).explain(this.#home.open, this.id);
  }
}
