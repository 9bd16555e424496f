/** What a command writes to pipes of tsbox's becomes tsbox's own output. @module */
import type { SandboxProcess } from "../index.ts";
import { print } from "./print.ts";

/** Whoever has got away from an ended command, and has its output, is not waited for. */
const QUIET_MS = 100;

/** All of it; nothing is done for streams that the command has as they are. @param ended settles when the command has ended */
export async function passOn({ stdout, stderr }: SandboxProcess, ended: Promise<unknown>): Promise<void> {
  const over = ended.then(
    () => {},
    () => {},
  );
  await Promise.all([written(stdout, 1, over), written(stderr, 2, over)]);
}

async function written(stream: ReadableStream<Uint8Array> | undefined, fd: number, over: Promise<void>): Promise<void> {
  if (!stream) return;
  const reader = stream.getReader();
  let isQuiet = false;
  void over.then(async () => {
    while (!isQuiet) {
      isQuiet = true;
      await Bun.sleep(QUIET_MS);
    }
    void reader.cancel();
  });
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    isQuiet = false;
    print(next.value, fd);
  }
}
