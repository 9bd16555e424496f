/** A container that is made: its image is pulled, and told of, and its id written where it was asked for. @module */
import type { Container, ContainerOptions, Containers } from "../../containers/index.ts";
import { TsboxError } from "../../sandbox/index.ts";
import type { ContainerFlags } from "../flags.ts";
import { tellOfPull } from "../pulling.ts";
import { warn } from "../report.ts";

/** @param first of the words: an image, or what was taken for one */
export async function make(
  containers: Containers,
  options: ContainerOptions,
  [first = ""]: readonly string[],
  { quiet, cidfile }: Pick<ContainerFlags, "quiet" | "cidfile">,
  signal?: AbortSignal,
): Promise<Container> {
  using file = cidfile ? new IdFile(cidfile) : undefined;
  const warnings: string[] = [];
  const pulling = quiet ? undefined : tellOfPull();
  try {
    const making = {
      onWarning: (warning: string) => void warnings.push(warning),
      ...(pulling ? { onProgress: pulling.onProgress } : {}),
      ...(signal ? { signal } : {}),
    };
    const container = await containers.create(options, making);
    file?.write(container.id);
    return container;
  } catch (error) {
    throw (await import("../no-image.ts")).explained(error, first);
  } finally {
    await pulling?.finish();
    warn(warnings);
  }
}

/** A file that is new; it goes again where there comes no id to be written. */
class IdFile implements Disposable {
  readonly #path: string;
  #isWritten = false;

  constructor(path: string) {
    this.#path = path;
    try {
      process.getBuiltinModule("node:fs").writeFileSync(path, "", { flag: "wx" });
    } catch (cause) {
      const { code } = cause as { code?: string };
      const exists = `container ID file found, make sure the other container isn't running or delete ${path}`;
      const why = code === "EEXIST" ? exists : `failed to create the container ID file: ${code}`;
      throw new TsboxError(`use --cidfile ${JSON.stringify(path)}: ${why}`, { code: "file_refused", path, cause });
    }
  }

  write(id: string): void {
    process.getBuiltinModule("node:fs").writeFileSync(this.#path, id);
    this.#isWritten = true;
  }

  [Symbol.dispose](): void {
    if (!this.#isWritten) process.getBuiltinModule("node:fs").rmSync(this.#path, { force: true });
  }
}
