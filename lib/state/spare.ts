/**
 * `ROOT/state.spare`: room that is given up when the disk is full, for databases to be opened in, and for what makes room.
 * @module
 */
import { OpenFile, type Directory } from "../../syscalls/index.ts";

const FILE = "state.spare";
/** The first for which there is room. */
const SIZES = [512, 256, 128, 64].map((kib) => kib * 1024);

/** Where there is room for it; it grows again where it is smaller than it could be. */
export function makeSpare(directory: Directory): void {
  try {
    const { sizeBytes = 0 } = directory.status(FILE) ?? {};
    const larger = SIZES.filter((bytes) => bytes > sizeBytes);
    if (larger.length === 0) return;
    using file = OpenFile.open(directory, FILE, { as: "maker" });
    if (!larger.some((bytes) => file?.allocate(bytes)) && sizeBytes === 0) directory.remove(FILE);
  } catch {
    // there is none then
  }
}

/** @returns false where there is none @throws TsboxError where it cannot be removed */
export function takeSpare(directory: Directory): boolean {
  if (!directory.status(FILE)) return false;
  directory.remove(FILE);
  return true;
}
