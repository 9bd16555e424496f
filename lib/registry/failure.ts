/**
 * What a registry answered instead, in one line, and what can be done about it.
 * @module
 * @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes
 */
import { familiarReference, type Reference } from "../image/index.ts";
import { TsboxError, type ErrorCode } from "../../syscalls/index.ts";

/** Some registry's words; bounded, and harmless to a terminal. */
const MAX_TEXT = 300;

/** What was tried, for the error. */
export interface Attempt {
  /** `get the manifest of "debian:12"` */
  action: string;
  /** Asked for credentials by this name. */
  domain: string;
  /** Whether there were any. */
  hasCredentials?: boolean;
}

export const named = (reference: Reference): string => JSON.stringify(familiarReference(reference));

/** An answer, but not one that was asked for. */
export class AnswerError extends TsboxError {
  /** Of HTTP. */
  readonly status: number;
  /** That the registry wants to be left alone for, where it said so. */
  readonly retryAfterMs: number | undefined;
  /** Of the specification: `MANIFEST_UNKNOWN`. */
  readonly registryCode: string | undefined;
  /** Nothing is left of what it allows in hours: to ask again soon would only make it longer. */
  readonly isExhausted: boolean;

  constructor(message: string, code: ErrorCode, answer: Answer, hint: string | undefined) {
    super(message, { code, ...(hint === undefined ? {} : { hint }) });
    this.status = answer.status;
    this.retryAfterMs = retryAfterMs(answer.headers);
    this.registryCode = diagnose(answer.body)?.code;
    this.isExhausted = /^0(?!\d)/.test(answer.headers.get("ratelimit-remaining") ?? "");
  }
}

export interface Answer {
  status: number;
  headers: Headers;
  /** Its beginning. */
  body: string;
  /** Who answered. */
  host: string;
}

interface Diagnosis {
  code: string;
  message: string;
}

/** The first error of `{"errors":[{code, message, detail}]}`, or what a token server says. */
function diagnose(body: string): Diagnosis | undefined {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return undefined; // a page for people, of something in between
  }
  const { errors, error, error_description, details, message } = Object(value) as Record<string, unknown>;
  const first = Object(Array.isArray(errors) ? errors[0] : undefined) as Record<string, unknown>;
  const code = clean(first["code"]) || clean(error);
  const text = clean(first["message"]) || clean(error_description) || clean(details) || clean(message);
  return code === "" && text === "" ? undefined : { code, message: text };
}

/** Without what a terminal would act upon. */
export const clean = (value: unknown): string =>
  typeof value === "string"
    ? value
        // oxlint-disable-next-line no-control-regex
        .replace(/[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]+/g, " ")
        .slice(0, MAX_TEXT)
        .trim()
    : "";

const REASONS: Readonly<Record<number, string>> = {
  400: "bad request",
  401: "unauthorized",
  403: "forbidden",
  404: "not found",
  405: "method not allowed",
  408: "request timeout",
  413: "too large for it",
  416: "range not satisfiable",
  429: "too many requests",
  500: "internal error",
  501: "not implemented",
  502: "bad gateway",
  503: "unavailable",
  504: "gateway timeout",
};

/** An answer that is none of those that were expected. */
export function refusal(attempt: Attempt, answer: Answer): AnswerError {
  const { status, headers, host } = answer;
  const diagnosis = diagnose(answer.body);
  const code = codeOf(status, diagnosis?.code);
  const why = diagnosis ? [diagnosis.code, diagnosis.message].filter(Boolean).join(": ") : (REASONS[status] ?? "");
  const message = `${attempt.action}: ${host} answers ${`${status} ${why}`.trim()}`;
  return new AnswerError(message, code, answer, hintFor(code, attempt, status, headers));
}

function codeOf(status: number, registryCode = ""): ErrorCode {
  if (status === 429 || registryCode === "TOOMANYREQUESTS") return "rate_limited";
  if (status === 401 || status === 403 || registryCode === "UNAUTHORIZED" || registryCode === "DENIED")
    return "registry_denied";
  if (status === 404 && registryCode !== "BLOB_UPLOAD_UNKNOWN" && registryCode !== "BLOB_UNKNOWN")
    return "image_not_found";
  return "registry_error";
}

function hintFor(code: ErrorCode, attempt: Attempt, status: number, headers: Headers): string | undefined {
  const { domain, hasCredentials } = attempt;
  switch (code) {
    case "registry_denied":
      return hasCredentials
        ? `the user that is logged in at ${domain} may not do this, the password is wrong, or there is no such image`
        : `log in with "tsbox login ${domain}", if the image is not public; or there is none of this name`;
    case "rate_limited":
      return rateHint(attempt, headers);
    case "image_not_found":
      return "is the name right, and the tag?";
    default:
      if (status === 413) return "something in front of the registry limits the size of requests";
      return status >= 500 ? "a failure of the registry, not of this request; later, it may work" : undefined;
  }
}

/** `100;w=21600`: as many in so many seconds. */
function rateHint({ domain, hasCredentials }: Attempt, headers: Headers): string {
  const [, count, seconds] = /^(\d{1,9})(?:;w=(\d{1,9}))?/.exec(headers.get("ratelimit-limit") ?? "") ?? [];
  const limit = count && seconds ? `it allows ${count} in ${duration(Number(seconds))}` : undefined;
  const after = retryAfterMs(headers);
  const again = after === undefined ? undefined : `again in ${duration(Math.ceil(after / 1000))}`;
  const more = hasCredentials ? "later, or from a mirror" : `more after "tsbox login ${domain}", or from a mirror`;
  return [limit, again, more].filter(Boolean).join("; ");
}

function duration(seconds: number): string {
  if (seconds < 120) return `${seconds} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}

/** Seconds, or a date; at most a day, as nobody waits for more. */
export function retryAfterMs(headers: Headers, now = Date.now()): number | undefined {
  const text = headers.get("retry-after")?.trim() ?? "";
  const ms = /^\d{1,9}$/.test(text) ? Number(text) * 1000 : Date.parse(text) - now;
  return Number.isFinite(ms) ? Math.min(Math.max(0, ms), 86_400_000) : undefined;
}

/** Codes and messages, from what was thrown to what was behind it: Deno tells why only there. */
function wordsOf(error: unknown, depth = 4): string[] {
  const { code, message, cause } = Object(error) as { code?: unknown; message?: unknown; cause?: unknown };
  const own = [code, message].filter((word) => typeof word === "string");
  return cause === undefined || depth === 0 ? own : [...own, ...wordsOf(cause, depth - 1)];
}

/** No answer at all: the code of the failure and its words. */
export class ConnectionError extends TsboxError {
  /** Whether it may go better in a moment. */
  readonly isTransient: boolean;
  /** Whether the other side may be one without TLS: not one whose certificate is wrong. */
  readonly isPlain: boolean;

  constructor(action: string, host: string, cause: unknown) {
    const words = wordsOf(cause);
    const known = KNOWN.find(({ codes }) => codes.test(words.join(" ")));
    const why = known?.why ?? (clean(words.at(-1)) || "the connection failed");
    super(`${action}: ${host}: ${why}`, {
      code: "registry_error",
      cause,
      ...(known?.hint ? { hint: known.hint(host) } : {}),
    });
    this.isTransient = known?.isTransient ?? true;
    this.isPlain = known?.isPlain ?? false;
  }
}

interface Known {
  codes: RegExp;
  why: string;
  isTransient: boolean;
  isPlain?: boolean;
  hint?: (host: string) => string;
}

const PROXIES = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"];

const trust = (host: string) =>
  `put the certificate of its authority into /etc/docker/certs.d/${host}/ca.crt, or name it as an insecure registry`;

const KNOWN: readonly Known[] = [
  {
    codes: /SELF_SIGNED|UNABLE_TO_(?:VERIFY|GET_ISSUER)|UnknownIssuer|CERT_UNTRUSTED/,
    why: "nobody vouches for its certificate",
    isTransient: false,
    hint: trust,
  },
  { codes: /ALTNAME|NotValidForName/, why: "its certificate is for another name", isTransient: false },
  { codes: /CERT_HAS_EXPIRED|Expired/, why: "its certificate has expired", isTransient: false },
  {
    codes: /EPROTO|TLS handshake|InvalidContentType|SSL/,
    why: "it does not speak TLS",
    isTransient: false,
    isPlain: true,
    hint: (host) => `if it is meant to be without, name ${host} as an insecure registry`,
  },
  { codes: /CERT/, why: "its certificate cannot be used", isTransient: false, hint: trust },
  {
    codes: /ECONNREFUSED|ConnectionRefused/,
    why: "nobody listens there",
    isTransient: false,
    isPlain: true,
    hint: () =>
      PROXIES.some((name) => process.env[name]) ? "does it run? Or the proxy of the environment?" : "does it run?",
  },
  { codes: /EAI_AGAIN|DNS_TIMEOUT/, why: "its name cannot be looked up now", isTransient: true },
  {
    codes: /ENOTFOUND|DNSResolve|dns error/,
    why: "no such host",
    isTransient: false,
    hint: () => "is the name of the registry right? Is there a network?",
  },
  { codes: /ENETUNREACH|EHOSTUNREACH/, why: "there is no way to it", isTransient: false },
  {
    codes: /ECONNRESET|ConnectionClosed|EPIPE|UnexpectedEof|connection closed|reset by peer/,
    why: "it closed the connection",
    isTransient: true,
    isPlain: true,
  },
];
