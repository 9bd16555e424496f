/**
 * The listener of a seccomp filter, which decides about the calls that the filter asks it for: how it gets to the owner,
 * and the process that waits at it.
 *
 * An event loop cannot wait for a listener: it is read by an ioctl that blocks. A *relay*, a process outside of the
 * sandbox, moves what is asked to a socket of the owner's, and the answers back.
 * @module
 * @see seccomp_unotify(2)
 */
import { buffer, named, offsetOf, ref, structure, struct, STRUCTS } from "../../syscalls/index.ts";
import type { Argument, Data, Op, Plan } from "../../syscalls/index.ts";
import { COOKIE, notifies, refuseCookie } from "../seccomp/index.ts";
import type { Spec } from "../spec/index.ts";
import { flags } from "./constants.ts";
import { passOps } from "./pass.ts";

/** In the command's image, next to the control socket. */
export const PASS_FD = 4;

/** Whether somebody outside is asked about some calls. */
export const listens = ({ linux: { seccomp } }: Spec): boolean => seccomp !== undefined && notifies(seccomp);

/** A compiled filter as a `struct sock_fprog`. */
export function filterData(filter: Uint8Array): Data {
  const length = filter.length / STRUCTS.sock_filter.size;
  const program = structure(`filter of ${length} instructions`, "sock_fprog", { len: length });
  program.pointers = [{ offset: offsetOf("sock_fprog", "filter"), to: { data: filter, text: "filter" } }];
  return program;
}

/** Once the filter is loaded, and its listener the slot `listener`. */
export function handOver(socket: Argument, control: Argument): Op[] {
  return [
    ...passOps("listener", socket, control, COOKIE),
    { call: "close", args: [ref("listener"), 0, 0, 0, 0, COOKIE] },
    { call: "seccomp", args: [flags("SECCOMP_SET_MODE_FILTER"), 0, filterData(refuseCookie()), 0, 0, COOKIE] },
  ];
}

const POLLIN = 1;
/** What poll found is the upper half of its record: with nothing, the word is below; with POLLHUP, at least the other. */
const [FOUND, HUNG_UP] = [2 ** 48, 2 ** 52];
const NOTIF_RECV = named("SECCOMP_IOCTL_NOTIF_RECV", 0xc0502100);
const NOTIF_SEND = named("SECCOMP_IOCTL_NOTIF_SEND", 0xc0182101);

/** Bound are the `listener` and the `socket` to the owner; it ends with either. */
export function relaySteps(): Plan {
  const polled: Data = { data: new Uint8Array(16), text: "[listener, socket]" };
  polled.data.set([...struct("pollfd", { events: POLLIN }), ...struct("pollfd", { events: POLLIN })]);
  const request = buffer("request", STRUCTS.seccomp_notif.size);
  const response = buffer("response", STRUCTS.seccomp_notif_resp.size);
  const label = (name: string): Op => ({ call: "label", args: [], label: name });
  const jump = (to: string): Op => ({ call: "jump", args: [], label: to });
  const jumpIf = (slot: string, value: number, how: "<" | "==", to: string): Op => ({
    call: "jumpIf",
    args: [ref(slot), value, named(how, how === "<" ? 2 : 0)],
    label: to,
  });
  // the kernel takes nothing but zeros
  const clear = Array.from({ length: request.data.length / 8 }, (_, index): Op => ({
    call: "store",
    args: [{ at: request, offset: index * 8 }, 0, 8],
  }));
  const loop: Op[] = [
    { call: "store", args: [{ at: polled, offset: 0 }, ref("listener"), 4] },
    { call: "store", args: [{ at: polled, offset: 8 }, ref("socket"), 4] },
    label("wait"),
    { call: "ppoll", args: [polled, 2, 0, 0, 8], onError: "ignore" },
    { call: "load", args: [{ at: polled, offset: 8 }, 8], out: "answered" },
    jumpIf("answered", FOUND, "<", "asked"),
    { call: "read", args: [ref("socket"), response, response.data.length], out: "count", onError: "ignore" },
    jumpIf("count", 1, "<", "end"),
    // ENOENT: whoever made the call has been killed
    { call: "ioctl", args: [ref("listener"), NOTIF_SEND, response], onError: "ignore" },
    label("asked"),
    { call: "load", args: [polled, 8], out: "asked" },
    jumpIf("asked", FOUND, "<", "wait"),
    // nobody is left under the filter
    jumpIf("asked", HUNG_UP, "<", "receive"),
    jump("end"),
    label("receive"),
    ...clear,
    { call: "ioctl", args: [ref("listener"), NOTIF_RECV, request], onError: { jump: "wait" } },
    { call: "write", args: [ref("socket"), request, request.data.length], onError: { jump: "end" } },
    jump("wait"),
    label("end"),
    { call: "exit_group", args: [0] },
  ];
  return [{ action: "move questions and answers between the listener and the owner", ops: loop }];
}
