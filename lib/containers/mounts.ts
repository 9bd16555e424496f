/**
 * What is mounted in a container: found out when it is made ({@link resolveMounts}), and made ready when it starts
 * ({@link mountsFor}).
 * @module
 */
import { invalid } from "../options/index.ts";
import { absolute, effectiveUid, kindOfPath, show, TsboxError } from "../../syscalls/index.ts";
import type { ContainerConfig, Digest } from "../image/index.ts";
import type { Lease } from "../store/index.ts";
import type { BindMount, MountOption } from "../sandbox/index.ts";
import {
  isMountedVolume,
  newVolumeName,
  parseVolume,
  prepareVolume,
  releaseVolumes,
  useVolume,
  Volumes,
  type VolumeOptions,
} from "../volumes/index.ts";
import { holdBase, type HeldBase } from "./base.ts";
import { filesFor } from "./etc-files.ts";
import { find } from "./find.ts";
import { findImageMount, holdImageMount } from "./image-mounts.ts";
import type { Home } from "./home.ts";
import type { ContainerMount, ContainerOptions, VolumeMount } from "./options.ts";
import type { ContainerRecord, UsedVolume } from "./record.ts";

/** What new volumes are filled with. */
export interface ImageFiles {
  config?: ContainerConfig;
  /** Directories that lie on each other, absolute, top first; held by the caller as long as volumes are filled. */
  layers: readonly string[];
}

export interface ResolvedMounts {
  /** For the record. */
  mounts: ContainerMount[];
  volumes: UsedVolume[];
  /** Digests of those that are mounted, by the names that they were found by. */
  images: Record<string, Digest>;
  /** Writes down those volumes that there are not yet: part of the transaction that inserts the container. */
  insert(): void;
  /**
   * Makes and fills them, once that is done; where it fails, the container is to be removed with its own volumes.
   * @param id of the container
   */
  fill(id: string, signal?: AbortSignal): Promise<void>;
}

/**
 * Nothing is made yet.
 * @throws TsboxError `invalid_option`, `mount_failed`, `container_not_found`, in Docker's words
 */
export function resolveMounts(
  home: Home,
  options: ContainerOptions,
  image: ImageFiles = { layers: [] },
): ResolvedMounts {
  const own = ownMounts(options);
  const targets = new Set(own.map(({ target }) => target));
  const others = fromOthers(home, options).filter(({ target }) => !targets.has(target));
  const anonymousOfOthers = anonymousVolumes(home, options);
  for (const { target } of others) targets.add(target);
  const ofImage = Object.keys(image.config?.Volumes ?? {})
    .map((path) => absolute(path, "/"))
    .filter((target) => target !== "/" && !targets.has(target))
    .map((target): VolumeMount => ({ type: "volume", target }));
  const images = imagesOfOthers(home, options);
  for (const mount of own) if (mount.type === "image") images[mount.source] = findImageMount(home, mount);
  const claims = new Map<string, VolumeOptions>();
  const volumes: UsedVolume[] = [];
  const mounts = [...others, ...own, ...ofImage].map((mount) => {
    if (mount.type !== "volume") return mount;
    const { source = newVolumeName(), driver, driverOptions, labels, ...rest } = mount;
    // who is the last to have it removes it, whoever was the first
    const isAnonymous = mount.source === undefined || (others.includes(mount) && anonymousOfOthers.has(source));
    const { readOnly = false, target } = mount;
    if (!claims.has(source)) {
      claims.set(source, {
        name: source,
        anonymous: isAnonymous,
        ...(driver === undefined ? {} : { driver }),
        ...(driverOptions === undefined ? {} : { options: driverOptions }),
        ...(labels === undefined ? {} : { labels }),
      });
    }
    volumes.push({ name: source, target, readOnly, anonymous: isAnonymous });
    return { ...rest, source };
  });
  // what is below another one is mounted after it
  mounts.sort((a, b) => depth(a.target) - depth(b.target) || (a.target < b.target ? -1 : 1));
  return {
    mounts,
    volumes,
    images,
    insert() {
      const all = new Volumes(() => home.state);
      for (const claim of claims.values()) all.claim(claim, image.layers.length > 0);
    },
    async fill(id, signal) {
      for (const mount of mounts)
        if (mount.type === "volume")
          await prepareVolume(home.state, mount.source as string, id, filling(mount, image, signal));
      const all = new Volumes(() => home.state);
      for (const used of volumes) if (isMountedVolume(all.get(used.name))) used.mounted = true;
    },
  };
}

function filling({ target, noCopy, subpath }: VolumeMount, { layers }: ImageFiles, signal?: AbortSignal) {
  if (noCopy || subpath !== undefined || layers.length === 0) return undefined;
  return { layers, path: target, ...(signal ? { signal } : {}) };
}

function ownMounts({ volumes = [], mounts = [] }: ContainerOptions): ContainerMount[] {
  const own = [...volumes.map((text) => parseVolume(text, undefined)), ...mounts.map(checked)];
  own.forEach(({ target }, index) => {
    if (own.findIndex((mount) => mount.target === target) !== index) throw invalid(`Duplicate mount point: ${target}`);
  });
  return own;
}

function checked(mount: ContainerMount): ContainerMount {
  const { type, target } = Object(mount) as Partial<ContainerMount>;
  const fail = (why: string) => invalid(`invalid mount config for type "${type ?? ""}": ${why}`);
  if (!["bind", "volume", "tmpfs", "image", "cgroup"].includes(type ?? ""))
    throw invalid(`mount type unknown: ${show(type)}`);
  if (typeof target !== "string" || target === "") throw fail("field Target must not be empty");
  if (!target.startsWith("/")) throw fail(`invalid mount path: '${target}' mount path must be absolute`);
  const path = absolute(target, "/");
  if (path === "/") throw fail("invalid specification: destination can't be '/'");
  if ((mount.type === "volume" || mount.type === "image") && mount.subpath !== undefined)
    checkSubpath(mount.subpath, fail);
  if (mount.type === "volume" && mount.source === undefined && mount.subpath !== undefined)
    throw fail("subpath of a volume without a name");
  if (mount.type !== "bind") return { ...mount, target: path };
  const source = absolute(mount.source);
  if (!mount.create && kindOfPath(source) === undefined)
    throw new TsboxError(`invalid mount config for type "bind": bind source path does not exist: ${source}`, {
      code: "mount_failed",
      path: source,
      hint: '"-v" makes one, and so does bind-create-src',
    });
  return { ...mount, source, target: path };
}

/** It is resolved inside of the volume, so that ".." harms nobody: Docker refuses it all the same. */
function checkSubpath(subpath: string, fail: (why: string) => TsboxError): void {
  if (subpath.startsWith("/") || subpath.split("/").includes("..") || subpath === "")
    throw fail(`subpath ${show(subpath)} must be a relative path that does not go up`);
}

/** What other containers have, but for what is in memory. */
function fromOthers(home: Home, { volumesFrom = [] }: ContainerOptions): ContainerMount[] {
  const found = new Map<string, ContainerMount>();
  for (const words of volumesFrom) {
    const [name = "", mode = ""] = words.split(/:(.*)/s);
    const modes = mode === "" ? [] : mode.split(",");
    const unknown = modes.find((word) => !["ro", "rw", "z", "Z"].includes(word));
    if (name === "" || unknown !== undefined)
      throw invalid(`invalid mode: ${unknown ?? words}`, '"web", "web:ro", "web:rw"');
    for (const mount of find(home, name).mounts ?? []) {
      if (mount.type === "tmpfs" || mount.type === "cgroup") continue;
      const shared: ContainerMount = mount.type === "volume" ? { ...mount, noCopy: true } : mount;
      found.set(mount.target, modes.includes("ro") && shared.type !== "image" ? { ...shared, readOnly: true } : shared);
    }
  }
  return [...found.values()];
}

const anonymousVolumes = (home: Home, { volumesFrom = [] }: ContainerOptions): Set<string> =>
  new Set(
    volumesFrom
      .flatMap((words) => find(home, words.split(":", 1)[0] as string).volumes)
      .filter(({ anonymous }) => anonymous)
      .map(({ name }) => name),
  );

const imagesOfOthers = (home: Home, { volumesFrom = [] }: ContainerOptions): Record<string, Digest> =>
  Object.assign({}, ...volumesFrom.map((words) => find(home, words.split(":", 1)[0] as string).mountedImages));

/** What is mounted, and the images in it, which are held. */
export interface MadeMounts {
  mounts: MountOption[];
  /** Descriptors with which a supervisor holds the images, once this program leaves them. */
  locks: number[];
  leave(): void;
  /** More calls do no harm. */
  release(): void;
}

/**
 * What a container that is about to start has mounted, made ready: file systems of volumes are mounted, owners changed,
 * and what was not filled when it was made is filled.
 * @throws TsboxError `mount_failed`, `volume_not_found`, …
 */
export async function mountsFor(home: Home, record: ContainerRecord): Promise<MadeMounts> {
  using image = new LateImage(home, record);
  const made: MountOption[] = [];
  const leases: Lease[] = [];
  const release = () => {
    for (const lease of leases.splice(0)) lease[Symbol.dispose]();
  };
  try {
    for (const mount of record.mounts ?? []) {
      if (mount.type === "image") {
        const held = holdImageMount(home, mount, record.mountedImages?.[mount.source]);
        leases.push(held.lease);
        made.push(held.mount);
      } else if (mount.type === "volume") made.push(await volumeMount(home, record, mount, image));
      else made.push(mount.type === "bind" ? await bindMount(record, mount, image) : mount);
    }
    const targets = new Set(made.map(({ target }) => target));
    const mounts = [...filesFor(home, record).filter(({ target }) => !targets.has(target)), ...made];
    return {
      mounts,
      locks: leases.flatMap(({ lock }) => lock ?? []),
      leave: () => leases.splice(0).forEach((lease) => lease.leave()),
      release,
    };
  } catch (error) {
    release();
    throw error;
  }
}
/** The image of a container, held from when it is asked for. */
class LateImage implements Disposable {
  readonly #home: Home;
  readonly #record: ContainerRecord;
  #held: HeldBase | undefined;

  constructor(home: Home, record: ContainerRecord) {
    this.#home = home;
    this.#record = record;
  }

  get files(): ImageFiles {
    const { image, options } = this.#record;
    if (!image) return filesOf(options);
    const { layers, config } = (this.#held ??= holdBase(this.#home, this.#record, "mount volumes of"));
    return { layers, ...(config.config ? { config: config.config } : {}) };
  }

  [Symbol.dispose](): void {
    this.#held?.[Symbol.dispose]();
  }
}

/** Of a container without an image. */
export const filesOf = ({ rootfs = "host" }: ContainerOptions): ImageFiles => ({
  layers: rootfs === "host" ? [] : [absolute(rootfs)],
});

async function volumeMount(
  home: Home,
  record: ContainerRecord,
  mount: VolumeMount,
  image: LateImage,
): Promise<MountOption> {
  const { source: name = "", target, readOnly = false, subpath } = mount;
  if (new Volumes(() => home.state).get(name).unfilled)
    await prepareVolume(home.state, name, record.id, filling(mount, image.files));
  const found = await useVolume(home.state, name, record.id, effectiveUid() === 0);
  if (found.kind === "tmpfs") return { ...found.mount, target, ...(readOnly ? { readOnly } : {}) };
  const { path, readOnly: isReadOnly } = found;
  return bindMount(
    record,
    {
      ...defined({ noExec: mount.noExec, uidMappings: mount.uidMappings, gidMappings: mount.gidMappings }),
      ...defined({ chown: mount.chown, relabel: mount.relabel, subpath }),
      type: "bind",
      source: path,
      target,
      readOnly: readOnly || isReadOnly,
    },
    image,
  );
}

async function bindMount(
  { options }: ContainerRecord,
  { chown, relabel: labels, ...mount }: Extract<ContainerMount, { type: "bind" }>,
  image: LateImage,
): Promise<BindMount> {
  if (!chown && labels === undefined) return mount;
  const { giveToUser, relabel } = await import("./file-changes.ts");
  if (chown) giveToUser(mount, options, image.files);
  if (labels !== undefined) relabel(mount);
  return mount;
}

const depth = (path: string): number => path.split("/").length;

/** Without those that are not given. */
const defined = <T extends object>(values: T) =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [Name in keyof T]: Exclude<T[Name], undefined>;
  };

/** After a container has ended: unmounts file systems of volumes that no other one uses. */
export async function releaseMounts(home: Home, record: ContainerRecord): Promise<void> {
  const names = record.volumes.flatMap(({ name, mounted }) => (mounted ? name : []));
  if (names.length > 0) await releaseVolumes(home.state, names, record.id);
}
