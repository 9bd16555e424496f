/**
 * `/dev` of a container: the nodes that every one has, those that are asked for, and links.
 * @module
 * @see https://github.com/opencontainers/runtime-spec/blob/v1.2.0/config-linux.md#default-devices
 */
import { cstring, named, ref, type Op, type Plan, type Step } from "../../syscalls/index.ts";
import type { ContainerSpec, DeviceNode } from "../spec/index.ts";
import { flags } from "./constants.ts";
import { isBind } from "./mount-options.ts";
import { moveTo, openOrMake } from "./mounts.ts";

const node = (name: string, major: number, minor: number): DeviceNode => ({
  path: `/dev/${name}`,
  type: "c",
  major,
  minor,
});
/** @see https://docs.kernel.org/admin-guide/devices.html */
const DEFAULT_NODES = [
  node("null", 1, 3),
  node("zero", 1, 5),
  node("full", 1, 7),
  node("random", 1, 8),
  node("urandom", 1, 9),
  node("tty", 5, 0),
];
const LINKS = [
  ["/proc/self/fd", "fd"],
  ["/proc/self/fd/0", "stdin"],
  ["/proc/self/fd/1", "stdout"],
  ["/proc/self/fd/2", "stderr"],
] as const;

/** Where the container brings a /dev of the host along, nothing is made in it. */
export function deviceSteps({ mounts, linux: { devices = [] } }: ContainerSpec): Plan {
  const dev = mounts.findLast(({ destination }) => /^\/dev\/*$/.test(destination));
  if (dev && isBind(dev)) return [];
  const asked = new Set(devices.map(({ path }) => path));
  const nodes = [...DEFAULT_NODES.filter(({ path }) => !asked.has(path)), ...devices];
  // the modes of nodes are as they are told
  const mask = (bits: number): Op => ({ call: "umask", args: [bits] });
  const steps = nodes.map((each, index) => nodeStep(each, index));
  const [first, last] = [steps[0] as Step, steps.at(-1) as Step];
  first.ops.unshift(mask(0));
  last.ops.push(mask(0o022));
  return [...steps, linkStep()];
}

/** As makedev(3) of the kernel's 32-bit numbers. */
const numberOf = ({ major, minor }: DeviceNode) => ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0;
const KIND = { b: 0o060000, c: 0o020000, u: 0o020000, p: 0o010000 };
const AT_SYMLINK_NOFOLLOW = named("AT_SYMLINK_NOFOLLOW", 0x100);

/** What may make no nodes, as in a user namespace, or finds something at that name, binds the host's. */
function nodeStep(device: DeviceNode, index: number): Step {
  const { path, type, fileMode = 0o666, uid = 0, gid = 0 } = device;
  const end = path.lastIndexOf("/");
  const name = cstring(path.slice(end + 1));
  const directory = ref("device-directory");
  const mode = KIND[type] | (fileMode & 0o7777);
  const [bind, done] = [`bind device ${index}`, `device ${index}`];
  const how = flags("OPEN_TREE_CLONE", "OPEN_TREE_CLOEXEC");
  return {
    action: `make the device "${path}"`,
    ops: [
      ...openOrMake(path.slice(0, end) || "/", "directory", "device-directory", () => [], `device ${index}`),
      {
        call: "mknodat",
        args: [directory, name, named(`0${mode.toString(8)}`, mode), numberOf(device)],
        onError: { jump: bind },
      },
      ...(uid === 0 && gid === 0
        ? []
        : [{ call: "fchownat", args: [directory, name, uid, gid, AT_SYMLINK_NOFOLLOW] } satisfies Op]),
      { call: "jump", args: [], label: done },
      { call: "label", args: [], label: bind },
      { call: "mknodat", args: [directory, name, flags("S_IFREG"), 0], onError: "ignore" },
      { call: "open_tree", args: [flags("AT_FDCWD"), cstring(path), how], out: "device" },
      moveTo("device", directory, path.slice(end + 1)),
      { call: "close", args: [ref("device")] },
      { call: "label", args: [], label: done },
      { call: "close", args: [directory] },
    ],
    code: "mount_failed",
    path,
    hint: (errno) => (errno === "ENOENT" ? "it could not be made, and the host has none to be bound" : undefined),
  };
}

function linkStep(): Step {
  const directory = ref("device-directory");
  const link = (to: string, name: string): Op => ({
    call: "symlinkat",
    args: [cstring(to), directory, cstring(name)],
    onError: { ignore: "EEXIST" },
  });
  return {
    action: "make the links of /dev",
    ops: [
      ...openOrMake("/dev", "directory", "device-directory", () => [], "links"),
      ...LINKS.map(([to, name]) => link(to, name)),
      // a kernel may have none
      { call: "faccessat", args: [flags("AT_FDCWD"), cstring("/proc/kcore"), 0], onError: { jump: "no kcore" } },
      link("/proc/kcore", "core"),
      { call: "label", args: [], label: "no kcore" },
      // one of the root filesystem's own would be the host's terminals
      { call: "unlinkat", args: [directory, cstring("ptmx"), 0], onError: "ignore" },
      link("pts/ptmx", "ptmx"),
      { call: "close", args: [directory] },
    ],
    code: "mount_failed",
    path: "/dev",
  };
}
