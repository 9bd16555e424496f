/** Decides about what a sandbox wants to connect to; where a handler is to be asked, the other thread is. @module */
import { contains, findAddress, parseSubnet, type Address } from "../ip/index.ts";
import {
  decide,
  MAX_ASKED,
  MAX_ASKED_A_SECOND,
  type Decision,
  type Flow,
  type Question,
  type Verdict,
} from "../policy/index.ts";
import type { WaySettings } from "./messages.ts";

/**
 * Where a connection from here would reach the machine itself, or everybody. Who has a policy has that said there as
 * well; who has none has a way out all the same, and not in.
 */
const NEVER = ["127.0.0.0/8", "0.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32", "::1/128", "::/128", "ff00::/8"]
  // forms of them: ::ffff:127.0.0.1, and what is translated
  .concat("::ffff:127.0.0.0/104", "::ffff:0.0.0.0/104", "::/96", "64:ff9b::127.0.0.0/104")
  .map(parseSubnet);

/** Whether an address is the host's own. */
export type IsOwn = (address: Address) => boolean;

export function decideFlow({ rules }: WaySettings, flow: Flow, isOwn: IsOwn): Decision {
  const address = findAddress(flow.ip);
  const never = address && NEVER.find((subnet) => contains(subnet, address));
  if (!address || never) return { allowed: false, rule: "the host's own" };
  return rules ? decide(rules, flow, isOwn) : { allowed: true, rule: "no policy" };
}

/** Questions that are asked over there. */
export class Questions {
  readonly #ask: (question: number, asked: Question) => void;
  readonly #waiting = new Map<number, (verdict: Verdict) => void>();
  #last = 0;
  #second = 0;
  #askedInIt = 0;

  constructor(ask: (question: number, asked: Question) => void) {
    this.#ask = ask;
  }

  /** The other side limits how long an answer takes. */
  ask(asked: Question, answered: (verdict: Verdict) => void): void {
    if (this.#waiting.size >= MAX_ASKED) return answered({ allowed: false, rule: "connect: asked too much at a time" });
    const second = Math.floor(performance.now() / 1000);
    if (second !== this.#second) [this.#second, this.#askedInIt] = [second, 0];
    if (++this.#askedInIt > MAX_ASKED_A_SECOND) return answered({ allowed: false, rule: "connect: asked too often" });
    const question = ++this.#last;
    this.#waiting.set(question, answered);
    this.#ask(question, asked);
  }

  answer(question: number, verdict: Verdict): void {
    const answered = this.#waiting.get(question);
    this.#waiting.delete(question);
    answered?.(verdict);
  }
}
