/**
 * Sockets of a sandbox's network namespace, for its owner: whoever has them reaches the namespace from outside, without
 * any right there or here.
 * @module
 * @see network_namespaces(7), unix(7) SCM_RIGHTS
 */
import {
  named,
  offsetOf,
  ref,
  structure,
  STRUCTS,
  words,
  type Op,
  type Plan,
  type Step,
} from "../../syscalls/index.ts";
import { byte } from "./clone.ts";
import { label } from "./flow.ts";
import { REACHED_TAG, REPORT_BYTES } from "./frame.ts";

const [AF_INET, AF_INET6] = [named("AF_INET", 2), named("AF_INET6", 10)];
const [AF_NETLINK, AF_PACKET] = [named("AF_NETLINK", 16), named("AF_PACKET", 17)];
const CLOSED = named("SOCK_CLOEXEC", 0o2000000);
const stream = named("SOCK_STREAM|SOCK_CLOEXEC|SOCK_NONBLOCK", 0o2004001);
const datagrams = named("SOCK_DGRAM|SOCK_CLOEXEC|SOCK_NONBLOCK", 0o2004002);
const raw = named("SOCK_RAW|SOCK_CLOEXEC|SOCK_NONBLOCK", 0o2004003);
const kernel = named("SOCK_RAW|SOCK_CLOEXEC", (CLOSED.value as number) | 3);
const IPPROTO_RAW = named("IPPROTO_RAW", 255);

/**
 * In the order in which they are passed: to the kernel, for TCP, for UDP, for packets from any address, and for what passes
 * by.
 */
const SOCKETS = {
  route: [AF_NETLINK, kernel, named("NETLINK_ROUTE", 0)],
  netfilter: [AF_NETLINK, kernel, named("NETLINK_NETFILTER", 12)],
  tcp4: [AF_INET, stream, 0],
  udp4: [AF_INET, datagrams, 0],
  raw4: [AF_INET, raw, IPPROTO_RAW],
  passing4: [AF_PACKET, datagrams, 0],
  tcp6: [AF_INET6, stream, 0],
  udp6: [AF_INET6, datagrams, 0],
  raw6: [AF_INET6, raw, IPPROTO_RAW],
  passing6: [AF_PACKET, datagrams, 0],
} as const;

export type NetworkSocketName = keyof typeof SOCKETS;
export const NETWORK_SOCKETS: readonly NetworkSocketName[] = Object.keys(SOCKETS) as NetworkSocketName[];

/** `socket(2)` of one. */
export const networkSocket = (name: NetworkSocketName): [family: number, type: number, protocol: number] => {
  const [family, type, protocol] = SOCKETS[name].map((each) => Number(typeof each === "number" ? each : each.value));
  return [family as number, type as number, protocol as number];
};

/** The one that tells whose network it is: SIOCGSKNS. */
export const ONE_SOCKET: readonly NetworkSocketName[] = ["tcp4"];

/**
 * Bound are `network-socket`, over which they are passed and a byte comes back when the network is ready, and the owner's
 * end of it as `network-owner`.
 */
export function networkSocketSteps(names: readonly NetworkSocketName[]): Plan {
  const header = STRUCTS.cmsghdr.size;
  const [SOL_SOCKET, SCM_RIGHTS, MSG_NOSIGNAL] = [1, 1, named("MSG_NOSIGNAL", 0x4000)];
  const length = header + names.length * 4;
  const cmsg = structure("SCM_RIGHTS", "cmsghdr", { cmsg_len: length, cmsg_level: SOL_SOCKET, cmsg_type: SCM_RIGHTS });
  const control = { data: new Uint8Array(Math.ceil(length / 8) * 8), text: `{SCM_RIGHTS, ${names.join(", ")}}` };
  control.data.set(cmsg.data);
  const iovec = structure("{a byte}", "iovec", { iov_len: 1 });
  iovec.pointers = [{ offset: offsetOf("iovec", "iov_base"), to: words("a byte", 0) }];
  const message = structure(control.text, "msghdr", { msg_iovlen: 1, msg_controllen: length });
  message.pointers = [
    { offset: offsetOf("msghdr", "msg_iov"), to: iovec },
    { offset: offsetOf("msghdr", "msg_control"), to: control },
  ];
  // or an end of file would never be seen
  const leave: Op = { call: "close", args: [ref("network-owner")] };
  const store = (name: NetworkSocketName, index: number): Op => ({
    call: "store",
    args: [{ at: control, offset: header + index * 4 }, ref(name), 4],
  });
  const made = names.flatMap((name, index): Op[] => {
    const socket: Op = { call: "socket", args: [...SOCKETS[name]], out: name };
    if (!name.endsWith("6")) return [socket, store(name, index)];
    // another stands for it where there is no IPv6, as nothing leaves by it then
    const skip = `without ${name}`;
    return [store("tcp4", index), { ...socket, onError: { jump: skip } }, store(name, index), label(skip)];
  });
  const close = names.map((name): Op => {
    const op: Op = { call: "close", args: [ref(name)] };
    return name.endsWith("6") ? { ...op, onError: "ignore" } : op;
  });
  return [
    {
      action: "make sockets of the network namespace",
      code: "unsupported",
      ops: [leave, ...made],
      hint: (errno) => {
        if (errno === "EPROTONOSUPPORT") return "the kernel needs nf_tables (CONFIG_NF_TABLES)";
        return errno === "EAFNOSUPPORT" ? "the kernel needs packet sockets (CONFIG_PACKET)" : undefined;
      },
    },
    {
      action: "pass them to the owner",
      ops: [
        { call: "sendmsg", args: [ref("network-socket"), message, MSG_NOSIGNAL] },
        ...close,
        { call: "write", args: [ref("control"), words("reached frame", REACHED_TAG, 0), REPORT_BYTES] },
      ],
    },
  ];
}

/** Once they have been passed. */
export const untilNetworkAnswered = (): Step => ({
  action: "wait until the network is ready",
  ops: [
    // not at the socket of frames, at which init waits as well
    { call: "read", args: [ref("network-socket"), byte(), 1], out: "network answered" },
    { call: "jumpIf", args: [ref("network answered"), 1, named("==", 0)], label: "go on: network" },
    { call: "exit_group", args: [1] },
    { call: "label", args: [], label: "go on: network" },
    { call: "close", args: [ref("network-socket")] },
  ],
});
