/**
 * Large layers are unpacked by threads of their own, while this one fetches and stores what they unpack. A worker runs
 * this very file.
 * @module
 */
import { isOwnFile, TsboxError, type ErrorDetails } from "../../syscalls/index.ts";
import { unpackLayer, type LayerSource, type UnpackedLayer, type UnpackOptions } from "./unpack.ts";

export interface LayerThreadsOptions {
  /** @default one for each core but this thread's, and four at most; on Deno, none */
  maxThreads?: number | undefined;
  /** Layers have so many stored bytes for each thread, at least. @default 24 MiB */
  bytesPerThread?: number | undefined;
}

const NAME = "tsbox layers";
/** One takes 25 ms to begin: a pull of 15 MB takes no less time with one, of 72 MB 0.81 to 0.87 of it (measured). */
const BYTES_PER_THREAD = 24 * 2 ** 20;
/** Pieces that a layer may have waiting, each of so many bytes at most: more would only take memory. */
const [MAX_WAITING, PIECE_BYTES] = [4, 1024 * 1024];

const threads = () => process.getBuiltinModule("node:worker_threads");
type Worker = InstanceType<ReturnType<typeof threads>["Worker"]>;
type Port = NonNullable<ReturnType<typeof threads>["parentPort"]>;

/** What a worker is told: a layer, of which the rest comes over a port of its own. */
interface Job {
  source: Omit<LayerSource, "pieces">;
  directory: string;
  options: Pick<UnpackOptions, "limits" | "ids">;
  port: Port;
}
type ToJob = Uint8Array | "end" | "abort";
type FromJob =
  { kind: "taken"; bytes: number } | { kind: "unpacked"; result: UnpackedLayer } | ({ kind: "failed" } & ToldError);

/** Threads that begin at once. Nothing may be under way when they are disposed of. */
export class LayerThreads implements AsyncDisposable {
  readonly #threads: LayerThread[];

  /** @param sizes of the layers to come, in bytes as they are stored */
  constructor(sizes: readonly number[], options: LayerThreadsOptions = {}) {
    const { maxThreads = maxThreadsHere(), bytesPerThread = BYTES_PER_THREAD } = options;
    const bytes = sizes.reduce((sum, size) => sum + size, 0);
    const length = Math.min(maxThreads, sizes.length, Math.floor(bytes / bytesPerThread));
    const mayBegin = isOwnFile(import.meta.url, "lib/layer/workers.ts");
    this.#threads = mayBegin ? Array.from({ length }, () => new LayerThread()) : [];
  }

  /** As {@link unpackLayer}, which does it where there are no threads. */
  unpack(source: LayerSource, directory: string, options: UnpackOptions = {}): Promise<UnpackedLayer> {
    const [idlest] = this.#threads.toSorted((a, b) => a.bytes - b.bytes);
    return idlest ? idlest.unpack(source, directory, options) : unpackLayer(source, directory, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.end()));
  }
}

/** Deno's take longer to be sent a layer than to unpack it (measured). */
const maxThreadsHere = (): number =>
  typeof Bun === "undefined" ? 0 : Math.min(4, (globalThis.navigator?.hardwareConcurrency ?? 1) - 1);

class LayerThread {
  /** As stored, of the layers that it unpacks now. */
  bytes = 0;
  readonly #worker: Worker = new (threads().Worker)(new URL(import.meta.url), { workerData: NAME });
  readonly #died = Promise.withResolvers<Error>();

  constructor() {
    this.#worker.on("error", this.#died.resolve);
    const ended = () => this.#died.resolve(new TsboxError("unpack a layer: its thread has ended", { code: "system" }));
    this.#worker.on("exit", ended);
  }

  async unpack(source: LayerSource, directory: string, options: UnpackOptions): Promise<UnpackedLayer> {
    const { port1, port2 } = new (threads().MessageChannel)();
    const { pieces, ...rest } = source;
    const { limits, ids } = options;
    this.bytes += source.sizeBytes;
    try {
      const job: Job = { source: rest, directory, options: { limits, ids }, port: port2 };
      this.#worker.postMessage(job, [port2]);
      return await overPort(port1, pieces, this.#died.promise, options);
    } finally {
      this.bytes -= source.sizeBytes;
      port1.close();
    }
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }
}

/** The pieces of a layer, sent as the worker takes them. */
async function overPort(
  port: Port,
  pieces: LayerSource["pieces"],
  died: Promise<Error>,
  { signal, onProgress }: UnpackOptions,
): Promise<UnpackedLayer> {
  const send = (message: ToJob, transferred: ArrayBuffer[] = []) => port.postMessage(message, transferred);
  const { promise, resolve, reject } = Promise.withResolvers<UnpackedLayer>();
  // it may fail while the next piece is waited for
  promise.catch(() => {});
  let [waiting, isOver, wake] = [0, false, () => {}];
  const over = (tell: () => void) => {
    isOver = true;
    tell();
    wake();
  };
  void died.then((error) => over(() => reject(error)));
  port.on("message", (message: FromJob) => {
    if (message.kind === "unpacked") over(() => resolve(message.result));
    else if (message.kind === "failed") over(() => reject(errorOf(message)));
    else {
      waiting--;
      onProgress?.(message.bytes);
      wake();
    }
  });
  const pump = async (): Promise<void> => {
    for await (const piece of pieces) {
      for (let at = 0; at < piece.length; at += PIECE_BYTES) {
        signal?.throwIfAborted();
        while (waiting >= MAX_WAITING && !isOver) await new Promise<void>((resume) => (wake = resume));
        if (isOver) return;
        const bytes = piece.slice(at, at + PIECE_BYTES);
        waiting++;
        send(bytes, [bytes.buffer as ArrayBuffer]);
      }
    }
    send("end");
  };
  try {
    await pump();
  } catch (error) {
    // it cleans up by itself, and says so
    send("abort");
    await promise.catch(() => {});
    throw error;
  }
  return promise;
}

/** In a worker: unpacks what it is sent. */
function serve({ source, directory, options, port }: Job): void {
  const queue: ToJob[] = [];
  let wake = () => {};
  const pieces = async function* (): AsyncGenerator<Uint8Array, void> {
    for (;;) {
      const next = queue.shift();
      if (next === undefined) await new Promise<void>((resolve) => (wake = resolve));
      else if (next === "end") return;
      else if (next === "abort") throw new Error("aborted");
      else yield next;
    }
  };
  const tell = (message: FromJob) => port.postMessage(message);
  port.on("message", (message: ToJob) => {
    queue.push(message);
    wake();
  });
  const onProgress = (bytes: number) => tell({ kind: "taken", bytes });
  unpackLayer({ ...source, pieces: pieces() }, directory, { ...options, onProgress }).then(
    (result) => tell({ kind: "unpacked", result }),
    (error: unknown) => tell({ kind: "failed", ...toldError(error) }),
  );
}

interface ToldError {
  message: string;
  details?: ErrorDetails;
}

const errorOf = ({ message, details }: ToldError) => (details ? new TsboxError(message, details) : new Error(message));

function toldError(error: unknown): ToldError {
  const message = error instanceof Error ? error.message : String(error);
  if (!(error instanceof TsboxError)) return { message };
  const { code, errno, syscall, path, hint } = error;
  return { message, details: JSON.parse(JSON.stringify({ code, errno, syscall, path, hint })) as ErrorDetails };
}

// Bun tells without loading the module
if (typeof Bun === "undefined" ? !threads().isMainThread : !Bun.isMainThread) {
  const { parentPort, workerData } = threads();
  if (workerData === NAME) parentPort?.on("message", serve);
}
