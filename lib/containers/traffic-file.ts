/**
 * What has gone in and out of a container with a policy since it started: netd counts, and where it is killed, the next
 * one goes on from here. It has its place on the disk before the container begins.
 * @see layout.ts
 * @module
 */
import { OpenFile, type Directory } from "../../syscalls/index.ts";
import { TRAFFIC, TRAFFIC_BYTES } from "./layout.ts";

/** As netd counts it. */
export interface Counted {
  inBytes: number;
  outBytes: number;
}

export class TrafficFile implements Disposable {
  readonly #file: OpenFile;

  private constructor(file: OpenFile) {
    this.#file = file;
  }

  /** Of a run that is about to begin; who still counts the one before does that in its own. */
  static make(directory: Directory): void {
    directory.replace(TRAFFIC, new Uint8Array(TRAFFIC_BYTES));
  }

  /** Undefined where there is none. */
  static open(directory: Directory): TrafficFile | undefined {
    const file = OpenFile.open(directory, TRAFFIC, { as: "writer" });
    return file && new TrafficFile(file);
  }

  read(): Counted {
    this.#file.rewind();
    const bytes = this.#file.read();
    if (bytes.length < TRAFFIC_BYTES) return { inBytes: 0, outBytes: 0 };
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    return { inBytes: Number(view.getBigUint64(0, true)), outBytes: Number(view.getBigUint64(8, true)) };
  }

  write({ inBytes, outBytes }: Counted): void {
    const bytes = new Uint8Array(TRAFFIC_BYTES);
    const view = new DataView(bytes.buffer);
    view.setBigUint64(0, BigInt(inBytes), true);
    view.setBigUint64(8, BigInt(outBytes), true);
    this.#file.rewind();
    this.#file.write(bytes);
  }

  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]();
  }
}
