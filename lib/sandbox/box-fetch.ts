/** `box.fetch`: requests to servers inside. @module */
import { runtime, show, TsboxError } from "../../syscalls/index.ts";
import { invalid } from "../options/index.ts";

/** A port of the sandbox's own loopback. */
export interface InsidePort {
  host: "127.0.0.1" | "::1";
  port: number;
}

const MAX_REDIRECTS = 20;
const PORTS: Record<string, number> = { "http:": 80, "https:": 443 };

/**
 * As `fetch`, but nothing that is said inside leads out: a redirect to anything else than the sandbox's loopback would be
 * followed with the rights of this program, to wherever that can reach.
 * @param connect the path of a Unix socket that leads to the port
 * @param ended when the sandbox has; then nothing is asked any more, also of what has waited until now: the path may be
 * another sandbox's by then
 * @throws TsboxError `invalid_option`, `fetch_failed`; the reason of the signal
 */
export async function fetchInside(
  connect: (port: InsidePort) => Promise<string>,
  input: string | URL | Request,
  init?: RequestInit,
  ended: AbortSignal = new AbortController().signal,
): Promise<Response> {
  const asked = requestOf(input, init);
  const { redirect } = asked;
  let request = new Request(asked, { redirect: "manual" });
  for (let hops = 0; hops <= MAX_REDIRECTS; hops++) {
    const response = await fetchOnce(connect, request, ended);
    const location = REDIRECTS.includes(response.status) ? response.headers.get("location") : null;
    if (location === null || redirect === "manual") return response;
    await response.body?.cancel();
    if (redirect === "error") throw failed(request.url, "it redirects");
    request = follow(request, response.status, location);
  }
  throw failed(request.url, `more than ${MAX_REDIRECTS} redirects`);
}

const REDIRECTS = [301, 302, 303, 307, 308];

function requestOf(input: string | URL | Request, init: RequestInit | undefined): Request {
  try {
    const request = new Request(input as Request, init);
    portOf(request.url);
    return request;
  } catch (cause) {
    if (cause instanceof TsboxError) throw cause;
    throw new TsboxError(`fetch ${show(String(input))}: not understood`, {
      code: "invalid_option",
      hint: 'box.fetch("http://localhost:3000/")',
      cause,
    });
  }
}

/** @throws TsboxError `invalid_option` for what is not a server inside */
function portOf(url: string): InsidePort {
  const { protocol, hostname, port } = new URL(url);
  const usual = PORTS[protocol];
  if (usual === undefined) throw invalid(`fetch ${show(url)}: neither http nor https`);
  const host =
    hostname === "[::1]" ? "::1" : hostname === "localhost" || hostname === "127.0.0.1" ? "127.0.0.1" : undefined;
  if (!host)
    throw invalid(`fetch ${show(url)}: not a server inside`, 'the host is "localhost", "127.0.0.1" or "[::1]"');
  return { host, port: port === "" ? usual : Number(port) };
}

async function fetchOnce(connect: (port: InsidePort) => Promise<string>, request: Request, ended: AbortSignal) {
  const path = await connect(portOf(request.url));
  try {
    const signal = AbortSignal.any([request.signal, ended]);
    return await runtime.fetchOver(path, new Request(request, { signal }));
  } catch (cause) {
    request.signal.throwIfAborted();
    throw failed(request.url, "no answer", cause);
  }
}

function follow(request: Request, status: number, location: string): Request {
  const url = URL.canParse(location, request.url) ? new URL(location, request.url).href : undefined;
  try {
    portOf(url ?? "");
  } catch (cause) {
    throw failed(request.url, `it redirects out of the sandbox, to ${show(url ?? location)}`, cause);
  }
  const { method, headers, signal } = request;
  const asGet = status === 303 ? method !== "HEAD" : (status === 301 || status === 302) && method === "POST";
  if (!asGet && request.body) throw failed(request.url, "it redirects what has a body, which has been sent already");
  const kept = new Headers(headers);
  if (asGet) for (const name of ["content-length", "content-type", "content-encoding"]) kept.delete(name);
  // what is meant for one server inside is not for another
  if (new URL(request.url).host !== new URL(url as string).host)
    for (const name of ["authorization", "cookie", "host"]) kept.delete(name);
  return new Request(url as string, { method: asGet ? "GET" : method, headers: kept, signal, redirect: "manual" });
}

const failed = (url: string, why: string, cause?: unknown) =>
  new TsboxError(`fetch ${show(url)}: ${why}`, { code: "fetch_failed", cause });
