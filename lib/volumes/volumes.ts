/** The volumes of a store. @module */
import type { State } from "../state/index.ts";
import type { VolumeOptions, VolumeRecord } from "./record.ts";

export class Volumes {
  readonly #state: () => State;

  /** @param state opened when it is needed */
  constructor(state: () => State) {
    this.#state = state;
  }

  /** One that is there with the same options is that one. @throws TsboxError `invalid_option`, `name_in_use` */
  create(_options: VolumeOptions = {}): VolumeRecord {
    void this.#state;
    throw new Error("todo");
  }

  /** @throws TsboxError `volume_not_found` */
  get(_name: string): VolumeRecord {
    throw new Error("todo");
  }
}
