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
import type { Arch, Argument, Data, Op, Plan, Step } from "../../syscalls/index.ts";
import { compileSeccomp, COOKIE, notifies, refuseCookie, seccompFlags, withCookie } from "../seccomp/index.ts";
import type { SeccompProfile, Spec } from "../spec/index.ts";
import { flags } from "./constants.ts";
import { FOUND, HUNG_UP, jump, jumpIf, label } from "./flow.ts";
import { passOps, sendOps, tellOp } from "./pass.ts";

/** In the command's image, next to the control socket. */
export const PASS_FD = 4;

/** Whether somebody outside is asked about some calls. */
export const listens = ({ linux: { seccomp } }: Spec): boolean => seccomp !== undefined && notifies(seccomp);

/** A compiled filter as a `struct sock_fprog`. */
function filterData(filter: Uint8Array): Data {
  const length = filter.length / STRUCTS.sock_filter.size;
  const program = structure(`filter of ${length} instructions`, "sock_fprog", { len: length });
  program.pointers = [{ offset: offsetOf("sock_fprog", "filter"), to: { data: filter, text: "filter" } }];
  return program;
}

/** Sockets: the listener goes to the one, and the other is told. */
export interface Receivers {
  socket: Argument;
  told: Argument;
}

/** @param receivers of the listener, also of a filter that never asks; without them there is none */
export function filterStep(seccomp: SeccompProfile, arch: Arch, receivers?: Receivers): Step {
  const filter = compileSeccomp(seccomp, arch);
  const load = (loaded: Uint8Array): Op => ({
    call: "seccomp",
    args: [flags("SECCOMP_SET_MODE_FILTER"), seccompFlags(seccomp, receivers !== undefined), filterData(loaded)],
  });
  if (!receivers) return { action: "load the seccomp filter", ops: [load(filter)] };
  const ops = [{ ...load(withCookie(filter)), out: "listener" }, ...handOver(receivers)];
  return { action: "load the seccomp filter, and hand its listener over", ops };
}

function handOver({ socket, told }: Receivers): Op[] {
  return [
    // on one socket, who reads the frame knows that a descriptor is next; with two, it has to be there by then
    ...(socket === told
      ? [tellOp(told, COOKIE), ...sendOps("listener", socket, COOKIE)]
      : passOps("listener", socket, told, COOKIE)),
    { call: "close", args: [ref("listener"), 0, 0, 0, 0, COOKIE] },
    { call: "seccomp", args: [flags("SECCOMP_SET_MODE_FILTER"), 0, filterData(refuseCookie()), 0, 0, COOKIE] },
  ];
}

const POLLIN = 1;
const NOTIF_RECV = named("SECCOMP_IOCTL_NOTIF_RECV", 0xc0502100);
const NOTIF_SEND = named("SECCOMP_IOCTL_NOTIF_SEND", 0xc0182101);

/** Bound are the `listener` and the `socket` to the owner; it ends with either. */
export function relaySteps(): Plan {
  const polled: Data = { data: new Uint8Array(16), text: "[listener, socket]" };
  polled.data.set([...struct("pollfd", { events: POLLIN }), ...struct("pollfd", { events: POLLIN })]);
  const request = buffer("request", STRUCTS.seccomp_notif.size);
  const response = buffer("response", STRUCTS.seccomp_notif_resp.size);
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
    jumpIf("answered", "<", FOUND, "asked"),
    { call: "read", args: [ref("socket"), response, response.data.length], out: "count", onError: "ignore" },
    jumpIf("count", "<", 1, "end"),
    // ENOENT: whoever made the call has been killed
    { call: "ioctl", args: [ref("listener"), NOTIF_SEND, response], onError: "ignore" },
    label("asked"),
    { call: "load", args: [polled, 8], out: "asked" },
    jumpIf("asked", "<", FOUND, "wait"),
    // nobody is left under the filter
    jumpIf("asked", "<", HUNG_UP, "receive"),
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
