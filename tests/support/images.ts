/** Images that tests make: their layers are filled by functions, in a store of a test's own. @module */
import { digestOf, type ContainerConfig, type Digest } from "../../lib/image/index.ts";
import { Store } from "../../lib/store/index.ts";

/** Fills the directory of a layer. */
export type Fill = (directory: string) => void;

export interface MadeImage {
  id: Digest;
  digest: Digest;
}

const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const CONFIG = "application/vnd.oci.image.config.v1+json";
const LAYER = "application/vnd.oci.image.layer.v1.tar";

let made = 0;

/**
 * Puts an image into the store at `root`.
 * @param layers the lowest first; none of them has the blob that it would come from
 */
export async function makeImage(
  root: string,
  name: string,
  layers: readonly Fill[],
  config: ContainerConfig = {},
  about: object = {},
): Promise<MadeImage> {
  using store = Store.open({ root });
  using _hold = store.hold();
  const diffIds = layers.map(() => digestOf(new TextEncoder().encode(`layer ${process.pid} ${made++}`)));
  const architecture = process.arch === "x64" ? "amd64" : process.arch;
  const whole = { os: "linux", architecture, config, rootfs: { type: "layers", diff_ids: diffIds }, ...about };
  const configBlob = await put(store, CONFIG, whole);
  const blobs = diffIds.map((digest) => ({ mediaType: LAYER, digest, size: 1 }));
  const manifest = await put(store, MANIFEST, {
    schemaVersion: 2,
    mediaType: MANIFEST,
    config: configBlob,
    layers: blobs,
  });
  store.setName(name, manifest);
  const [image] = [store.findImage(name)];
  if (!image) throw new Error(`no image ${name}`);
  for (const [index, { chainId, diffId }] of store.layersOf(image).entries()) {
    const pending = await store.prepareLayer(chainId);
    if (!pending.isPending) continue;
    layers[index]?.(pending.fs);
    pending.commit({ diffId, bytes: 0, entries: 0 });
  }
  return { id: image.id, digest: image.manifestDigest };
}

async function put(store: Store, mediaType: string, value: unknown) {
  const bytes = new TextEncoder().encode(JSON.stringify(value));
  const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length };
  using ingest = await store.ingest(descriptor);
  ingest?.write(bytes);
  await ingest?.commit();
  return descriptor;
}
