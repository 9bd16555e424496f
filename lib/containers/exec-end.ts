/**
 * The end of what is executed in the background: whoever asked for it is gone by then, so what waits for it writes it to a
 * file, `exec-ID` of the container's directory, and whoever looks next makes an event of it. The file is locked until then.
 *
 * It holds the exit frame of `lib/plan/frame.ts`, zeros where nobody came to write one.
 * @module
 */
import { close, Directory, OpenFile, standStill } from "../../syscalls/index.ts";
import { EXIT_FRAME_BYTES, FrameReader } from "../plan/index.ts";
import { addContainerEvent } from "./events.ts";
import type { Home } from "./home.ts";
import type { ContainerRecord } from "./record.ts";

const PREFIX = "exec-";
/** What waits for one that is killed with its container is told of that a moment later. */
const [TRIES, BETWEEN_MS] = [50, 2];
const KILLED = 137;

/** Made, and locked, for what waits for it; gone at the end of the block, but for that. */
export class ExecEnd implements Disposable {
  readonly #directory: Directory;
  readonly #file: OpenFile;

  /** @throws TsboxError where the disk is full */
  constructor(home: Home, { id }: ContainerRecord, execId: string) {
    this.#directory = Directory.open(home.path(id)) as Directory;
    this.#file = OpenFile.open(this.#directory, `${PREFIX}${execId}`, { as: "new" }) as OpenFile;
    // nobody keeps it, as it is empty
    while (!this.#file.tryLock("exclusive")) standStill(BETWEEN_MS);
    // the disk may be full when it ends
    this.#file.write(new Uint8Array(EXIT_FRAME_BYTES));
    this.#file.rewind();
  }

  get fd(): number {
    return this.#file.fd;
  }

  /** There is nothing to be told. */
  forget(): void {
    this.#directory.remove(this.#file.name);
  }

  [Symbol.dispose](): void {
    close(this.#file.fd);
    this.#directory[Symbol.dispose]();
  }
}

/** @param isOver its container has ended, and so all of them */
export function tellEndedExecs(home: Home, record: ContainerRecord, isOver = false): void {
  using directory = home.directory(record.id);
  for (const name of directory?.names() ?? [])
    if (directory && name.startsWith(PREFIX)) tellOne(home, record, directory, name, isOver ? TRIES : 1);
}

function tellOne(home: Home, record: ContainerRecord, directory: Directory, name: string, tries: number): void {
  using file = OpenFile.open(directory, name);
  if (!file) return;
  for (let tried = 1; !file.tryLock("exclusive"); tried++) {
    if (tried >= tries) return;
    standStill(BETWEEN_MS);
  }
  // somebody else has told it, or it has not begun
  if (!file.isCurrent() || file.sizeBytes === 0) return;
  const [frame] = new FrameReader().take(file.read());
  const exitCode = frame?.kind === "exit" ? (frame.exitCode ?? 128 + frame.signal) : KILLED;
  const attributes = { execID: name.slice(PREFIX.length), exitCode: String(exitCode) };
  const time = directory.status(name)?.modifiedMs;
  const isDone = home.state.transaction(() => {
    const own = home.state.eventsAfter(0).filter((event) => event.attributes["execID"] === attributes.execID);
    // told by one that was killed before it could remove the file
    if (own.some(({ action }) => action === "exec_die")) return true;
    // that it was begun is about to be told
    if (own.length === 0 && tries === 1) return false;
    addContainerEvent(home, record, "exec_die", { attributes, ...(time === undefined ? {} : { time }) });
    return true;
  });
  if (isDone) directory.remove(name);
}
