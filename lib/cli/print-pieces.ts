/** Archives on a descriptor, and a signal that ends it however slowly the other end reads. @module */

const AGAIN_MS = 1;

/**
 * Writes all of it elsewhere than in the thread that signals come to. A reader that has gone ends tsbox, as SIGPIPE ends
 * other programs.
 * @throws what the signal says
 */
export async function printPieces(pieces: AsyncIterable<Uint8Array>, signal?: AbortSignal, fd = 1): Promise<void> {
  const { write } = process.getBuiltinModule("node:fs");
  const stopped = Promise.withResolvers<never>();
  stopped.promise.catch(() => {}); // somebody waits for it, or nobody need
  const onAbort = () => stopped.reject(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  const writeSome = (bytes: Uint8Array) =>
    new Promise<number>((resolve, reject) =>
      write(fd, bytes, (error, written) => (error ? reject(error) : resolve(written))),
    );
  try {
    for await (const piece of pieces) {
      for (let rest = piece; rest.length > 0;) {
        signal?.throwIfAborted();
        try {
          rest = rest.subarray(await Promise.race([writeSome(rest), stopped.promise]));
        } catch (error) {
          const { code } = error as { code?: string };
          if (code === "EPIPE") process.exit(128 + 13);
          if (code !== "EAGAIN") throw error;
          await new Promise((resolve) => setTimeout(resolve, AGAIN_MS)); // whoever shares the pipe made it non-blocking
        }
      }
    }
  } finally {
    signal?.removeEventListener("abort", onAbort);
  }
}
