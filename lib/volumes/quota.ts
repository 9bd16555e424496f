/** How large a volume may become: a project quota of its file system. @module */
import type { Directory } from "../../syscalls/index.ts";
import type { VolumeRecord } from "./record.ts";
export function limitSize(_place: Directory, _record: VolumeRecord): void {
  throw new Error("todo");
}
