/**
 * Downloads for files that are not trusted: nothing is asked of addresses that they are not to reach, whatever name or
 * redirect leads there.
 * @module
 */
import { show, TsboxError } from "../../../syscalls/index.ts";
import { withoutCredentials } from "./remote.ts";

/** Whether an address, as text, may be asked. */
export type Reaches = (ip: string) => boolean;

const MAX_REDIRECTS = 20;

/**
 * Where a host is; undefined where only a proxy may know.
 * @throws TsboxError `permission_denied` where any of its addresses is not to be reached, `download_failed`
 */
export async function addressOf(host: string, url: string, reaches: Reaches): Promise<string | undefined> {
  const failed = (why: string) => `download ${show(withoutCredentials(url))}: ${why}`;
  const { lookup } = process.getBuiltinModule("node:dns").promises;
  const found = await lookup(host.replace(/^\[(.*)\]$/, "$1"), { all: true }).catch((cause: unknown) => {
    if (hasProxy()) return [];
    throw new TsboxError(failed(`the host ${show(host)} is not known`), { code: "download_failed", cause });
  });
  const refused = found.find(({ address }) => !reaches(address));
  if (refused)
    throw new TsboxError(failed(`${refused.address} is not reached from a build`), {
      code: "permission_denied",
      hint: "where you trust the file: --allow network.host",
    });
  return found[0]?.address;
}

const PROXIES = ["http_proxy", "https_proxy", "all_proxy"].flatMap((name) => [name, name.toUpperCase()]);
const hasProxy = (): boolean => PROXIES.some((name) => process.env[name]);

/** As `fetch`, each redirect looked at. What is asked by plain HTTP is asked of the very address that was looked at. */
export async function fetchWithin(url: URL, reaches: Reaches, init: RequestInit): Promise<Response> {
  let at = url;
  for (let count = 0; count <= MAX_REDIRECTS; count++) {
    const address = await addressOf(at.hostname, `${at.origin}${at.pathname}`, reaches);
    const response = await fetch(...pinned(at, address, { ...init, redirect: "manual" }));
    const location = response.headers.get("location");
    if (response.status < 300 || response.status >= 400 || location === null) return response;
    await response.body?.cancel();
    at = new URL(location, at);
    if (at.protocol !== "http:" && at.protocol !== "https:") throw new Error(`a redirect to ${at.protocol}`);
  }
  throw new Error(`more than ${MAX_REDIRECTS} redirects`);
}

/** A certificate says who answers by HTTPS, and a proxy finds out addresses by itself. */
function pinned(url: URL, address: string | undefined, init: RequestInit): [URL, RequestInit] {
  if (url.protocol !== "http:" || address === undefined || hasProxy()) return [url, init];
  const there = new URL(url);
  there.hostname = address.includes(":") ? `[${address}]` : address;
  return [there, { ...init, headers: { ...(init.headers as Record<string, string>), host: url.host } }];
}
