/** Where containers are kept: the store's directory, with the database and a directory for each. @module */
import { absolute, Directory } from "../../syscalls/index.ts";
import { State, type Row } from "../state/index.ts";
import { defaultRoot } from "../store/index.ts";
import { CONTAINERS } from "./layout.ts";
import type { ContainerRecord } from "./record.ts";

export class Home implements Disposable {
  readonly root: string;
  #state: State | undefined;

  constructor(root?: string) {
    this.root = root === undefined ? defaultRoot() : absolute(root);
  }

  get state(): State {
    return (this.#state ??= new State(this.root, {
      revive,
      warn: (message) => void process.stderr.write(`tsbox: ${message}\n`),
    }));
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

/** Whether a container runs, and how it ended, is found out when it is looked at: as if somebody had begun to start it. */
function revive(table: "containers" | "volumes", value: unknown): Row | undefined {
  const row = Object(value) as Partial<ContainerRecord>;
  const { id, name, created, version } = row;
  if (version !== 1 || typeof id !== "string" || typeof name !== "string" || typeof created !== "number")
    return undefined;
  const status: Partial<ContainerRecord> = table === "containers" ? { status: "starting" } : {};
  return { ...row, ...status, id, name, created };
}
