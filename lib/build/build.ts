/** A build, from what is asked for to what is made. @module */
import { absolute, TsboxError } from "../../syscalls/index.ts";
import { formatPlatform, hostPlatform, parsePlatform, type Digest, type Platform } from "../image/index.ts";
import { imageIds } from "../launch/index.ts";
import { defaultRoot, Store } from "../store/index.ts";
import type { Finding } from "../dockerfile/index.ts";
import { outlineWithBases } from "./bases.ts";
import { BuildCache } from "./cache.ts";
import { Contexts } from "./contexts.ts";
import type { BuildEvent, PlannedStep } from "./events.ts";
import { createFiles } from "./files/index.ts";
import { graphOf, type Graph } from "./graph.ts";
import type { Making } from "./making.ts";
import type { BuildOptions, BuildResult } from "./options.ts";
import type { Done } from "./lookup.ts";
import { checked, failFor, messageOf } from "./checks.ts";
import { checkBuild as checkOptions } from "./check-options.ts";
import { makeOutputs } from "./output.ts";
import { Performing } from "./perform.ts";
import { plannedOf, planWithCache } from "./plan.ts";
import type { Place } from "./snapshot.ts";
import type { RemoteSteps } from "./remote-cache.ts";
import { Workspace } from "./workspace.ts";

/**
 * @param root of the store; default as for all else
 * @throws TsboxError `dockerfile_invalid`, `build_failed`, `invalid_option`, `image_not_found`, `file_not_found`,
 *   `permission_denied`, `aborted`; nothing has the name then that was asked for, unless it had it before, or all was
 *   made, and only could not be written elsewhere, pushed, or given to a cache
 */
export async function build(root: string | undefined, options: BuildOptions): Promise<BuildResult> {
  return building(root, options, async (making, graph, platform) => {
    const steps = await perform(making, graph);
    const image = await makeOutputs(making, graph, steps, platform);
    await exportAll(making, graph, steps);
    const all = [...steps.values()].filter(({ key }) => key !== undefined);
    const cached = all.filter((done) => done.cached).length;
    return { ...image, cached, performed: all.length - cached };
  });
}

/**
 * What a build would do, and what is in the cache of it. Images that it begins with are fetched.
 * @throws TsboxError as {@link build}
 */
export const planBuild = (root: string | undefined, options: BuildOptions): Promise<PlannedStep[]> =>
  building(root, options, planWithCache);

/**
 * What its author may not have meant: BuildKit's build checks. Nothing is made, and nothing fetched but the context: what
 * depends on images that are not here is not looked at.
 * @throws TsboxError `dockerfile_invalid`, `invalid_option`, `file_not_found`
 */
export const checkBuild = (root: string | undefined, options: BuildOptions): Promise<Finding[]> =>
  building(root, options, async ({ checked: { findings } }) => findings, true);

async function building<T>(
  root: string | undefined,
  options: BuildOptions,
  work: (making: Making, graph: Graph, platform: Platform) => Promise<T>,
  isPresentOnly = false,
): Promise<T> {
  checkOptions(options);
  if (options.run) (await import("./run-limits.ts")).checkRunSettings(options.run);
  const { signal } = options;
  const stop = new AbortController();
  const abort = () => stop.abort(aborted(signal?.reason));
  if (signal?.aborted) throw aborted(signal.reason);
  signal?.addEventListener("abort", abort, { once: true });
  try {
    using store = Store.open({ root: root === undefined ? defaultRoot() : absolute(root) });
    const ids = imageIds();
    using cache = new BuildCache(store.path);
    using workspace = new Workspace(store.path, ids);
    using _hold = store.hold();
    const place = { store, ids, held: new Set<Digest>() };
    const { making, graph, platform } = await prepare(
      { ...place, cache, workspace },
      options,
      stop.signal,
      isPresentOnly,
    );
    return await work(making, graph, platform);
  } catch (error) {
    // whatever it was that was broken off
    if (stop.signal.aborted) throw stop.signal.reason;
    throw error;
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}

/** Reads the Dockerfile, finds the images, and makes the graph. */
async function prepare(
  given: Place & Pick<Making, "cache" | "workspace">,
  options: BuildOptions,
  signal: AbortSignal,
  isPresentOnly: boolean,
): Promise<{ making: Making; graph: Graph; platform: Platform }> {
  const {
    args = {},
    labels = {},
    addHosts = [],
    network = "default",
    pull = false,
    onEvent = () => {},
    target,
    before,
  } = options;
  const contexts = new Contexts(options, given.workspace, signal);
  const file = await contexts.dockerfile();
  const platform = options.platform === undefined ? hostPlatform() : parsePlatform(options.platform);
  const outlined = { args, target, before, build: hostPlatform(), platform, contexts: contexts.names };
  const wanted = { pull, platform: options.platform && formatPlatform(platform), signal, onEvent, isPresentOnly };
  const { outline, bases } = await outlineWithBases(file, given, outlined, wanted);
  const images = new Map([...bases].map(([key, { image }]) => [key, image.config]));
  const graph = graphOf(outline, { contexts: contexts.names, images, network, addHosts, labels });
  const checks = await checked(outline, graph, { contexts, args, build: hostPlatform(), platform });
  if (!isPresentOnly) failFor(file.file, checks);
  const remote = await remoteOf(options, signal, onEvent);
  const files = createFiles({ root: given.store.path });
  const epoch = epochOf(options);
  return {
    making: {
      ...given,
      checked: checks,
      remote,
      contexts,
      bases,
      options,
      onEvent,
      files,
      file: file.file,
      epoch,
      signal,
    },
    graph,
    platform,
  };
}

/** Only who asks for caches of others loads what talks to registries. */
async function remoteOf(
  { cacheFrom = [], cache }: BuildOptions,
  signal: AbortSignal,
  onEvent: (event: BuildEvent) => void,
): Promise<RemoteSteps | undefined> {
  if (cacheFrom.length === 0 || cache === false) return undefined;
  const { RemoteSteps } = await import("./remote-cache.ts");
  return RemoteSteps.read(cacheFrom, signal, (message) => onEvent({ type: "warning", message }));
}

async function exportAll(making: Making, { steps, result }: Graph, all: ReadonlyMap<number, Done>): Promise<void> {
  const { cacheTo = [] } = making.options;
  if (cacheTo.length === 0) return;
  const { exportCache } = await import("./remote-cache.ts");
  const own = new Set<number>();
  for (let at: number | undefined = result.step; at !== undefined; at = steps[at]?.parent) own.add(at);
  for (const cache of cacheTo) await exportCache(making, cache, { all, result: own });
}

const aborted = (cause: unknown) => new TsboxError("build: aborted", { code: "aborted", cause });

/** @throws TsboxError `invalid_option` */
function epochOf({ sourceDateEpoch, args = {} }: BuildOptions): number | undefined {
  const asked = sourceDateEpoch ?? args["SOURCE_DATE_EPOCH"];
  if (asked === undefined || asked === "") return undefined;
  const seconds = Number(asked);
  if (Number.isInteger(seconds) && seconds >= 0 && seconds <= 0xffffffff) return seconds;
  throw new TsboxError(`use SOURCE_DATE_EPOCH ${JSON.stringify(asked)}: not seconds since 1970`, {
    code: "invalid_option",
  });
}

async function perform(making: Making, graph: Graph): Promise<Map<number, Done>> {
  const { onEvent, options } = making;
  onEvent({ type: "plan", steps: plannedOf(graph) });
  for (const message of graph.warnings) onEvent({ type: "warning", message });
  for (const found of making.checked.findings)
    onEvent({ type: "warning", message: messageOf(found), line: found.line, rule: found.rule });
  const stop = new AbortController();
  const outer = making.signal;
  const signal = AbortSignal.any([outer, stop.signal]);
  const parallel = options.parallel ?? navigator.hardwareConcurrency;
  const performing = new Performing({ ...making, signal }, graph.steps, Math.max(1, parallel));
  await performing.to(graph.result.step, (error) => stop.abort(error));
  return performing.results();
}
