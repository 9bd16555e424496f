/**
 * The listener of a container's seccomp filter, which goes to the agent that the config names.
 * @module
 * @see https://github.com/opencontainers/runtime-spec/blob/v1.2.0/config-linux.md#containerprocessstate
 */
import * as sys from "../../syscalls/index.ts";
import { Descriptors, TsboxError } from "../../syscalls/index.ts";
import type { SeccompProfile, State } from "../spec/index.ts";

/** A process that has told of a descriptor may not have sent it yet: there is another call in between. */
const SENT_US = 60e6;

/** What a process has sent, or is about to, over a socket. */
export function takeListener(socket: number): number {
  sys.waitBriefly(socket, SENT_US);
  const listener = sys.receiveDescriptor(socket);
  if (listener < 0) throw sys.systemError("take the seccomp listener", "recvmsg", -listener);
  return listener;
}

/** @param listener taken over @throws TsboxError where nobody takes it */
export function passListener(listener: number, profile: SeccompProfile | undefined, state: State): void {
  using opened = new Descriptors();
  opened.add(listener);
  const { listenerPath, listenerMetadata } = profile ?? {};
  if (listenerPath === undefined)
    throw new TsboxError("hand the seccomp listener over: the profile has no listenerPath", { code: "invalid_option" });
  const agent = opened.add(sys.connectSocket(listenerPath));
  const told = {
    ociVersion: state.ociVersion,
    fds: ["seccompFd"],
    pid: state.pid,
    ...(listenerMetadata !== undefined && { metadata: listenerMetadata }),
    state,
  };
  const sent = sys.sendDescriptor(agent, new TextEncoder().encode(JSON.stringify(told)), listener);
  if (sent < 0) throw sys.systemError("hand the seccomp listener over", "sendmsg", -sent);
}
