/**
 * A container, made but not started. Its directory comes first, and is locked; then its row, so that its name is nobody
 * else's; then what it needs. What a command that was killed in between leaves, the next one removes.
 * @module
 */
import { checkOptions } from "../options/index.ts";
import { Directory, TsboxError } from "../../syscalls/index.ts";
import {
  checkCommand,
  checkLaunchable,
  prepare,
  privilegedNamespaces,
  withImage,
  type Prepared,
  type PullProgress,
} from "../sandbox/index.ts";
import { storing } from "../state/index.ts";
import { checkContainerOptions } from "./check-options.ts";
import { addContainerEvent } from "./events.ts";
import type { Home } from "./home.ts";
import { LAYER } from "./layout.ts";
import { tryLock, type Held } from "./lock.ts";
import { filesOf, resolveMounts, type ResolvedMounts } from "./mounts.ts";
import { newId, newName } from "./names.ts";
import { plainNamespaces } from "./network.ts";
import { withNetworkNames } from "./network-options.ts";
import { hasLayer, requestOf } from "./request.ts";
import type { ContainerOptions } from "./options.ts";
import { writeCopy } from "./record-copy.ts";
import type { ContainerRecord } from "./record.ts";
import { reconciled } from "./reconcile.ts";
import { markRemoving, removeRest, sweepLeftovers } from "./leftovers.ts";

export interface MakeOptions {
  signal?: AbortSignal;
  /** Of its image, where that is pulled. */
  onProgress?: PullProgress;
  /** Of an image for another platform than this machine's. */
  onWarning?: (warning: string) => void;
}

const PRIVATE = 0o700;
/** Of names that are made up: with so many containers that all are taken, something else is wrong. */
const NAMES = 40;
const SHORT = 12;
const CLAIMS = 50;

/** @throws TsboxError `invalid_option`, `name_invalid`, `name_in_use`, `image_not_found`, …, as `engine.images.pull` */
export async function create(home: Home, options: ContainerOptions, making: MakeOptions): Promise<ContainerRecord> {
  checkOptions("making a container", making, { signal: "signal", onProgress: "callback", onWarning: "callback" });
  const checked = withNetworkNames(home, checkContainerOptions(options));
  // whose ids its files have is asked when nothing of it runs, too
  const namespaces = privilegedNamespaces(checked as Parameters<typeof privilegedNamespaces>[0]);
  const asked = namespaces ? { ...checked, namespaces: { ...checked.namespaces, ...namespaces } } : checked;
  await sweepLeftovers(home);
  // said before anything is pulled
  if (asked.name !== undefined) checkFree(home, asked.name);
  const prepared = await prepareImage(home, asked, making);
  try {
    const record = await make(home, asked, prepared, making.signal);
    if (prepared.image?.warning !== undefined) making.onWarning?.(prepared.image.warning);
    return record;
  } finally {
    // from now on it is the row that holds it
    prepared.image?.release();
  }
}

function checkFree(home: Home, name: string): void {
  const there = home.state.containers.byName<ContainerRecord>(name);
  if (there && reconciled(home, there)) home.state.containers.checkName({ id: "", name });
}

async function prepareImage(home: Home, asked: ContainerOptions, making: MakeOptions): Promise<Prepared> {
  const { image, entrypoint, command = [], namespaces } = asked;
  const given = {
    ...(entrypoint === undefined ? {} : { entrypoint }),
    ...(namespaces ? { namespaces: plainNamespaces(namespaces) } : {}),
  };
  const find = (request: Parameters<typeof prepare>[1]) => {
    const prepared = prepare(command, request);
    try {
      checkCommand(prepared.command, prepared.image?.image.reference);
    } catch (error) {
      prepared.image?.release();
      throw error;
    }
    return prepared;
  };
  if (image === undefined) return find(given);
  const wanted = { ...(typeof image === "string" ? { reference: image } : image), root: home.root };
  const request = {
    ...given,
    image: wanted,
    ...(asked.rootfs === undefined ? {} : { rootfs: asked.rootfs }),
    ...(making.signal ? { signal: making.signal } : {}),
  };
  return withImage(request, () => find(request), making.onProgress);
}

async function make(
  home: Home,
  options: ContainerOptions,
  prepared: Prepared,
  signal: AbortSignal | undefined,
): Promise<ContainerRecord> {
  const { command, image, request } = prepared;
  const { config = {} } = image?.image.config ?? {};
  const files = image ? { config, layers: request.stack?.paths ?? [] } : filesOf(options);
  const mounted = resolveMounts(home, options, files);
  const id = newId();
  using _ = await claim(home, id);
  const { reference, id: imageId, digest } = image?.image ?? {};
  const draft: ContainerRecord = {
    version: 1,
    id,
    name: options.name ?? newName(0),
    created: Date.now(),
    options,
    ...(reference && imageId && digest ? { image: { reference, id: imageId, digest } } : {}),
    command,
    status: "creating",
    pid: 0,
    restarts: 0,
    stopped: false,
    volumes: mounted.volumes,
    mounts: mounted.mounts,
    ...(Object.keys(mounted.images).length > 0 ? { mountedImages: mounted.images } : {}),
    hostname: options.hostname ?? id.slice(0, SHORT),
  };
  const named = insert(home, draft, mounted);
  try {
    await mounted.fill(id, signal);
    const record: ContainerRecord = { ...named, status: "created" };
    using directory = home.directory(id);
    if (hasLayer(options)) storing(() => directory?.makeDirectory(LAYER, PRIVATE));
    checkWhole(home, record, prepared);
    writeCopy(home, record);
    home.state.transaction(() => {
      home.state.containers.update<ContainerRecord>(id, () => record);
      addContainerEvent(home, record, "create");
    });
    return record;
  } catch (error) {
    await removeRest(home, markRemoving(home, id, true) ?? named);
    throw error;
  }
}

/**
 * All that its specification would be refused for.
 * @throws TsboxError `invalid_option`, …
 */
function checkWhole(home: Home, record: ContainerRecord, prepared: Prepared): void {
  const { options } = record;
  const network = typeof options.network === "string" && options.network.startsWith("container:") ? false : undefined;
  const request = requestOf(home, record, { mounts: [], ...(network === undefined ? {} : { network }) });
  checkLaunchable(record.command, request, prepared);
}

/** Its directory, which nobody takes for a leftover as long as it is locked; before that somebody may. */
async function claim(home: Home, id: string): Promise<Held> {
  for (let attempt = 0; attempt < CLAIMS; attempt++) {
    storing(() => Directory.make(home.path(id), PRIVATE));
    const held = tryLock(home, id);
    if (held) return held;
    await new Promise((resolve) => setTimeout(resolve, attempt));
  }
  throw new TsboxError(`create the container ${id}: its directory is taken away`, { code: "store_unavailable" });
}

/** @throws TsboxError `name_in_use` */
function insert(home: Home, draft: ContainerRecord, mounted: ResolvedMounts): ContainerRecord {
  for (let attempt = 1; ; attempt++) {
    try {
      home.state.transaction(() => {
        home.state.containers.insert(draft);
        mounted.insert();
      });
      return draft;
    } catch (error) {
      // it may be that of a volume as well
      const isTaken = (error as TsboxError).code === "name_in_use" && home.state.containers.byName(draft.name);
      if (!isTaken || draft.options.name !== undefined || attempt > NAMES) throw error;
      draft = { ...draft, name: newName(attempt) };
    }
  }
}
