/**
 * Volumes that are a file system of their own: it is mounted on `_data` by the first container that uses the volume, and
 * goes when a command finds that none does. An ordinary user mounts nothing on the host: a directory is bound instead,
 * and a tmpfs is each container's own.
 * @module
 * @see fsopen(2), fsconfig(2), move_mount(2)
 */
import { detachMount, errnoName, mountOn, readKernelFile, realPath, TsboxError } from "../../syscalls/index.ts";
import type { VolumeRecord } from "./record.ts";

/** Where the mount table says that something is mounted. */
export function isMounted(path: string): boolean {
  const wanted = realPath(path) ?? path;
  return (readKernelFile("/proc/self/mountinfo") ?? "")
    .split("\n")
    .some((line) => unescaped(line.split(" ")[4] ?? "") === wanted);
}

const unescaped = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));

/** Words of mount(8) that choose how it is mounted rather than what. */
const isBindOption = (word: string): boolean => word === "bind" || word === "rbind";

/** A directory of the host that is the volume: `type=none,o=bind,device=/srv`; undefined for all others. */
export function boundDirectory({ options: { type, o = "", device } }: VolumeRecord): string | undefined {
  return (type === "none" || type === "bind") && o.split(",").some(isBindOption) ? device : undefined;
}

export const isReadOnly = ({ options: { o = "" } }: VolumeRecord): boolean => o.split(",").includes("ro");

/** Whether there is something to mount before it can be used. */
export const hasFileSystem = (record: VolumeRecord): boolean =>
  record.options["type"] !== undefined && boundDirectory(record) === undefined;

/** @throws TsboxError `mount_failed` */
export function mountVolume(record: VolumeRecord, data: string): void {
  if (isMounted(data)) return;
  const { type = "", o = "", device = "" } = record.options;
  const result = mountOn(type, device, o.split(",").filter(Boolean), data);
  if (result >= 0) return;
  const how = `type: ${type}, device: ${device}, o: ${o}`;
  throw new TsboxError(
    `error while mounting volume '${data}': failed to mount local volume: mount ${device}:${data}, data: ${o}: ${errnoName(-result)}`,
    { code: "mount_failed", errno: -result, path: data, hint: how },
  );
}

/** @returns whether it is gone; somebody may still use it */
export function unmountVolume(data: string): boolean {
  return !isMounted(data) || detachMount(data) === 0;
}
