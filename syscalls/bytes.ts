/** What callers give to be written, as bytes. @module */
import { show, TsboxError } from "./error.ts";

export type Chunk = string | ArrayBuffer | ArrayBufferView;

/** A copy: the caller may go on with its own. @throws TsboxError `invalid_option` */
export function bytesOf(chunk: Chunk): Uint8Array {
  if (typeof chunk === "string") return new TextEncoder().encode(chunk);
  if (ArrayBuffer.isView(chunk)) return new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength).slice();
  if (chunk instanceof ArrayBuffer) return new Uint8Array(chunk.slice());
  const hint = "a string, an ArrayBuffer, or a view of one, such as a Uint8Array";
  throw new TsboxError(`write ${show(chunk)}: not understood`, { code: "invalid_option", hint });
}
