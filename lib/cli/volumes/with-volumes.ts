/** What verbs of volumes share. @module */
import type { VolumeRecord, Volumes } from "../../volumes/index.ts";
import { safely } from "../images/with-images.ts";
import { NO_MAP } from "../template/template.ts";

/** Ends with the status that `work` comes to. */
export const withVolumes = (work: (volumes: Volumes) => Promise<number | void>) =>
  safely(async () => {
    const [{ Home }, { Volumes }] = await Promise.all([
      import("../../containers/index.ts"),
      import("../../volumes/index.ts"),
    ]);
    using home = new Home();
    return await work(new Volumes(() => home.state));
  });

const map = (values: object) => (Object.keys(values).length === 0 ? NO_MAP : new Map(Object.entries(values)));

/** As Docker's API has it. */
export const inspectedVolume = (
  volumes: Volumes,
  { name, created, driver, labels, options }: VolumeRecord,
): object => ({
  CreatedAt: new Date(created).toISOString().replace(/\.\d+Z$/, "Z"),
  Driver: driver,
  Labels: map(labels),
  Mountpoint: volumes.path(name),
  Name: name,
  Options: map(options),
  Scope: "local",
});
