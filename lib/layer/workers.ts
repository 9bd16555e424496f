/**
 * Several layers at once, on several cores: this thread unpacks, and workers do where layers are large enough to be
 * worth one. A worker runs this very file.
 * @module
 */
import { isOwnFile, TsboxError, type ErrorDetails } from "../../syscalls/index.ts";
import { unpackLayer, type LayerSource, type UnpackedLayer, type UnpackOptions } from "./unpack.ts";

export interface LayerJob {
  source: LayerSource;
  /** As for {@link unpackLayer}. */
  directory: string;
}

export interface UnpackLayersOptions extends Omit<UnpackOptions, "onProgress"> {
  /** Stored bytes of a job that have been unpacked so far. */
  onProgress?: ((job: LayerJob, bytes: number) => void) | undefined;
  /** Besides this thread. @default one for each other core; on Deno, none */
  maxWorkers?: number | undefined;
  /** Layers that are shorter, as stored, never get a worker: it takes 0.1 s to start (measured). @default 32 MiB */
  workerFromBytes?: number | undefined;
}

const NAME = "tsbox layers";
const WORKER_FROM_BYTES = 32 * 2 ** 20;
/** Pieces that a worker may have waiting, each of so many bytes at most: more would only take memory. */
const [MAX_WAITING, PIECE_BYTES] = [4, 1024 * 1024];

const threads = () => process.getBuiltinModule("node:worker_threads");
type Port = NonNullable<ReturnType<typeof threads>["parentPort"]>;

type ToWorker =
  | {
      kind: "job";
      source: Omit<LayerSource, "pieces">;
      directory: string;
      options: Pick<UnpackOptions, "limits" | "ids">;
    }
  | { kind: "piece"; bytes: Uint8Array }
  | { kind: "end" }
  | { kind: "abort" };
type FromWorker =
  | { kind: "taken"; bytes: number }
  | { kind: "unpacked"; result: UnpackedLayer }
  | { kind: "failed"; message: string; details?: ErrorDetails };

/**
 * The same as {@link unpackLayer} for each job. Where one fails, the others are stopped; all have ended when this does.
 * @returns results in the order of the jobs
 */
export async function unpackLayers(jobs: LayerJob[], options: UnpackLayersOptions = {}): Promise<UnpackedLayer[]> {
  const { limits, ids, signal, onProgress, workerFromBytes = WORKER_FROM_BYTES } = options;
  const stop = new AbortController();
  const signals = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
  const results: UnpackedLayer[] = [];
  const queue = jobs
    .map((job, index) => ({ job, index }))
    .toSorted((a, b) => b.job.source.sizeBytes - a.job.source.sizeBytes);
  const take = async (fromBytes: number, unpack: typeof unpackLayer): Promise<void> => {
    for (;;) {
      signals.throwIfAborted();
      const next = queue[0];
      if (!next || next.job.source.sizeBytes < fromBytes) return;
      queue.shift();
      const { source, directory } = next.job;
      const progress = (bytes: number) => onProgress?.(next.job, bytes);
      results[next.index] = await unpack(source, directory, { limits, ids, signal: signals, onProgress: progress });
    }
  };
  const large = jobs.filter(({ source }) => source.sizeBytes >= workerFromBytes).length;
  const workers = isOwnFile(import.meta.url, "lib/layer/workers.ts")
    ? Math.min(options.maxWorkers ?? maxWorkersHere(), large - 1)
    : 0;
  const lanes = Array.from({ length: Math.max(0, workers) }, () => inWorker((unpack) => take(workerFromBytes, unpack)));
  const work = [...lanes, take(0, unpackLayer)].map((lane) =>
    lane.catch((error: unknown) => {
      stop.abort(error);
      throw error;
    }),
  );
  await Promise.allSettled(work);
  // the reason, and not what it has stopped
  stop.signal.throwIfAborted();
  return results;
}

/** Deno's take longer to be sent a layer than to unpack it (measured). */
const maxWorkersHere = (): number =>
  typeof Bun === "undefined" ? 0 : (globalThis.navigator?.hardwareConcurrency ?? 1) - 1;

/** Starts a worker for as long as `use` wants layers unpacked there, one after another. */
async function inWorker(use: (unpack: typeof unpackLayer) => Promise<void>): Promise<void> {
  const worker = new (threads().Worker)(new URL(import.meta.url), { workerData: NAME });
  let failed: ((error: Error) => void) | undefined;
  let broken: Error | undefined;
  const fail = (error: Error) => {
    broken = error;
    failed?.(error);
  };
  worker.on("error", fail);
  worker.on("exit", () => fail(new TsboxError("unpack a layer: its worker has ended", { code: "system" })));
  try {
    await use(async (source, directory, options = {}) => {
      if (broken) throw broken;
      try {
        return await overPort(worker as never, source, directory, options, (reject) => (failed = reject));
      } finally {
        failed = undefined;
        worker.removeAllListeners("message");
      }
    });
  } finally {
    await worker.terminate();
  }
}

/** One layer, its pieces sent as the worker takes them. */
async function overPort(
  port: Port,
  source: LayerSource,
  directory: string,
  { limits, ids, signal, onProgress }: UnpackOptions,
  onFailure: (reject: (error: Error) => void) => void,
): Promise<UnpackedLayer> {
  const send = (message: ToWorker, transferred: ArrayBuffer[] = []) => port.postMessage(message, transferred);
  const { promise, resolve, reject } = Promise.withResolvers<UnpackedLayer>();
  onFailure(reject);
  let [waiting, isOver, taken] = [0, false, () => {}];
  port.on("message", (message: FromWorker) => {
    if (message.kind === "taken") {
      waiting--;
      onProgress?.(message.bytes);
    } else {
      isOver = true;
      if (message.kind === "unpacked") resolve(message.result);
      else reject(message.details ? new TsboxError(message.message, message.details) : new Error(message.message));
    }
    taken();
  });
  const { pieces, ...rest } = source;
  send({ kind: "job", source: rest, directory, options: { limits, ids } });
  const pump = async (): Promise<void> => {
    for await (const piece of pieces) {
      for (let at = 0; at < piece.length; at += PIECE_BYTES) {
        signal?.throwIfAborted();
        while (waiting >= MAX_WAITING && !isOver) await new Promise<void>((wake) => (taken = wake));
        if (isOver) return;
        const bytes = piece.slice(at, at + PIECE_BYTES);
        waiting++;
        send({ kind: "piece", bytes }, [bytes.buffer as ArrayBuffer]);
      }
    }
    send({ kind: "end" });
  };
  try {
    await pump();
  } catch (error) {
    // it cleans up by itself, and says so
    send({ kind: "abort" });
    await promise.catch(() => {});
    throw error;
  }
  return promise;
}

/** In a worker: unpacks what it is sent. */
function serve(port: Port): void {
  let queue: (Uint8Array | "end" | "abort")[] = [];
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
  const tell = (message: FromWorker) => port.postMessage(message);
  port.on("message", (message: ToWorker) => {
    if (message.kind === "job") {
      queue = [];
      const { source, directory, options } = message;
      const onProgress = (bytes: number) => tell({ kind: "taken", bytes });
      unpackLayer({ ...source, pieces: pieces() }, directory, { ...options, onProgress }).then(
        (result) => tell({ kind: "unpacked", result }),
        (error: unknown) => tell({ kind: "failed", ...toldError(error) }),
      );
      return;
    }
    queue.push(message.kind === "piece" ? message.bytes : message.kind);
    wake();
  });
}

function toldError(error: unknown): { message: string; details?: ErrorDetails } {
  const message = error instanceof Error ? error.message : String(error);
  if (!(error instanceof TsboxError)) return { message };
  const { code, errno, syscall, path, hint } = error;
  return { message, details: JSON.parse(JSON.stringify({ code, errno, syscall, path, hint })) as ErrorDetails };
}

// Bun tells without loading the module
if (typeof Bun === "undefined" ? !threads().isMainThread : !Bun.isMainThread) {
  const { parentPort, workerData } = threads();
  if (parentPort && workerData === NAME) serve(parentPort);
}
