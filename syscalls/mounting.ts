/**
 * A file system as a descriptor: made of a file or a device, mounted nowhere until somebody moves it; gone with its last
 * descriptor.
 * @module
 */
import { close, O_RDONLY, tryOpen } from "./calls.ts";
import { trySyscall } from "./kernel.ts";
import { encoder, path, PATH_BYTES, scratch } from "./scratch.ts";

const O_RDWR = 2;
const EBUSY = 16;

/** A text behind the path. */
function text(value: string): number {
  encoder.encodeInto(`${value}\0`, scratch.bytes.subarray(PATH_BYTES));
  return scratch.address + PATH_BYTES;
}

/**
 * `int fsopen(const char *type, FSOPEN_CLOEXEC)`, `fsconfig` for the source, `int fsmount(int fd, FSMOUNT_CLOEXEC, …)`:
 * read-only, without times of access. The source has up to 255 bytes. A descriptor of its root, or -errno. Since Linux 5.2.
 * @see https://docs.kernel.org/filesystems/mount_api.html
 */
export function mountReadOnly(type: string, source: string): number {
  const [FSCONFIG_SET_FLAG, FSCONFIG_SET_STRING, FSCONFIG_CMD_CREATE] = [0, 1, 6];
  const [CLOEXEC, MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOATIME] = [1, 0x01, 0x10];
  const fs = trySyscall("fsopen", path(type), CLOEXEC);
  if (fs < 0) return fs;
  try {
    const set = (command: number, key: string, value?: string) =>
      trySyscall("fsconfig", fs, command, path(key), value === undefined ? 0 : text(value), 0);
    const results = [
      () => set(FSCONFIG_SET_FLAG, "ro"),
      () => set(FSCONFIG_SET_STRING, "source", source),
      () => trySyscall("fsconfig", fs, FSCONFIG_CMD_CREATE, 0, 0, 0),
    ];
    for (const each of results) {
      const result = each();
      if (result < 0) return result;
    }
    return trySyscall("fsmount", fs, CLOEXEC, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOATIME);
  } finally {
    close(fs);
  }
}

export interface LoopDevice {
  fd: number;
  path: string;
}

/**
 * `int ioctl(int fd, LOOP_CTL_GET_FREE)`, `int ioctl(int fd, LOOP_CONFIGURE, const struct loop_config *)`: a read-only
 * device of a file, which is free again when neither a descriptor nor a mount uses it; -errno where there is none. Since
 * Linux 5.8. @see loop(4)
 */
export function attachLoop(file: number): LoopDevice | number {
  const [LOOP_CTL_GET_FREE, LOOP_CONFIGURE, CONFIG_BYTES] = [0x4c82, 0x4c0a, 304];
  const [FLAGS_AT, READ_ONLY, AUTOCLEAR] = [8 + 52, 1, 4];
  const control = tryOpen("/dev/loop-control", O_RDWR);
  if (control < 0) return control;
  try {
    // another process may be quicker
    for (let tries = 0; tries < 64; tries++) {
      const number = trySyscall("ioctl", control, LOOP_CTL_GET_FREE);
      if (number < 0) return number;
      const device = `/dev/loop${number}`;
      const fd = tryOpen(device, O_RDONLY);
      if (fd < 0) return fd;
      // { u32 fd, block_size; struct loop_info64 { …; u32 lo_flags at 52; … }; u64 reserved[8] }
      scratch.bytes.fill(0, 0, CONFIG_BYTES);
      scratch.view.setUint32(0, file, true);
      scratch.view.setUint32(FLAGS_AT, READ_ONLY | AUTOCLEAR, true);
      const result = trySyscall("ioctl", fd, LOOP_CONFIGURE, scratch.address);
      if (result === 0) return { fd, path: device };
      close(fd);
      if (result !== -EBUSY) return result;
    }
    return -EBUSY;
  } finally {
    close(control);
  }
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
