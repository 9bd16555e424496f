/**
 * The thread that carries what sandboxes send and get: one for all sandboxes of a program, begun with the first that has a
 * network. It stands still in the kernel until something arrives, and nothing that arrives keeps the program's own event
 * loop busy. A worker runs this very file. What it has open is listed, as nothing closes that when it dies.
 * @module
 */
import {
  close,
  descriptorList,
  enlist,
  enlisted,
  isOwnFile,
  raiseCounter,
  resetSocket,
  softLimit,
  TsboxError,
} from "../../syscalls/index.ts";
import { Loop } from "../loop/index.ts";
import { listSockets } from "./intercept.ts";
import type { FromGateway, ToGateway } from "./messages.ts";
import { GatewayThread } from "./thread.ts";

const NAME = "tsbox gateway";
const RLIMIT_NOFILE = 7;

const threads = () => process.getBuiltinModule("node:worker_threads");
type Port = NonNullable<ReturnType<typeof threads>["parentPort"]>;

/** The program's end of the thread. */
export class GatewayWorker {
  readonly #worker: InstanceType<ReturnType<typeof threads>["Worker"]>;
  /** How many messages were sent: the thread looks, so that it misses none when it goes back to waiting. */
  readonly #sent = new Int32Array(new SharedArrayBuffer(4));
  readonly #waiting: ToGateway[] = [];
  readonly #list: number;
  #waker = -1;
  #epoll = -1;
  #isHeld = false;

  /** @param ended it has died, and does nothing any more: {@link closeAllBut} is to follow @throws TsboxError `unsupported` */
  constructor(take: (message: FromGateway) => void, ended: (why: string) => void) {
    if (!isOwnFile(import.meta.url, "lib/gateway/worker.ts"))
      throw new TsboxError("begin the thread of networks: tsbox is a part of another file", {
        code: "unsupported",
        hint: "leave the package out of the bundle (external)",
      });
    this.#list = descriptorList();
    const workerData: Given = { name: NAME, sent: this.#sent, list: this.#list };
    this.#worker = new (threads().Worker)(new URL(import.meta.url), { workerData });
    this.#worker.unref();
    let why = "it was ended";
    this.#worker.on("error", (error: Error) => (why = error.message));
    this.#worker.on("exit", () => ended(why));
    this.#worker.on("message", (message: FromGateway) => {
      if (message.kind !== "ready") return take(message);
      [this.#waker, this.#epoll] = [message.waker, message.epoll];
      // what is said of one that has not begun does not count in Bun
      if (!this.#isHeld) this.#worker.unref();
      for (const each of this.#waiting.splice(0)) this.#post(each);
    });
  }

  /** Whether it has begun. */
  get isReady(): boolean {
    return this.#waker >= 0;
  }

  /** What a dead one has left: its connections break off. @param kept another one is to have them */
  closeAllBut(kept: ReadonlySet<number>): void {
    // and where there are no descriptors left, this is one to read the lists with
    if (this.isReady) close(this.#waker);
    const lists = this.isReady ? [this.#list, this.#epoll] : [this.#list];
    for (const fd of new Set(lists.flatMap(enlisted))) if (!kept.has(fd) && fd !== this.#waker) resetSocket(fd);
    lists.forEach(close);
  }

  /** Whether it keeps the program from ending. */
  ref(held: boolean): void {
    this.#isHeld = held;
    if (held) this.#worker.ref();
    else this.#worker.unref();
  }

  send(message: ToGateway): void {
    for (const fd of descriptorsIn(message)) enlist(this.#list, fd);
    if (this.isReady) this.#post(message);
    else this.#waiting.push(message);
  }

  #post(message: ToGateway): void {
    Atomics.add(this.#sent, 0, 1);
    this.#worker.postMessage(message);
    raiseCounter(this.#waker);
  }
}

function descriptorsIn(message: ToGateway): readonly number[] {
  if (message.kind === "attach") return listSockets(message.sockets);
  if (message.kind === "publish") return [message.listener];
  return message.kind === "sockets" ? message.fds : [];
}

interface Given {
  name: string;
  sent: Int32Array;
  list: number;
}

/** In the worker. */
async function serve(port: Port, { sent, list }: Given): Promise<void> {
  const tell = (message: FromGateway) => port.postMessage(message);
  using undo = new DisposableStack();
  const loop = undo.use(new Loop((error) => tell({ kind: "failed", message: String(error) })));
  const thread = new GatewayThread(loop, softLimit(RLIMIT_NOFILE), tell, (fd) => enlist(list, fd));
  // whoever is told of it closes it
  undo.move();
  let taken = 0;
  port.on("message", (message: ToGateway) => {
    taken++;
    try {
      thread.take(message);
    } catch (error) {
      tell({ kind: "failed", message: String(error) });
    }
  });
  tell({ kind: "ready", waker: loop.waker, epoll: loop.epoll });
  for (;;) {
    loop.run();
    do await new Promise((resolve) => setImmediate(resolve));
    while (taken !== Atomics.load(sent, 0));
  }
}

// Bun tells without loading the module
if (typeof Bun === "undefined" ? !threads().isMainThread : !Bun.isMainThread) {
  const { parentPort, workerData } = threads();
  const given = workerData as Given | undefined;
  if (parentPort && given?.name === NAME) void serve(parentPort, given);
}
