/**
 * Passing a descriptor to the owner, over a socket for that.
 * @module
 * @see unix(7) SCM_RIGHTS, sendmsg(2)
 */
import { named, offsetOf, ref, structure, STRUCTS, words, type Argument, type Op } from "../../syscalls/index.ts";
import { PASSED_TAG, REPORT_BYTES } from "./frame.ts";

/**
 * The socket is bound as `pass-socket`; a frame on the other one tells that the descriptor in the slot is there.
 * @param sixth an argument that these calls do not have
 */
export const passOps = (
  slot: string,
  socket: Argument = ref("pass-socket"),
  to: Argument = ref("control"),
  sixth?: bigint,
): Op[] => [...sendOps(slot, socket, sixth), tellOp(to, sixth)];

const restOf = (sixth: bigint | undefined) => (sixth === undefined ? [] : [0, 0, sixth]);

export const tellOp = (to: Argument, sixth?: bigint): Op => ({
  call: "write",
  args: [to, words("passed frame", PASSED_TAG, 0), REPORT_BYTES, ...restOf(sixth)],
});

export function sendOps(slot: string, socket: Argument, sixth?: bigint): Op[] {
  const [SOL_SOCKET, SCM_RIGHTS, MSG_NOSIGNAL] = [1, 1, named("MSG_NOSIGNAL", 0x4000)];
  const cmsg = structure("SCM_RIGHTS", "cmsghdr", { cmsg_len: 20, cmsg_level: SOL_SOCKET, cmsg_type: SCM_RIGHTS });
  const header = STRUCTS.cmsghdr.size;
  const control = { data: new Uint8Array(header + 8), text: `{SCM_RIGHTS, ${slot}}` };
  control.data.set(cmsg.data);
  const byte = words("a byte", 0);
  const iovec = structure("{a byte}", "iovec", { iov_len: 1 });
  iovec.pointers = [{ offset: offsetOf("iovec", "iov_base"), to: byte }];
  const message = structure(control.text, "msghdr", { msg_iovlen: 1, msg_controllen: control.data.length });
  message.pointers = [
    { offset: offsetOf("msghdr", "msg_iov"), to: iovec },
    { offset: offsetOf("msghdr", "msg_control"), to: control },
  ];
  return [
    { call: "store", args: [{ at: control, offset: header }, ref(slot), 4] },
    { call: "sendmsg", args: [socket, message, MSG_NOSIGNAL, ...restOf(sixth)] },
  ];
}
