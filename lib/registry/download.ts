/**
 * Blobs, piece by piece. A connection that breaks is taken up again where it broke. Whether the bytes are those of the
 * digest is for whoever stores them to find out; that they are as many as they have to be is seen to here.
 * @module
 * @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-blobs
 */
import type { Descriptor } from "../image/index.ts";
import { show, TsboxError } from "../../syscalls/index.ts";
import type { Exchange } from "./exchange.ts";
import { ConnectionError } from "./failure.ts";
import { pause, pauseMs, type Patience } from "./patience.ts";

/** A connection that brought less was a failure; one that brought more was progress. */
const WORTH_BYTES = 64 * 1024;
/** Even so: who closes it a thousand times does so on purpose. */
const MAX_RESUMES = 1000;

export interface Download {
  action: string;
  descriptor: Descriptor;
  /** Bytes that are there already. */
  offset: number;
  /** Asks for it, from a byte on. */
  open(at: number): Promise<Exchange>;
  patience: Patience;
  signal?: AbortSignal | undefined;
}

/** What is missing of a blob. */
export async function* download({ action, descriptor, offset, open, patience, signal }: Download) {
  let at = offset;
  let [failed, resumes] = [0, 0];
  do {
    const before = at;
    try {
      for await (const piece of bodyFrom(await open(at), at, descriptor, action)) {
        at += piece.length;
        yield piece;
      }
    } catch (error) {
      failed = at - before >= WORTH_BYTES ? 1 : failed + 1;
      const ms = ++resumes > MAX_RESUMES ? undefined : pauseMs(error, failed, patience);
      if (ms === undefined || signal?.aborted) throw error;
      await pause(ms, action, signal);
    }
  } while (at < descriptor.size);
}

/** The header that asks for the rest. */
export const rangeFrom = (at: number): Record<string, string> => (at > 0 ? { Range: `bytes=${at}-` } : {});

/** The pieces of an answer from a byte on, whether it begins there or at the first. */
async function* bodyFrom(exchange: Exchange, at: number, { size }: Descriptor, action: string) {
  const { response, url } = exchange;
  const lie = (why: string) => {
    exchange.close();
    return new TsboxError(`${action}: ${url.host} sends ${why}`, { code: "image_invalid" });
  };
  let begins = 0;
  if (response.status === 206) {
    const range = response.headers.get("content-range") ?? "";
    const [, first, last, total] = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/.exec(range) ?? [];
    begins = Number(first);
    if (begins !== at || Number(last) >= size || (total !== "*" && Number(total) !== size))
      throw lie(`${show(range)} where ${at} to ${size - 1} of ${size} bytes were asked for`);
  }
  const length = response.headers.get("content-length");
  const most = size - begins;
  if (length !== null && (Number(length) > most || (response.status === 200 && Number(length) !== size)))
    throw lie(`${length} bytes where the manifest says ${most}`);

  let [skip, left] = [at - begins, size - at];
  for await (const piece of exchange.pieces()) {
    const rest = skip > 0 ? piece.subarray(Math.min(skip, piece.length)) : piece;
    skip = Math.max(0, skip - piece.length);
    if (rest.length > left) throw lie(`more than the ${size} bytes that the manifest says`);
    left -= rest.length;
    if (rest.length > 0) yield rest;
  }
  // a part of what was asked for may be all that it sends at once
  if (left > 0 && (response.status !== 206 || length === null || left === size - at))
    throw new ConnectionError(action, url.host, { code: "ECONNRESET" });
}
