/** The namespace of an ordinary user's networks, which netd keeps. @module */
import { close, closeAll, Directory, duplicate } from "../../syscalls/index.ts";
import type { Keeper } from "../network/index.ts";
import { askNetd, isNetdThere, tellOrStart, type NetdCommand } from "./client.ts";
import { SOCKET } from "./control.ts";

/** What it is kept as. */
export const NAMESPACE = "namespace";

interface Known {
  descriptor: number;
  /** Of the socket of whoever keeps it. */
  keeper: string | undefined;
}

/** To be asked by whoever has the lock of the networks. */
export class NetdKeeper implements Keeper {
  readonly #root: () => string;
  readonly #command: () => NetdCommand | undefined;
  /** Netd takes a while to begin, in which it does not answer: what was handed to it need not be asked for. */
  #known: Known | undefined;

  constructor(root: () => string, command: () => NetdCommand | undefined) {
    this.#root = root;
    this.#command = command;
  }

  find(): Promise<number | undefined> {
    const keeper = this.#keeper();
    if (this.#known && keeper === this.#known.keeper && isNetdThere(this.#root()))
      return Promise.resolve(duplicate(this.#known.descriptor));
    this.#forget();
    if (keeper === undefined) return Promise.resolve(undefined);
    const [found, ...others] = askNetd(this.#root(), { verb: "give", name: NAMESPACE })?.fds ?? [];
    others.forEach(close);
    if (found !== undefined) this.#known = { descriptor: duplicate(found), keeper };
    return Promise.resolve(found);
  }

  /** @throws TsboxError `unsupported` */
  keep(namespace: number): Promise<void> {
    const request = { verb: "keep", name: NAMESPACE };
    tellOrStart(this.#root(), this.#command, "keep the networks", request, [namespace]);
    this.#forget();
    this.#known = { descriptor: duplicate(namespace), keeper: this.#keeper() };
    return Promise.resolve();
  }

  ready(): void {
    // whoever connects is heard in turn
    const answer = askNetd(this.#root(), { verb: "give", name: NAMESPACE });
    if (!answer) return;
    closeAll(answer.fds);
    const { withoutWayOut } = JSON.parse(new TextDecoder().decode(answer.bytes)) as { withoutWayOut?: string };
    if (withoutWayOut === undefined) return;
    // containers reach each other all the same
    const text = `nothing leads out of this user's networks, and no published port into them: ${withoutWayOut}`;
    process.emitWarning(text, "TsboxWarning");
  }

  #forget(): void {
    if (this.#known) close(this.#known.descriptor);
    this.#known = undefined;
  }

  #keeper(): string | undefined {
    using directory = Directory.open(this.#root());
    return directory?.status(SOCKET)?.identity;
  }
}
