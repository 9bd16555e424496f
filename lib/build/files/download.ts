/** Files of ADD that are somewhere else, and contexts: what a URL gives, compared with what it should be. @module */
import { Directory, OpenFile, show, TsboxError } from "../../../syscalls/index.ts";
import type { Validators } from "./kept-downloads.ts";
import { fetchWithin, type Reaches } from "./reach.ts";
import { Digester, isDigest, type Digest } from "../../image/index.ts";

export type Progress = (doneBytes: number, totalBytes?: number) => void;

export interface DownloadOptions {
  /** A directory of the caller's own. */
  scratch: string;
  /** What it is called there. */
  file: string;
  /** `sha256:…` */
  checksum?: string;
  /** Default: all that this machine reaches. */
  reaches?: Reaches;
  /** What was said of what is here: it does not come again as long as it is the same. */
  known?: Validators | undefined;
  onProgress?: Progress;
  signal?: AbortSignal;
}

export interface Downloaded extends Validators {
  digest: Digest;
  /** Not to be kept: the server forbids it, or could not tell the next change from the last one. */
  isPassing: boolean;
}

/** As much as a layer may be. */
const LIMIT_BYTES = 256 * 2 ** 30;
/** Nobody but its owner, as Docker has it. */
const MODE = 0o600;
/** Servers know changes by the second, many of them in their ETags too. */
const YOUNG_SECONDS = 2;

/**
 * Its time is what the server says, or the beginning of time, so that it is the same each time.
 * @returns undefined where it is still what is known
 * @throws TsboxError `download_failed`, `digest_mismatch`, `invalid_option`
 */
export async function download(url: URL, options: DownloadOptions): Promise<Downloaded | undefined> {
  const { scratch, file: name, checksum, onProgress, signal } = options;
  const told = `${url.origin}${url.pathname}`;
  if (checksum !== undefined && !isDigest(checksum))
    throw new TsboxError(`use the checksum ${show(checksum)}: not understood`, {
      code: "invalid_option",
      hint: "sha256: and 64 digits of 0-9a-f",
    });
  const response = await ask(url, told, options);
  if (response.status === NOT_MODIFIED) return undefined;
  const now = (Date.parse(response.headers.get("date") ?? "") || Date.now()) / 1000;
  using directory = Directory.open(scratch);
  using file = directory && OpenFile.open(directory, name, { as: "new", mode: MODE });
  if (!directory || !file) throw failed(told, `${scratch} is not there`);
  const total = Number(response.headers.get("content-length")) || undefined;
  const digester = new Digester();
  let doneBytes = 0;
  try {
    for await (const piece of response.body ?? []) {
      signal?.throwIfAborted();
      if ((doneBytes += piece.length) > LIMIT_BYTES) throw failed(told, `more than ${LIMIT_BYTES} bytes`);
      digester.update(piece);
      file.write(piece);
      onProgress?.(doneBytes, total);
    }
  } catch (error) {
    if (error instanceof TsboxError) throw error;
    signal?.throwIfAborted();
    throw failed(told, error instanceof Error ? error.message : String(error), error);
  }
  const digest = digester.digest();
  if (checksum !== undefined && digest !== checksum)
    throw new TsboxError(`download ${show(told)}: it should be ${checksum}, and is ${digest}`, {
      code: "digest_mismatch",
    });
  const changed = Date.parse(response.headers.get("last-modified") ?? "") / 1000;
  directory.setTime(name, Number.isFinite(changed) ? Math.floor(changed) : 0, 0);
  const [etag, lastModified, control] = ["etag", "last-modified", "cache-control"].map((header) =>
    response.headers.get(header),
  );
  return {
    digest,
    ...(etag ? { etag } : {}),
    ...(lastModified ? { lastModified } : {}),
    isPassing: /\bno-store\b/i.test(control ?? "") || changed > now - YOUNG_SECONDS,
  };
}

const NOT_MODIFIED = 304;

async function ask(
  url: URL,
  told: string,
  { reaches, known, signal }: Pick<DownloadOptions, "reaches" | "known" | "signal">,
): Promise<Response> {
  let response: Response;
  const init = {
    // as it is, so that its checksum is
    headers: {
      "accept-encoding": "identity",
      "user-agent": "tsbox",
      ...(known?.etag === undefined ? {} : { "if-none-match": known.etag }),
      ...(known?.lastModified === undefined ? {} : { "if-modified-since": known.lastModified }),
    },
    decompress: false,
    ...(signal ? { signal } : {}),
  };
  try {
    response = await (reaches ? fetchWithin(url, reaches, init) : fetch(url, init));
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof TsboxError) throw error;
    throw failed(told, error instanceof Error ? error.message : String(error), error);
  }
  if (response.ok || (known && response.status === NOT_MODIFIED)) return response;
  await response.body?.cancel();
  throw failed(told, `the server answers ${response.status}`);
}

const failed = (told: string, why: string, cause?: unknown): TsboxError =>
  new TsboxError(`download ${show(told)}: ${why}`, { code: "download_failed", cause });
