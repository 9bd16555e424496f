/** Where containers are kept: the store's directory, with the database and a directory for each. @module */
import { absolute, Directory } from "../../syscalls/index.ts";
import { State } from "../state/index.ts";
import { defaultRoot } from "../store/index.ts";
import { CONTAINERS } from "./layout.ts";

export class Home implements Disposable {
  readonly root: string;
  #state: State | undefined;

  constructor(root?: string) {
    this.root = root === undefined ? defaultRoot() : absolute(root);
  }

  get state(): State {
    return (this.#state ??= new State(this.root));
  }

  /** Of a container. */
  path(id: string): string {
    return `${this.root}/${CONTAINERS}/${id}`;
  }

  directory(id: string): Directory | undefined {
    return Directory.open(this.path(id));
  }

  [Symbol.dispose](): void {
    this.#state?.[Symbol.dispose]();
    this.#state = undefined;
  }
}
