/**
 * A connection to a bus of D-Bus, or straight to systemd, over a Unix socket; one call at a time.
 * @module
 * @see https://dbus.freedesktop.org/doc/dbus-specification.html#auth-protocol
 */
import * as sys from "../../syscalls/index.ts";
import { errnoName, TsboxError } from "../../syscalls/index.ts";
import { callBytes, FIXED_BYTES, MESSAGE, messageBytes, parseMessage, type Call, type Message } from "./message.ts";
import type { Value } from "./signature.ts";

const EAGAIN = -11;
const ANSWER_MS = 25_000;
/** A line of the handshake is short. */
const MAX_LINE = 16_384;
/** Signals that nobody has asked about yet. */
const MAX_SIGNALS = 1024;

export interface Address {
  /** Of the socket; one that begins with `@` is abstract. */
  socket: string;
  /** Others are on it as well: systemd is one of them. */
  isBus: boolean;
}

/** What the other side answered instead. */
export class BusError extends TsboxError {
  readonly errorName: string;

  constructor(action: string, errorName: string, why: string) {
    super(`${action}: ${why === "" ? errorName : why}`, { code: "system" });
    this.errorName = errorName;
  }
}

export class Bus {
  readonly #fd: number;
  readonly #answerMs: number;
  #serial = 0;
  #received = new Uint8Array(0);
  #signals: Message[] = [];

  private constructor(fd: number, answerMs: number) {
    this.#fd = fd;
    this.#answerMs = answerMs;
  }

  /** @throws TsboxError */
  static async connect({ socket, isBus }: Address, answerMs = ANSWER_MS): Promise<Bus> {
    const fd = sys.connectSocket(socket);
    sys.setNonBlocking(fd);
    const bus = new Bus(fd, answerMs);
    try {
      await bus.#authenticate();
      if (isBus) await bus.call({ ...BUS, member: "Hello", signature: "", values: [] });
      return bus;
    } catch (error) {
      bus[Symbol.dispose]();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    sys.close(this.#fd);
  }

  /**
   * As who the kernel says this process is: a number would be another one in a user namespace. All at once, so that the
   * other side is done with it when it has answered: systemd forgets about a call that it reads along with the last line.
   */
  async #authenticate(): Promise<void> {
    const end = performance.now() + this.#answerMs;
    await this.#send(text("\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n"), end);
    const lines = [await this.#line(end)];
    if (lines[0]?.startsWith("DATA")) lines.push(await this.#line(end));
    const answer = lines.at(-1) as string;
    if (!answer.startsWith("OK "))
      throw failure(`it does not let this user in: ${JSON.stringify(answer.slice(0, 80))}`);
  }

  /** @returns what the reply holds @throws BusError, TsboxError */
  async call(call: Call): Promise<Value[]> {
    const end = performance.now() + this.#answerMs;
    const serial = ++this.#serial;
    await this.#send(callBytes(call, serial), end);
    for (;;) {
      const message = await this.#message(end);
      if (message.replySerial === serial && message.type === MESSAGE.reply) return message.values;
      if (message.replySerial === serial && message.type === MESSAGE.error) {
        const [why] = message.values;
        throw new BusError(`call ${call.member}`, message.errorName ?? "", typeof why === "string" ? why : "");
      }
      this.#keep(message);
    }
  }

  /** The first signal that is as it should be, also of those that have come before. @throws TsboxError in the end */
  async signal(matches: (message: Message) => boolean, timeoutMs: number): Promise<Message> {
    const found = this.#signals.find(matches);
    if (found) {
      this.#signals = this.#signals.filter((each) => each !== found);
      return found;
    }
    for (const end = performance.now() + timeoutMs; ;) {
      const message = await this.#message(end);
      if (message.type === MESSAGE.signal && matches(message)) return message;
      this.#keep(message);
    }
  }

  #keep(message: Message): void {
    if (message.type !== MESSAGE.signal) return;
    this.#signals.push(message);
    if (this.#signals.length > MAX_SIGNALS) this.#signals.shift();
  }

  async #message(end: number): Promise<Message> {
    // it may have more to say than anybody asked for
    if (performance.now() > end) throw failure("it does not answer");
    while (this.#received.length < FIXED_BYTES) await this.#receive(end);
    const length = messageBytes(this.#received);
    while (this.#received.length < length) await this.#receive(end);
    const bytes = this.#received.slice(0, length);
    this.#received = this.#received.slice(length);
    return parseMessage(bytes);
  }

  async #line(end: number): Promise<string> {
    for (;;) {
      const at = this.#received.indexOf("\n".charCodeAt(0));
      if (at >= 0) {
        const line = new TextDecoder().decode(this.#received.slice(0, at)).trimEnd();
        this.#received = this.#received.slice(at + 1);
        return line;
      }
      if (this.#received.length > MAX_LINE) throw failure("it does not speak D-Bus");
      await this.#receive(end);
    }
  }

  async #receive(end: number): Promise<void> {
    for (;;) {
      const part = sys.read(this.#fd);
      if (typeof part !== "number") {
        if (part.length === 0) throw failure("it has closed the connection");
        this.#received = Buffer.concat([this.#received, part]);
        return;
      }
      if (part !== EAGAIN) throw failure(errnoName(-part));
      await pause(end);
    }
  }

  async #send(bytes: Uint8Array, end: number): Promise<void> {
    for (let done = 0; done < bytes.length;) {
      const result = sys.send(this.#fd, bytes.subarray(done, done + 16_384));
      if (result >= 0) done += result;
      else if (result === EAGAIN) await pause(end);
      else throw failure(errnoName(-result));
    }
  }
}

async function pause(end: number): Promise<void> {
  if (performance.now() > end) throw failure("it does not answer");
  await new Promise((resolve) => setTimeout(resolve, 1));
}

const failure = (why: string) => new TsboxError(`speak to systemd: ${why}`, { code: "system" });
const text = (line: string): Uint8Array => new TextEncoder().encode(line);

/** The bus itself. */
export const BUS = {
  destination: "org.freedesktop.DBus",
  path: "/org/freedesktop/DBus",
  interface: "org.freedesktop.DBus",
};
