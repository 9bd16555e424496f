/**
 * The ids of a mount's files in podman's words: `uids=0-1000-10#10-2000-10;gids=0-1000-10`, each as on the file system,
 * as outside, and how many; `@0-0-10` is relative to the ids of the container.
 * @module
 * @see https://docs.podman.io/en/latest/markdown/podman-run.1.html, "idmap"
 */
import type { BindMount } from "../sandbox/index.ts";
import { ROOT_ID_BASE } from "../sandbox/index.ts";
import type { IdMapping } from "../spec/index.ts";
import type { Refusal } from "./words.ts";

/** Without words, as is usual: a container sees the ids that are on the file system. */
export function idMapsOf(text: string, refuse: Refusal): Pick<BindMount, "uidMappings" | "gidMappings"> {
  if (text === "") return {};
  const made: ReturnType<typeof idMapsOf> = {};
  for (const part of text.split(";")) {
    const [, kind, list = ""] = /^(uids|gids)=(.+)$/.exec(part) ?? [];
    const key = kind === "uids" ? "uidMappings" : "gidMappings";
    if (kind === undefined || made[key]) throw refuse(`the idmap "${text}" is not understood`, HINT);
    made[key] = list.split("#").map((range) => rangeOf(range, refuse));
  }
  return made;
}

const HINT = '"idmap", or "idmap=uids=0-1000-10;gids=0-1000-10": on the file system, outside, how many';

function rangeOf(text: string, refuse: Refusal): IdMapping {
  const [, relative, from, to, size] = /^(@?)(\d+)-(\d+)-(\d+)$/.exec(text) ?? [];
  if (relative === undefined) throw refuse(`the idmap range "${text}" is not understood`, HINT);
  const base = relative === "" ? 0 : ROOT_ID_BASE;
  return { containerID: Number(from), hostID: base + Number(to), size: Number(size) };
}
