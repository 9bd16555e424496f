/** What becomes of a build: an image of the store, files in a directory, archives. @module */
import { formatReference, parseReference, withDefaultTag, type Platform, type Reference } from "../image/index.ts";
import { packTree } from "../layer/index.ts";
import { absolute, Directory, TsboxError } from "../../syscalls/index.ts";
import type { Graph } from "./graph.ts";
import { storeImage, type BuiltImage } from "./image.ts";
import type { Done } from "./lookup.ts";
import type { Making } from "./making.ts";
import type { BuildOptions, BuildOutput } from "./options.ts";
import { lowersOf, type Snapshot } from "./snapshot.ts";
import { squash } from "./squash.ts";

type ImageOutput = Extract<BuildOutput, { type: "image" }>;
type ArchiveOutput = Extract<BuildOutput, { type: "oci" | "docker" }>;

/** @throws TsboxError `reference_invalid`, before anything is done */
export function namesOf({ tags = [], outputs = [] }: BuildOptions): Reference[] {
  const more = outputs.flatMap((each) => (each.type === "image" ? (each.names ?? []) : []));
  return [...new Set([...tags, ...more])].map((tag) => {
    const reference = withDefaultTag(parseReference(tag));
    if (reference.digest === undefined) return reference;
    throw new TsboxError(`name the image ${JSON.stringify(tag)}: a name with a digest is not given`, {
      code: "reference_invalid",
    });
  });
}

/** Undefined: nobody asked for an image in the store. */
export async function makeOutputs(
  making: Making,
  { result }: Graph,
  steps: ReadonlyMap<number, Done>,
  platform: Platform,
): Promise<Partial<BuiltImage>> {
  const { options, onEvent } = making;
  const whole = (steps.get(result.step) as Done).snapshot;
  const snapshot = options.squash ? await squash(making, whole, result.base?.rootfs.diff_ids.length ?? 0) : whole;
  const files = { platform, snapshot, isSquashed: snapshot.length < whole.length };
  const { outputs = [{ type: "image" }] } = options;
  const archives = outputs.filter((each): each is ArchiveOutput => each.type === "oci" || each.type === "docker");
  const images = outputs.filter((each): each is ImageOutput => each.type === "image");
  // without a name, one that was made before is nobody's but its owner's
  const before = images.length > 0 ? undefined : new Set(making.store.images().map(({ id }) => id as string));
  let built: BuiltImage | undefined;
  if (images.length + archives.length > 0) {
    const names = namesOf(options);
    onEvent({ type: "exporting", what: ["the image", ...names.map(formatReference)].join(" ") });
    built = await storeImage(making, result, steps, { names: images.length > 0 ? names : [], ...files });
  }
  try {
    for (const archive of archives) await saveArchive(making, built as BuiltImage, archive);
    for (const each of outputs) {
      if (each.type === "tar") await writeTree(making, snapshot, each.destination);
      if (each.type === "local") await writeFiles(making, snapshot, each.destination);
    }
    if (images.some(({ push }) => push)) await pushAll(making);
  } finally {
    if (built && before && !before.has(built.id)) await forget(making, built);
  }
  return built ?? {};
}

type Destination = string | WritableStream<Uint8Array>;

/** A file has its name when it is whole; devices and what a symlink leads to are written as they are. */
async function writeTo(
  pieces: ReadableStream<Uint8Array>,
  destination: Destination,
  signal: AbortSignal,
): Promise<void> {
  if (typeof destination !== "string") return pieces.pipeTo(destination);
  const { createWriteStream, lstatSync } = process.getBuiltinModule("node:fs");
  const { Writable } = process.getBuiltinModule("node:stream");
  const { openNamed, writeWholeFile } = await import("../images/index.ts");
  if (lstatSync(destination, { throwIfNoEntry: false })?.isFile() ?? true)
    return writeWholeFile(destination, pieces, { signal });
  const fd = await openNamed(destination, "w", signal);
  return pieces.pipeTo(Writable.toWeb(createWriteStream("", { fd })) as WritableStream<Uint8Array>);
}

const write = (pieces: ReadableStream<Uint8Array>, destination: Destination, signal: AbortSignal): Promise<void> =>
  orCancel(pieces, writeTo(pieces, destination, signal));

/** Where they cannot be written, whoever makes the pieces ends as well. */
async function orCancel(pieces: ReadableStream<Uint8Array>, writing: Promise<void>): Promise<void> {
  try {
    await writing;
  } catch (error) {
    await pieces.cancel(error).catch(() => {}); // one that is being read has been told
    throw error;
  }
}

async function saveArchive(
  { store, signal, onEvent, options }: Making,
  { id }: BuiltImage,
  { type, destination }: ArchiveOutput,
): Promise<void> {
  onEvent({ type: "exporting", what: `an archive (${type})` });
  const { Images } = await import("../images/index.ts");
  using images = new Images(store.path);
  const names = namesOf(options).map(formatReference);
  await write(await images.save([id], { format: type, signal, as: names }), destination, signal);
}

/** All files as they are seen. */
function treeOf(making: Making, snapshot: Snapshot): ReadableStream<Uint8Array> {
  const { ids, epoch, signal } = making;
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const writer = writable.getWriter();
  const options = { signal, ...(ids ? { ids } : {}), ...(epoch === undefined ? {} : { sourceDateEpoch: epoch }) };
  // a piece is good until it is taken, and waits in the stream
  packTree(lowersOf(making, snapshot), undefined, (bytes) => writer.write(bytes.slice()), options)
    .then(
      () => writer.close(),
      (error: unknown) => writer.abort(error),
    )
    .catch(() => {});
  return readable;
}

async function writeTree(making: Making, snapshot: Snapshot, destination: Destination): Promise<void> {
  making.onEvent({ type: "exporting", what: "an archive of the files" });
  await write(treeOf(making, snapshot), destination, making.signal);
}

async function writeFiles(making: Making, snapshot: Snapshot, destination: string): Promise<void> {
  making.onEvent({ type: "exporting", what: `the files to ${destination}` });
  Directory.make(absolute(destination), 0o777);
  const { hostFiles } = await import("../containers/index.ts");
  const { unpackHost } = await hostFiles();
  const pieces = treeOf(making, snapshot);
  await orCancel(pieces, unpackHost(destination, pieces));
}

async function pushAll({ store, options, signal, onEvent }: Making): Promise<void> {
  const { Images } = await import("../images/index.ts");
  using images = new Images(store.path);
  for (const name of namesOf(options).map(formatReference)) {
    onEvent({ type: "exporting", what: `${name} to its registry` });
    await images.push(name, { signal });
  }
}

/** It was only made to be written elsewhere. */
async function forget({ store }: Making, { digest }: BuiltImage): Promise<void> {
  const image = store.findImage(digest);
  if (image && image.names.length === 0) await store.removeImage(digest);
}
