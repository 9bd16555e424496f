/**
 * What of a file's extended attributes, and of its owner, is the image's: not what belongs to the host or to overlayfs.
 * @module
 * @see https://docs.kernel.org/filesystems/overlayfs.html, capabilities(7), acl(5)
 */
import type { IdMapping } from "../spec/index.ts";
import { refused } from "./looked.ts";
import { isKeptXattr } from "./xattrs.ts";

/** Which ids of the host, on disk, are which ones of the image. */
export interface IdMaps {
  uidMappings: IdMapping[];
  gidMappings: IdMapping[];
}

type ToImageId = (id: number) => number;

/** What the kernel shows where there is none. */
const OVERFLOW_ID = 65534;

/** From ids on disk to those of the image. */
export interface ImageIds {
  toUid: ToImageId;
  toGid: ToImageId;
}

/** Without maps: the same. */
export const imageIds = (ids: IdMaps | undefined): ImageIds => ({
  toUid: toImageIds(ids?.uidMappings),
  toGid: toImageIds(ids?.gidMappings),
});

/** An ordinary user's, who has no other ids: what is its own is root's in the image, as its sandboxes show it. */
export const ownImageIds = (uid: number, gid: number): ImageIds => ({
  toUid: (id) => (id === uid ? 0 : id),
  toGid: (id) => (id === gid ? 0 : id),
});

function toImageIds(maps: IdMapping[] | undefined): ToImageId {
  if (!maps) return (id) => id;
  return (id) => {
    for (const { containerID, hostID, size } of maps)
      if (id >= hostID && id - hostID < size) return containerID + (id - hostID);
    return OVERFLOW_ID;
  };
}

const OVERLAY = /^(?:user|trusted)\.overlay\.(.*)$/s;
/** A file whose content, or a directory whose files, are elsewhere, in a way that no layer can tell. */
const ELSEWHERE = ["redirect", "metacopy", "whiteout"];
const ACL = /^system\.posix_acl_(?:access|default)$/;
const OPAQUE_VALUE = 0x79; // "y"

export interface Attributes {
  xattrs?: Map<string, Uint8Array>;
  /** The directories of this name in the layers below do not show through. */
  isOpaque: boolean;
}

const PLAIN: Attributes = { isOpaque: false };

/**
 * Users' and trusted attributes, capabilities and access control lists. Labels of security modules are the host's
 * business, overlayfs's own are told by whiteouts, and a key with `=` in it cannot be told in an archive.
 * @throws TsboxError `archive_refused` for redirect_dir, metacopy, and whiteouts that are attributes
 */
export function attributesOf(found: Map<string, Uint8Array> | undefined, where: string): Attributes {
  if (!found) return PLAIN;
  const xattrs = new Map<string, Uint8Array>();
  let isOpaque = false;
  for (const [key, value] of found) {
    const own = OVERLAY.exec(key)?.[1];
    if (own !== undefined) {
      if (ELSEWHERE.includes(own) || (own === "opaque" && value[0] !== OPAQUE_VALUE))
        throw refused(where, `overlayfs's attribute "${key}" says that what is in it is elsewhere`);
      isOpaque ||= own === "opaque";
    } else if (!key.includes("=")) {
      if (isKeptXattr(key)) xattrs.set(Buffer.from(key, "latin1").toString("utf8"), value);
    }
  }
  return xattrs.size > 0 ? { xattrs, isOpaque } : { isOpaque };
}

/** The ids in them are those of the image as well. */
export function withImageIds(xattrs: Map<string, Uint8Array>, { toUid, toGid }: ImageIds): Map<string, Uint8Array> {
  const all = new Map<string, Uint8Array>();
  for (const [key, value] of xattrs) {
    const kept =
      key === "security.capability"
        ? capability(value, toUid)
        : ACL.test(key)
          ? accessList(value, toUid, toGid)
          : value;
    if (kept) all.set(key, kept);
  }
  return all;
}

/** `struct vfs_ns_cap_data` names the root that it counts for; in an image that is always its own. */
function capability(value: Uint8Array, toUid: ToImageId): Uint8Array | undefined {
  const [REVISION_2, REVISION_3, ROOT_ID_AT] = [2, 3, 20];
  if (value[3] !== REVISION_3 || value.length < ROOT_ID_AT + 4) return value;
  const root = new DataView(value.buffer, value.byteOffset).getUint32(ROOT_ID_AT, true);
  if (toUid(root) !== 0) return undefined;
  const plain = value.slice(0, ROOT_ID_AT);
  plain[3] = REVISION_2;
  return plain;
}

/** `{ u32 version; { u16 tag, perm; u32 id }[] }`, the id of users and groups that are named. */
function accessList(value: Uint8Array, toUid: ToImageId, toGid: ToImageId): Uint8Array {
  const [ACL_USER, ACL_GROUP] = [2, 8];
  const list = value.slice();
  const view = new DataView(list.buffer);
  for (let at = 4; at + 8 <= list.length; at += 8) {
    const tag = view.getUint16(at, true);
    if (tag === ACL_USER) view.setUint32(at + 4, toUid(view.getUint32(at + 4, true)), true);
    if (tag === ACL_GROUP) view.setUint32(at + 4, toGid(view.getUint32(at + 4, true)), true);
  }
  return list;
}
