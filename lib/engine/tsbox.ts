/** The engine: what is kept in one place, and what is done with it. @module */
import { checkOptions, checkObject } from "../options/index.ts";
import type * as builds from "../build/index.ts";
import { Containers, Home, networksAt } from "../containers/index.ts";
import { ImageBuilder } from "../image-builder/index.ts";
import { Images } from "../images/index.ts";
import type { Networks } from "../network/index.ts";
import { Volumes } from "../volumes/index.ts";

/** `dockerfile` may also be an image in TypeScript. */
export type BuildOptions = Omit<builds.BuildOptions, "dockerfile"> & {
  dockerfile?: builds.BuildOptions["dockerfile"] | ImageBuilder;
};

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
  readonly containers: Containers;
  readonly #images: Images;
  readonly #volumes: Volumes;
  readonly #networks: Networks;
  readonly #home: Home;
  readonly #root: string | undefined;

  constructor(options: TsboxOptions = {}) {
    checkOptions("Tsbox", options, { root: "text" });
    const { root } = options;
    this.#root = root;
    this.#images = new Images(root);
    this.containers = new Containers(root);
    this.#home = new Home(root);
    this.#volumes = new Volumes(() => this.#home.state);
    this.#networks = networksAt(this.#home);
  }

  /** @throws TsboxError `engine_closed` */
  get images(): Images {
    return this.#home.open && this.#images;
  }

  /** @throws TsboxError `engine_closed` */
  get volumes(): Volumes {
    return this.#home.open && this.#volumes;
  }

  /** @throws TsboxError `engine_closed` */
  get networks(): Networks {
    return this.#home.open && this.#networks;
  }

  get #builds(): Promise<typeof builds> {
    return this.#home.open && loadBuilds();
  }

  /**
   * An image of a Dockerfile, or of one in TypeScript.
   * @throws TsboxError `dockerfile_invalid`, `build_failed`, `invalid_option`, `image_not_found`, `aborted`, `engine_closed`
   * @see docs/build.md
   */
  async build(options: BuildOptions): Promise<builds.BuildResult> {
    return (await this.#builds).build(this.#root, plain(options));
  }

  /** What {@link build} would do, and what of it is in the cache. */
  async planBuild(options: BuildOptions): Promise<builds.PlannedStep[]> {
    return (await this.#builds).planBuild(this.#root, plain(options));
  }

  /** What the author of a Dockerfile may not have meant, without building it. */
  async checkBuild(options: BuildOptions): Promise<builds.Finding[]> {
    return (await this.#builds).checkBuild(this.#root, plain(options));
  }

  async buildCacheUsage(): Promise<builds.CacheUsage[]> {
    return (await this.#builds).buildCacheUsage(this.#root);
  }

  /** What no image needs, unless all of it is meant. */
  async pruneBuildCache(options: builds.PruneOptions = {}): Promise<builds.PrunedCache> {
    return (await this.#builds).pruneBuildCache(this.#root, options);
  }

  [Symbol.dispose](): void {
    this.#images[Symbol.dispose]();
    this.containers[Symbol.dispose]();
    this.#home[Symbol.dispose]();
  }
}

/** Who does not build does without. */
const loadBuilds = () => import("../build/index.ts");

function plain(options: BuildOptions): builds.BuildOptions {
  checkObject("options of build", options);
  const { dockerfile, ...rest } = options;
  if (dockerfile === undefined) return rest;
  return { ...rest, dockerfile: dockerfile instanceof ImageBuilder ? dockerfile.dockerfile() : dockerfile };
}
