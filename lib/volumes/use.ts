/** A volume on its way into a container: made and filled when that is made, mounted when it starts. @module */
import { Directory, TsboxError } from "../../syscalls/index.ts";
import type { State } from "../state/index.ts";
import { boundDirectory, hasFileSystem, isReadOnly, mountVolume, unmountVolume } from "./driver.ts";
import type { Filling } from "./fill.ts";
import { dataOf, lockedPlace, makePlace, placeOf } from "./place.ts";
import type { VolumeRecord, VolumeUser } from "./record.ts";
import { parseTmpfs, type TmpfsMount } from "./words.ts";
import { notFound } from "./volumes.ts";

function opened(state: State, name: string): { record: VolumeRecord; place: Directory } {
  const record = state.volumes.get<VolumeRecord>(name);
  if (!record || record.removing) throw notFound(name);
  return { record, place: makePlace(state.root, record) };
}

/**
 * Makes what a volume lacks, and fills it where it is empty and nobody has it.
 * @param filling what it is filled with
 * @param id of the container that it is for
 */
export async function prepareVolume(state: State, name: string, id: string, filling?: Filling): Promise<void> {
  const { record, place } = opened(state, name);
  using _ = place;
  await lockedPlace(place, name, async () => {
    const isOther = boundDirectory(record) !== undefined || hasFileSystem(record);
    if (record.project !== undefined) (await import("./quota.ts")).limitSize(place, state.root, record);
    if (filling && !isOther && liveUsers(state, name, id).length === 0)
      await (await import("./fill.ts")).fillVolume(place, filling);
    if (record.unfilled) state.volumes.update<VolumeRecord>(name, filled);
  });
}

function filled(row: VolumeRecord): VolumeRecord {
  const whole = { ...row };
  delete whole.unfilled;
  return whole;
}

const LIVE: readonly string[] = ["starting", "running", "paused", "restarting"];

const liveUsers = (state: State, name: string, but: string): string[] =>
  state.containers
    .list<VolumeUser>()
    .filter(
      ({ id, status, volumes }) => id !== but && LIVE.includes(status) && volumes.some((used) => used.name === name),
    )
    .map(({ id }) => id);

/** What is mounted for a volume. */
export type VolumeSource =
  | { kind: "directory"; path: string; readOnly: boolean }
  /** The container's own, as an ordinary user mounts nothing on the host. */
  | { kind: "tmpfs"; mount: TmpfsMount };

/**
 * Where the files of a volume are, which is mounted where it has a file system of its own.
 * @param id of the container that is about to start
 * @throws TsboxError `volume_not_found`, `mount_failed`
 */
export async function useVolume(state: State, name: string, id: string, isRoot: boolean): Promise<VolumeSource> {
  const { record, place } = opened(state, name);
  using _ = place;
  const readOnly = isReadOnly(record);
  const device = boundDirectory(record);
  if (device !== undefined) return { kind: "directory", path: device, readOnly };
  const data = dataOf(state.root, name);
  if (!hasFileSystem(record)) return { kind: "directory", path: data, readOnly };
  if (!isRoot) {
    const { type, o = "" } = record.options;
    const fail = (why: string) =>
      new TsboxError(`mount the volume "${name}": ${why}`, { code: "permission_denied", hint: "run as root" });
    if (type !== "tmpfs") throw fail(`an ordinary user mounts no ${type}`);
    const [other] = liveUsers(state, name, id);
    if (other !== undefined) throw fail(`a tmpfs of an ordinary user is of one container, and ${other} has it`);
    const words = o.split(",").filter((word) => word !== "" && !/^[ug]id=/.test(word));
    return { kind: "tmpfs", mount: parseTmpfs(`/:${words.join(",")}`) };
  }
  await lockedPlace(place, name, () => mountVolume(record, data));
  return { kind: "directory", path: data, readOnly };
}

/** Unmounts what no container that runs uses. @param but a container that counts as one that does not */
export async function releaseVolumes(state: State, names: readonly string[], but = ""): Promise<void> {
  for (const name of names) {
    const record = state.volumes.get<VolumeRecord>(name);
    if (!record || !hasFileSystem(record)) continue;
    using place = Directory.open(placeOf(state.root, name));
    if (!place) continue;
    await lockedPlace(place, name, () => {
      if (liveUsers(state, name, but).length === 0) unmountVolume(dataOf(state.root, name));
    });
  }
}
