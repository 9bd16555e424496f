/** Files of a box's group that are opened once: whatever joins the box needs them again. @module */
import * as sys from "../../syscalls/index.ts";

/** Of all groups together: descriptors are few in some places. */
const MAX_OPEN = 256;
let openNow = 0;

export class KeptFiles {
  readonly #open = new Map<string, number>();

  /** A descriptor that stays open; undefined where there is no such file, or where enough are open. */
  descriptor(file: string, flags: number): number | undefined {
    const known = this.#open.get(file);
    if (known !== undefined || openNow >= MAX_OPEN) return known;
    const fd = sys.tryOpen(file, flags);
    if (fd < 0) return undefined;
    openNow++;
    this.#open.set(file, fd);
    return fd;
  }

  /** The text of a file of the kernel's; undefined where it cannot be read. */
  readonly read = (file: string): string | undefined => {
    const fd = this.descriptor(file, sys.O_RDONLY);
    return fd === undefined ? sys.readKernelFile(file) : sys.readFromStart(fd);
  };

  close(): void {
    openNow -= this.#open.size;
    for (const fd of this.#open.values()) sys.close(fd);
    this.#open.clear();
  }
}
