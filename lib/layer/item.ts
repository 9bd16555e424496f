/** What calls of the unpacking are about. @module */
import type { TarRecord } from "../../wasm/index.ts";

/** Slots: the directory that entries are made in, the file that is written, the directory of a hard link's target. */
export const [PARENT, FILE, TARGET, COUNT] = [1, 2, 3, 4];

/** What a call is for. */
export const [ENTER, MAKE, LINK, ENTER_TARGET, WRITE, OWN, XATTR, REST] = [1, 2, 3, 4, 5, 6, 7, 8];

/** A directory that entries are made in, by the path that they have; without symlinks once it is known. */
export interface Parent {
  path: string;
  /** The path that they have, where symlinks are in it. */
  via?: string;
}

export interface Item {
  entry: TarRecord;
  parent: Parent;
  name: string;
  wanted: "directory" | "whiteout" | "opaque" | "device" | "other";
  target?: Parent;
  /** The call behind the last one. */
  end: number;
  /** The call that was put right once. */
  again?: number;
}
