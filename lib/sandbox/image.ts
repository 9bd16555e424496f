/**
 * Sandboxes of images: the image is found in the store, its layers are held there as long as the sandbox lives, and what
 * its config says counts where the caller says nothing. No network, and no database, for one that is there.
 * @module
 */
import { absolute, kindOfPath, TsboxError, show } from "../../syscalls/index.ts";
import { parsePlatform, platformWarning, type Digest, type ImageConfig } from "../image/index.ts";
import { imageIds } from "../launch/index.ts";
import { defaultRoot, Store, type IdMaps, type Lease, type StoredImage } from "../store/index.ts";
import {
  checkArray,
  checkChoice,
  checkHostPath,
  checkKeys,
  checkObject,
  checkText,
  invalid,
} from "../options/index.ts";
import { configured, volumesOf } from "./image-config.ts";
import type { ImageOptions, RunOptions, SandboxOptions } from "./options.ts";
import { withPrivileges } from "./privileged.ts";
import { StackedRoot, type Request } from "./stacked-root.ts";

/** What a sandbox is made of. */
export interface BoxImage {
  /** As it was asked for. */
  reference: string;
  /** Of its manifest. */
  digest: Digest;
  /** Of its config. */
  id: Digest;
  config: ImageConfig;
}

export interface ImageInUse {
  image: BoxImage;
  /** Of the store. */
  root: string;
  /** Its layers can be removed then. More calls do no harm. */
  release(): void;
  /** A descriptor with which somebody else holds the layers, once this program leaves them. */
  lock?: number;
  leave(): void;
  /** Of its platform. */
  warning?: string;
}

/** A request, with the image that it asks for. */
export interface Prepared {
  command: string[];
  request: Request;
  image?: ImageInUse;
}

/**
 * Finds what a request asks for.
 * @throws TsboxError `image_not_found`, `image_invalid`, `store_unavailable`, `invalid_option`
 */
export function prepare(command: string[], options: RunOptions): Prepared {
  if (options.image === undefined) {
    if (options.entrypoint !== undefined)
      throw invalid(
        "use an entrypoint without an image: there is none that it could replace",
        "write it as the command",
      );
    return { command, request: withPrivileges(options) };
  }
  checkArray("command", command);
  const wanted = checkImage(options);
  using store = openStore(wanted);
  const found = store && findIn(store, wanted);
  if (!store || !found) throw notFound(wanted);
  const { config } = found;
  const warning = wanted.platform === undefined ? platformWarning(found.platform) : undefined;
  const lease = leaseOf(store, found, imageIds());
  const image = { reference: wanted.reference, digest: found.manifestDigest, id: found.id, config };
  try {
    const stack = new StackedRoot(lease.lowers, volumesOf(config.config ?? {}), store.path);
    const held: ImageInUse = {
      image,
      root: store.path,
      release: () => lease[Symbol.dispose](),
      leave: () => lease.leave(),
      ...(lease.lock !== undefined && { lock: lease.lock }),
      ...(warning !== undefined && { warning }),
    };
    return { ...preparedOf(command, options, { config, stack }), image: held };
  } catch (error) {
    lease[Symbol.dispose]();
    throw error;
  }
}

/** The same, of an image that somebody holds. */
export function preparedOf(
  command: string[],
  asked: RunOptions,
  { config, stack }: { config: ImageConfig; stack: StackedRoot },
): Prepared {
  const { command: words, options } = configured(command, asked, config.config ?? {});
  const request = withPrivileges(options);
  return { command: words, request: { ...(imageIds() ? withIds(request) : request), stack } };
}

/** Layers that were unpacked before there were such ids are all the user's own. */
function leaseOf(store: Store, image: StoredImage, ids: IdMaps | undefined): Lease {
  try {
    return store.lease(image, ids);
  } catch (error) {
    if (!ids || (error as TsboxError).code !== "image_not_found") throw error;
    return store.lease(image);
  }
}

/** An image is of many users. */
function withIds(request: Request): Request {
  const { namespaces, uidMappings, gidMappings } = request;
  if (namespaces?.user !== undefined || (uidMappings ?? gidMappings)) return request;
  return { ...request, namespaces: { ...namespaces, user: "auto" } };
}

/** @throws TsboxError `invalid_option`, `reference_invalid` */
export function checkImage(options: SandboxOptions): ImageOptions {
  const { image, rootfs, namespaces } = options;
  const wanted = typeof image === "string" ? { reference: image } : (image as ImageOptions);
  checkObject("image", wanted, '"debian:bookworm", or { reference: "debian:bookworm", pull: "never" }');
  checkKeys("image option", wanted, ["reference", "pull", "platform", "root"]);
  checkText("image", wanted.reference);
  checkChoice<string>("pull", wanted.pull, "missing", "always", "never");
  if (wanted.platform !== undefined) parsePlatform(checkText("platform", wanted.platform));
  if (wanted.root !== undefined) checkHostPath("store", wanted.root);
  if (rootfs !== undefined) throw invalid("use an image and a rootfs: they are the same", "leave one of them out");
  if ((namespaces?.mount ?? "private") !== "private")
    throw invalid("use an image in a shared mount namespace: nothing can be mounted there");
  return wanted;
}

/** Undefined where there is none yet, and so nothing in it. */
function openStore({ root: asked }: ImageOptions): Store | undefined {
  const root = asked === undefined ? defaultRoot() : absolute(asked);
  return kindOfPath(`${root}/version`) === undefined ? undefined : Store.open({ root, readOnly: true });
}

/** One that is for the platform that is asked for. */
function findIn(store: Store, { reference, platform }: ImageOptions): StoredImage | undefined {
  try {
    return store.findImage(reference, platform === undefined ? {} : { platform: parsePlatform(platform) });
  } catch (error) {
    if ((error as TsboxError).code !== "platform_not_found") throw error;
    return undefined;
  }
}

function notFound({ reference, pull, platform }: ImageOptions): TsboxError {
  const which = platform === undefined ? "" : ` for ${platform}`;
  return new TsboxError(`use the image ${show(reference)}${which}: it is not in the store`, {
    code: "image_not_found",
    hint:
      pull === "never"
        ? `"tsbox pull ${reference}", or another "pull" than "never"`
        : "pull it first: Sandbox.run and Sandbox.create do, while Sandbox.spawn waits for nothing",
  });
}

/** Another tool may have brought it, and has unpacked nothing. */
export function findState(wanted: ImageOptions): "missing" | "packed" | "unpacked" {
  using store = openStore(wanted);
  try {
    const found = store && findIn(store, wanted);
    if (!found) return "missing";
    leaseOf(store, found, imageIds())[Symbol.dispose]();
    return "unpacked";
  } catch (error) {
    if ((error as TsboxError).code !== "image_not_found") throw error;
    return "packed";
  }
}
