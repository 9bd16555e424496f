/** What a container has written: told, made an image, or an archive with all that is below it. @module */
import { checkOptions } from "../options/index.ts";
import { effectiveUid, kindOfPath, OpenFile, TsboxError } from "../../syscalls/index.ts";
import type { Change } from "../layer/index.ts";
import type { ContainerConfig } from "../image/index.ts";
import type { BoxCommitOptions, CommittedImage } from "../sandbox/index.ts";
import type { Spec } from "../spec/index.ts";
import { storing } from "../state/index.ts";
import type { IdMaps } from "../store/index.ts";
import { holdBase as hold, type HeldBase } from "./base.ts";
import { recordOf } from "./find.ts";
import type { Home } from "./home.ts";
import { configOf } from "./inspect.ts";
import { COMMIT, LAYER } from "./layout.ts";
import { notFound } from "./names.ts";
import { hasLayer } from "./request.ts";
import { readSpec } from "./spec-file.ts";
import type { ContainerRecord } from "./record.ts";

const PRIVATE = 0o700;

export type ContainerCommitOptions = BoxCommitOptions;

/** In the order of their paths; not what is in volumes. @throws TsboxError `invalid_option` for one that is of no image */
export async function diff(home: Home, id: string): Promise<Change[]> {
  const { changesOf } = await import("../layer/index.ts");
  const record = recordOf(home, id);
  using base = holdBase(home, record, "tell what was written in");
  const upper = upperOf(home, id);
  if (upper === undefined) return [];
  const excluded = volumesOf(record);
  const all = changesOf(upper, base.layers, idsFor(home, record, base)).filter(
    ({ path }) => !excluded.some((volume) => path.startsWith(`${volume}/`)),
  );
  return withoutMountPoints(all, [...excluded, ...mountTargets(home, record)]);
}

/** What was only made for something to be mounted on, and directories that are changed by nothing else. */
export function withoutMountPoints(changes: readonly Change[], targets: readonly string[]): Change[] {
  const isTarget = ({ kind, path }: Change) => kind !== "D" && targets.includes(path);
  const isAbove = ({ kind, path }: Change) => kind !== "D" && targets.some((target) => target.startsWith(`${path}/`));
  const kept = changes.filter((change) => !isTarget(change));
  // from the end: what is below a directory comes behind it
  const needed = new Set<string>();
  const found = kept.toReversed().filter((change) => {
    const isNeeded = !isAbove(change) || needed.has(change.path);
    if (isNeeded)
      for (let at = change.path.lastIndexOf("/"); at > 0; at = change.path.lastIndexOf("/", at - 1))
        needed.add(change.path.slice(0, at));
    return isNeeded;
  });
  return found.toReversed();
}

/**
 * An image whose config is the container's.
 * @throws TsboxError `invalid_option`, `image_not_found`, `reference_invalid`, `store_unavailable`; `limit_unavailable`
 * where it is to be paused, and cannot be
 */
export async function commit(
  home: Home,
  id: string,
  reference: string | undefined,
  options: ContainerCommitOptions,
): Promise<CommittedImage> {
  checkOptions("commit", options, {
    author: "text",
    message: "text",
    changes: "texts",
    pause: "flag",
    signal: "signal",
  });
  const { author, message, changes, pause, signal } = options;
  const record = recordOf(home, id);
  using base = holdBase(home, record, "commit");
  const { Images } = await import("../images/index.ts");
  using images = new Images(home.root);
  using upper = upperOr(home, id);
  const resume = await paused(home, record, pause);
  try {
    const { ids } = idsFor(home, record, base);
    const made = await images.commit(record.image?.id, upper.path, {
      ...(ids ? { upperIds: ids } : {}),
      exclude: volumesOf(record),
      config: configFor(record, base),
      createdBy: record.command.join(" "),
      ...(signal === undefined ? {} : { signal }),
      ...(reference === undefined ? {} : { reference }),
      ...(author === undefined ? {} : { author }),
      ...(message === undefined ? {} : { message }),
      ...(changes === undefined ? {} : { changes }),
    });
    return { id: made.id };
  } finally {
    await resume();
  }
}

/** As its next container is to be run. */
function configFor(record: ContainerRecord, base: HeldBase): ContainerConfig {
  const ofImage = base.config.config ?? {};
  const { Env, Cmd, Entrypoint, Labels, User, WorkingDir, Volumes, ExposedPorts, Healthcheck } = configOf(
    record,
    ofImage,
  );
  return {
    ...ofImage,
    Env,
    Labels,
    User,
    WorkingDir,
    ...(record.options.stopSignal === undefined ? {} : { StopSignal: record.options.stopSignal }),
    ...(Cmd === null ? {} : { Cmd }),
    ...(Entrypoint === null ? {} : { Entrypoint }),
    ...(Volumes === null ? {} : { Volumes }),
    ...(ExposedPorts === undefined ? {} : { ExposedPorts }),
    ...(Healthcheck === undefined ? {} : { Healthcheck }),
  };
}

/** @returns what lets it go on */
async function paused(home: Home, { id, status }: ContainerRecord, pause: boolean | undefined) {
  if (pause === false || status !== "running") return async () => {};
  const { pause: halt, unpause } = await import("./pause.ts");
  // who finds it free, and the container paused by a commit, lets that go on
  const lock = lockCommit(home, id);
  try {
    await halt(home, id, { committing: true });
  } catch (error) {
    lock?.[Symbol.dispose]();
    if (pause || (error as { code?: string }).code !== "limit_unavailable") throw error;
    return async () => {};
  }
  return async () => {
    using _ = lock;
    try {
      await unpause(home, id);
    } catch (error) {
      // it has ended meanwhile, or is gone
      if (!["container_state", "container_not_found"].includes((error as { code?: string }).code ?? "")) throw error;
    }
  };
}

/** Of several at once, the first pauses it. */
function lockCommit(home: Home, id: string): OpenFile | undefined {
  using directory = home.directory(id);
  const file = directory && storing(() => OpenFile.open(directory, COMMIT, { as: "maker" }));
  file?.tryLock("exclusive");
  return file;
}

/** All files as they are seen, as a tar archive; not what is in volumes and mounts. As fast as it is read. */
export async function exportFiles(home: Home, id: string): Promise<ReadableStream<Uint8Array>> {
  const { packTree } = await import("../layer/index.ts");
  const record = recordOf(home, id);
  const base = holdBase(home, record, "export");
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const writer = writable.getWriter();
  const options = { ...idsFor(home, record, base), exclude: volumesOf(record) };
  // a piece is good until it is taken, and waits in the stream
  const packed = packTree(base.layers, upperOf(home, id), (bytes) => writer.write(bytes.slice()), options);
  void packed
    .then(
      () => writer.close(),
      (error) => writer.abort(error),
    )
    .catch(() => {})
    .finally(() => base[Symbol.dispose]());
  return readable;
}

/** @throws TsboxError `unsupported` where what is written cannot be reached from outside */
function holdBase(home: Home, record: ContainerRecord, action: string): HeldBase {
  const { limits } = record.options;
  if (!hasLayer(record.options) && limits?.disk !== undefined) {
    throw new TsboxError(`${action} "${record.name}": with limits.disk, what it writes lies in memory of its own`, {
      code: "unsupported",
      hint: "run it without --disk",
    });
  }
  return hold(home, record, action);
}

/** Undefined where it was never started, and nothing was copied into it. */
function upperOf(home: Home, id: string): string | undefined {
  const path = `${home.path(id)}/${LAYER}/upper`;
  return kindOfPath(path) === "directory" ? path : undefined;
}

/** Something empty instead, as long as it is needed. */
function upperOr(home: Home, id: string): Disposable & { path: string } {
  const there = upperOf(home, id);
  if (there !== undefined) return { path: there, [Symbol.dispose]() {} };
  const directory = home.directory(id);
  if (!directory) throw notFound(id);
  const name = `empty-${crypto.randomUUID()}`;
  storing(() => directory.makeDirectory(name, PRIVATE));
  return {
    path: `${directory.path}/${name}`,
    [Symbol.dispose]() {
      // the container may be gone by then
      directory.removeDirectory(name);
      directory[Symbol.dispose]();
    },
  };
}

const volumesOf = ({ volumes }: ContainerRecord): string[] => volumes.map(({ target }) => target);

/** Root's layers are mounted with the ids of the image; an ordinary user's have those that the container has. */
function idsFor(home: Home, record: ContainerRecord, base: HeldBase): { ids?: IdMaps } {
  if (effectiveUid() === 0) return {};
  const { uidMappings, gidMappings } = base.ids ?? specOf(home, record)?.linux ?? {};
  return uidMappings && gidMappings ? { ids: { uidMappings, gidMappings } } : {};
}

const mountTargets = (home: Home, record: ContainerRecord): string[] =>
  (specOf(home, record)?.mounts ?? []).map(({ destination }) => destination);

/** Undefined where it was never started. */
function specOf(home: Home, { id }: ContainerRecord): Spec | undefined {
  using directory = home.directory(id);
  return directory && readSpec(directory);
}
