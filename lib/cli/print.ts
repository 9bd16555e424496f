/** Output of tsbox itself. @module */

/** Writes all of it before it returns. A reader that has gone ends tsbox, as SIGPIPE ends other programs. */
export function print(text: string | Uint8Array, fd = 1): void {
  // loading it takes a millisecond, which a command that prints nothing of its own need not pay (measured)
  const { writeSync } = process.getBuiltinModule("node:fs");
  const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
  for (let done = 0; done < bytes.length;) {
    try {
      done += writeSync(fd, bytes, done);
    } catch (error) {
      const { code } = error as { code?: string };
      if (code === "EPIPE") process.exit(128 + 13);
      if (code !== "EAGAIN") throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1); // whoever shares the pipe made it non-blocking
    }
  }
}
