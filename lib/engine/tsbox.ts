/** The engine: what is kept in one place, and what is done with it. @module */
import { Containers, Home, networksAt } from "../containers/index.ts";
import { Images } from "../images/index.ts";
import type { Networks } from "../network/index.ts";
import { Volumes } from "../volumes/index.ts";

export interface TsboxOptions {
  /** Where all is kept: `TSBOX_ROOT`, /var/lib/tsbox as root, or ~/.local/share/tsbox, unless set. */
  root?: string;
}

/**
 * Nothing is opened or made before it is needed.
 * @example
 * ```ts
 * using engine = new Tsbox({ root: "./store" });
 * console.log((await engine.images.list()).length); // 0
 * ```
 */
export class Tsbox implements Disposable {
  readonly images: Images;
  readonly containers: Containers;
  readonly volumes: Volumes;
  readonly networks: Networks;
  readonly #home: Home;

  constructor({ root }: TsboxOptions = {}) {
    this.images = new Images(root);
    this.containers = new Containers(root);
    this.#home = new Home(root);
    this.volumes = new Volumes(() => this.#home.state);
    this.networks = networksAt(this.#home);
  }

  [Symbol.dispose](): void {
    this.images[Symbol.dispose]();
    this.containers[Symbol.dispose]();
    this.#home[Symbol.dispose]();
  }
}
