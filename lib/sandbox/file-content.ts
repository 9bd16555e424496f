/** What is written to files, and what is read of them, in chunks. @module */
import { show } from "../../syscalls/index.ts";
import { unlessAborted } from "./abort.ts";
import { invalid } from "../options/index.ts";
import { checkUnread, isContent, type Content } from "./pipes.ts";

/** What can be written to a file; a file of a sandbox, or a Blob, has a `stream`. */
export type FileContent = Content | ArrayBuffer | { stream(): ReadableStream<Uint8Array> };

const isStreamable = (value: unknown): value is { stream(): ReadableStream<Uint8Array> } =>
  typeof value === "object" && value !== null && "stream" in value && typeof value.stream === "function";

/** Looked at before anything is made. @throws TsboxError `invalid_option` */
export function chunksOf(
  content: FileContent,
  signal: AbortSignal | undefined,
): AsyncIterable<Uint8Array> | Iterable<Uint8Array> {
  if (typeof content === "string") return [new TextEncoder().encode(content)];
  if (content instanceof Uint8Array) return [content];
  if (content instanceof ArrayBuffer) return [new Uint8Array(content)];
  if (isStreamable(content)) return streamChunks(content.stream(), signal);
  if (!isContent(content))
    throw invalid(
      `write ${show(content)}: not content`,
      "a string, bytes, a Blob, a Response, a ReadableStream, or a file of a sandbox",
    );
  checkUnread("write", content);
  const body = content instanceof ReadableStream ? content : (content as Response).body;
  return body ? streamChunks(body, signal) : [];
}

async function* streamChunks(stream: ReadableStream<Uint8Array>, signal: AbortSignal | undefined) {
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await unlessAborted(reader.read(), signal);
      if (done) return;
      if (!(value instanceof Uint8Array)) throw invalid(`write ${show(value)}: not bytes`, "a stream of Uint8Array");
      yield value;
    }
  } finally {
    // whoever does not read to the end does not read any more
    void reader.cancel().catch(() => {});
  }
}

/** What a stream has opened is closed, also where it is read in part and forgotten. */
const forgotten = new FinalizationRegistry((chunks: AsyncGenerator<Uint8Array, void>) => void chunks.return());

/** Nothing is done before it is read, and no more than is asked for. */
export function streamOf(chunks: AsyncGenerator<Uint8Array, void>): ReadableStream<Uint8Array> {
  const stream = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await chunks.next();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel: async () => void (await chunks.return()),
    },
    { highWaterMark: 0 },
  );
  forgotten.register(stream, chunks);
  return stream;
}
