/**
 * A container, made but not started. Its directory comes first, and is locked; then its row, so that its name is nobody
 * else's; then what it needs. What a command that was killed in between leaves, the next one removes.
 * @module
 */
import { Directory, TsboxError } from "../../syscalls/index.ts";
import { checkCommand, prepare, withImage, type Prepared } from "../sandbox/index.ts";
import { storing } from "../state/index.ts";
import { checkContainerOptions } from "./check-options.ts";
import type { MakeOptions } from "./containers.ts";
import { addContainerEvent } from "./events.ts";
import type { Home } from "./home.ts";
import { tryLock, type Held } from "./lock.ts";
import { filesOf, resolveMounts, type ImageFiles } from "./mounts.ts";
import { newId, newName } from "./names.ts";
import type { ContainerOptions } from "./options.ts";
import { writeCopy } from "./record-copy.ts";
import type { ContainerRecord } from "./record.ts";
import { reconciled } from "./reconcile.ts";
import { removeRest, sweepLeftovers } from "./leftovers.ts";

const PRIVATE = 0o700;
/** Of names that are made up: with so many containers that all are taken, something else is wrong. */
const NAMES = 40;
const SHORT = 12;

/** @throws TsboxError `invalid_option`, `name_in_use`, `image_not_found`, …, as `engine.images.pull` */
export async function create(home: Home, options: ContainerOptions, making: MakeOptions): Promise<ContainerRecord> {
  const asked = checkContainerOptions(options);
  await sweepLeftovers(home);
  // said before anything is pulled
  if (asked.name !== undefined) checkFree(home, asked.name);
  const prepared = await prepareImage(home, asked, making);
  try {
    return await make(home, asked, prepared);
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
  const given = { ...(entrypoint === undefined ? {} : { entrypoint }), ...(namespaces ? { namespaces } : {}) };
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
  { command, image, request }: Prepared,
): Promise<ContainerRecord> {
  const id = newId();
  using _ = claim(home, id);
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
    volumes: [],
    hostname: options.hostname ?? id.slice(0, SHORT),
  };
  const named = insert(home, draft);
  try {
    const record: ContainerRecord = {
      ...named,
      ...(await mountsOf(home, named, {
        layers: request.stack?.paths ?? [],
        config: image?.image.config.config ?? {},
      })),
      status: "created",
    };
    writeCopy(home, record);
    home.state.transaction(() => {
      home.state.containers.update<ContainerRecord>(id, () => record);
      addContainerEvent(home, record, "create");
    });
    return record;
  } catch (error) {
    await removeRest(home, home.state.containers.get<ContainerRecord>(id) ?? named);
    throw error;
  }
}

/** Its directory, which nobody takes for a leftover as long as it is locked. */
function claim(home: Home, id: string): Held {
  for (let attempt = 0; attempt < 3; attempt++) {
    storing(() => Directory.make(home.path(id), PRIVATE));
    const held = tryLock(home, id);
    if (held) return held;
  }
  throw new TsboxError(`create the container ${id}: its directory is taken away`, { code: "store_unavailable" });
}

/** @throws TsboxError `name_in_use` */
function insert(home: Home, draft: ContainerRecord): ContainerRecord {
  for (let attempt = 1; ; attempt++) {
    try {
      home.state.containers.insert(draft);
      return draft;
    } catch (error) {
      const isTaken = (error as TsboxError).code === "name_in_use";
      if (!isTaken || draft.options.name !== undefined || attempt > NAMES) throw error;
      draft = { ...draft, name: newName(attempt) };
    }
  }
}

/** What it mounts; volumes are written down before they are made. */
async function mountsOf(
  home: Home,
  { id, image, options }: ContainerRecord,
  files: ImageFiles,
): Promise<Required<Pick<ContainerRecord, "volumes" | "mounts">>> {
  const {
    volumes,
    mounts,
    insert: insertVolumes,
    fill,
  } = resolveMounts(home, options, image ? files : filesOf(options));
  if (volumes.length > 0)
    home.state.transaction(() => {
      insertVolumes();
      home.state.containers.update<ContainerRecord>(id, (row) => ({ ...row, volumes }));
    });
  await fill(id);
  return { volumes, mounts };
}
