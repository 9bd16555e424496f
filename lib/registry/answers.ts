/** What registries answer, checked. @module */
import {
  digestOf,
  isImageIndex,
  isIndexType,
  isManifestType,
  OCI_INDEX,
  OCI_MANIFEST,
  parseManifest,
  type Descriptor,
  type ImageIndex,
  type Manifest,
  type Reference,
} from "../image/index.ts";
import { show, TsboxError } from "../../syscalls/index.ts";
import { locationOf, type Exchange } from "./exchange.ts";
import { named } from "./failure.ts";

export interface FetchedManifest {
  bytes: Uint8Array<ArrayBuffer>;
  descriptor: Descriptor;
  /** What the bytes say. */
  manifest: Manifest | ImageIndex;
}

export const mismatch = (action: string, told: string, digest: string): TsboxError =>
  new TsboxError(`${action}: its digest is ${show(told)}, not ${show(digest)}`, {
    code: "digest_mismatch",
    hint: "the registry, or something on the way, has another one",
  });

/** What an answer says that it is, if that is something known. */
export function typeOf(headers: Headers): string | undefined {
  const type = headers.get("content-type")?.split(";")[0]?.trim().toLowerCase();
  return type?.startsWith("application/vnd.") ? type : undefined;
}

export function checkManifest(
  wanted: Reference,
  action: string,
  bytes: Uint8Array<ArrayBuffer>,
  headers: Headers,
): FetchedManifest {
  const digest = digestOf(bytes, wanted.digest?.startsWith("sha512:") ? "sha512" : "sha256");
  if (wanted.digest !== undefined && wanted.digest !== digest) throw mismatch(action, digest, wanted.digest);
  const told = headers.get("docker-content-digest");
  if (told?.startsWith(digest.slice(0, 7)) && told !== digest) throw mismatch(action, digest, told);
  const type = typeOf(headers);
  const manifest = parseManifest(bytes, type, `the manifest of ${named(wanted)}`);
  // a static server calls it JSON, or something of its own, which nobody who is sent it would know
  const known = type !== undefined && (isManifestType(type) || isIndexType(type)) ? type : undefined;
  const mediaType = known ?? manifest.mediaType ?? (isImageIndex(manifest) ? OCI_INDEX : OCI_MANIFEST);
  return { bytes, descriptor: { mediaType, digest, size: bytes.length }, manifest };
}

export function tagsIn(action: string, bytes: Uint8Array): string[] {
  let tags: unknown;
  try {
    ({ tags } = Object(JSON.parse(new TextDecoder().decode(bytes))) as { tags?: unknown });
  } catch {
    throw new TsboxError(`${action}: the answer is no JSON`, { code: "registry_error" });
  }
  const isTag = (tag: unknown): tag is string => typeof tag === "string" && /^\w[\w.-]{0,127}$/.test(tag);
  return Array.isArray(tags) ? tags.filter(isTag) : [];
}

/** `Link: </v2/…?last=x>; rel="next"`, of the same registry. */
export function nextPage(action: string, { response, url }: Exchange): URL | undefined {
  const [, location] = /^\s*<([^>]{1,2048})>\s*;\s*rel="?next"?/.exec(response.headers.get("link") ?? "") ?? [];
  if (location === undefined) return undefined;
  const next = locationOf(action, location, url, "sends for the rest");
  if (next.origin === url.origin) return next;
  throw new TsboxError(`${action}: ${url.host} sends for the rest to ${next.host}`, { code: "registry_error" });
}
