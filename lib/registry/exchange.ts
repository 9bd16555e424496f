/**
 * One request and its answer, with everything bounded: the time until there is an answer and between its pieces, the
 * number of redirects, the hosts that they lead to, the size of what is read.
 * @module
 */
import { TsboxError } from "../../syscalls/index.ts";
import { ConnectionError, refusal, type Answer, type Attempt } from "./failure.ts";
import { isLoopback, isOwnOrLinkLocal, type Hosts } from "./hosts.ts";

export interface Times {
  /** Until an answer begins. */
  answerMs: number;
  /** Between two pieces of a body, either way. */
  stallMs: number;
  /** Until what has been uploaded is stored: a registry may copy it first. */
  commitMs: number;
}

export const TIMES: Times = { answerMs: 30_000, stallMs: 30_000, commitMs: 300_000 };

const MAX_REDIRECTS = 5;
/** Of an error: what does not fit is not read. */
const MAX_ERROR_BYTES = 64 * 1024;
/** For the rest of a short answer. */
const DRAIN_MS = 1000;
const REDIRECTS = [301, 302, 303, 307, 308];

export interface RequestOptions extends Attempt {
  method?: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";
  url: URL;
  headers?: Record<string, string>;
  /** Of the first host only; never sent to another. */
  authorization?: string | undefined;
  body?: Uint8Array<ArrayBuffer> | string | (() => AsyncIterable<Uint8Array>);
  /** Of a body that comes in pieces. */
  bodyBytes?: number;
  /** Whether to go where it is sent: never with a body. */
  follow?: boolean;
  answerMs?: number;
  signal?: AbortSignal | undefined;
}

/** Not among Bun's types. */
const streamOf = ReadableStream as unknown as { from(pieces: AsyncIterable<Uint8Array>): ReadableStream };

/** An answer whose body is still to be read, or to be dropped. */
export interface Exchange {
  response: Response;
  /** Where it came from in the end. */
  url: URL;
  /** The body, in pieces: each in time. To be read to its end, or `close`d. */
  pieces(): AsyncGenerator<Uint8Array<ArrayBuffer>>;
  /** All of it. @throws TsboxError where it is longer */
  bytes(limitBytes: number, what: string): Promise<Uint8Array<ArrayBuffer>>;
  /** Leaves the body; a long one drops the connection. */
  close(): void;
  /** The error that this answer is, with the beginning of its body. */
  refusal(): Promise<Error>;
}

/** Bun's, besides those of the standard. */
type FetchOptions = RequestInit & {
  tls?: object;
  decompress?: boolean;
  timeout?: boolean;
  duplex?: "half";
  proxy?: false;
};

export class Exchanger {
  readonly hosts: Hosts;
  readonly times: Times;
  readonly #userAgent: string;

  constructor(hosts: Hosts, times: Times, userAgent: string) {
    this.hosts = hosts;
    this.times = times;
    this.#userAgent = userAgent;
  }

  /** @throws TsboxError where there is no answer; any answer is returned */
  async exchange(options: RequestOptions): Promise<Exchange> {
    const { follow = options.body === undefined } = options;
    let [url, authorization] = [options.url, options.authorization];
    for (let hops = 0; ; hops++) {
      const exchange = await this.#once({ ...options, url, authorization });
      const location = exchange.response.headers.get("location");
      if (!follow || location === null || !REDIRECTS.includes(exchange.response.status)) return exchange;
      exchange.close();
      if (hops >= MAX_REDIRECTS)
        throw new TsboxError(`${options.action}: ${url.host} redirects without end`, { code: "registry_error" });
      const next = locationOf(options.action, location, url);
      // what the registry may know is not for the store that it sends us to
      if (next.origin !== url.origin) authorization = undefined;
      url = next;
    }
  }

  async #once(options: RequestOptions): Promise<Exchange> {
    const { action, url, signal, body, method = "GET" } = options;
    throwIfAborted(action, signal);
    const clock = new Clock(action, url.host, signal);
    const init: FetchOptions = {
      method,
      headers: this.#headers(options),
      redirect: "manual",
      signal: clock.signal,
      // these clocks are our own; and bytes are to be those whose digest is known
      timeout: false,
      decompress: false,
      ...(url.protocol === "https:" ? { tls: this.hosts.tls(url.host) ?? {} } : {}),
      // no proxy leads to this machine: for Go, and so for Docker, neither
      ...(isLoopback(url.host) ? { proxy: false } : {}),
    };
    if (typeof body === "function") {
      const pieces = counted(body, clock, this.times.stallMs, options.answerMs ?? this.times.answerMs);
      // Bun takes any iterable, and tells a length that is known; others want a stream
      init.body = (typeof Bun === "undefined" ? streamOf.from(pieces) : pieces) as ReadableStream;
      init.duplex = "half";
    } else if (body !== undefined) init.body = body;
    clock.set(options.answerMs ?? this.times.answerMs, "gives no answer");
    try {
      const response = await fetch(url, init);
      clock.stop();
      return this.#answered(options, response, clock);
    } catch (error) {
      clock.end();
      throw clock.error ?? (error instanceof TsboxError ? error : new ConnectionError(action, url.host, error));
    }
  }

  #headers({ headers, authorization, body, bodyBytes }: RequestOptions): Record<string, string> {
    return {
      "User-Agent": this.#userAgent,
      "Accept-Encoding": "identity",
      ...(typeof body === "function" && bodyBytes !== undefined ? { "Content-Length": String(bodyBytes) } : {}),
      ...headers,
      ...(authorization === undefined ? {} : { Authorization: authorization }),
    };
  }

  #answered(options: RequestOptions, response: Response, clock: Clock): Exchange {
    const { url, action } = options;
    const { stallMs } = this.times;
    async function* pieces(): AsyncGenerator<Uint8Array<ArrayBuffer>> {
      const reader = response.body?.getReader();
      try {
        for (let ended = reader === undefined; !ended;) {
          clock.set(stallMs, "has stopped sending");
          const { value, done } = await (reader as NonNullable<typeof reader>).read();
          clock.stop();
          ended = done;
          if (value) yield value;
        }
      } catch (error) {
        throw clock.error ?? new ConnectionError(action, url.host, error);
      } finally {
        clock.end();
      }
    }
    const beginning = async (limitBytes: number) => {
      const parts: Uint8Array[] = [];
      let length = 0;
      for await (const piece of pieces()) {
        parts.push(piece);
        if ((length += piece.length) > limitBytes) break;
      }
      return Buffer.concat(parts);
    };
    return {
      response,
      url,
      pieces,
      async bytes(limitBytes, what) {
        const found = await beginning(limitBytes);
        if (found.length <= limitBytes) return found;
        const why = `${what} of ${url.host} is longer than ${limitBytes} bytes`;
        throw new TsboxError(`${action}: ${why}`, { code: "registry_error" });
      },
      close() {
        const length = Number(response.headers.get("content-length") ?? Number.POSITIVE_INFINITY);
        if (response.body === null || !(length <= MAX_ERROR_BYTES)) return clock.end();
        // a connection that has been read to its end serves again
        void drain(response.body.getReader(), clock);
      },
      async refusal() {
        const body = await beginning(MAX_ERROR_BYTES).catch((error) => {
          if (options.signal?.aborted) throw error;
          return Buffer.alloc(0); // the status says enough
        });
        const answer: Answer = {
          status: response.status,
          headers: response.headers,
          body: body.subarray(0, MAX_ERROR_BYTES).toString(),
          host: url.host,
        };
        return refusal(options, answer);
      },
    };
  }
}

async function drain(reader: { read(): Promise<{ done: boolean }> }, clock: Clock): Promise<void> {
  clock.set(DRAIN_MS, "does not end");
  try {
    while (!(await reader.read()).done);
  } catch {
    // nobody wanted it
  } finally {
    clock.end();
  }
}

/** Sends a body piece by piece; the clock waits for the other side to take each, and after the last for its answer. */
async function* counted(body: () => AsyncIterable<Uint8Array>, clock: Clock, stallMs: number, answerMs: number) {
  try {
    for await (const piece of body()) {
      clock.set(stallMs, "has stopped taking what is sent");
      yield piece;
      clock.stop(); // reading our own file takes as long as it takes
    }
  } catch (error) {
    return clock.fail(error); // which ends the request: thrown in here, it would be nobody's
  }
  clock.set(answerMs, "gives no answer");
}

/** Ends a request: when the caller aborts, and when the other side lets us wait. */
class Clock {
  /** Why it was ended. */
  error: unknown;
  readonly #controller = new AbortController();
  readonly #action: string;
  readonly #host: string;
  readonly #outer: AbortSignal | undefined;
  readonly #onAbort = () => this.fail(abortError(this.#action, this.#outer));
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(action: string, host: string, outer: AbortSignal | undefined) {
    this.#action = action;
    this.#host = host;
    this.#outer = outer;
    outer?.addEventListener("abort", this.#onAbort, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  set(ms: number, why: string): void {
    this.stop();
    this.#timer = setTimeout(
      () => this.fail(new SilenceError(`${this.#action}: ${this.#host} ${why} for ${ms} ms`)),
      ms,
    );
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  fail(error: unknown): void {
    this.error ??= error;
    this.end();
  }

  /** The connection goes, unless all of the answer has been read. */
  end(): void {
    this.stop();
    this.#outer?.removeEventListener("abort", this.#onAbort);
    this.#controller.abort();
  }
}

/** Somebody who keeps us waiting. */
export class SilenceError extends TsboxError {
  constructor(message: string) {
    super(message, { code: "registry_error", hint: "is something between here and there that swallows packets?" });
  }
}

export const abortError = (action: string, signal: AbortSignal | undefined): TsboxError =>
  new TsboxError(`${action}: aborted`, { code: "aborted", cause: signal?.reason });

export function throwIfAborted(action: string, signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw abortError(action, signal);
}

/**
 * Where an answer sends us. Not from https to http, where everybody could read along; and not from elsewhere to this
 * machine or its link, where a server answers that the one that sends us cannot reach itself.
 * @throws TsboxError `registry_error`
 */
export function locationOf(action: string, location: string, from: URL, what = "redirects"): URL {
  const refuse = (why: string) => {
    const where = JSON.stringify(location.slice(0, 80));
    return new TsboxError(`${action}: ${from.host} ${what} to ${where}, ${why}`, { code: "registry_error" });
  };
  const url = URL.canParse(location, from.href) ? new URL(location, from) : undefined;
  if (!url || !/^https?:$/.test(url.protocol)) throw refuse("which is no URL of the web");
  if (from.protocol === "https:" && url.protocol === "http:") throw refuse("which is not encrypted");
  if (url.username !== "" || url.password !== "") throw refuse("with a password in it");
  if (isOwnOrLinkLocal(url.host) && !isOwnOrLinkLocal(from.host))
    throw refuse("an address of this machine or its link");
  url.hash = "";
  return url;
}
