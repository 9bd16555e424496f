/** Which servers this machine asks: they may change while it runs. @module */
import { readKernelFile } from "../../syscalls/index.ts";
import { upstreamsIn, type Upstream } from "../dns/index.ts";

const FILE = "/etc/resolv.conf";
const AGAIN_MS = 2000;

export class MachineServers {
  #found: readonly Upstream[] = [];
  #text: string | undefined;
  #readAt = -Infinity;

  now(): readonly Upstream[] {
    const now = performance.now();
    if (now - this.#readAt < AGAIN_MS) return this.#found;
    this.#readAt = now;
    const text = readKernelFile(FILE) ?? "";
    if (text === this.#text) return this.#found;
    this.#text = text;
    return (this.#found = upstreamsIn(text));
  }
}
