/** Images that are mounted in containers: found by name, and held as long as a container has them. @module */
import { kindOfPath, TsboxError } from "../../syscalls/index.ts";
import type { Digest } from "../image/index.ts";
import { imageIds } from "../launch/index.ts";
import { StackedRoot, type MountOption } from "../sandbox/index.ts";
import { Store, type Lease } from "../store/index.ts";
import type { Home } from "./home.ts";
import type { ImageMount } from "./options.ts";

const notFound = (reference: string) =>
  new TsboxError(`No such image: ${reference}`, { code: "image_not_found", hint: `"tsbox pull ${reference}"` });

/** What the name stands for now. @throws TsboxError `image_not_found`, `reference_invalid` */
export function findImageMount(home: Home, { source }: ImageMount): Digest {
  if (kindOfPath(`${home.root}/version`) === undefined) throw notFound(source);
  using store = Store.open({ root: home.root, readOnly: true });
  const image = store.findImage(source);
  if (!image) throw notFound(source);
  return image.descriptor.digest;
}

/** @param digest what was found when the container was made @throws TsboxError `image_not_found` */
export function holdImageMount(
  home: Home,
  { source, target, subpath }: ImageMount,
  digest: Digest | undefined,
): { mount: MountOption; lease: Lease } {
  if (kindOfPath(`${home.root}/version`) === undefined) throw notFound(source);
  using store = Store.open({ root: home.root, readOnly: true });
  const image = store.findImage(digest ?? source);
  if (!image) throw notFound(source);
  const lease = leaseOf((ids) => store.lease(image, ids));
  const stack = new StackedRoot(lease.lowers, [], home.root);
  const mount: MountOption = { type: "image", source: stack, target, ...(subpath === undefined ? {} : { subpath }) };
  return { mount, lease };
}

/** Layers that were unpacked before there were subordinate ids are all the user's own. */
function leaseOf(lease: (ids: ReturnType<typeof imageIds>) => Lease): Lease {
  const ids = imageIds();
  try {
    return lease(ids);
  } catch (error) {
    if (!ids || (error as TsboxError).code !== "image_not_found") throw error;
    return lease(undefined);
  }
}
