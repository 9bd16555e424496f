/**
 * Options of a mount as the specification and mount(8) write them, taken apart: attributes of the mount, of all below
 * it, propagation, and what the file system itself has to know.
 * @module
 * @see https://github.com/opencontainers/runtime-spec/blob/v1.2.0/config.md#linux-mount-options, mount_setattr(2)
 */
import { TsboxError } from "../../syscalls/index.ts";
import type { Mount } from "../spec/index.ts";
import type { flags } from "./constants.ts";

export type Attribute = Parameters<typeof flags>[number];

/** `attr_set` and `attr_clr` of mount_setattr(2). */
export interface Attributes {
  set: Attribute[];
  clear: Attribute[];
}

export interface MountOptions {
  own: Attributes;
  /** Of the mount and of all below it. */
  recursive: Attributes;
  /** In their order; none is private. */
  propagation: { type: Attribute; recursive: boolean }[];
  /** What is mounted below the source comes along. */
  rbind: boolean;
  /** An existing mount is changed. */
  remount: boolean;
  /** For the file system, `key=value` or a flag. */
  data: string[];
  /** The same, of those that every file system has; a bind mount of it passes over them, as mount(2) does. */
  superblock: string[];
}

/** By name, and what its absence is called. */
const ATTRIBUTES: Record<string, [attribute: Attribute, on: boolean]> = {
  ro: ["MOUNT_ATTR_RDONLY", true],
  rw: ["MOUNT_ATTR_RDONLY", false],
  nosuid: ["MOUNT_ATTR_NOSUID", true],
  suid: ["MOUNT_ATTR_NOSUID", false],
  nodev: ["MOUNT_ATTR_NODEV", true],
  dev: ["MOUNT_ATTR_NODEV", false],
  noexec: ["MOUNT_ATTR_NOEXEC", true],
  exec: ["MOUNT_ATTR_NOEXEC", false],
  nodiratime: ["MOUNT_ATTR_NODIRATIME", true],
  diratime: ["MOUNT_ATTR_NODIRATIME", false],
  nosymfollow: ["MOUNT_ATTR_NOSYMFOLLOW", true],
  symfollow: ["MOUNT_ATTR_NOSYMFOLLOW", false],
};
/** A choice rather than bits: one of them replaces another, and none is relatime. */
const ACCESS_TIMES: Record<string, Attribute[]> = {
  noatime: ["MOUNT_ATTR_NOATIME"],
  strictatime: ["MOUNT_ATTR_STRICTATIME"],
  relatime: [],
  atime: [],
  norelatime: [],
  nostrictatime: [],
};
const PROPAGATION: Record<string, Attribute> = {
  private: "MS_PRIVATE",
  shared: "MS_SHARED",
  slave: "MS_SLAVE",
  unbindable: "MS_UNBINDABLE",
};
/** Read elsewhere, or without a meaning: the kernel never logs what this interface is told, which is `silent`. */
const ELSEWHERE = new Set(
  "bind rbind remount tmpcopyup idmap ridmap defaults silent loud iversion noiversion".split(" "),
);
const SUPERBLOCK = new Set("async sync dirsync lazytime nolazytime mand nomand".split(" "));

/** As `rootfsPropagation` has them. */
export const PROPAGATIONS = Object.keys(PROPAGATION).flatMap((name) => [name, `r${name}`]);

/** All that mean something by themselves, for every type of file system. */
export const MOUNT_OPTIONS: readonly string[] = [
  ...PROPAGATIONS,
  ...[...Object.keys(ATTRIBUTES), ...Object.keys(ACCESS_TIMES)].flatMap((name) => [name, `r${name}`]),
  ...ELSEWHERE,
  ...SUPERBLOCK,
].toSorted();

const has = <T>(table: Record<string, T>, name: string): T | undefined =>
  Object.hasOwn(table, name) ? table[name] : undefined;

/** `rro` is `ro` for all below, too; `ro`, `relatime` and the like begin with that letter by themselves. */
function find<T>(table: Record<string, T>, option: string): { found: T; recursive: boolean } | undefined {
  const found = has(table, option);
  if (found !== undefined) return { found, recursive: false };
  const below = option.startsWith("r") ? has(table, option.slice(1)) : undefined;
  return below === undefined ? undefined : { found: below, recursive: true };
}

const without = (from: Attribute[], what: Attribute[]) => from.filter((attribute) => !what.includes(attribute));

function setBits({ set, clear }: Attributes, on: Attribute[], off: Attribute[]): Attributes {
  return { set: [...without(set, [...on, ...off]), ...on], clear: [...without(clear, [...on, ...off]), ...off] };
}

const ACCESS_TIME_BITS: Attribute[] = ["MOUNT_ATTR_NOATIME", "MOUNT_ATTR_STRICTATIME"];

/** A later option replaces an earlier one. */
export function parseMountOptions(options: readonly string[]): MountOptions {
  const parsed: MountOptions = {
    own: { set: [], clear: [] },
    recursive: { set: [], clear: [] },
    propagation: [],
    rbind: options.includes("rbind"),
    remount: options.includes("remount"),
    data: [],
    superblock: [],
  };
  for (const option of options) {
    const attribute = find(ATTRIBUTES, option);
    const time = find(ACCESS_TIMES, option);
    const propagation = find(PROPAGATION, option);
    const of = (attribute ?? time)?.recursive === true ? "recursive" : "own";
    if (attribute) {
      const [name, on] = attribute.found;
      parsed[of] = setBits(parsed[of], on ? [name] : [], on ? [] : [name]);
    } else if (time) {
      // the kernel wants all of these bits to be cleared where one is set
      const cleared = setBits(parsed[of], [], ACCESS_TIME_BITS);
      parsed[of] = { set: [...cleared.set, ...time.found], clear: [...cleared.clear, "MOUNT_ATTR__ATIME"] };
      parsed[of].clear = without(parsed[of].clear, ACCESS_TIME_BITS);
    } else if (propagation) parsed.propagation.push({ type: propagation.found, recursive: propagation.recursive });
    else if (SUPERBLOCK.has(option)) parsed.superblock.push(option);
    else if (!ELSEWHERE.has(option)) parsed.data.push(option);
  }
  return parsed;
}

export const isBind = ({ type, options }: Mount): boolean =>
  type === "bind" || (options !== undefined && (options.includes("bind") || options.includes("rbind")));

/** @throws TsboxError `invalid_option` */
export function checkMount(mount: Mount): void {
  const { destination, options = [] } = mount;
  const { data, superblock, remount } = parseMountOptions(options);
  const [unknown] = [...data, ...superblock];
  // others pass over them
  if ((isBind(mount) || remount) && unknown !== undefined) {
    throw new TsboxError(`mount on "${destination}" with the option "${unknown}": not one of a bind mount`, {
      code: "invalid_option",
      hint: "options of a file system belong to where that is mounted first",
    });
  }
  checkCopiedUp(mount);
}

/** @throws TsboxError `invalid_option` */
export function checkCopiedUp({ destination, type, options = [] }: Mount): void {
  if (!options.includes("tmpcopyup") || type === "tmpfs") return;
  throw new TsboxError(`mount on "${destination}" with the option "tmpcopyup": only a tmpfs has it`, {
    code: "invalid_option",
  });
}
