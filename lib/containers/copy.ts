/** Files into a container, and out of it, whether it runs or not. @module @see https://docs.docker.com/reference/cli/docker/container/cp/ */
import { checkOptions, checkHostPath } from "../options/index.ts";
import { close, openPidfd, TsboxError, waitBriefly } from "../../syscalls/index.ts";
import { ContainerCgroup, type CgroupRecord } from "../cgroup/index.ts";
import { InsideFiles, Sandbox, type PathStat, type SandboxOptions } from "../sandbox/index.ts";
import { recordOf } from "./find.ts";
import type { Home } from "./home.ts";
import { LAYER } from "./layout.ts";
import { lock } from "./lock.ts";
import { notFound } from "./names.ts";
import { mountsFor, releaseMounts, type MadeMounts } from "./mounts.ts";
import type { ContainerRecord } from "./record.ts";
import { settle } from "./reconcile.ts";
import { hasLayer, requestOf } from "./request.ts";
import { readSpec } from "./spec-file.ts";
import { notRunning, runs } from "./status.ts";
import { connectPidfd } from "./supervisor.ts";

export interface CopyInOptions {
  /** Owners are those of the archive; otherwise the container's root. */
  archive?: boolean;
  signal?: AbortSignal;
}

export interface CopyOutOptions {
  /** A symlink is what it leads to. */
  followLink?: boolean;
  signal?: AbortSignal;
}

/** Of a path that may not be there; symlinks in it are followed in the container. */
export async function statPath(
  home: Home,
  id: string,
  path: string,
  options: { follow?: boolean },
): Promise<PathStat | undefined> {
  checkOptions("stat", options, { follow: "flag" });
  await using inside = await reach(home, id);
  return await inside.files.stat(absolutePath(path), options.follow ?? true);
}

/**
 * An entry for the path, under its last name, and for all below. A path that ends with `/.` is `.`. What is mounted below
 * is packed where the container was made with it.
 */
export async function copyOut(
  home: Home,
  id: string,
  given: string,
  options: CopyOutOptions = {},
): Promise<ReadableStream<Uint8Array>> {
  checkOptions("copyOut", options, { followLink: "flag", signal: "signal" });
  const { followLink = false, signal } = options;
  const path = absolutePath(given);
  const inside = await reach(home, id);
  try {
    const follow = followLink || /\/\.?$/.test(given);
    const stat = await inside.files.stat(path.replace(/\/+\.?$/, "") || "/", follow);
    if (!stat) throw notThere(path, inside.record);
    if (/\/\.?$/.test(given) && stat.type !== "directory")
      throw new TsboxError(`copy "${given}": not a directory`, { code: "file_refused", path: given });
    const targets = new Set(mountTargets(inside.record));
    const pieces = inside.files.pack(path, {
      name: archiveName(given),
      followLink: follow,
      crosses: (below) => targets.has(below),
      ...(signal === undefined ? {} : { signal }),
    });
    return streamOf(pieces, async () => await inside[Symbol.asyncDispose]());
  } catch (error) {
    await inside[Symbol.asyncDispose]();
    throw error;
  }
}

/** @throws TsboxError `file_not_found`, `file_refused` where it is no directory, `archive_refused`, `permission_denied` */
export async function copyIn(
  home: Home,
  id: string,
  given: string,
  archive: ReadableStream<Uint8Array>,
  options: CopyInOptions = {},
): Promise<void> {
  checkOptions("copyIn", options, { archive: "flag", signal: "signal" });
  const { archive: sameOwner = false, signal } = options;
  const path = absolutePath(given);
  await using inside = await reach(home, id);
  const { record, files } = inside;
  if (
    !hasLayer(record.options) &&
    !mountTargets(record).some((target) => path === target || path.startsWith(`${target}/`))
  )
    checkWritable(record);
  const stat = await files.stat(path);
  if (!stat) throw notThere(path, record);
  if (stat.type !== "directory")
    throw new TsboxError(`extraction point is not a directory: "${given}"`, { code: "file_refused", path: given });
  await files.unpack(path, archive, { sameOwner, ...(signal === undefined ? {} : { signal }) });
}

function checkWritable({ options, name, status }: ContainerRecord): void {
  if (options.security?.readOnly === true)
    throw new TsboxError(`container rootfs is marked read-only: "${name}"`, { code: "permission_denied" });
  // in memory, and so gone at once
  if (status !== "running" && status !== "paused")
    throw new TsboxError(`copy files into "${name}": what is written there is kept only as long as it runs`, {
      code: "unsupported",
      hint: "start it first",
    });
}

const notThere = (path: string, { name }: ContainerRecord) =>
  new TsboxError(`Could not find the file ${path} in container ${name}`, { code: "file_not_found", path });

const absolutePath = (path: string): string =>
  checkHostPath("path", path === "" ? "/" : path).startsWith("/") ? path : `/${path}`;

/** What its first entry is called. */
export function archiveName(path: string): string {
  const name = path.split("/").findLast((part) => part !== "") ?? ".";
  return name === ".." ? "." : name;
}

const mountTargets = ({ mounts = [] }: ContainerRecord): string[] => mounts.map(({ target }) => target);

const NO_GROUPS: CgroupRecord = { paths: {}, asked: false, made: false, rootless: true };

interface Reached extends AsyncDisposable {
  files: InsideFiles;
  record: ContainerRecord;
}

/** So long it takes at most until it is written down that it has ended. */
const ENDED_MS = 2000;
const AGAIN_MS = 5;
/** One that is being killed cannot be joined a little before it has ended. */
const ENDING_US = 20_000;

/**
 * Of one that does not run, a sandbox with its files is made for as long; nobody can start it meanwhile. One that is just
 * ending is waited for.
 */
async function reach(home: Home, id: string): Promise<Reached> {
  for (const end = performance.now() + ENDED_MS; ; await new Promise((again) => setTimeout(again, AGAIN_MS))) {
    const record = recordOf(home, id);
    if (runs(record)) {
      const reached = await reachRunning(home, record);
      if (reached) return reached;
      if (performance.now() > end) throw notRunning(id);
      continue;
    }
    const held = await lock(home, id);
    try {
      const now = settle(home, id);
      if (!now) throw notFound(id);
      if (!runs(now)) return await reachStopped(home, now, held);
    } catch (error) {
      held[Symbol.dispose]();
      throw error;
    }
    // somebody has started it
    held[Symbol.dispose]();
  }
}

/** Undefined where it has ended. */
async function reachRunning(home: Home, record: ContainerRecord): Promise<Reached | undefined> {
  const { id, cgroup, status, options } = record;
  using directory = home.directory(id);
  const spec = directory && readSpec(directory);
  const init = connectPidfd(home, id);
  if (init === undefined) return undefined;
  let files: InsideFiles | undefined;
  const end = async () => {
    await files?.[Symbol.asyncDispose]();
    close(init);
  };
  try {
    if (!spec) throw notRunning(id);
    // in its groups, it would be paused as well
    const group = new ContainerCgroup(status === "paused" || !cgroup ? NO_GROUPS : cgroup);
    files = new InsideFiles(spec, init, group, options.limits?.disk !== undefined);
    // whether it could join is told by the first answer
    await files.stat("/");
    return { files, record, [Symbol.asyncDispose]: end };
  } catch (error) {
    const hasEnded = waitBriefly(init, ENDING_US);
    await end();
    if (hasEnded) return undefined;
    throw error;
  }
}

async function reachStopped(home: Home, record: ContainerRecord, held: Disposable): Promise<Reached> {
  using directory = home.directory(record.id);
  if (directory && hasLayer(record.options) && !directory.status(LAYER)) directory.makeDirectory(LAYER, 0o700);
  const made = await mountsFor(home, record);
  try {
    return await reachWith(home, record, made, held);
  } catch (error) {
    made.release();
    await releaseMounts(home, record);
    throw error;
  }
}

async function reachWith(home: Home, record: ContainerRecord, made: MadeMounts, held: Disposable): Promise<Reached> {
  const {
    stdin: _,
    stdout: __,
    stderr: ___,
    terminal: ____,
    ...asked
  } = requestOf(home, record, {
    mounts: made.mounts,
    network: false,
  });
  const { image, rootfs, writableLayer, mounts, uidMappings, gidMappings, namespaces, entrypoint } = asked;
  const user = namespaces?.user;
  const options: SandboxOptions = {
    ...(image === undefined ? {} : { image }),
    ...(rootfs === undefined ? {} : { rootfs }),
    ...(entrypoint === undefined ? {} : { entrypoint }),
    ...(writableLayer === undefined ? {} : { writableLayer }),
    ...(mounts === undefined ? {} : { mounts }),
    ...(uidMappings === undefined ? {} : { uidMappings }),
    ...(gidMappings === undefined ? {} : { gidMappings }),
    ...(user === undefined ? {} : { namespaces: { user } }),
    user: asked.uidMappings || asked.gidMappings ? (asked.user ?? "0:0") : "0:0",
    cwd: "/",
  };
  const spec = Sandbox.spec(["true"], options);
  const box = await Sandbox.create(options);
  const init = openPidfd(box.pid);
  const end = async () => {
    close(init);
    await box.stop();
  };
  try {
    const files = new InsideFiles(spec, init, new ContainerCgroup(NO_GROUPS), false);
    return {
      files,
      record,
      async [Symbol.asyncDispose]() {
        await files[Symbol.asyncDispose]();
        await end();
        made.release();
        await releaseMounts(home, record);
        held[Symbol.dispose]();
      },
    };
  } catch (error) {
    await end();
    throw error;
  }
}

/** As fast as it is read. */
function streamOf(pieces: AsyncGenerator<Uint8Array, void>, done: () => Promise<void>): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { value, done: isOver } = await pieces.next();
        if (!isOver) return controller.enqueue(value.slice());
        await done();
        controller.close();
      } catch (error) {
        await done();
        controller.error(error);
      }
    },
    async cancel() {
      await pieces.return();
      await done();
    },
  });
}
