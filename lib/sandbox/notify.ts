/**
 * Who answers for the calls that a seccomp filter asks about: a function of the caller's.
 * @module
 * @see seccomp_unotify(2)
 */
import * as sys from "../../syscalls/index.ts";
import { ARCH, ERRNO, offsetOf, runtime, struct, STRUCTS, SYSCALLS } from "../../syscalls/index.ts";
import { listens } from "../plan/index.ts";
import type { SeccompProfile, Spec } from "../spec/index.ts";
import { bury, type Launched } from "../launch/index.ts";
import { startRelay } from "./launch.ts";

/** A call that a process inside is about to make, and waits with. */
export interface NotifiedCall {
  /** Its process id on the host. */
  pid: number;
  /** `"mount"`; the number where it is one of another ABI. */
  syscall: string | number;
  /** Six, unsigned. What they point to may change while one looks at it. */
  args: bigint[];
}

/** The kernel makes the call; or it is not made, and fails or returns a value. */
export type SyscallAnswer = "allow" | { errno: keyof typeof ERRNO } | { value: number | bigint };
export type SyscallHandler = (call: NotifiedCall) => SyscallAnswer | Promise<SyscallAnswer>;

const SIGKILL = 9;
const REQUEST_BYTES = STRUCTS.seccomp_notif.size;
const SECCOMP_USER_NOTIF_FLAG_CONTINUE = 1;
const AUDIT_ARCH = { x64: 0xc000003e, arm64: 0xc00000b7 };

/** As long as the process runs. */
export class Listener {
  readonly #handler: SyscallHandler | undefined;
  readonly #profile: SeccompProfile;
  /** To whom the listener goes. */
  #socket: number | undefined;
  #served = Promise.resolve();
  #relay: Launched | undefined;
  #close = () => {};

  /** Undefined where the filter asks nobody. @throws TsboxError where nobody listens at the profile's path */
  static for(spec: Spec, handler: SyscallHandler | undefined): Listener | undefined {
    const profile = listens(spec) ? spec.linux.seccomp : undefined;
    return profile && new Listener(profile, handler);
  }

  private constructor(profile: SeccompProfile, handler: SyscallHandler | undefined) {
    this.#handler = handler;
    this.#profile = profile;
    if (!handler) this.#socket = sys.connectSocket(profile.listenerPath ?? "");
  }

  /** From now on it answers for the calls of what has been started. */
  attach({ passed, passedNext, pid }: Launched, spec: Spec): void {
    this.#served = Promise.resolve(spec.process.terminal ? passedNext : passed).then((listener) => {
      if (listener === undefined) return;
      if (this.#handler) this.#serve(listener, this.#handler);
      else this.#handOver(listener, pid, spec);
    });
    // told by end()
    this.#served.catch(() => {});
  }

  /** Waits until nothing is left of it. */
  async end(): Promise<void> {
    await this.#served;
    this.#close();
    this.#disconnect();
    if (this.#relay) await bury(this.#relay);
  }

  #disconnect(): void {
    if (this.#socket !== undefined) sys.close(this.#socket);
    this.#socket = undefined;
  }

  /** As the container process state: the process is the only child of init, or of what waits for one that joined. */
  #handOver(listener: number, init: number, { ociVersion, annotations }: Spec): void {
    const { listenerMetadata: metadata } = this.#profile;
    const pid = Number.parseInt(sys.readKernelFile(`/proc/${init}/task/${init}/children`) ?? "") || init;
    const state = {
      ociVersion,
      id: `tsbox-${init}`,
      status: "creating",
      pid,
      bundle: "/",
      ...(annotations && { annotations }),
    };
    const told = { ociVersion, fds: ["seccompFd"], pid, ...(metadata !== undefined && { metadata }), state };
    const sent = sys.sendDescriptor(this.#socket as number, new TextEncoder().encode(JSON.stringify(told)), listener);
    sys.close(listener);
    // exactly one state is sent to a connection
    this.#disconnect();
    if (sent < 0) sys.trySyscall("kill", init, SIGKILL);
  }

  #serve(listener: number, handler: SyscallHandler): void {
    const [ours, theirs] = sys.socketPair();
    this.#relay = startRelay(listener, theirs);
    let rest = new Uint8Array();
    let open = true;
    const receiver = runtime.receive(
      ours,
      (chunk) => {
        let bytes: Uint8Array = Uint8Array.from([...rest, ...chunk]);
        for (; bytes.length >= REQUEST_BYTES; bytes = bytes.subarray(REQUEST_BYTES)) {
          void answer(bytes.slice(0, REQUEST_BYTES), handler).then((response) => open && sys.send(ours, response));
        }
        rest = bytes.slice();
      },
      () => (open = false),
    );
    this.#close = () => {
      if (open) receiver.close();
      open = false;
    };
  }
}

async function answer(request: Uint8Array, handler: SyscallHandler): Promise<Uint8Array> {
  const view = new DataView(request.buffer);
  const data = offsetOf("seccomp_notif", "data");
  const number = view.getInt32(data + offsetOf("seccomp_data", "nr"), true);
  const native = view.getUint32(data + offsetOf("seccomp_data", "arch"), true) === AUDIT_ARCH[ARCH];
  const args = Array.from({ length: 6 }, (_, index) =>
    view.getBigUint64(data + offsetOf("seccomp_data", "args") + index * 8, true),
  );
  const id = view.getBigUint64(0, true);
  const call = {
    pid: view.getInt32(offsetOf("seccomp_notif", "pid"), true),
    syscall: (native ? nameOf(number) : undefined) ?? number,
    args,
  };
  try {
    return respond(id, await handler(call));
  } catch {
    return respond(id, { errno: "EPERM" });
  }
}

function respond(id: bigint, said: SyscallAnswer): Uint8Array {
  if (said === "allow") return struct("seccomp_notif_resp", { id, flags: SECCOMP_USER_NOTIF_FLAG_CONTINUE });
  if ("value" in said) return struct("seccomp_notif_resp", { id, val: BigInt(said.value) });
  return struct("seccomp_notif_resp", { id, error: -ERRNO[said.errno] });
}

const nameOf = (number: number): string | undefined =>
  Object.entries(SYSCALLS).find(([, numbers]) => numbers[ARCH === "x64" ? 0 : 1] === number)?.[0];
