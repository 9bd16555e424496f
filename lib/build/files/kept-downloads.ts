/**
 * What URLs gave, kept in the store with what their servers said of it, so that it need not come again as long as it is
 * the same. A directory for each URL: the file, and beside it what is known; that is written last, and taken away first.
 * Who uses one has its lock; who does not get it does without.
 * @module
 * @see https://www.rfc-editor.org/rfc/rfc9110#name-conditional-requests
 */
import { Directory, OpenFile, TsboxError } from "../../../syscalls/index.ts";
import { Digester, digestOf, hexOf, isDigest, type Digest } from "../../image/index.ts";

/** In the store. */
export const DOWNLOADS = "build/downloads";
const PRIVATE = 0o700;
const [FILES, META] = ["files", "meta"];
const META_BYTES = 64 * 1024;

/** What a server says of what it gives, to be asked by the next time. */
export interface Validators {
  etag?: string;
  lastModified?: string;
}

export interface KeptDownload extends Validators {
  digest: Digest;
}

export class DownloadPlace implements Disposable {
  readonly #directory: Directory;
  #isKept = false;

  private constructor(directory: Directory) {
    this.#directory = directory;
  }

  /** Undefined where another build has it. @param root of the store */
  static take(root: string, url: URL): DownloadPlace | undefined {
    const name = hexOf(digestOf(url.href)).slice(0, 32);
    Directory.make(`${root}/${DOWNLOADS}/${name}`, PRIVATE);
    const directory = Directory.open(`${root}/${DOWNLOADS}/${name}`);
    if (directory?.tryLock() && directory.isCurrent()) return new DownloadPlace(directory);
    directory?.[Symbol.dispose]();
    return undefined;
  }

  /** Where the file is, under the name that it has for ADD. */
  get files(): string {
    return `${this.#directory.path}/${FILES}`;
  }

  /** What is here of a file of that name; it is read, as a power cut may have taken some of it. */
  find(name: string): KeptDownload | undefined {
    try {
      const meta: unknown = JSON.parse(new TextDecoder().decode(this.#directory.read(META, META_BYTES)));
      const { digest, etag, lastModified } = Object(meta) as Record<string, unknown>;
      if (!isDigest(digest) || this.#digestOf(name) !== digest) return undefined;
      this.#isKept = true;
      return {
        digest,
        ...(typeof etag === "string" ? { etag } : {}),
        ...(typeof lastModified === "string" ? { lastModified } : {}),
      };
    } catch (error) {
      if (error instanceof SyntaxError || error instanceof TsboxError) return undefined;
      throw error;
    }
  }

  #digestOf(name: string): Digest | undefined {
    using files = this.#directory.directory(FILES);
    using file = files?.status(name)?.kind === "file" ? OpenFile.open(files, name) : undefined;
    if (!file) return undefined;
    const digester = new Digester();
    for (let piece; (piece = file.read()).length > 0;) digester.update(piece);
    return digester.digest();
  }

  /** It is used now. */
  touch(): void {
    const now = new Date();
    process.getBuiltinModule("node:fs").utimesSync(this.#directory.path, now, now);
  }

  /** An empty directory for what is to come; what was here is gone. */
  clear(): string {
    this.#isKept = false;
    this.#directory.clear();
    this.#directory.makeDirectory(FILES, PRIVATE);
    return this.files;
  }

  /** What has come, is whole. */
  keep(meta: KeptDownload): void {
    this.#directory.replace(META, new TextEncoder().encode(JSON.stringify(meta)));
    this.#isKept = true;
  }

  [Symbol.dispose](): void {
    // nobody could ask whether it is still the same
    if (!this.#isKept) this.#directory.removeAll();
    this.#directory.unlock();
    this.#directory[Symbol.dispose]();
  }
}
