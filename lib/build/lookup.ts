/** What steps are called in the cache, and what is there of them. @module */
import type { CachedStep } from "./cache.ts";
import { copiedBy, type Copied } from "./copy.ts";
import { stepKey } from "./key.ts";
import type { Found, Making } from "./making.ts";
import { imageKey } from "./outline.ts";
import { chainIdOf, EMPTY, hold, type Snapshot } from "./snapshot.ts";
import type { Operation, Source } from "./step.ts";

/** What a step came to. */
export interface Done {
  snapshot: Snapshot;
  /** Milliseconds since 1970; undefined for a base. */
  created: number | undefined;
  /** It has made a layer. */
  hasLayer: boolean;
  cached: boolean;
  /** In the cache; undefined for a base. */
  key: string | undefined;
}

export type Work = Exclude<Operation, { kind: "base" }>;

export function baseOf({ bases }: Making, { reference, platform }: Extract<Operation, { kind: "base" }>): Done {
  const base = reference === undefined ? undefined : bases.get(imageKey({ reference, platform }));
  return { snapshot: base?.snapshot ?? EMPTY, created: undefined, hasLayer: false, cached: true, key: undefined };
}

export interface Wanted {
  found: Found;
  operation: Work;
  /** Where it is known without a look at files: by the layers that they are in. */
  quick: string | undefined;
  key: string;
  /** What the key says of files: of COPY and ADD all, of RUN the mounts of contexts, in their order. */
  copied: Copied[];
}

/** @returns what is there of it, or what it is to be called */
export async function look(making: Making, found: Found, operation: Work): Promise<Done | Wanted> {
  const quick = quickKey(making, found, operation);
  const known = quick === undefined ? undefined : await cached(making, found, quick);
  if (known) return known;
  const { digests, copied = [] } = await filesOf(making, found, operation);
  const key = digests ? keyOf(making, found, operation, digests) : (quick as string);
  const wanted = { found, operation, quick, key, copied };
  return key === quick ? wanted : ((await lookAgain(making, wanted)) ?? wanted);
}

/** Another build may have done it meanwhile. */
export async function lookAgain(making: Making, { found, quick, key }: Wanted): Promise<Done | undefined> {
  const there = await cached(making, found, key);
  if (there && quick !== undefined) making.cache.addAlias(quick, key);
  return there;
}

async function cached(making: Making, { step, below }: Found, key: string): Promise<Done | undefined> {
  const { cache, noCacheFilter } = making.options;
  if (cache === false || noCacheFilter?.includes(step.stage)) return undefined;
  const there = making.cache.find(key);
  const known = there && restored(making, below, there);
  if (known) return known;
  const taken = await making.remote?.take(making, below, key);
  return taken && restored(making, below, taken);
}

/** Undefined where the layer has gone. */
function restored(making: Making, below: Snapshot, { key, layer, created }: CachedStep): Done | undefined {
  const snapshot = layer ? [...below, layer] : below;
  if (layer && !hold(making, snapshot)) return undefined;
  return { snapshot, created, hasLayer: layer !== undefined, cached: true, key };
}

const keyOf = ({ epoch }: Making, { below }: Found, operation: Work, files: readonly string[]): string =>
  stepKey(chainIdOf(below), operation, { files, epoch });

function quickKey(making: Making, found: Found, operation: Work): string | undefined {
  const sources = sourcesOf(operation);
  const isFetched = operation.kind === "copy" && operation.urls.length > 0;
  if (isFetched && (operation.checksum === undefined || operation.urls.length > 1)) return undefined;
  if (sources.some(({ kind }) => kind === "context")) return undefined;
  return keyOf(
    making,
    found,
    operation,
    sources.map((source) => chainOf(found, source)),
  );
}

/** Where a step's files come from. */
function sourcesOf(operation: Work): Source[] {
  if (operation.kind === "directory") return [];
  if (operation.kind === "copy") return operation.sources.length > 0 ? [operation.source] : [];
  return operation.mounts.flatMap(({ files }) => files ?? []);
}

const chainOf = ({ snapshots }: Found, source: Source): string =>
  source.kind === "step" ? (chainIdOf(snapshots.get(source.step) ?? EMPTY) ?? "scratch") : "";

/** What the files of a step are. Digests: undefined where the layers that they are in say enough. */
async function filesOf(
  making: Making,
  found: Found,
  operation: Work,
): Promise<{ digests?: string[]; copied?: Copied[] }> {
  if (operation.kind === "directory") return {};
  if (operation.kind === "copy") {
    const copied = await copiedBy(making, found, operation);
    if (copied.length === 0) return {};
    const digests = await Promise.all(copied.map(({ selection }) => selection.digest()));
    return { digests: ["content", ...digests], copied };
  }
  const sources = sourcesOf(operation);
  if (!sources.some(({ kind }) => kind === "context")) return {};
  const digests: string[] = [];
  const copied: Copied[] = [];
  for (const mount of operation.mounts) {
    if (!mount.files) continue;
    if (mount.files.kind === "step") digests.push(chainOf(found, mount.files));
    else {
      const selection = await making.files.select(await making.contexts.tree(mount.files.name), {
        sources: [mount.source ?? "/"],
      });
      digests.push(await selection.digest());
      copied.push({ selection, unpack: false });
    }
  }
  return { digests, copied };
}
