/** What was not let through, told every now and then: a sandbox that is denied all the time keeps nobody busy. @module */
import type { Loop } from "../loop/index.ts";
import type { Denied } from "./messages.ts";

const EVERY_MS = 20;
/** Different ones in that time; of more, the first are told. */
const MAX_WAITING = 200;

export class Denials {
  readonly #loop: Loop;
  readonly #tell: (denials: Denied[]) => void;
  readonly #waiting = new Map<string, Denied>();
  #isResting = false;

  constructor(loop: Loop, tell: (denials: Denied[]) => void) {
    this.#loop = loop;
    this.#tell = tell;
  }

  add(denied: Omit<Denied, "count">): void {
    const key = JSON.stringify(Object.values(denied));
    const same = this.#waiting.get(key);
    if (same) same.count++;
    else if (this.#waiting.size < MAX_WAITING) this.#waiting.set(key, { ...denied, count: 1 });
    if (!this.#isResting) this.flush();
  }

  /** Tells at once; what comes in the time after that is told together. */
  flush(): void {
    if (this.#waiting.size === 0) return;
    this.#tell([...this.#waiting.values()]);
    this.#waiting.clear();
    if (this.#isResting) return;
    this.#isResting = true;
    this.#loop.after(EVERY_MS, () => {
      this.#isResting = false;
      this.flush();
    });
  }
}
