/** Which extended attributes of a layer reach the disk. @module */

/** Every overlay of tsbox is mounted with `userxattr`. @see https://docs.kernel.org/filesystems/overlayfs.html */
export const OPAQUE_XATTR = "user.overlay.opaque";

/** What file systems that lie above others go by: an archive must not say what is hidden, or where else data is. */
const OF_OVERLAYS = /^(?:user|trusted)\.(?:overlay|fuseoverlayfs|containers)\./;
/** Capabilities and access control lists belong to a file; labels and signatures to a machine. */
const KEPT = /^(?:user\.|trusted\.|security\.capability$|system\.posix_acl_(?:access|default)$)/;

export const isKeptXattr = (name: string): boolean => KEPT.test(name) && !OF_OVERLAYS.test(name);
