/**
 * Blobs, the other way: in one request, and where that breaks in pieces, from where it broke.
 * @module
 * @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-blobs
 */
import type { Descriptor, Digest } from "../image/index.ts";
import { show, TsboxError } from "../../syscalls/index.ts";
import { pullScope, pushScope, type Client, type EndpointRequest } from "./client.ts";
import { locationOf, throwIfAborted, type Exchange } from "./exchange.ts";
import { AnswerError } from "./failure.ts";
import type { Endpoint } from "./hosts.ts";
import { isTransient, pause, pauseMs } from "./patience.ts";

/** Of a request, where there has to be more than one. */
const CHUNK_BYTES = 16 * 2 ** 20;
/** A registry may want larger ones; they are held in memory. */
const MAX_CHUNK_BYTES = 64 * 2 ** 20;
const CANCEL_MS = 2000;

export interface Upload {
  client: Client;
  endpoint: Endpoint;
  action: string;
  descriptor: Descriptor;
  /** Its bytes, from the first on; called again for another try. */
  source: () => AsyncIterable<Uint8Array>;
  /** @param bytes that have been sent, of its size */
  onProgress?: ((bytes: number) => void) | undefined;
  signal?: AbortSignal | undefined;
  /** Of a request that is one of several. */
  chunkBytes?: number | undefined;
}

/** An upload that a registry has opened. */
interface Session {
  url: URL;
  /** What it wants at least in one request, but the last. */
  leastBytes: number;
}

/** Opens an upload, or takes the blob from another repository of the registry, where it is there and may be read. */
export async function startUpload(
  upload: Pick<Upload, "client" | "endpoint" | "action" | "signal">,
  mount?: { digest: Digest; from: string },
): Promise<Session | "mounted"> {
  const { client, endpoint, action, signal } = upload;
  const query = mount ? `?${new URLSearchParams({ mount: mount.digest, from: mount.from })}` : "";
  const scopes = [pushScope(endpoint.path), ...(mount ? [pullScope(mount.from)] : [])];
  const request: EndpointRequest = {
    action,
    method: "POST",
    at: `blobs/uploads/${query}`,
    accept: mount ? [201, 202] : [202],
    scopes,
    follow: false,
    signal,
  };
  try {
    const exchange = await client.send(endpoint, request);
    exchange.close();
    return exchange.response.status === 201 ? "mounted" : sessionOf(action, exchange);
  } catch (error) {
    // who may not read the other repository, or whose registry does not know this, uploads
    if (mount && error instanceof AnswerError && error.status < 500 && error.status !== 429) return startUpload(upload);
    throw error;
  }
}

function sessionOf(action: string, { response, url }: Exchange, before?: Session): Session {
  const location = response.headers.get("location");
  if (location === null) {
    if (before) return before;
    throw new TsboxError(`${action}: ${url.host} does not say where to`, { code: "registry_error" });
  }
  const least = Number(response.headers.get("oci-chunk-min-length") ?? before?.leastBytes ?? 0);
  return {
    url: locationOf(action, location, url, "sends the upload"),
    leastBytes: Number.isSafeInteger(least) ? Math.min(Math.max(0, least), MAX_CHUNK_BYTES) : 0,
  };
}

/** Ends what will not be used, so that nothing stays behind at the registry; it is no loss where that fails. */
export async function cancelUpload({ client, endpoint }: Pick<Upload, "client" | "endpoint">, session: Session) {
  const signal = AbortSignal.timeout(CANCEL_MS);
  const scopes = [pushScope(endpoint.path)];
  const request = {
    action: "cancel an upload",
    method: "DELETE",
    at: session.url,
    accept: [202, 204],
    scopes,
  } as const;
  await client.sendOnce(endpoint, { ...request, signal }).then(
    (exchange) => exchange.close(),
    () => undefined,
  );
}

/** Sends a blob into an upload that has been opened, or into others, should that one get lost. */
export async function sendBlob(upload: Upload, opened: Session): Promise<void> {
  const { client, action, signal } = upload;
  let session = opened;
  let inChunks = upload.chunkBytes !== undefined;
  for (let failed = 1; ; failed++) {
    try {
      let offset = 0;
      if (failed > 1) ({ session, offset } = (await offsetOf(upload, session)) ?? (await startAgain(upload)));
      await (inChunks ? sendChunks(upload, session, offset) : sendWhole(upload, session));
      return;
    } catch (error) {
      // what does not fit into one request may fit into several; and where the registry has lost count, it is asked
      const tooLarge = error instanceof AnswerError && error.status === 413 && !inChunks;
      const isLost = error instanceof StoredLess || (error instanceof AnswerError && [404, 416].includes(error.status));
      const now = (tooLarge || isLost) && failed < client.patience.attempts;
      const ms = now ? 0 : pauseMs(error, failed, client.patience);
      if (ms === undefined || signal?.aborted) {
        await cancelUpload(upload, session);
        throw error;
      }
      inChunks = true;
      await pause(ms, action, signal);
    }
  }
}

async function startAgain(upload: Upload): Promise<{ session: Session; offset: number }> {
  const session = await startUpload(upload);
  if (session !== "mounted") return { session, offset: 0 };
  throw new TsboxError(`${upload.action}: the registry takes what nobody has sent`, { code: "registry_error" });
}

const request = (upload: Upload, method: "GET" | "PUT" | "PATCH", at: URL, accept: number[]): EndpointRequest => ({
  action: upload.action,
  method,
  at,
  accept,
  scopes: [pushScope(upload.endpoint.path)],
  follow: false,
  signal: upload.signal,
});

function withDigest(url: URL, digest: Digest): URL {
  const result = new URL(url);
  result.searchParams.append("digest", digest);
  return result;
}

async function sendWhole(upload: Upload, session: Session): Promise<void> {
  const { client, endpoint, descriptor, source, onProgress } = upload;
  const exchange = await client.sendOnce(endpoint, {
    ...request(upload, "PUT", withDigest(session.url, descriptor.digest), [201]),
    headers: { "Content-Type": "application/octet-stream", "Content-Length": String(descriptor.size) },
    body: descriptor.size === 0 ? new Uint8Array(0) : () => exactly(source(), 0, descriptor.size, upload, onProgress),
    bodyBytes: descriptor.size,
    answerMs: client.exchanger.times.commitMs,
  });
  checkStored(upload, exchange);
}

/** Where the registry stands; undefined where it has forgotten the upload. */
async function offsetOf(upload: Upload, session: Session): Promise<{ session: Session; offset: number } | undefined> {
  const { client, endpoint, action, descriptor } = upload;
  try {
    const exchange = await client.sendOnce(endpoint, request(upload, "GET", session.url, [204, 202, 200]));
    exchange.close();
    const offset = offsetIn(exchange.response);
    if (offset === undefined || offset > descriptor.size) return undefined;
    return { session: sessionOf(action, exchange, session), offset };
  } catch (error) {
    if (error instanceof AnswerError && !isTransient(error)) return undefined;
    throw error;
  }
}

/** `Range: 0-99` is of 100 bytes; so is `0-0` of one, but where nothing has come yet, docker-registry says it as well. */
function offsetIn(response: Response): number | undefined {
  const range = response.headers.get("range");
  if (range === null) return 0;
  const [, last] = /^(?:bytes=)?0-(\d{1,15}|-1)$/.exec(range) ?? [];
  if (last === undefined) return undefined;
  return last === "0" ? 0 : Number(last) + 1;
}

async function sendChunks(upload: Upload, from: Session, offset: number): Promise<void> {
  const { client, endpoint, descriptor, source, onProgress, chunkBytes = CHUNK_BYTES, action } = upload;
  let [session, at] = [from, offset];
  onProgress?.(at);
  const chunks = chunked(exactly(source(), at, descriptor.size, upload), Math.max(chunkBytes, session.leastBytes));
  for await (const chunk of chunks) {
    const exchange = await client.sendOnce(endpoint, {
      ...request(upload, "PATCH", session.url, [202, 201, 204]),
      headers: {
        "Content-Type": "application/octet-stream",
        "Content-Range": `${at}-${at + chunk.length - 1}`,
      },
      body: chunk,
      answerMs: client.exchanger.times.commitMs,
    });
    exchange.close();
    session = sessionOf(action, exchange, session);
    at += chunk.length;
    const stored = exchange.response.headers.has("range") ? offsetIn(exchange.response) : at;
    if (stored !== at && at > 1) throw new StoredLess(`${action}: the registry has stored ${stored} of ${at} bytes`);
    onProgress?.(at);
  }
  const exchange = await client.sendOnce(endpoint, {
    ...request(upload, "PUT", withDigest(session.url, descriptor.digest), [201]),
    headers: { "Content-Type": "application/octet-stream" },
    body: new Uint8Array(0),
    answerMs: client.exchanger.times.commitMs,
  });
  checkStored(upload, exchange);
}

/** It is asked where it stands. */
class StoredLess extends TsboxError {
  constructor(message: string) {
    super(message, { code: "registry_error" });
  }
}

function checkStored({ action, descriptor }: Upload, exchange: Exchange): void {
  exchange.close();
  const told = exchange.response.headers.get("docker-content-digest");
  if (told === null || told === descriptor.digest) return;
  throw new TsboxError(`${action}: the registry has stored ${show(told)} instead`, { code: "digest_mismatch" });
}

/** The bytes of a blob from one on: as many as there have to be. */
async function* exactly(
  pieces: AsyncIterable<Uint8Array>,
  from: number,
  size: number,
  { action, signal }: Pick<Upload, "action" | "signal">,
  onProgress?: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  let at = 0;
  const wrong = (why: string) =>
    new TsboxError(`${action}: there are ${why} than the ${size} bytes of its descriptor`, { code: "image_invalid" });
  for await (const piece of pieces) {
    throwIfAborted(action, signal);
    const rest = piece.subarray(Math.min(piece.length, Math.max(0, from - at)));
    at += piece.length;
    if (at > size) throw wrong("more");
    if (rest.length === 0) continue;
    yield rest;
    onProgress?.(at);
  }
  if (at < size) throw wrong("fewer");
}

/** The same bytes in pieces of one size, but the last. */
async function* chunked(pieces: AsyncIterable<Uint8Array>, bytes: number): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  let [held, length] = [[] as Uint8Array[], 0];
  for await (const piece of pieces) {
    let rest = piece;
    while (length + rest.length >= bytes) {
      const taken = rest.subarray(0, bytes - length);
      yield Buffer.concat([...held, taken]);
      rest = rest.subarray(taken.length);
      [held, length] = [[], 0];
    }
    if (rest.length === 0) continue;
    held.push(rest.slice()); // whoever sends them may use the memory again
    length += rest.length;
  }
  if (length > 0) yield Buffer.concat(held);
}
