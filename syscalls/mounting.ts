/** File systems by words, as mount(8) mounts them. @module */
import { close } from "./calls.ts";
import { trySyscall } from "./kernel.ts";
import { encoder, path, PATH_BYTES, scratch } from "./scratch.ts";

/** A text behind the path. */
function text(value: string): number {
  encoder.encodeInto(`${value}\0`, scratch.bytes.subarray(PATH_BYTES));
  return scratch.address + PATH_BYTES;
}

/**
 * `int fsopen(const char *type, 0)`, `fsconfig`, `fsmount`, and `move_mount` on a directory, as mount(8) has its words:
 * 0, or -errno. @see fsopen(2), fsconfig(2), move_mount(2)
 */
export function mountOn(type: string, source: string, words: readonly string[], directory: string): number {
  const [FSCONFIG_SET_FLAG, FSCONFIG_SET_STRING, FSCONFIG_CMD_CREATE] = [0, 1, 6];
  const [CLOEXEC, MOVE_MOUNT_F_EMPTY_PATH, AT_FDCWD] = [1, 4, -100];
  const attributes = words.reduce((sum, word) => sum | (ATTRIBUTES[word] ?? 0), 0);
  const fs = trySyscall("fsopen", path(type), CLOEXEC);
  if (fs < 0) return fs;
  try {
    const set = (key: string, value?: string) =>
      value === undefined
        ? trySyscall("fsconfig", fs, FSCONFIG_SET_FLAG, path(key), 0, 0)
        : trySyscall("fsconfig", fs, FSCONFIG_SET_STRING, path(key), text(value), 0);
    const own = words.filter((word) => !Object.hasOwn(ATTRIBUTES, word) && !WITHOUT_MEANING.has(word));
    const results = [
      () => set("source", source),
      ...own.map((word) => () => {
        const equals = word.indexOf("=");
        return equals < 0 ? set(word) : set(word.slice(0, equals), word.slice(equals + 1));
      }),
      ...(words.includes("ro") ? [() => set("ro")] : []),
      () => trySyscall("fsconfig", fs, FSCONFIG_CMD_CREATE, 0, 0, 0),
    ];
    for (const each of results) {
      const result = each();
      if (result < 0) return result;
    }
    const tree = trySyscall("fsmount", fs, CLOEXEC, attributes);
    if (tree < 0) return tree;
    try {
      // both paths have to be in memory at a time
      const empty = text("");
      return trySyscall("move_mount", tree, empty, AT_FDCWD, path(directory), MOVE_MOUNT_F_EMPTY_PATH);
    } finally {
      close(tree);
    }
  } finally {
    close(fs);
  }
}

/** MOUNT_ATTR_* by the words of mount(8). */
const ATTRIBUTES: Record<string, number> = {
  ro: 0x1,
  nosuid: 0x2,
  nodev: 0x4,
  noexec: 0x8,
  noatime: 0x10,
  strictatime: 0x20,
  nodiratime: 0x80,
  nosymfollow: 0x200000,
};
const WITHOUT_MEANING = new Set(["rw", "suid", "dev", "exec", "defaults", "relatime", "atime", "diratime"]);
