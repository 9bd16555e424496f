/**
 * Where build contexts come from: a directory, an archive that is handed over, a URL of one, a git repository. What is
 * not a directory already is put into one that the caller has made for it.
 * @module
 */
import {
  absolute,
  Directory,
  kindOfPath,
  O_DIRECTORY,
  open,
  close,
  OpenFile,
  realPath,
  show,
  TsboxError,
  turns,
} from "../../../syscalls/index.ts";
import type { TarRecord } from "../../../wasm/index.ts";
import { DEFAULT_LIMITS, LayerFiles, pathOf, rightsFor, textOfName, WHITEOUT_PREFIX } from "../../layer/index.ts";
import type { ContextSource } from "../options.ts";
import { entriesIfArchive, entriesOf, isBinary } from "./archive.ts";
import { withZeros } from "./content.ts";
import type { FileTree } from "./face.ts";
import { cloneRepository } from "./git.ts";
import { bytesOf } from "./names.ts";
import { lookIn, resolve } from "./place.ts";
import { DownloadPlace } from "./kept-downloads.ts";
import { download, type Progress } from "./download.ts";
import { Spooling } from "./spool.ts";
import { isSsh, remoteOf, withoutCredentials, type RemoteFile } from "./remote.ts";
import type { Reaches } from "./reach.ts";
import { OpenTree } from "./open-tree.ts";

export interface ContextOptions {
  /** Addresses that submodules of a repository may be at, where these are not of its own server. */
  modulesReach?: Reaches | undefined;
  /** `.git` of a repository stays. */
  keepGitDirectory?: boolean;
  /** Makes a directory of the caller's own, who removes it; only asked where something has to be put into one. */
  scratch: () => string;
  onProgress?: Progress;
  signal?: AbortSignal;
}

export interface Context {
  /** Without what is ignored: whoever has read `.dockerignore` says so. */
  tree: FileTree;
}

/** In the scratch directory. */
const [ARCHIVE, CONTEXT] = ["archive", "context"];
/** A directory, of whoever builds. */
const DIRECTORY_MODE = 0o755;

/** @throws TsboxError `file_not_found`, `archive_refused`, `download_failed`, `invalid_option` */
export async function openContext(source: ContextSource, options: ContextOptions): Promise<Context> {
  if (typeof source !== "string") {
    const scratch = options.scratch();
    await spool(source, scratch, options);
    return contextIn(await unpackArchive(scratch, "the build context", options.signal));
  }
  const remote = remoteOf(source);
  if (remote?.kind === "git") {
    // whoever names it asks as themselves; its submodules do so by ssh only where it does
    const ssh = isSsh(remote.url) ? { ssh: "caller" as const } : {};
    return contextIn(await cloneRepository(remote, { ...options, ...ssh, scratch: options.scratch() }));
  }
  if (remote) {
    const scratch = options.scratch();
    await download(remote.url, { ...options, scratch, file: ARCHIVE });
    return contextIn(await unpackArchive(scratch, withoutCredentials(source), options.signal));
  }
  const directory = realPath(absolute(source));
  if (directory !== undefined && kindOfPath(directory) === "directory") return contextIn(directory);
  throw new TsboxError(`use the build context ${show(source)}: not a directory`, {
    code: "file_not_found",
    path: source,
    hint: "a directory, an archive or the URL of one, or of a repository",
  });
}

const contextIn = (directory: string): Context => ({ tree: { layers: [directory], isContext: true } });

/** A file of a tree, by symlinks in it; undefined where there is none. @throws TsboxError `file_refused` where it is longer */
export function readInTree(files: FileTree, path: string, limitBytes: number): Uint8Array | undefined {
  using opened = new OpenTree(files);
  const { tree, content } = opened;
  const { path: at, found } = resolve(tree, bytesOf(path), lookIn(tree, files.ignore));
  if (found?.stated.kind !== "file") return undefined;
  return opened.use(at, found.layers[0] as number, (file) => {
    if (file.size > limitBytes)
      throw new TsboxError(`read ${show(path)}: more than ${limitBytes} bytes`, { code: "file_refused", path });
    const bytes = new Uint8Array(file.size);
    let length = 0;
    for (const { pieces } of content.read([file]))
      for (const piece of withZeros(pieces, file.size)) {
        bytes.set(piece, length);
        length += piece.length;
      }
    return bytes;
  });
}

export interface FetchOptions extends ContextOptions {
  /** Of a file, `sha256:…`; of a repository, its commit or how that begins. */
  checksum?: string;
  /** Socket of the agent that repositories may ask servers with by ssh. */
  agent?: string;
  /** Addresses that may be asked; default: all that this machine reaches. */
  reaches?: Reaches;
  /** A store that keeps what comes, and what disposes of places in it when nobody needs what lies there any more. */
  kept?: { root: string; hold: (place: Disposable) => void };
}

/**
 * A source of ADD that is not here.
 * @param text as {@link remoteOf} understands it
 * @returns a tree, and what in it is to be copied
 * @throws TsboxError `download_failed`, `digest_mismatch`, `invalid_option`, `unsupported`
 */
export async function fetchSource(text: string, options: FetchOptions): Promise<{ tree: FileTree; sources: string[] }> {
  const remote = remoteOf(text);
  if (!remote) throw new TsboxError(`add ${show(text)}: not a URL`, { code: "invalid_option" });
  if (remote.kind === "git") {
    const { agent, ...others } = options;
    const ssh = agent === undefined ? {} : { ssh: { agent } };
    const { tree } = contextIn(await cloneRepository(remote, { ...others, ...ssh, scratch: options.scratch() }));
    return { tree, sources: ["."] };
  }
  const directory = await fetchFile(remote, options);
  return { tree: contextIn(directory).tree, sources: [remote.name.replace(/[*?[\\]/g, "\\$&")] };
}

/** @returns the directory that it is in */
async function fetchFile({ url, name }: RemoteFile, { kept, ...options }: FetchOptions): Promise<string> {
  const place = kept && DownloadPlace.take(kept.root, url);
  if (!place) {
    const directory = `${options.scratch()}/${CONTEXT}`;
    Directory.make(directory, DIRECTORY_MODE);
    await download(url, { ...options, scratch: directory, file: name });
    return directory;
  }
  kept.hold(place);
  place.touch();
  const found = place.find(name);
  if (found && options.checksum === found.digest) return place.files;
  // it is not what it should be, whatever its server says of it
  const known = options.checksum === undefined ? found : undefined;
  // what comes goes elsewhere than what is here, which may be the same
  const scratch = options.scratch();
  const come = await download(url, { ...options, scratch, file: name, known });
  if (!come) return place.files;
  using from = Directory.open(scratch) as Directory;
  using into = Directory.open(place.clear()) as Directory;
  from.move(name, into, name);
  const { isPassing, ...meta } = come;
  if (!isPassing && (meta.etag !== undefined || meta.lastModified !== undefined)) place.keep(meta);
  return place.files;
}

/** What comes is written down first: it is read as it is needed. */
async function spool(
  source: Exclude<ContextSource, string>,
  scratch: string,
  { signal, onProgress }: ContextOptions,
): Promise<void> {
  using directory = Directory.open(scratch);
  using file = directory && OpenFile.open(directory, ARCHIVE, { as: "new" });
  if (!file) throw new TsboxError(`use the directory ${show(scratch)}: it is not there`, { code: "file_not_found" });
  if (source instanceof Uint8Array) return file.write(source);
  let doneBytes = 0;
  const spooling = new Spooling();
  for await (const piece of source) {
    signal?.throwIfAborted();
    const needed = spooling.take(piece);
    if (needed === "stop") break;
    if (needed === "keep") file.write(piece);
    doneBytes += piece.length;
    onProgress?.(doneBytes);
  }
}

/** What is no archive is a Dockerfile, and the context has nothing else in it. */
async function unpackArchive(scratch: string, told: string, signal: AbortSignal | undefined): Promise<string> {
  using directory = Directory.open(scratch) as Directory;
  directory.makeDirectory(CONTEXT, DIRECTORY_MODE);
  const context = `${scratch}/${CONTEXT}`;
  const entries = entriesIfArchive(piecesIn(directory), told);
  if (!entries) {
    const [first = new Uint8Array()] = piecesIn(directory);
    if (isBinary(first)) throw whyNone(directory, told);
    using into = directory.directory(CONTEXT) as Directory;
    directory.move(ARCHIVE, into, "Dockerfile");
    return context;
  }
  const root = open(context, O_DIRECTORY);
  try {
    // owners do not count in a context
    const rights = { ...rightsFor(undefined), owners: false };
    using files = new LayerFiles(root, { limits: DEFAULT_LIMITS, rights });
    const turn = turns(signal);
    let isFile = false;
    for (const { entry, bytes, offset } of entries) {
      if (entry) {
        checkEntry(entry, told);
        files.begin(entry);
        isFile = entry.type === "file";
      } else if (isFile) files.data(bytes, offset);
      await turn();
    }
    files.finish();
  } finally {
    close(root);
  }
  directory.remove(ARCHIVE);
  return context;
}

function* piecesIn(directory: Directory): Generator<Uint8Array, void> {
  using file = OpenFile.open(directory, ARCHIVE) as OpenFile;
  for (let piece; (piece = file.read()).length > 0;) yield piece;
}

function whyNone(directory: Directory, told: string): unknown {
  try {
    entriesOf(piecesIn(directory), told).next();
  } catch (error) {
    return error;
  }
  return new TsboxError(`unpack ${show(told)}: nothing is in it`, { code: "archive_refused" });
}

/** What cannot be a file of a context. */
function checkEntry(entry: TarRecord, told: string): void {
  const name = entry.nameBytes ? textOfName(entry.nameBytes) : entry.name;
  const refuse = (why: string) =>
    new TsboxError(`unpack ${show(told)}: ${show(name)}: ${why}`, { code: "archive_refused", path: name });
  if (entry.type === "character device" || entry.type === "block device") throw refuse(`a ${entry.type}`);
  try {
    if (
      pathOf(name)
        .split("/")
        .some((part) => part.startsWith(WHITEOUT_PREFIX))
    )
      throw refuse("a name that means a whiteout in layers");
  } catch (error) {
    if (error instanceof TsboxError && error.code === "image_invalid") throw refuse('".." leads out of it');
    throw error;
  }
}
