/** What a container is made over: its image, as it lies in the store. @module */
import { kindOfPath, TsboxError } from "../../syscalls/index.ts";
import type { ImageConfig } from "../image/index.ts";
import { imageIds } from "../launch/index.ts";
import { Store, type IdMaps } from "../store/index.ts";
import type { Home } from "./home.ts";
import type { ContainerRecord } from "./record.ts";

export interface Base {
  config: ImageConfig;
  /** Directories, the topmost first; none where a layer is not unpacked. */
  layers: string[];
  /** Of the files of its layers. */
  bytes: number;
  /** What the files of its layers are on the disk. */
  ids: IdMaps | undefined;
}

/** Undefined where it is of no image, or that is gone. */
export function findBase(home: Home, { image }: Pick<ContainerRecord, "image">): Base | undefined {
  if (!image || kindOfPath(`${home.root}/version`) === undefined) return undefined;
  using store = Store.open({ root: home.root, readOnly: true });
  const found = store.findImage(image.id);
  if (!found) return undefined;
  const chains = store.layersOf(found).map(({ chainId }) => chainId);
  // those that were unpacked before there were such ids are all the user's own
  for (const ids of new Set([imageIds(), undefined])) {
    const layers = chains.flatMap((chainId) => store.findLayer(chainId, ids) ?? []);
    if (layers.length < chains.length) continue;
    const bytes = layers.reduce((sum, layer) => sum + layer.bytes, 0);
    return { config: found.config, layers: layers.map(({ fs }) => fs).toReversed(), bytes, ids };
  }
  return { config: found.config, layers: [], bytes: 0, ids: undefined };
}

/** @throws TsboxError `image_not_found`, `invalid_option` for one that is of no image */
export function getBase(home: Home, record: Pick<ContainerRecord, "image" | "name">, action: string): Base {
  if (!record.image) {
    throw new TsboxError(`${action} "${record.name}": it is not made of an image`, { code: "invalid_option" });
  }
  const base = findBase(home, record);
  if (base) return base;
  throw new TsboxError(`${action} "${record.name}": its image "${record.image.reference}" is not in the store`, {
    code: "image_not_found",
    hint: `tsbox pull ${record.image.reference}`,
  });
}

export interface HeldBase extends Base, Disposable {}

/** What it is made over, which cannot be removed as long as it is held. @throws as {@link getBase} */
export function holdBase(home: Home, record: Pick<ContainerRecord, "image" | "name">, action: string): HeldBase {
  const base = getBase(home, record, action);
  using store = Store.open({ root: home.root, readOnly: true });
  const image = record.image && store.findImage(record.image.id);
  if (!image) throw new TsboxError(`${action} "${record.name}": its image is gone`, { code: "image_not_found" });
  const lease = store.lease(image, base.ids);
  return { ...base, layers: lease.lowers, [Symbol.dispose]: () => lease[Symbol.dispose]() };
}
