/**
 * Steps, performed: what is in the cache is taken from there, the rest is done, those that do not need each other at the
 * same time.
 * @module
 */
import { TsboxError } from "../../syscalls/index.ts";
import { copy, makeDirectory } from "./copy.ts";
import { StepLocks } from "./locks.ts";
import { baseOf, look, lookAgain, type Done, type Wanted, type Work } from "./lookup.ts";
import type { Found, Making } from "./making.ts";
import { NewLayer } from "./new-layer.ts";
import { Slots } from "./slots.ts";
import { commitUpper, EMPTY, type Snapshot } from "./snapshot.ts";
import type { Step } from "./step.ts";

export class Performing {
  readonly #making: Making;
  readonly #steps: readonly Step[];
  readonly #done = new Map<number, Promise<Done>>();
  /** By their keys. */
  readonly #made = new Map<string, Done>();
  readonly #slots: Slots;
  readonly #locks: StepLocks;

  constructor(making: Making, steps: readonly Step[], parallel: number) {
    this.#making = making;
    this.#steps = steps;
    this.#slots = new Slots(parallel);
    this.#locks = new StepLocks(making.store.path, making.signal);
  }

  /** All that a step needs, and the step. @throws what the first that failed says, once none is under way */
  async to(target: number, fail: (error: unknown) => void): Promise<void> {
    this.#start(target, fail).catch(() => {});
    // all that a step needs is begun with it, so that none is added afterwards
    const results = await Promise.allSettled(this.#done.values());
    const failed = results.find((result) => result.status === "rejected");
    if (failed) throw failed.reason;
  }

  /** By the numbers of steps. */
  async results(): Promise<Map<number, Done>> {
    const all = await Promise.all([...this.#done].map(async ([number, done]) => [number, await done] as const));
    return new Map(all);
  }

  #start(number: number, fail: (error: unknown) => void): Promise<Done> {
    const there = this.#done.get(number);
    if (there) return there;
    const step = this.#steps[number] as Step;
    const needed = step.after.map((each) => [each, this.#start(each, fail)] as const);
    const done = this.#perform(step, needed);
    this.#done.set(number, done);
    done.catch(fail);
    return done;
  }

  async #perform(step: Step, needed: (readonly [number, Promise<Done>])[]): Promise<Done> {
    const snapshots = new Map<number, Snapshot>();
    for (const [number, done] of needed) snapshots.set(number, (await done).snapshot);
    const { signal, onEvent } = this.#making;
    signal.throwIfAborted();
    const { number, operation } = step;
    let hasBegun = false;
    const begin = () => {
      if (!hasBegun) onEvent({ type: "started", step: number, at: Date.now() });
      hasBegun = true;
    };
    const end = (cached: boolean, failure: { error?: string; canceled?: true } = {}) => {
      begin();
      onEvent({ type: "ended", step: number, at: Date.now(), cached, ...failure });
    };
    try {
      const below = step.parent === undefined ? EMPTY : (snapshots.get(step.parent) ?? EMPTY);
      const found = { step, below, snapshots };
      const isBase = operation.kind === "base";
      const done = isBase ? baseOf(this.#making, operation) : await this.#work(found, operation, begin);
      end(done.cached);
      return done;
    } catch (caught) {
      const error = signal.aborted ? caught : located(caught, this.#making.file, step);
      end(false, { error: messageOf(error), ...(signal.aborted ? { canceled: true } : {}) });
      throw error;
    }
  }

  /** @param begin tells that something is done, rather than waited for */
  async #work(found: Found, operation: Work, begin: () => void): Promise<Done> {
    // files may have to be read to know what it is called
    if (operation.kind === "copy") begin();
    const looked = await look(this.#making, found, operation);
    if ("snapshot" in looked) return looked;
    using _lock = await this.#locks.take(looked.key);
    // one step may be another one again: it is done once, also where no cache counts
    const own = this.#made.get(looked.key);
    const there = own ? { ...own, cached: true } : await lookAgain(this.#making, looked);
    if (there) return there;
    // the lock is held until it is done
    return await this.#slots.use(() => {
      begin();
      return this.#make(looked);
    });
  }

  async #make({ found, operation, key, quick, copied }: Wanted): Promise<Done> {
    const { workspace, signal, epoch, cache, store } = this.#making;
    signal.throwIfAborted();
    const directory = workspace.make("layer");
    using layer = new NewLayer(store, directory);
    try {
      let isSame = true;
      if (operation.kind === "run")
        isSame = await (await sandboxes()).run(this.#making, { found, operation, copied }, directory);
      else if (operation.kind === "directory") await makeDirectory(this.#making, found, operation, layer);
      else isSame = await copy(this.#making, found, operation, copied, layer);
      const made = await commitUpper(this.#making, found.below, layer, { signal, epoch });
      const created = epoch === undefined ? Date.now() : epoch * 1000;
      // what was changed while it was copied is known by another name
      if (isSame) {
        cache.put({ key, layer: made.layer, bytes: made.bytes, text: found.step.text, created });
        if (quick !== undefined) cache.addAlias(quick, key);
      }
      const snapshot = made.layer ? [...found.below, made.layer] : found.below;
      const done = { snapshot, created, hasLayer: made.layer !== undefined, cached: false, key };
      if (isSame) this.#made.set(key, done);
      return done;
    } finally {
      workspace.remove(directory);
    }
  }
}

/** What is cached does without them. */
const sandboxes = () => import("./run.ts");

/** What was wrong with files, of the line that asks for them. */
function located(error: unknown, file: string, { place, text }: Step): unknown {
  if (!(error instanceof TsboxError) || !place || error.message.startsWith(`${file}:`)) return error;
  const { code, hint, path, errno, syscall } = error;
  const given = { hint, path, errno, syscall };
  const details = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  return new TsboxError(`${file}:${place.line}:${place.column}: ${text}: ${error.message}`, {
    ...details,
    code,
    cause: error,
  });
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
