/**
 * Mounts of images: their layers, lying on each other, as an overlay that nobody can write. It is put together on a file
 * system in memory that lies over "/" for as long as that takes.
 * @module
 * @see https://docs.kernel.org/filesystems/overlayfs.html
 */
import { cstring, ref } from "../../syscalls/index.ts";
import type { Op, Step } from "../../syscalls/index.ts";
import type { Mount } from "../spec/index.ts";
import type { ImageTree } from "./compile.ts";
import { flags } from "./constants.ts";
import { moveTo, openBelow, openFilesystem, openSource } from "./mounts.ts";

const here = flags("AT_FDCWD");
/** Of lower directories in one string of fsconfig(2). */
const MAX_STRING = 256;
const ATTRIBUTES = ["ro", "nosuid", "nodev"];

/** Of the directory that the layers are in. */
export const imageSlot = (destination: string): string => `layers for ${destination}`;

export const openLayers = (destination: string, { directory }: ImageTree): Step =>
  openSource(directory, imageSlot(destination), ["nosuid", "nodev"]);

const makeHere = (name: string): Op => ({ call: "mkdirat", args: [here, cstring(name), 0o755] });

/** @param opened there is an open tree of the layers' directory already */
export function imageSteps({ destination }: Mount, image: ImageTree, tree: string, opened: boolean): Step[] {
  const { layers, subpath = "." } = image;
  const [places, merged, layersTree] = ["image places", "image merged", imageSlot(destination)];
  const place = openFilesystem("tmpfs", places, ["mode=755"], `the layers for "${destination}"`);
  const links = layers.map((layer, index): Op => ({
    call: "symlinkat",
    args: [cstring(`lower/${layer}`), here, cstring(String(index))],
  }));
  // nothing that is written needs two at least
  const names = [...layers.map((_, index) => String(index)), "empty", ...(layers.length === 0 ? ["none"] : [])];
  const lowers =
    names.join(":").length < MAX_STRING ? [`lowerdir=${names.join(":")}`] : names.map((name) => `lowerdir+=${name}`);
  const overlay = openFilesystem("overlay", merged, [...lowers, "userxattr", ...ATTRIBUTES], `"${destination}"`);
  const below = openBelow("merged", subpath, tree, ATTRIBUTES);
  const closed = (slot: string): Op => ({ call: "close", args: [ref(slot)] });
  return [
    ...(opened ? [] : [openLayers(destination, image)]),
    {
      ...place,
      ops: [
        ...place.ops,
        moveTo(places, here, "/"),
        { call: "fchdir", args: [ref(places)] },
        ...["lower", "empty", "none", "merged"].map(makeHere),
        ...links,
        moveTo(layersTree, here, "lower"),
      ],
    },
    { ...overlay, ops: [...overlay.ops, moveTo(merged, here, "merged")] },
    { ...below, action: `open "${subpath}" of the image for "${destination}"` },
    {
      action: "take its layers out of the way",
      ops: [
        // absolute paths have led to the host all the time
        { call: "umount2", args: [cstring("."), flags("MNT_DETACH")] },
        { call: "chdir", args: [cstring("/")] },
        ...[merged, places, layersTree].map(closed),
      ],
    },
  ];
}
