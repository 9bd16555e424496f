/**
 * The thread that carries what sandboxes send and get: one for all sandboxes of a program, begun with the first that has a
 * network. It stands still in the kernel until something arrives, and nothing that arrives keeps the program's own event
 * loop busy. A worker runs this very file.
 * @module
 */
import { isOwnFile, raiseCounter, softLimit, TsboxError } from "../../syscalls/index.ts";
import { Loop } from "../loop/index.ts";
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
  #waker = -1;
  #isHeld = false;

  /** @throws TsboxError `unsupported` */
  constructor(take: (message: FromGateway) => void, ended: (error?: Error) => void) {
    if (!isOwnFile(import.meta.url, "lib/gateway/worker.ts"))
      throw new TsboxError("begin the thread of networks: tsbox is a part of another file", {
        code: "unsupported",
        hint: "leave the package out of the bundle (external)",
      });
    this.#worker = new (threads().Worker)(new URL(import.meta.url), { workerData: { name: NAME, sent: this.#sent } });
    this.#worker.unref();
    this.#worker.on("error", ended);
    this.#worker.on("exit", () => ended());
    this.#worker.on("message", (message: FromGateway) => {
      if (message.kind !== "ready") return take(message);
      this.#waker = message.waker;
      // what is said of one that has not begun does not count in Bun
      if (!this.#isHeld) this.#worker.unref();
      for (const each of this.#waiting.splice(0)) this.send(each);
    });
  }

  /** Whether it keeps the program from ending. */
  ref(held: boolean): void {
    this.#isHeld = held;
    if (held) this.#worker.ref();
    else this.#worker.unref();
  }

  send(message: ToGateway): void {
    if (this.#waker < 0) return void this.#waiting.push(message);
    Atomics.add(this.#sent, 0, 1);
    this.#worker.postMessage(message);
    raiseCounter(this.#waker);
  }
}

/** In the worker. */
async function serve(port: Port, sent: Int32Array): Promise<void> {
  const tell = (message: FromGateway) => port.postMessage(message);
  const loop = new Loop((error) => tell({ kind: "failed", message: String(error) }));
  const thread = new GatewayThread(loop, softLimit(RLIMIT_NOFILE), tell);
  let taken = 0;
  port.on("message", (message: ToGateway) => {
    taken++;
    try {
      thread.take(message);
    } catch (error) {
      tell({ kind: "failed", message: String(error) });
    }
  });
  tell({ kind: "ready", waker: loop.waker });
  for (;;) {
    loop.run();
    do await new Promise((resolve) => setImmediate(resolve));
    while (taken !== Atomics.load(sent, 0));
  }
}

// Bun tells without loading the module
if (typeof Bun === "undefined" ? !threads().isMainThread : !Bun.isMainThread) {
  const { parentPort, workerData } = threads();
  const { name, sent } = (workerData ?? {}) as { name?: string; sent?: Int32Array };
  if (parentPort && name === NAME && sent) void serve(parentPort, sent);
}
