/**
 * A container as a directory: `ROOT/ID/`, with what is written down of it. Commands that change a container hold the
 * lock of its directory meanwhile, so that two at once come one after the other; the kernel gives it back whenever a
 * command ends. Those that only look need none: the record is replaced as a whole.
 *
 * ```
 * ROOT/ID/state.json   the record
 *         config.json  as it was when the container was made
 *         start.sock   what is made waits here, until it is started
 *         notify/      systemd's socket, for the container
 * ```
 * @module
 */
import { Directory, readLink, TsboxError } from "../../syscalls/index.ts";
import type { ContainerCgroup } from "../cgroup/index.ts";
import { openCgroup } from "./cgroup.ts";
import { checkId } from "./id.ts";
import { isRunning } from "./init-process.ts";
import { parseRecord, type ContainerRecord } from "./record.ts";
import type { State, Status } from "../spec/index.ts";
import type { Runtime } from "./runtime.ts";

const STATE = "state.json";
const CONFIG = "config.json";
/** Removed when the container is started. */
export const START_SOCKET = "start.sock";
/** What a container's process executes until then, by the name of its memory file. */
export const WAITING = "tsbox-create";
/** More is no record, and no config. */
const LIMIT_BYTES = 16 * 1024 * 1024;
/** So long a command waits for another one that works at the same container. */
const LOCK_MS = 30_000;
const LOOK_AGAIN_MS = 5;

export class Container {
  readonly id: string;
  readonly runtime: Runtime;
  readonly directory: Directory;
  #record: ContainerRecord | undefined;
  /** By this object: whether it makes the container, or changes it. */
  #lock: "maker" | "changer" | undefined;

  private constructor(runtime: Runtime, id: string, directory: Directory) {
    this.runtime = runtime;
    this.id = id;
    this.directory = directory;
  }

  /**
   * The directory of a new one, locked and empty.
   *
   * @throws TsboxError `container_exists`
   */
  static reserve(runtime: Runtime, id: string): Container {
    checkId(id);
    // sticky: what cleans up $XDG_RUNTIME_DIR leaves it alone
    Directory.make(runtime.root, 0o1700);
    const path = `${runtime.root}/${id}`;
    Directory.make(path, 0o711);
    const directory = Directory.open(path);
    // an empty one is left by a command that was killed in between
    if (directory?.tryLock() && directory.isCurrent() && directory.names().length === 0) {
      const container = new Container(runtime, id, directory);
      container.#lock = "maker";
      return container;
    }
    directory?.[Symbol.dispose]();
    throw new TsboxError(`create container "${id}": container with given ID already exists`, {
      code: "container_exists",
      path,
    });
  }

  /** @throws TsboxError `container_not_found`, `container_unreadable` */
  static open(runtime: Runtime, id: string): Container {
    const container = Container.openUnread(runtime, id);
    try {
      container.reload();
      return container;
    } catch (error) {
      container[Symbol.dispose]();
      throw error;
    }
  }

  /** Whatever its record is like. @throws TsboxError `container_not_found` */
  static openUnread(runtime: Runtime, id: string): Container {
    checkId(id);
    const directory = Directory.open(`${runtime.root}/${id}`);
    if (!directory) throw notFound(id);
    return new Container(runtime, id, directory);
  }

  [Symbol.dispose](): void {
    // a process that was cloned, and has not executed anything yet, has the descriptor as well
    this.directory.unlock();
    this.directory[Symbol.dispose]();
  }

  get record(): ContainerRecord {
    if (!this.#record) throw notFound(this.id);
    return this.#record;
  }

  /** Reads the record again. */
  reload(): void {
    const content = this.directory.read(STATE, LIMIT_BYTES);
    if (!content) throw notFound(this.id);
    this.#record = parseRecord(new TextDecoder().decode(content), this.id);
  }

  save(record: ContainerRecord): void {
    this.directory.replace(STATE, new TextEncoder().encode(JSON.stringify(record)));
    this.#record = record;
  }

  /** The text of config.json as it was when the container was made. */
  get config(): string {
    const content = this.directory.read(CONFIG, LIMIT_BYTES);
    if (!content) throw notFound(this.id);
    return new TextDecoder().decode(content);
  }

  set config(text: string) {
    this.directory.replace(CONFIG, new TextEncoder().encode(text));
  }

  /** Waits for whoever works at it. Where the container is gone by then, it is not found. */
  async lock(): Promise<void> {
    for (const end = performance.now() + LOCK_MS; !this.directory.tryLock(); await Bun.sleep(LOOK_AGAIN_MS)) {
      if (performance.now() < end) continue;
      throw new TsboxError(`change container "${this.id}": another command has been at it for ${LOCK_MS / 1000} s`, {
        code: "container_state",
        hint: "end that one, for instance a hook that hangs",
      });
    }
    this.#lock = "changer";
    if (!this.directory.isCurrent()) throw notFound(this.id);
  }

  /** Undefined where it has none of its own. */
  get cgroup(): ContainerCgroup | undefined {
    const { cgroup } = this.record;
    return cgroup && Object.keys(cgroup.paths).length > 0 ? openCgroup(cgroup, this.runtime.log) : undefined;
  }

  unlock(): void {
    this.directory.unlock();
    this.#lock = undefined;
  }

  async status(): Promise<Status> {
    const { record } = this;
    if (record.stage === "creating") return this.#isBeingMade() ? "creating" : "stopped";
    if (!isRunning(record)) return "stopped";
    if (this.cgroup?.isFrozen()) return "paused";
    return this.#isWaiting() ? "created" : "running";
  }

  #isWaiting(): boolean {
    if (this.directory.status(START_SOCKET)?.kind !== "socket") return false;
    // whoever started it may have been killed before the socket was gone
    const executed = readLink(`/proc/${this.record.pid}/exe`);
    return executed === undefined || executed.startsWith(`/memfd:${WAITING}`);
  }

  #isBeingMade(): boolean {
    // to look whether it is locked would end a lock of one's own
    return this.#lock === undefined ? this.directory.isLocked() : this.#lock === "maker";
  }

  /** As the specification has it, and hooks read it. */
  state(status: Status): State {
    const { ociVersion, id, bundle, annotations, pid } = this.record;
    return {
      ociVersion,
      id,
      status,
      ...(status === "stopped" || pid === 0 ? {} : { pid }),
      bundle,
      ...(annotations ? { annotations } : {}),
    };
  }

  /** Its directory, and all that is in it. */
  remove(): void {
    this.directory.removeAll();
  }
}

const notFound = (id: string) =>
  new TsboxError(`find container "${id}": container does not exist`, { code: "container_not_found" });
