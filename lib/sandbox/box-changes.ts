/**
 * What has been written in a box over its image: told, made a layer of another image, or, with all that is below it, an
 * archive. It is read from outside while the box runs; nothing in it takes part.
 * @module
 */
import { effectiveUid, readKernelFile, TsboxError } from "../../syscalls/index.ts";
import type { ContainerConfig, Digest } from "../image/index.ts";
import type { Change } from "../layer/index.ts";
import type { IdMapping } from "../spec/index.ts";
import { checkArray, checkChoice, checkKeys, checkSignal, checkText } from "../options/index.ts";
import type { StackedRoot } from "./stacked-root.ts";

export interface CommitOptions {
  author?: string;
  /** For its history. */
  message?: string;
  /** Instructions of a Dockerfile: `'CMD ["sh"]'`, `"ENV A=1"`. */
  changes?: readonly string[];
  /** Whether the box is paused meanwhile; default: where that is possible. */
  pause?: boolean;
  signal?: AbortSignal;
}

export interface CommittedImage {
  /** Of its config. */
  id: Digest;
}

/** Where it is read. */
export interface Written {
  /** The directory of what was written, open. */
  upper: number;
  /** Of the box's init. */
  pid: number;
  stack: StackedRoot;
  /** Fires when the box ends: then it is gone. */
  signal: AbortSignal;
}

/** @throws TsboxError `invalid_option` */
export function checkCommit(reference: string | undefined, options: CommitOptions): void {
  if (reference !== undefined) checkText("reference", reference);
  checkKeys("option", options, ["author", "message", "changes", "pause", "signal"]);
  for (const name of ["author", "message"] as const) if (options[name] !== undefined) checkText(name, options[name]);
  if (options.changes !== undefined)
    checkArray("changes", options.changes).forEach((each) => checkText("change", each));
  checkChoice<boolean | undefined>("pause", options.pause, undefined, true, false);
  checkSignal(options.signal);
}

const pathOf = ({ upper }: Written) => `/proc/self/fd/${upper}`;

/** What is in volumes is no part of what lies over the image. */
export async function changesIn(written: Written): Promise<Change[]> {
  const { changesOf } = await import("../layer/index.ts");
  const { stack } = written;
  const isKept = ({ path }: Change) => !stack.writable.some((volume) => path.startsWith(`${volume}/`));
  return changesOf(pathOf(written), stack.paths, idsFor(written)).filter(isKept);
}

export async function commit(
  written: Written,
  { root, id: base, config }: { root: string; id: Digest; config: ContainerConfig },
  reference: string | undefined,
  { author, message, changes }: CommitOptions,
): Promise<CommittedImage> {
  const { Images } = await import("../images/index.ts");
  using images = new Images(root);
  const { id } = await images.commit(base, pathOf(written), {
    config,
    upperIds: idsOf(written),
    exclude: written.stack.writable,
    signal: written.signal,
    ...(reference === undefined ? {} : { reference }),
    ...(author === undefined ? {} : { author }),
    ...(message === undefined ? {} : { message }),
    ...(changes === undefined ? {} : { changes }),
  });
  return { id };
}

/** As fast as it is read. */
export async function archive(written: Written): Promise<ReadableStream<Uint8Array>> {
  const { packTree } = await import("../layer/index.ts");
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const writer = writable.getWriter();
  const { stack, signal } = written;
  const options = { ...idsFor(written), exclude: stack.writable, signal };
  // a piece is good until it is taken, and waits in the stream
  const packed = packTree(stack.paths, pathOf(written), (bytes) => writer.write(bytes.slice()), options);
  void packed
    .then(
      () => writer.close(),
      (error) => writer.abort(error),
    )
    .catch(() => {});
  return readable;
}

/** Root's layers have the ids of the image; an ordinary user's are unpacked with those that the box has. */
const idsFor = (written: Written) => (effectiveUid() === 0 ? { upperIds: idsOf(written) } : { ids: idsOf(written) });

/** As the kernel has them: a range of its own is claimed when the box is started. */
function idsOf({ pid }: Written): { uidMappings: IdMapping[]; gidMappings: IdMapping[] } {
  const maps = (file: string): IdMapping[] =>
    (readKernelFile(`/proc/${pid}/${file}`) ?? "").split("\n").flatMap((line) => {
      const [containerID, hostID, size] = line.trim().split(/ +/).map(Number);
      return containerID === undefined || hostID === undefined || size === undefined
        ? []
        : [{ containerID, hostID, size }];
    });
  return { uidMappings: maps("uid_map"), gidMappings: maps("gid_map") };
}

/** @throws TsboxError `invalid_option` where there is nothing of the kind */
export function noImage(action: string): TsboxError {
  return new TsboxError(`${action}: it is not made of an image, or its writableLayer keeps what is written`, {
    code: "invalid_option",
    hint: "Sandbox.create({ image }) without a writableLayer",
  });
}
