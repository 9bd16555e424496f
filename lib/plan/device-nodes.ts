/**
 * `/dev` of a container: the nodes that every one has, those that are asked for, and links.
 * @module
 * @see https://github.com/opencontainers/runtime-spec/blob/v1.2.0/config-linux.md#default-devices
 */
import { cstring, named, ref, type Op, type Plan, type Step } from "../../syscalls/index.ts";
import type { ContainerSpec, DeviceNode, IdMapping, Linux } from "../spec/index.ts";
import { flags } from "./constants.ts";
import { isBind } from "./mount-options.ts";
import { moveTo, openFilesystem, openOrMake, restrictTree } from "./mounts.ts";

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
/** A link to the container's own, also where it is asked for: a bind of the host's cannot be opened. */
const PTMX = "/dev/ptmx";

/** The slot of a file system of the owner's, with nodes that are called by their numbers. */
export const NODES = "nodes";

/** Whoever owns the machine may make nodes, and binds of them keep their owners. */
export function ownersNodes(
  nodes: readonly DeviceNode[],
  { uidMappings, gidMappings }: Pick<Linux, "uidMappings" | "gidMappings">,
): Plan {
  const made = openFilesystem("tmpfs", NODES, ["nosuid", "noexec", "mode=755"], "devices");
  const steps = nodes.flatMap(({ uid = 0, gid = 0, ...device }, index): Step[] => {
    const [owner, group] = [hostId(uid, uidMappings), hostId(gid, gidMappings)];
    if (owner === undefined || group === undefined) return [];
    const name = cstring(String(index));
    const { mode, permissions } = modeOf(device);
    const ops: Op[] = [
      { call: "mknodat", args: [ref(NODES), name, mode, numberOf(device)] },
      // whatever the umask is
      { call: "fchmodat", args: [ref(NODES), name, permissions] },
      { call: "fchownat", args: [ref(NODES), name, owner, group, AT_SYMLINK_NOFOLLOW] },
    ];
    // without it, the host's own is bound
    return [{ action: `make the device "${device.path}"`, ops: ops.map((op) => ({ ...op, onError: "ignore" })) }];
  });
  return [{ ...made, ops: [...made.ops, { call: "close", args: [ref("config")] }] }, ...steps];
}

const hostId = (id: number, mappings: readonly IdMapping[] = []): number | undefined =>
  mappings.flatMap(({ containerID, hostID, size }) =>
    id >= containerID && id < containerID + size ? [hostID + id - containerID] : [],
  )[0];

/**
 * Where the container brings a /dev of the host along, nothing is made in it.
 * @param hasNodes those that are asked for are bound from {@link NODES}
 */
export function deviceSteps({ mounts, linux: { devices = [] } }: ContainerSpec, hasNodes: boolean): Plan {
  const dev = mounts.findLast(({ destination }) => /^\/dev\/*$/.test(destination));
  if (dev && isBind(dev)) return [];
  const asked = new Set(devices.map(({ path }) => path));
  const nodes = [
    ...DEFAULT_NODES.filter(({ path }) => !asked.has(path)),
    ...devices.filter(({ path }) => path !== PTMX),
  ];
  // the modes of nodes are as they are told
  const mask = (bits: number): Op => ({ call: "umask", args: [bits] });
  const steps = nodes.map((each, index) =>
    nodeStep(each, index, devices.includes(each), hasNodes ? devices.indexOf(each) : -1),
  );
  const [first, last] = [steps[0] as Step, steps.at(-1) as Step];
  first.ops.unshift(mask(0));
  last.ops.push(mask(0o022));
  return [...steps, linkStep()];
}

/** As makedev(3) of the kernel's 32-bit numbers. */
const numberOf = ({ major, minor }: Pick<DeviceNode, "major" | "minor">) =>
  ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0;
const KIND = { b: 0o060000, c: 0o020000, u: 0o020000, p: 0o010000 };
const AT_SYMLINK_NOFOLLOW = named("AT_SYMLINK_NOFOLLOW", 0x100);

const octal = (bits: number) => named(`0${bits.toString(8)}`, bits);
const modeOf = ({ type, fileMode = 0o666 }: Pick<DeviceNode, "type" | "fileMode">) => ({
  mode: octal(KIND[type] | (fileMode & 0o7777)),
  permissions: octal(fileMode & 0o7777),
});

/** Until it is mounted. */
const UNNAMED = cstring(".tsbox-device");

/**
 * What may make no nodes, as in a user namespace, binds the owner's, or the host's. What finds something at that name, as
 * where the container ran before, covers it by a node of its own, without a name.
 * @param asked it is no default one @param made its number among {@link NODES}, or -1
 */
function nodeStep(device: DeviceNode, index: number, asked: boolean, made: number): Step {
  const { path, uid = 0, gid = 0 } = device;
  const end = path.lastIndexOf("/");
  const name = cstring(path.slice(end + 1));
  const directory = ref("device-directory");
  const label = (what: string) => `${what} device ${index}`;
  const how = flags("OPEN_TREE_CLONE", "OPEN_TREE_CLOEXEC");
  const mount = [restrictTree("device"), moveTo("device", directory, path.slice(end + 1))];
  const make = (as: Op["args"][number], otherwise: string): Op[] => [
    {
      call: "mknodat",
      args: [directory, as, modeOf(device).mode, numberOf(device)],
      onError: { jump: label(otherwise) },
    },
    ...(uid === 0 && gid === 0
      ? []
      : [{ call: "fchownat", args: [directory, as, uid, gid, AT_SYMLINK_NOFOLLOW] } satisfies Op]),
  ];
  return {
    action: `make the device "${path}"`,
    ops: [
      ...openOrMake(path.slice(0, end) || "/", "directory", "device-directory", () => [], `device ${index}`),
      ...make(name, "cover"),
      { call: "jump", args: [], label: label("made") },
      { call: "label", args: [], label: label("cover") },
      ...(asked
        ? ([
            ...make(UNNAMED, "bind"),
            { call: "open_tree", args: [directory, UNNAMED, how], out: "device" },
            ...mount,
            // what has no name any more cannot be mounted
            { call: "unlinkat", args: [directory, UNNAMED, 0], onError: "ignore" },
            { call: "jump", args: [], label: label("mounted") },
          ] satisfies Op[])
        : []),
      { call: "label", args: [], label: label("bind") },
      { call: "mknodat", args: [directory, name, flags("S_IFREG"), 0], onError: "ignore" },
      ...(made < 0
        ? []
        : ([
            // EINVAL: before Linux 6.15, nothing of a mount that is not attached can be
            {
              call: "open_tree",
              args: [ref(NODES), cstring(String(made)), how],
              out: "device",
              onError: { jump: label("the host's") },
            },
            { call: "jump", args: [], label: label("opened") },
          ] satisfies Op[])),
      { call: "label", args: [], label: label("the host's") },
      { call: "open_tree", args: [flags("AT_FDCWD"), cstring(path), how], out: "device" },
      { call: "label", args: [], label: label("opened") },
      ...mount,
      { call: "label", args: [], label: label("mounted") },
      { call: "close", args: [ref("device")] },
      { call: "label", args: [], label: label("made") },
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
