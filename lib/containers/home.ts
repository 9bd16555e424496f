/** Where containers are kept: the store's directory, with the database and a directory for each. @module */
import { absolute, Directory, TsboxError } from "../../syscalls/index.ts";
import { State } from "../state/index.ts";
import { defaultRoot } from "../store/index.ts";
import { CONTAINERS } from "./layout.ts";

export class Home implements Disposable {
  readonly root: string;
  readonly #isThere: boolean;
  #state: State | undefined;
  #isOver = false;

  /** @param isThere for what runs in the background: where all has been removed, nothing is made anew */
  constructor(root?: string, isThere = false) {
    this.root = root === undefined ? defaultRoot() : absolute(root);
    this.#isThere = isThere;
  }

  /** For who calls from outside. @throws TsboxError `engine_closed` */
  get open(): this {
    if (!this.#isOver) return this;
    throw new TsboxError("use an engine that has been disposed of", {
      code: "engine_closed",
      hint: "make another one: new Tsbox()",
    });
  }

  /** Disposed of: what waits for something that may never happen waits no longer. */
  get isOver(): boolean {
    return this.#isOver;
  }

  get state(): State {
    return (this.#state ??= new State(this.root, undefined, this.#isThere));
  }

  /** Of a container. */
  path(id: string): string {
    return `${this.root}/${CONTAINERS}/${id}`;
  }

  directory(id: string): Directory | undefined {
    return Directory.open(this.path(id));
  }

  /** What is under way comes to its end. */
  [Symbol.dispose](): void {
    this.#isOver = true;
    this.#state?.[Symbol.dispose]();
    this.#state = undefined;
  }
}
