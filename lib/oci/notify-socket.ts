/**
 * systemd's notifications out of a container: it gets a socket of its own, so that what it says comes from a process
 * that systemd knows, and says nothing that is not meant for others, such as pids of its own namespace.
 * @module
 * @see sd_notify(3)
 */
import {
  bindDatagramsIn,
  close,
  connectDatagrams,
  Descriptors,
  pipe,
  readNow,
  receiveNow,
  send,
  sendDescriptor,
  systemError,
} from "../../syscalls/index.ts";
import type { ContainerSpec } from "../spec/index.ts";
import type { Container } from "./container.ts";
import { isRunning, type InitProcess } from "./init-process.ts";
import type { Logger } from "./log.ts";

const DIRECTORY = "notify";
const SOCKET = "notify.sock";
/** In the container. */
const MOUNTED = "/run/notify";
/** What a service says of itself; all else, above all what names processes or passes descriptors, stays inside. */
const PASSED_ON = /^(READY|RELOADING|STOPPING|STATUS|ERRNO|WATCHDOG|WATCHDOG_USEC|EXTEND_TIMEOUT_USEC|MONOTONIC_USEC)=/;
const LOOK_AGAIN_MS = 10;
const BARRIER_MS = 30_000;

/**
 * The spec of a container that finds the socket where its environment says. Only the directory is made by now: who
 * starts the container listens.
 */
export function withNotifySocket<Spec extends ContainerSpec>(
  { directory }: Container,
  spec: Spec,
  { notifySocket }: { notifySocket?: string },
): Spec {
  if (notifySocket === undefined || !spec.process) return spec;
  directory.makeDirectory(DIRECTORY, 0o755);
  const source = `${directory.path}/${DIRECTORY}`;
  const mount = { destination: MOUNTED, source, options: ["bind", "nosuid", "noexec", "nodev", "ro"] };
  const env = spec.process.env.filter((variable) => !variable.startsWith("NOTIFY_SOCKET="));
  env.push(`NOTIFY_SOCKET=${MOUNTED}/${SOCKET}`);
  return { ...spec, mounts: [...spec.mounts, mount], process: { ...spec.process, env } };
}

/** What listens for the container, from before it is started. */
export class NotifySocket implements Disposable {
  readonly #opened = new Descriptors();
  readonly #own: number;
  readonly #host: number;

  private constructor(own: number, host: string) {
    this.#own = this.#opened.add(own);
    this.#host = this.#opened.add(connectDatagrams(host));
  }

  /** Undefined where there is none, or the container was created without. @param host systemd's: `$NOTIFY_SOCKET` */
  static bind({ directory, runtime }: Container, host: string | undefined): NotifySocket | undefined {
    if (host === undefined) return undefined;
    using below = directory.directory(DIRECTORY);
    if (!below) return undefined;
    below.remove(SOCKET); // of a start that was killed
    const own = bindDatagramsIn(below.fd, SOCKET, 0o777);
    try {
      return new NotifySocket(own, host);
    } catch (error) {
      // the variable may be of a service that this is not part of any more
      runtime.log.warn(`notify systemd: ${(error as Error).message}; the container is started without`);
      close(own);
      return undefined;
    }
  }

  [Symbol.dispose](): void {
    this.#opened[Symbol.dispose]();
  }

  /**
   * Passes on what the container says until it is ready, or has ended; and then which process it is.
   *
   * @param main the process that systemd is to watch
   */
  async untilReady(init: InitProcess, main: number, log: Logger): Promise<void> {
    for (; isRunning(init); await Bun.sleep(LOOK_AGAIN_MS)) {
      if (!this.#passOn()) continue;
      this.#send(`MAINPID=${main}`);
      await this.#barrier(log);
      return;
    }
  }

  /** Passes on all that it says, until it has ended. */
  async untilEnd(init: InitProcess): Promise<void> {
    for (; isRunning(init); await Bun.sleep(LOOK_AGAIN_MS * 10)) this.#passOn();
    this.#passOn();
  }

  /** What has come by now. @returns whether it said that it is ready */
  #passOn(): boolean {
    let ready = false;
    for (let message; (message = receiveNow(this.#own));) {
      const lines = new TextDecoder()
        .decode(message)
        .split("\n")
        .filter((line) => PASSED_ON.test(line));
      if (lines.length > 0) this.#send(lines.join("\n"));
      ready ||= lines.includes("READY=1");
      if (ready) break;
    }
    return ready;
  }

  #send(text: string): void {
    const result = send(this.#host, new TextEncoder().encode(`${text}\n`));
    if (result < 0) throw systemError("notify systemd", "sendto", -result);
  }

  /** Waits until systemd has read all: it closes a pipe then. @see sd_notify_barrier(3) */
  async #barrier(log: Logger): Promise<void> {
    using opened = new Descriptors();
    const [read, write] = pipe();
    opened.add(read);
    const sent = sendDescriptor(this.#host, new TextEncoder().encode("BARRIER=1"), write);
    close(write);
    if (sent < 0) throw systemError("notify systemd", "sendmsg", -sent);
    for (const end = performance.now() + BARRIER_MS; readNow(read) === undefined; await Bun.sleep(LOOK_AGAIN_MS)) {
      if (performance.now() < end) continue;
      return log.warn(`systemd has not acknowledged that the container is ready for ${BARRIER_MS / 1000} s`);
    }
  }
}
