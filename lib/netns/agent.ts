/** The process inside, and how it is asked: at once, as what it does takes no time. @module */
import * as sys from "../../syscalls/index.ts";
import { ARCH, Descriptors, Program, ref, TsboxError, type Op } from "../../syscalls/index.ts";
import { bury, startImage, type Launched } from "../launch/index.ts";
import { AGENT, agentRequest, networkAgentSteps, requestBytes, sendOps } from "../plan/index.ts";

const RESULT_BYTES = AGENT.results * 8;
/** Far longer than any call takes that is made here. */
const PATIENCE_US = 10_000_000;
const EINVAL = 22;

/** Descriptors. */
export interface Joined {
  user: number;
  network: number;
}

export class Agent {
  readonly #socket: number;
  readonly #reply: number;
  readonly #launched: Launched;
  #isOver = false;

  private constructor(socket: number, launched: Launched, reply: number) {
    this.#socket = socket;
    this.#launched = launched;
    this.#reply = reply;
  }

  /** @param joined without, the namespaces are made @throws TsboxError `permission_denied` */
  static async start(joined?: Joined): Promise<Agent> {
    const agent = Agent.#begin(joined);
    try {
      agent.request([]);
      return agent;
    } catch (error) {
      // a step that failed was told over the other socket
      const { failure } = await agent.#launched.control.ended;
      agent.end();
      throw failure ?? error;
    }
  }

  /** The same for who cannot wait, and is told less. @throws TsboxError `system` */
  static startNow(joined: Joined): Agent {
    const agent = Agent.#begin(joined);
    try {
      agent.request([]);
      return agent;
    } catch (error) {
      agent.end();
      throw error;
    }
  }

  static #begin(joined: Joined | undefined): Agent {
    using opened = new Descriptors();
    const plan = networkAgentSteps(joined === undefined);
    const program = new Program(plan, ARCH);
    const [ours, theirs] = sys.socketPair();
    opened.add(theirs);
    const bound = { socket: theirs, user: -1, network: -1, ...joined };
    let launched: Launched;
    try {
      launched = startImage({ plan, program }, bound, opened);
    } catch (error) {
      sys.close(ours);
      throw error;
    }
    opened[Symbol.dispose]();
    launched.control.unref();
    return new Agent(ours, launched, program.label("reply"));
  }

  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    sys.close(this.#socket);
    void bury(this.#launched);
  }

  /** Makes calls, up to the first that fails. @returns their results that have names */
  request(ops: Op[]): Partial<Record<string, number>> {
    const program = this.#send(ops);
    return this.#results(ops, program, this.#receive(RESULT_BYTES));
  }

  /** @param op makes a descriptor, as `fd` @returns that, here; or -errno */
  pass(op: Op): number {
    const ops: Op[] = [op, ...sendOps("fd", 0), { call: "close", args: [ref("fd")] }];
    const program = this.#send(ops);
    sys.waitBriefly(this.#socket, PATIENCE_US);
    const passed = sys.receiveDescriptor(this.#socket);
    // where there is none, the first byte of the results was taken for the one that comes with it
    const results = this.#receive(passed === -EINVAL ? RESULT_BYTES - 1 : RESULT_BYTES);
    const { fd = -EINVAL } = this.#results(ops, program, results);
    return fd < 0 ? fd : passed;
  }

  #results(ops: readonly Op[], program: Program, bytes: Uint8Array): Partial<Record<string, number>> {
    const all = new Uint8Array(RESULT_BYTES);
    all.set(bytes, RESULT_BYTES - bytes.length);
    const results = new BigInt64Array(all.buffer);
    const names = ops.flatMap(({ out }) => out ?? []);
    return Object.fromEntries(names.map((name) => [name, Number(results[program.slot(name) - AGENT.firstResult])]));
  }

  #send(ops: Op[]): Program {
    const program = agentRequest(ops, this.#reply);
    if (sys.send(this.#socket, requestBytes(program)) < 0) throw ended();
    return program;
  }

  #receive(size: number): Uint8Array {
    const bytes = new Uint8Array(size);
    for (let at = 0; at < size;) {
      sys.waitBriefly(this.#socket, PATIENCE_US);
      const part = sys.readNow(this.#socket);
      if (part === undefined || part.length === 0) throw ended();
      bytes.set(part, at);
      at += part.length;
    }
    return bytes;
  }
}

const ended = () => new TsboxError("reach into the network namespace: the process there has ended", { code: "system" });
