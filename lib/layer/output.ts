/**
 * A tar archive in the making: headers, and files' bytes that are read straight to where they belong. Once the memory is
 * full, it is handed on and filled anew.
 * @module
 */
import { mapArena, unmapArena } from "../../syscalls/index.ts";
import { tarEnd, tarHeader, type TarHeader } from "../tar/index.ts";
import type { Batch } from "./batch.ts";
import { failed, refused, type Looked } from "./looked.ts";

const OUTPUT_BYTES = 1024 * 1024;
const BLOCK_BYTES = 512;
const [SEEK_DATA, SEEK_HOLE] = [3, 4];
const ENXIO = 6;

export interface OutputLimits {
  /** Of the archive. */
  bytes: number;
  /** Of holes in files, which are zeros in the archive. */
  holeBytes: number;
}

interface Reading {
  slot: number;
  fd: number;
  at: number;
  sizeBytes: number;
  where: string;
}

export class Output implements Disposable {
  readonly #memory = mapArena(OUTPUT_BYTES);
  readonly #batch: Batch;
  #filled = 0;
  readonly #readings: Reading[] = [];
  readonly #limits: OutputLimits;
  #bytes = 0;
  #holeBytes = 0;

  constructor(batch: Batch, limits: OutputLimits) {
    this.#batch = batch;
    this.#limits = limits;
  }

  [Symbol.dispose](): void {
    unmapArena(this.#memory);
  }

  /** A header, and nothing behind it. What is given is to be used before the next is asked for. */
  *put(header: TarHeader): Generator<Uint8Array, void> {
    const bytes = tarHeader(header);
    if (bytes.length <= this.#room) {
      this.#memory.bytes.set(bytes, this.#filled);
      this.#filled += bytes.length;
      return;
    }
    for (let at = 0; at < bytes.length;) {
      if (this.#room === 0) yield* this.flush();
      const part = bytes.subarray(at, at + this.#room);
      this.#memory.bytes.set(part, this.#filled);
      this.#filled += part.length;
      at += part.length;
    }
  }

  /** As many bytes as the header says, whoever shortens or lengthens the file meanwhile. */
  *putFile(header: TarHeader, { fd, size, allocated }: Looked, where: string): Generator<Uint8Array, void> {
    yield* this.put(header);
    if (size === 0) return;
    this.#count(size, 0, where);
    const whole = Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES;
    const isSparse = allocated < size && size > SMALL_BYTES;
    if (!isSparse && whole > this.#room && whole <= OUTPUT_BYTES) yield* this.flush();
    if (isSparse || whole > this.#room) return yield* this.#stream(fd, size, isSparse, where);
    const slot = this.#readings.length + 1;
    const reading = { slot, fd, at: this.#filled, sizeBytes: size, where };
    this.#batch.add("pread64", slot, 0, fd, this.#memory.address + reading.at, size, 0);
    this.#readings.push(reading);
    this.#memory.bytes.fill(0, this.#filled + size, this.#filled + whole);
    this.#filled += whole;
  }

  *end(): Generator<Uint8Array, void> {
    const end = tarEnd();
    if (end.length > this.#room) yield* this.flush();
    this.#memory.bytes.set(end, this.#filled);
    this.#filled += end.length;
    yield* this.flush();
  }

  get #room(): number {
    return OUTPUT_BYTES - this.#filled;
  }

  /** Reads what is to be read by now; then the files may be closed. */
  settle(): void {
    this.#batch.run();
    const readings = this.#readings.splice(0);
    const lengths = readings.map(({ slot }) => this.#batch.result(slot));
    readings.forEach(({ fd, at, sizeBytes, where }, index) => {
      const length = lengths[index] as number;
      if (length < 0) throw failed("read", "pread64", -length, where);
      if (length < sizeBytes) this.#read(fd, length, at + length, sizeBytes - length, where);
    });
  }

  *flush(): Generator<Uint8Array, void> {
    this.settle();
    const filled = this.#filled;
    this.#filled = 0;
    if (filled > 0) yield this.#memory.bytes.subarray(0, filled);
  }

  /** To its place in memory; what the file has no more is zeros. */
  #read(fd: number, offset: number, at: number, sizeBytes: number, where: string): void {
    for (let done = 0; done < sizeBytes;) {
      this.#batch.add("pread64", 1, 0, fd, this.#memory.address + at + done, sizeBytes - done, offset + done);
      this.#batch.run();
      const length = this.#batch.result(1);
      if (length < 0) throw failed("read", "pread64", -length, where);
      if (length === 0) return void this.#memory.bytes.fill(0, at + done, at + sizeBytes);
      done += length;
    }
  }

  /** A file that is large, or has holes, which are not read. */
  *#stream(fd: number, size: number, isSparse: boolean, where: string): Generator<Uint8Array, void> {
    this.settle();
    for (let offset = 0; offset < size;) {
      const begin = offset;
      const end = isSparse ? this.#nextEdge(fd, offset, SEEK_HOLE, size) : size;
      while (offset < end) {
        if (this.#room === 0) yield* this.flush();
        const part = Math.min(end - offset, this.#room);
        this.#read(fd, offset, this.#filled, part, where);
        this.#filled += part;
        offset += part;
      }
      let data = offset < size ? this.#nextEdge(fd, offset, SEEK_DATA, size) : size;
      // somebody makes holes and fills them: no end, unless each turn gets on
      if (data === begin) data = Math.min(size, begin + BLOCK_BYTES);
      this.#count(0, data - offset, where);
      yield* this.#zeros(data - offset);
      offset = data;
    }
    yield* this.#zeros((BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES);
  }

  #count(bytes: number, holeBytes: number, where: string): void {
    this.#bytes += bytes;
    this.#holeBytes += holeBytes;
    const limits = this.#limits;
    if (this.#bytes > limits.bytes) throw refused(where, `more than ${limits.bytes} bytes together`, "limits.bytes");
    if (this.#holeBytes > limits.holeBytes)
      throw refused(where, `holes of more than ${limits.holeBytes} bytes together`, "limits.holeBytes");
  }

  /** Where data or a hole begins; the end where there is none more. */
  #nextEdge(fd: number, offset: number, whence: number, size: number): number {
    this.#batch.add("lseek", 1, 0, fd, offset, whence);
    this.#batch.run();
    const result = this.#batch.large(1);
    // ENXIO: shorter by now, or a hole up to the end; others: a file system that does not tell
    if (result < 0) return whence === SEEK_HOLE && result === -ENXIO ? offset : size;
    return Math.min(result, size);
  }

  *#zeros(sizeBytes: number): Generator<Uint8Array, void> {
    for (let left = sizeBytes; left > 0;) {
      if (this.#room === 0) yield* this.flush();
      const part = Math.min(left, this.#room);
      this.#memory.bytes.fill(0, this.#filled, this.#filled + part);
      this.#filled += part;
      left -= part;
    }
  }
}

/** A hole in less is not worth a call. */
const SMALL_BYTES = 65536;
