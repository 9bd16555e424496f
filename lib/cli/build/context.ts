/** The build context that was named: a directory, an address, or what comes on stdin. @module */
import type { BuildOptions } from "../../build/index.ts";
import { sizeOfTerminal } from "../../terminal/index.ts";
import { UsageError } from "../report.ts";

const STDIN = 0;
const MOST_BYTES = 4 << 20;

/** @param file of `-f` */
export async function contextOf(context: string, file: string | undefined): Promise<BuildOptions> {
  if (context === "-" && file === "-")
    throw new UsageError("read the context and the Dockerfile from stdin: it has only one of them", "name one of them");
  if (context !== "-" && file !== "-") return { context, ...fileOf(context, file) };
  if (sizeOfTerminal(STDIN))
    throw new UsageError("read stdin: it is a terminal", 'redirect it: "tsbox build - <Dockerfile"');
  if (file === "-") return { context, dockerfile: new TextDecoder().decode(await all(Bun.stdin.stream())) };
  // what is no archive is a Dockerfile
  return { context: Bun.stdin.stream(), ...(file === undefined ? {} : { file }) };
}

/** It is named as whoever types sees it; of a context that is somewhere else, from its top. */
function fileOf(context: string, file: string | undefined): BuildOptions {
  if (file === undefined) return {};
  const { statSync } = process.getBuiltinModule("node:fs");
  const { relative, resolve } = process.getBuiltinModule("node:path");
  if (!statSync(context, { throwIfNoEntry: false })?.isDirectory()) return { file };
  const below = relative(context, file);
  return { file: below.startsWith("..") ? resolve(file) : below };
}

async function all(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of stream) {
    pieces.push(piece);
    if ((length += piece.length) > MOST_BYTES)
      throw new UsageError(
        `read a Dockerfile from stdin: more than ${MOST_BYTES} bytes`,
        "an archive is told by its first bytes",
      );
  }
  return Buffer.concat(pieces);
}
