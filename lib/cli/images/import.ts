/** `tsbox import`: an archive of a file system, as an image. @module */
import { TsboxError } from "../../index.ts";
import { sizeOfTerminal } from "../../terminal/index.ts";
import { print } from "../print.ts";
import { UsageError } from "../report.ts";
import { declare, type Add } from "./declare.ts";
import { withImages } from "./with-images.ts";

interface ImportFlags {
  change?: string[];
  message?: string;
  platform?: string;
}

const STDIN = 0;

export const addImport: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "Make an image of an archive of a file system",
      usage: "[FLAGS] FILE|URL|- [REPOSITORY[:TAG]]",
      words: ["<FILE|URL|->", "[NAME]"],
      flags: [
        ["-c, --change <INSTRUCTION>...", 'Of a Dockerfile: "CMD [\\"sh\\"]", "ENV A=B"'],
        ["-m, --message <TEXT>", "Comment of its history"],
        ["--platform <PLATFORM>", "What it is for (default this host)"],
      ],
    },
    (from: string, reference: string | undefined, flags: ImportFlags) =>
      withImages(async (images, signal) => {
        const { change, message, platform } = flags;
        if (from === "-" && sizeOfTerminal(STDIN))
          throw new UsageError("import from stdin: it is a terminal", "name a file, or redirect it");
        const { id } = await images.import(await sourceOf(from, signal), {
          signal,
          ...(reference === undefined ? {} : { reference }),
          ...(change ? { changes: change } : {}),
          ...(message === undefined ? {} : { message }),
          ...(platform === undefined ? {} : { platform }),
        });
        print(`${id}\n`);
      }),
  );

async function sourceOf(from: string, signal: AbortSignal): Promise<string | Blob | ReadableStream<Uint8Array>> {
  if (from === "-") return Bun.stdin;
  if (!/^https?:\/\//i.test(from)) return from;
  let why: string;
  try {
    const response = await fetch(from, { signal });
    if (response.ok && response.body) return response.body;
    why = `${response.status} ${response.statusText}`.trim();
  } catch (error) {
    signal.throwIfAborted();
    why = (error as Error).message;
  }
  // a password is not for logs
  const shown = from.replace(/^(https?:\/\/)[^/?#]*@/i, "$1***@");
  throw new TsboxError(`fetch ${JSON.stringify(shown)}: ${why.replaceAll(from, shown)}`, { code: "registry_error" });
}
