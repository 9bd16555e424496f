/** Layers of an image whose blobs are there. @module */
import { MAX_MANIFEST_BYTES } from "../image/index.ts";
import type { Store, StoredImage } from "../store/index.ts";
import { TsboxError } from "../../syscalls/index.ts";
import { arriving } from "./arrival.ts";
import { manifestDescriptor } from "./config.ts";
import { receiveImage, type BlobSource, type ReceiveOptions } from "./receive.ts";

/** @throws TsboxError `image_not_found` where a blob is missing, and as images are received */
export async function unpackImage(store: Store, image: StoredImage, options: ReceiveOptions): Promise<void> {
  const bytes = store.readBlob(image.manifestDigest, { maxBytes: MAX_MANIFEST_BYTES });
  const descriptor = manifestDescriptor(image, bytes.length);
  await arriving(store, (arrival) => receiveImage(arrival, NOWHERE, { bytes, descriptor }, undefined, options));
}

const NOWHERE: BlobSource = {
  // oxlint-disable-next-line require-yield
  async *blob({ digest }) {
    throw new TsboxError(`unpack ${digest}: it is not in the store`, { code: "image_not_found", hint: "pull it" });
  },
};
