/** COPY, ADD and WORKDIR: files of a context, or of what a step has made, into the next layer. @module */
import { Directory, effectiveUid } from "../../syscalls/index.ts";
import { fetchSource, remoteOf, withoutCredentials, type Selection } from "./files/index.ts";
import { agentSocket } from "./key-agent.ts";
import type { Found, Making } from "./making.ts";
import type { NewLayer } from "./new-layer.ts";
import { lowersOf } from "./snapshot.ts";
import { reachOf } from "./network.ts";
import type { CopyOperation, DirectoryOperation } from "./step.ts";
import { layersTree, treeOf } from "./trees.ts";

const encoder = new TextEncoder();

/** What is to be copied. */
export interface Copied {
  selection: Selection;
  /** Archives among them are unpacked. */
  unpack: boolean;
}

/** What the sources come to, those first that are fetched from elsewhere. */
export async function copiedBy(making: Making, found: Found, operation: CopyOperation): Promise<Copied[]> {
  const { source, sources, urls, exclude, parents, unpack } = operation;
  const all: Copied[] = [];
  for (const url of urls) {
    const fetched = await fetchUrl(making, found, operation, url);
    const selection = await making.files.select(fetched.tree, { sources: fetched.sources, exclude });
    all.push({ selection, unpack: unpack === "all" });
  }
  if (sources.length === 0) return all;
  const tree = await treeOf(making, found, source);
  return [
    ...all,
    { selection: await making.files.select(tree, { sources, exclude, parents }), unpack: unpack !== "none" },
  ];
}

async function fetchUrl(
  { workspace, signal, options, onEvent, store }: Making,
  { step }: Found,
  { checksum, keepGitDir }: CopyOperation,
  url: string,
) {
  const agent = remoteOf(url)?.kind === "git" ? await agentSocket({ options, workspace }, "default") : undefined;
  const reaches = await reachOf(options);
  return fetchSource(url, {
    ...(reaches ? { reaches } : {}),
    ...(agent === undefined ? {} : { agent }),
    scratch: () => workspace.make("fetched"),
    kept: { root: store.path, hold: (place) => workspace.hold(place) },
    signal,
    onProgress: (doneBytes, totalBytes) =>
      onEvent({
        type: "progress",
        step: step.number,
        what: withoutCredentials(url),
        doneBytes,
        ...(totalBytes === undefined ? {} : { totalBytes }),
      }),
    ...(checksum === undefined ? {} : { checksum }),
    ...(keepGitDir ? { keepGitDirectory: true } : {}),
  });
}

/** @returns whether what was copied is what the selections were known by */
export async function copy(
  making: Making,
  found: Found,
  operation: CopyOperation,
  all: readonly Copied[],
  layer: NewLayer,
): Promise<boolean> {
  const target = targetOf(making, found, layer);
  const { destination, directory, chown, chmod, link, files } = operation;
  if (chown !== undefined && !/^(?:0|root)(?::(?:0|root))?$/.test(chown)) warnOfOwner(making, found);
  const options = {
    destination,
    workingDirectory: directory,
    link,
    signal: making.signal,
    ...(chown === undefined ? {} : { chown }),
    ...(chmod === undefined ? {} : { chmod }),
    ...(making.epoch === undefined ? {} : { latest: making.epoch }),
  };
  let isSame = true;
  for (const { selection, unpack } of all) {
    const copied = await making.files.copy(selection, target, { ...options, unpack });
    isSame &&= copied.isSame;
  }
  if (files.length > 0) {
    const contents = files.map(({ name, content }) => ({ name, content: encoder.encode(content) }));
    await making.files.write(contents, target, options);
  }
  return isSame;
}

/** An ordinary user who has no other ids has one owner for everything. */
function warnOfOwner({ ids, onEvent }: Making, { step: { place } }: Found): void {
  if (ids || effectiveUid() === 0) return;
  const line = place ? { line: place.line } : {};
  const message = "--chown has no effect: this user has no subordinate ids, so all files are root's in the image";
  onEvent({ type: "warning", message: place ? `${message} (line ${place.line})` : message, ...line });
}

export async function makeDirectory(
  making: Making,
  found: Found,
  { path, user }: DirectoryOperation,
  layer: NewLayer,
): Promise<void> {
  await making.files.write([], targetOf(making, found, layer), {
    destination: path.endsWith("/") ? path : `${path}/`,
    workingDirectory: "/",
    signal: making.signal,
    ...(user === "" ? {} : { chown: user }),
    ...(making.epoch === undefined ? {} : { latest: making.epoch }),
  });
}

function targetOf(making: Making, { below }: Found, layer: NewLayer) {
  Directory.make(layer.upper, 0o755);
  const lower = layersTree(making, lowersOf(making, below));
  // times that are changed for it are for who packs
  return { lower, upper: layer.upper, ...(making.epoch === undefined ? { archive: layer.archive } : {}) };
}
