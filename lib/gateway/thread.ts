/** What the gateway's thread does with what it is told. @module */
import { close, DatagramReceiver, DatagramSender } from "../../syscalls/index.ts";
import { OwnAddresses } from "../netlink/index.ts";
import type { Loop } from "../loop/index.ts";
import { Budget } from "./budget.ts";
import type { FromGateway, ToGateway } from "./messages.ts";
import { DatagramPort } from "./datagram-port.ts";
import { StreamPort, type Published } from "./stream-port.ts";
import { Pipes } from "./pipes.ts";
import { Way, type Shared } from "./way.ts";

/** The longest packet: a datagram in its header. */
const PACKET_BYTES = 65536 + 48;
/** So often sockets are asked for that could not be made. */
const AGAIN_MS = 100;

export class GatewayThread {
  readonly #own = new OwnAddresses();
  readonly #shared: Shared;
  readonly #ways = new Map<number, Way>();
  readonly #ports = new Map<number, Published>();

  /**
   * @param limit of descriptors of this program
   * @param hold is told of what is opened, and neither watched by the loop nor closed at once
   */
  constructor(loop: Loop, limit: number, tell: (message: FromGateway) => void, hold: (fd: number) => void = () => {}) {
    hold(this.#own.descriptor);
    this.#shared = {
      loop,
      pipes: new Pipes(undefined, hold),
      receiver: new DatagramReceiver(),
      sender: new DatagramSender(1, PACKET_BYTES),
      budget: new Budget(limit),
      isOwn: (address) => this.#own.has(address),
      tell,
      hold,
    };
  }

  take(message: ToGateway): void {
    switch (message.kind) {
      case "attach": {
        const { way, sockets, settings, before } = message;
        return void this.#ways.set(way, new Way(way, sockets, settings, this.#shared, before));
      }
      case "update":
        return this.#ways.get(message.way)?.update(message.settings);
      case "answer":
        return this.#ways.get(message.way)?.questions.answer(message.question, message.verdict);
      case "detach": {
        this.#ways.get(message.way)?.close();
        this.#ways.delete(message.way);
        return this.#shared.tell({ kind: "done", way: message.way });
      }
      case "flush":
        this.#ways.get(message.way)?.flush();
        return this.#shared.tell({ kind: "done", way: message.way });
      case "publish":
        return this.#publish(message);
      case "sockets":
        return this.#fill(message.port, message.fds);
      case "unpublish":
        this.#ports.get(message.port)?.close();
        return void this.#ports.delete(message.port);
    }
  }

  #fill(port: number, fds: readonly number[]): void {
    const stock = this.#ports.get(port)?.stock;
    if (!stock) return fds.forEach(close);
    stock.fill(fds);
    // none could be made just now: who waits at the port is not to wait for ever
    if (fds.length === 0) this.#shared.loop.after(AGAIN_MS, () => stock.order());
  }

  #publish({ port, protocol, listener, target }: Extract<ToGateway, { kind: "publish" }>): void {
    const Kind = protocol === "tcp" ? StreamPort : DatagramPort;
    const want = (count: number) => this.#shared.tell({ kind: "wanted", port, count });
    this.#ports.set(port, new Kind(listener, target, this.#shared, want));
  }
}
