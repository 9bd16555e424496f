/** What the image of a container says of it. @module */
import { MAX_CONFIG_BYTES, parseImageConfig, type ContainerConfig } from "../image/index.ts";
import { Store } from "../store/index.ts";
import type { Home } from "./home.ts";
import type { ContainerRecord } from "./record.ts";

/** Empty where it has no image, or that has been taken away. @throws TsboxError `image_invalid`, `store_unavailable` */
export function imageConfigOf(home: Home, { image }: Pick<ContainerRecord, "image">): ContainerConfig {
  if (!image) return {};
  using store = Store.open({ root: home.root, readOnly: true });
  if (!store.hasBlob(image.id)) return {};
  const bytes = store.readBlob(image.id, { maxBytes: MAX_CONFIG_BYTES });
  return parseImageConfig(bytes, `the config of "${image.reference}"`).config ?? {};
}
