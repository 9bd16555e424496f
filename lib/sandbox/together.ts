/** Files that are made one after another, several in a request: each request takes longer than what most of them need. @module */
import { named, ref, words, type Op } from "../../syscalls/index.ts";
import { AGENT } from "../plan/index.ts";
import { unlessAborted } from "./abort.ts";
import { fileError, type Agent, type Reply } from "./agent.ts";

/** Of the ops of a request, in bytes; and what those of a file take beside its name, at most. */
const [MOST_OPS, OPS_OF_FILE] = [AGENT.opsBytes / 2, 1024];
const ENOSPC = 28;
const NOTHING = new Uint8Array();

export class Together {
  readonly #agent: Agent;
  readonly #action: string;
  readonly #signal: AbortSignal | undefined;
  readonly #payload = new Uint8Array(AGENT.payloadBytes);
  #filled = 0;
  #names: string[] = [];
  #ops: Op[] = [];
  #opsBytes = 0;

  constructor(agent: Agent, action: string, signal: AbortSignal | undefined) {
    this.#agent = agent;
    this.#action = action;
    this.#signal = signal;
  }

  /**
   * @param name as errors name it
   * @param open gives `fd`
   * @param finish is done once the content is written; it closes `fd`
   * @param content at most as much as a payload has room for
   * @throws TsboxError that of one before it, too
   */
  async add(name: string, open: Op[], finish: Op[], content = NOTHING): Promise<void> {
    const opsBytes = OPS_OF_FILE + 3 * name.length;
    const isFull = this.#filled + content.length > AGENT.payloadBytes || this.#opsBytes + opsBytes > MOST_OPS;
    if (isFull) await this.done();
    const written: Op[] = [
      { call: "write", args: [ref("fd"), AGENT.payloadAt(this.#filled), content.length], out: "written" },
      { call: "jumpIf", args: [ref("written"), content.length, named("!=", 1)], label: "end" },
    ];
    this.#ops.push(
      { call: "load", args: [words(`${this.#names.length}`, this.#names.length), 8], out: "index" },
      ...open,
      ...(content.length > 0 ? written : []),
      ...finish,
    );
    this.#payload.set(content, this.#filled);
    this.#filled += content.length;
    this.#opsBytes += opsBytes;
    this.#names.push(name);
  }

  /** Does what has been added. The first failure ends it. @throws TsboxError */
  async done(): Promise<void> {
    const [names, ops] = [this.#names, this.#ops];
    if (names.length === 0) return;
    ops.push({ call: "load", args: [words("0", 0), 8], out: "all" }, { call: "label", args: [], label: "end" });
    const payload = this.#payload.subarray(0, this.#filled);
    [this.#names, this.#ops, this.#filled, this.#opsBytes] = [[], [], 0, 0];
    // looked at also where nobody waits any more, as something may have to be closed
    const doing = this.#agent.request({ ops, payload }).then((reply) => this.#check(reply, names));
    await unlessAborted(doing, this.#signal);
  }

  #check(reply: Reply, names: string[]): void {
    if (reply.get("all") === 0) return;
    if (reply.get("fd") >= 0) this.#agent.closeSoon(reply.get("fd"));
    // a call that did less than it should has no errno
    const failed = reply.failed ?? { call: "write", errno: ENOSPC };
    throw fileError(this.#action, failed, names[reply.get("index")] ?? "?");
  }
}
