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

/** Before anything is started that is to be asked about. @throws TsboxError where nobody takes it */
export function connectAgent(path: string): number {
  try {
    return sys.connectSocket(path);
  } catch (error) {
    const { code, message, hint } = error as TsboxError;
    throw new TsboxError(`failed to connect with seccomp agent: ${message}`, {
      code,
      ...(hint !== undefined && { hint }),
      cause: error,
    });
  }
}

/** @param listener taken over, as is @param agent its socket */
export function passListener(listener: number, agent: number, profile: SeccompProfile | undefined, state: State): void {
  using opened = new Descriptors();
  for (const fd of [listener, agent]) opened.add(fd);
  const { listenerMetadata } = profile ?? {};
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
