/** A context that comes in pieces, put into a file: as much of it as can matter, since it may never end. @module */
import { FormatError, TarReader } from "../../../wasm/index.ts";
import { DEFAULT_LIMITS, MAX_PADDING_BYTES } from "../../layer/index.ts";
import { isPacked, MAGIC_BYTES } from "./archive.ts";

/** A Dockerfile is shorter than that. */
const MAX_TEXT_BYTES = 8 * 2 ** 20;

/** Looks at what passes. What is wrong with it is told by whoever reads the file. */
export class Spooling {
  readonly #reader = new TarReader();
  #kind: "tar" | "packed" | "text" = "tar";
  #head: Uint8Array = new Uint8Array();
  #bytes = 0;
  #content = 0;
  #padding = 0;

  /** @returns what is to be done with the piece; `stop`: neither it nor what follows is needed */
  take(piece: Uint8Array): "keep" | "skip" | "stop" {
    if (this.#head.length < MAGIC_BYTES) {
      this.#head = Buffer.concat([this.#head, piece.subarray(0, MAGIC_BYTES)]);
      if (isPacked(this.#head)) this.#kind = "packed";
    }
    // taken, so that its sender can come to his own end
    if (this.#reader.isEnded) return (this.#padding += piece.length) > MAX_PADDING_BYTES ? "stop" : "skip";
    this.#bytes += piece.length;
    if (this.#kind === "tar") this.#read(piece);
    const most = this.#kind === "text" ? MAX_TEXT_BYTES : DEFAULT_LIMITS.bytes;
    return this.#bytes - piece.length > most || this.#content > DEFAULT_LIMITS.bytes ? "stop" : "keep";
  }

  #read(piece: Uint8Array): void {
    try {
      for (const { entry } of this.#reader.push(piece)) this.#content += entry?.size ?? 0;
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      this.#kind = "text";
    }
  }
}
