/** What is mounted in one sandbox, on its way to another. @module */
import { close, TsboxError } from "../../syscalls/index.ts";

const forgotten = new FinalizationRegistry((fd: number) => close(fd));

/**
 * A directory of a running sandbox, and what is mounted below it, for one other: it stays as long as either needs it.
 *
 * @example
 * ```ts
 * await using first = await Sandbox.create({ mounts: [{ type: "tmpfs", target: "/data" }] });
 * using data = await first.volume("/data");
 * const { stdout } = await Sandbox.run(["ls", "/data"], { mounts: [{ type: "volume", source: data, target: "/data" }] });
 * ```
 */
export class Volume implements Disposable {
  /** Where it was. */
  readonly path: string;
  #fd: number;

  /** @internal @param fd an open tree, taken over */
  constructor(fd: number, path: string) {
    this.#fd = fd;
    this.path = path;
    forgotten.register(this, fd, this);
  }

  /** @internal The open tree, which is the caller's now. @throws TsboxError `invalid_option` */
  take(): number {
    const fd = this.#fd;
    if (fd < 0) {
      throw new TsboxError(`mount the volume "${this.path}": it has been mounted, or closed`, {
        code: "invalid_option",
        hint: "each is for one sandbox: take another by `box.volume`",
      });
    }
    forgotten.unregister(this);
    this.#fd = -1;
    return fd;
  }

  /** Whether it can still be mounted. */
  get open(): boolean {
    return this.#fd >= 0;
  }

  close(): void {
    if (this.open) close(this.take());
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
