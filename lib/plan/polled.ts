/** What a supervisor waits for: the array that poll(2) looks at. @module */
import { ref, struct, words } from "../../syscalls/index.ts";
import type { Argument, At, Data, Op } from "../../syscalls/index.ts";
import { FOUND, jumpIf, label } from "./flow.ts";

export const POLLED = [
  "owner",
  "out",
  "err",
  "passing",
  "pidfd socket",
  "stdin socket",
  "signals",
  "timer",
  "deadline",
] as const;
export type PolledName = (typeof POLLED)[number];

const NONE = -1;
/** As an entry's descriptor: poll(2) passes it over. */
export const CLOSED = 0xffffffff;
const POLLIN = 1;
const RECORD_BYTES = 8;

export class Polled {
  readonly #records: Data = {
    data: Uint8Array.from(POLLED.flatMap(() => [...struct("pollfd", { fd: NONE, events: POLLIN })])),
    text: `[${POLLED.join(", ")}]`,
  };
  readonly #second = words("1 s", 1, 0);

  watch = (name: PolledName, fd: Argument = ref(name)): Op => ({ call: "store", args: [this.#entry(name), fd, 4] });

  /** @param timeout 0: for ever */
  poll = (timeout: Argument): Op => this.#poll(this.#records, POLLED.length, timeout);

  /** Whether something is there to be read from the command. */
  pollOutputs = (): Op => this.#poll(this.#entry("out"), 2, words("0 s", 0, 0));

  pollForASecond = (): Op[] => [...this.#aSecond(), this.poll(this.#second)];

  sleepForASecond = (): Op[] => [...this.#aSecond(), { call: "ppoll", args: [0, 0, this.#second, 0, 8] }];

  /** Goes on behind where nothing was found. */
  where = (name: PolledName, ops: Op[]): Op[] => {
    const [events, done] = [`events of ${name}`, `done with ${name}`];
    return [
      { call: "load", args: [this.#entry(name), 8], out: events },
      jumpIf(events, "<", FOUND, done),
      ...ops,
      label(done),
    ];
  };

  #entry = (name: PolledName): At => ({ at: this.#records, offset: POLLED.indexOf(name) * RECORD_BYTES });

  #poll = (records: Argument, count: number, timeout: Argument): Op => ({
    call: "ppoll",
    args: [records, count, timeout, 0, 8],
    out: "found",
  });

  /** ppoll(2) leaves in it what was left. */
  #aSecond = (): Op[] => [
    { call: "store", args: [this.#second, 1, 8] },
    { call: "store", args: [{ at: this.#second, offset: 8 }, 0, 8] },
  ];
}
