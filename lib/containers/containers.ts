/** The containers of a store. @module */
import { Container } from "./container.ts";
import type { MakeOptions } from "./create.ts";
import type { EventsOptions } from "./event-stream.ts";
import type { ListOptions } from "./filter.ts";
import { Home } from "./home.ts";
import type { Place } from "./networks.ts";
import type { ContainerNetwork, ContainerOptions } from "./options.ts";
import type { Pruned, PruneContainersOptions } from "./prune.ts";
import type { ContainerEvent, ContainerRecord } from "./record.ts";

export class Containers implements Disposable {
  readonly #home: Home;

  constructor(root?: string) {
    this.#home = new Home(root);
  }

  [Symbol.dispose](): void {
    this.#home[Symbol.dispose]();
  }

  /** @throws TsboxError `name_invalid`, `name_in_use`, `image_not_found`, `invalid_option`, … */
  async create(options: ContainerOptions, making: MakeOptions = {}): Promise<Container> {
    const { id } = await (await import("./create.ts")).create(this.#home.open, options, making);
    return new Container(this.#home, id);
  }

  /** Creates and starts it; it goes on when this program ends. Where it cannot be started, it stays as `created`. */
  async run(options: ContainerOptions, making: MakeOptions = {}): Promise<Container> {
    const container = await this.create(options, making);
    await container.start();
    return container;
  }

  /**
   * By its name, its id, or the beginning of that.
   * @throws TsboxError `container_not_found`, `id_ambiguous`
   */
  async get(nameOrId: string): Promise<Container> {
    return new Container(this.#home, (await import("./find.ts")).find(this.#home.open, nameOrId).id);
  }

  /** The newest first. */
  async list(options: ListOptions = {}): Promise<ContainerRecord[]> {
    return (await import("./filter.ts")).list(this.#home.open, options);
  }

  /** What containers have in networks now, by their ids. */
  async places(): Promise<Map<string, Place[]>> {
    return (await import("./networks.ts")).allPlaces(this.#home.open);
  }

  /** Ids of those whose image has lost the name that they were made by: it leads to another one, or to none. */
  async withoutImageName(records: readonly ContainerRecord[]): Promise<Set<string>> {
    return (await import("./image-names.ts")).withoutName(this.#home.open, records);
  }

  /** Puts a container into one more network, also while it runs. */
  async connect(network: string, container: string, more: Omit<ContainerNetwork, "name"> = {}): Promise<void> {
    await (await import("./networks.ts")).connect(this.#home.open, network, container, more);
  }

  /** @param force one that is not there is none of an error */
  async disconnect(network: string, container: string, force = false): Promise<void> {
    await (await import("./networks.ts")).disconnect(this.#home.open, network, container, force);
  }

  /** Removes those that do not run. */
  async prune(options: PruneContainersOptions = {}): Promise<Pruned> {
    return (await import("./prune.ts")).prune(this.#home.open, options);
  }

  /** What happens from now on, or since a time. */
  async *events(options: EventsOptions = {}): AsyncGenerator<ContainerEvent, void, void> {
    yield* (await import("./event-stream.ts")).events(this.#home.open, options);
  }

  /**
   * Starts what its restart policy says is to run, after the machine has.
   * @param failed is told of those that cannot be started
   */
  async boot(failed?: (record: ContainerRecord, error: unknown) => void): Promise<Container[]> {
    const started = await (await import("./boot.ts")).boot(this.#home.open, failed);
    return started.map((id) => new Container(this.#home, id));
  }

  /** Stops all that run, each with its own time-out; the next {@link boot} starts them again, as their policies say. */
  async halt(): Promise<void> {
    await (await import("./stop.ts")).halt(this.#home.open);
  }

  /** A service of systemd that does {@link boot} with the machine, and {@link halt}. */
  async bootUnit(options: { user?: boolean } = {}): Promise<string> {
    return (await import("./unit.ts")).bootUnit(this.#home.root, options);
  }

  /** @internal For supervisors: a container has ended. */
  async ended(id: string): Promise<void> {
    await (await import("./ended.ts")).ended(this.#home.open, id);
  }

  /** @internal It is time to start it again. */
  async restartNow(id: string): Promise<void> {
    await (await import("./ended.ts")).restartNow(this.#home.open, id);
  }

  /** @internal @returns an exit status for its supervisor */
  async checkHealth(id: string): Promise<number> {
    return (await import("./health.ts")).checkHealth(this.#home.open, id);
  }
}
