/**
 * A client of registries: the OCI distribution specification, and what Docker's registries have besides. All that a
 * registry says is doubted: sizes, digests, where it sends us, how long it takes. What it is told is no more than it
 * has to know.
 * @module
 * @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md
 */
import {
  digestOf,
  DOCKER_LIST,
  DOCKER_MANIFEST,
  formatReference,
  isDigest,
  isForeignLayer,
  isIndexType,
  isManifestType,
  MAX_MANIFEST_BYTES,
  OCI_INDEX,
  OCI_MANIFEST,
  parseReference,
  withDefaultTag,
  type Descriptor,
  type Digest,
  type Reference,
} from "../image/index.ts";
import { show, TsboxError } from "../../syscalls/index.ts";
import { checkManifest, mismatch, nextPage, tagsIn, typeOf, type FetchedManifest } from "./answers.ts";
import type { Credentials } from "./authorizer.ts";
import { Client, pullScope, pushScope, type EndpointRequest } from "./client.ts";
import { CredentialFiles } from "./credentials.ts";
import { download, rangeFrom } from "./download.ts";
import { Exchanger, TIMES, type Exchange, type Times } from "./exchange.ts";
import { AnswerError, ConnectionError, named } from "./failure.ts";
import { daemonHosts } from "./daemon-config.ts";
import { Hosts, isOwnOrLinkLocal, type Endpoint, type HostOptions } from "./hosts.ts";
import { isTransient, PATIENCE, type Patience } from "./patience.ts";
import { cancelUpload, sendBlob, startUpload } from "./upload.ts";

export interface RegistryOptions extends HostOptions {
  /**
   * For a domain, and the repository in it: those that are given, or what finds some; those of Docker's and containers'
   * files by default. `false`: none.
   */
  credentials?: Credentials | ((domain: string, path: string) => Promise<Credentials | undefined>) | false;
  userAgent?: string;
  /** Of all that is done with it. */
  signal?: AbortSignal;
  times?: Partial<Times>;
  patience?: Partial<Patience>;
}

export interface BlobOptions {
  /** Bytes that are there already. */
  offset?: number;
  signal?: AbortSignal;
}

export interface UploadOptions {
  /** @param bytes that have been sent, of the descriptor's size */
  onProgress?: (bytes: number) => void;
  /** Repositories of the same registry that may have it: it is taken from there, rather than sent. */
  mountFrom?: readonly string[];
  /** In requests of so many bytes; in one, unless something is in the way of that. */
  chunkBytes?: number;
  signal?: AbortSignal;
}

const ACCEPT = [OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST].join(", ");
/** A mirror that could not be reached is left alone for so long. */
const MIRROR_DOWN_MS = 60_000;
const MAX_TAG_PAGES = 1000;
const TAGS_A_PAGE = 1000;

/** An answer of a mirror or another place that was no use; the next is asked. */
type From<T> = (endpoint: Endpoint) => Promise<T>;

export class Registry {
  readonly #client: Client;
  readonly #hosts: Hosts;
  readonly #signal: AbortSignal | undefined;
  readonly #down = new Map<string, number>();

  /** @throws TsboxError `invalid_option` */
  constructor(options: RegistryOptions = {}) {
    const { credentials, userAgent = "tsbox", signal, times, patience } = options;
    if (!/^[\x20-\x7e]+$/.test(userAgent))
      throw new TsboxError(`use the user agent ${show(userAgent)}: it is none`, { code: "invalid_option" });
    const { mirrors, insecure } = options;
    this.#hosts = new Hosts({ ...(mirrors && insecure !== undefined ? {} : daemonHosts()), ...options });
    this.#signal = signal;
    const exchanger = new Exchanger(this.#hosts, { ...TIMES, ...times }, userAgent);
    this.#client = new Client(exchanger, { ...PATIENCE, ...patience }, finderOf(credentials));
  }

  /** The manifest or index of a name, by its digest where it has one. @throws TsboxError */
  async getManifest(reference: Reference, options: { signal?: AbortSignal } = {}): Promise<FetchedManifest> {
    const { wanted, at, action } = manifestOf(reference, "get");
    return this.#anywhere(wanted, action, options.signal, async (endpoint) => {
      const exchange = await this.#send(endpoint, { action, at, accept: [200], headers: { Accept: ACCEPT } }, options);
      const bytes = await exchange.bytes(MAX_MANIFEST_BYTES, "the manifest");
      return checkManifest(wanted, action, bytes, exchange.response.headers);
    });
  }

  /** What a name stands for now, without getting it: `undefined` where there is nothing. @throws TsboxError */
  async findManifest(reference: Reference, options: { signal?: AbortSignal } = {}): Promise<Descriptor | undefined> {
    const { wanted, at, action } = manifestOf(reference, "look for");
    const request = { action, at, method: "HEAD", accept: [200], headers: { Accept: ACCEPT } } as const;
    try {
      return await this.#anywhere(wanted, action, options.signal, async (endpoint) => {
        const exchange = await this.#send(endpoint, request, options);
        exchange.close();
        const { headers } = exchange.response;
        const [digest, size] = [
          headers.get("docker-content-digest"),
          Number(headers.get("content-length") ?? Number.NaN),
        ];
        const mediaType = typeOf(headers);
        if (wanted.digest !== undefined && digest !== null && digest !== wanted.digest)
          throw mismatch(action, digest, wanted.digest);
        if (mediaType !== undefined && isDigest(digest) && Number.isSafeInteger(size))
          return { mediaType, digest, size };
        // the header is not obligatory
        return (await this.getManifest(wanted, options)).descriptor;
      });
    } catch (error) {
      if (error instanceof TsboxError && error.code === "image_not_found") return undefined;
      // some servers do not know how not to send it
      const isHeadless = error instanceof AnswerError && [405, 501].includes(error.status);
      if (isHeadless) return (await this.getManifest(wanted, options)).descriptor;
      throw error;
    }
  }

  /**
   * The bytes of a blob: as many as its descriptor says, or an error. Their digest is not verified here: whoever stores
   * them sees each of them anyway. Layers that registries need not have come from their URLs.
   * @throws TsboxError
   */
  async *blob(reference: Reference, descriptor: Descriptor, options: BlobOptions = {}): AsyncGenerator<Uint8Array> {
    const wanted = checked(reference);
    checkDigest(descriptor.digest);
    const action = `get ${show(shortDigest(descriptor.digest))} of ${named(wanted)}`;
    const { signal, client } = this.#with(options.signal);
    let offset = options.offset ?? 0;
    const places = this.#placesOf(wanted, descriptor, action, signal);
    for (const [index, place] of places.entries()) {
      const isLast = index === places.length - 1;
      const patience = isLast
        ? client.patience
        : { ...client.patience, attempts: Math.min(2, client.patience.attempts) };
      try {
        for await (const piece of download({ action, descriptor, offset, open: place.open, patience, signal })) {
          offset += piece.length;
          yield piece;
        }
        return;
      } catch (error) {
        if (isLast || signal?.aborted) throw error;
        place.failed(error);
      }
    }
  }

  /** Where a blob may be had, in order. */
  #placesOf(reference: Reference, descriptor: Descriptor, action: string, signal: AbortSignal | undefined) {
    const { digest, urls = [], mediaType } = descriptor;
    const foreign = isForeignLayer(mediaType) ? urls.slice(0, 10) : [];
    return [
      ...foreign.map((text) => ({
        open: async (at: number) => this.#openForeign(text, at, action, signal),
        failed: () => undefined,
      })),
      ...this.#available(reference).map((endpoint) => ({
        open: (at: number) =>
          this.#client.sendOnce(endpoint, {
            action,
            at: `blobs/${digest}`,
            accept: at > 0 ? [200, 206] : [200],
            scopes: [pullScope(endpoint.path)],
            headers: rangeFrom(at),
            signal,
          }),
        failed: (error: unknown) => this.#note(endpoint, error),
      })),
    ];
  }

  /** By https, from elsewhere than this machine: a manifest comes from anybody. */
  async #openForeign(text: string, at: number, action: string, signal: AbortSignal | undefined): Promise<Exchange> {
    const url = URL.canParse(text) ? new URL(text) : undefined;
    const isAllowed =
      url && (url.protocol === "https:" || (url.protocol === "http:" && this.#hosts.isInsecure(url.host)));
    if (!url || !isAllowed || (isOwnOrLinkLocal(url.host) && !this.#hosts.isInsecure(url.host)))
      throw new TsboxError(`${action}: ${show(text)} is no place to get it from`, { code: "image_invalid" });
    const options = { action, domain: url.host, url, headers: rangeFrom(at), signal };
    const exchange = await this.#client.exchanger.exchange(options);
    if ((at > 0 ? [200, 206] : [200]).includes(exchange.response.status)) return exchange;
    throw await exchange.refusal();
  }

  /** Whether the registry itself has a blob. @throws TsboxError */
  async hasBlob(reference: Reference, digest: Digest, options: { signal?: AbortSignal } = {}): Promise<boolean> {
    const endpoint = this.#origin(reference);
    checkDigest(digest);
    const action = `look for ${show(shortDigest(digest))} in ${named(reference)}`;
    // with the rights that whoever asks this is going to need
    const scopes = [pushScope(endpoint.path)];
    const request = { action, method: "HEAD", at: `blobs/${digest}`, accept: [200, 404], scopes } as const;
    const exchange = await this.#client.send(endpoint, { ...request, signal: this.#with(options.signal).signal });
    exchange.close();
    return exchange.response.status === 200;
  }

  /**
   * Sends a blob. What breaks is taken up where it broke.
   * @param source the bytes, from the first on; called again for another try
   * @throws TsboxError
   */
  async uploadBlob(
    reference: Reference,
    descriptor: Pick<Descriptor, "digest" | "size" | "mediaType">,
    source: () => AsyncIterable<Uint8Array>,
    options: UploadOptions = {},
  ): Promise<"mounted" | "uploaded"> {
    const { onProgress, mountFrom = [], chunkBytes } = options;
    const { upload } = this.#upload(reference, descriptor.digest, options.signal);
    const { digest } = descriptor;
    const mounts = mountFrom.map((from) => ({ digest, from: this.#repository(reference, from) }));
    let session: Awaited<ReturnType<typeof startUpload>> | undefined;
    for (const mount of mounts.length > 0 ? mounts : [undefined]) {
      if (session) await cancelUpload(upload, session as Exclude<typeof session, string>);
      session = await startUpload(upload, mount);
      if (session === "mounted") return "mounted";
    }
    await sendBlob(
      { ...upload, descriptor, source, onProgress, chunkBytes },
      session as Exclude<typeof session, string | undefined>,
    );
    return "uploaded";
  }

  /** Stores a manifest or an index, by its tag, or by its digest where there is none. @throws TsboxError */
  async putManifest(
    reference: Reference,
    bytes: Uint8Array<ArrayBuffer>,
    mediaType: string,
    options: { signal?: AbortSignal } = {},
  ): Promise<Descriptor> {
    const digest = digestOf(bytes);
    const endpoint = this.#origin(reference);
    const { tag } = reference;
    const action = `push the manifest of ${named(reference)}`;
    if (!isManifestType(mediaType) && !isIndexType(mediaType))
      throw new TsboxError(`${action}: ${show(mediaType)} is no type of one`, { code: "image_invalid" });
    const exchange = await this.#client.send(endpoint, {
      action,
      method: "PUT",
      at: `manifests/${tag ?? reference.digest ?? digest}`,
      accept: [201, 200],
      scopes: [pushScope(endpoint.path)],
      headers: { "Content-Type": mediaType },
      body: bytes,
      answerMs: this.#client.exchanger.times.commitMs,
      signal: this.#with(options.signal).signal,
    });
    exchange.close();
    const told = exchange.response.headers.get("docker-content-digest");
    if (told !== null && told !== digest) throw mismatch(action, told, digest);
    return { mediaType, digest, size: bytes.length };
  }

  /** The tags of a repository. @throws TsboxError */
  async tags(reference: Reference, options: { signal?: AbortSignal } = {}): Promise<string[]> {
    const wanted = checked(reference);
    const action = `list the tags of ${named({ domain: wanted.domain, path: wanted.path })}`;
    return this.#anywhere(wanted, action, options.signal, async (endpoint) => {
      const found: string[] = [];
      let at: string | URL | undefined = `tags/list?n=${TAGS_A_PAGE}`;
      for (let pages = 0; at !== undefined && pages < MAX_TAG_PAGES; pages++) {
        const exchange: Exchange = await this.#send(endpoint, { action, at, accept: [200] }, options);
        const bytes = await exchange.bytes(MAX_MANIFEST_BYTES, "the list");
        found.push(...tagsIn(action, bytes));
        at = nextPage(action, exchange);
      }
      return found;
    });
  }

  /**
   * Whether a registry lets somebody in.
   * @returns an identity token to keep instead of the password, where the registry has such
   * @throws TsboxError `registry_denied` where it does not
   */
  async check(domain: string, options: { signal?: AbortSignal } = {}): Promise<{ identityToken?: string }> {
    // not of a repository, but of the registry
    const whole: Endpoint = { ...this.#origin({ domain, path: "team/app" }), path: "" };
    const action = `log in at ${domain}`;
    const request = { action, at: "", accept: [200], scopes: [], signal: this.#with(options.signal).signal };
    const exchange = await this.#client.send(whole, request);
    exchange.close();
    const identityToken = await this.#client.authorizer(whole).identityToken({ action, domain });
    return identityToken === undefined ? {} : { identityToken };
  }

  #origin(reference: Reference): Endpoint {
    const { domain, path } = checked(reference);
    return this.#hosts.origin(domain, path);
  }

  /** Another repository of the same registry. */
  #repository({ domain }: Reference, path: string): string {
    return checked({ domain, path }).path;
  }

  #upload(reference: Reference, digest: Digest, signal: AbortSignal | undefined) {
    const endpoint = this.#origin(reference);
    checkDigest(digest);
    const action = `push ${show(shortDigest(digest))} to ${named(reference)}`;
    return { upload: { client: this.#client, endpoint, action, signal: this.#with(signal).signal } };
  }

  #with(signal: AbortSignal | undefined): { signal: AbortSignal | undefined; client: Client } {
    const both = [this.#signal, signal].filter((each) => each !== undefined);
    return { signal: both.length > 1 ? AbortSignal.any(both) : both[0], client: this.#client };
  }

  /** A request that reads: a mirror is not asked as often as the registry. */
  #send(
    endpoint: Endpoint,
    request: Omit<EndpointRequest, "scopes" | "signal">,
    options: { signal?: AbortSignal },
  ): Promise<Exchange> {
    const { signal, client } = this.#with(options.signal);
    const whole: EndpointRequest = { ...request, scopes: [pullScope(endpoint.path)], signal };
    return endpoint.isMirror ? client.sendOnce(endpoint, whole) : client.send(endpoint, whole);
  }

  /** The mirrors that are not known to be down, and the registry. */
  #available(reference: Reference): Endpoint[] {
    const now = performance.now();
    return this.#hosts
      .endpoints(reference)
      .filter(({ isMirror, host }) => !isMirror || (this.#down.get(host) ?? 0) <= now);
  }

  #note({ host }: Endpoint, error: unknown): void {
    const isDown = error instanceof ConnectionError || isTransient(error);
    if (isDown) this.#down.set(host, performance.now() + MIRROR_DOWN_MS);
  }

  /** Whatever is wrong with a mirror, the registry itself is asked. */
  async #anywhere<T>(reference: Reference, action: string, signal: AbortSignal | undefined, from: From<T>): Promise<T> {
    const places = this.#available(reference);
    for (const [index, endpoint] of places.entries()) {
      try {
        return await from(endpoint);
      } catch (error) {
        if (index === places.length - 1 || this.#with(signal).signal?.aborted) throw error;
        this.#note(endpoint, error);
      }
    }
    throw new TsboxError(`${action}: nobody to ask`, { code: "registry_error" });
  }
}

function finderOf(given: RegistryOptions["credentials"]) {
  if (typeof given === "function") return given;
  if (given === false) return async () => undefined;
  if (given !== undefined) return async () => given;
  const files = new CredentialFiles();
  return (domain: string, path: string) => files.find(domain, path);
}

/** Names that were put together by hand lead nowhere else than names that were read. @throws TsboxError */
function checked(reference: Reference): Reference {
  const read = parseReference(formatReference(reference));
  if (read.domain === reference.domain && read.path === reference.path) return read;
  throw new TsboxError(`use the image name ${show(formatReference(reference))}: not one`, {
    code: "reference_invalid",
  });
}

function checkDigest(digest: string): void {
  if (!isDigest(digest)) throw new TsboxError(`use the digest ${show(digest)}: not one`, { code: "image_invalid" });
}

const shortDigest = (digest: Digest): string => digest.slice(0, digest.indexOf(":") + 13);

function manifestOf(reference: Reference, verb: string) {
  const wanted = withDefaultTag(checked(reference));
  const at = `manifests/${wanted.digest ?? wanted.tag}`;
  return { wanted, at, action: `${verb} the manifest of ${named(wanted)}` };
}
