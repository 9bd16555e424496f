/** How an image came about. @module */
import type { Digest, ImageConfig } from "../image/index.ts";

/** A step, the last one first. */
export interface HistoryStep {
  /** Of the image, for the last step; those before are images that nobody has. */
  id: Digest | undefined;
  created: string | undefined;
  createdBy: string;
  author: string;
  comment: string;
  /** Unpacked; 0 for a step that made no layer. */
  sizeBytes: number;
  diffId: Digest | undefined;
  names: string[];
}

/**
 * The steps, the last one first. Of a history that is not there, or is about other layers than there are, the layers
 * without a step have empty ones.
 */
export function historyOf(id: Digest, config: ImageConfig, sizes: readonly number[], names: string[]): HistoryStep[] {
  const diffIds = config.rootfs.diff_ids;
  let next = 0;
  const steps: HistoryStep[] = [];
  const add = (entry: NonNullable<ImageConfig["history"]>[number]) => {
    const at = entry.empty_layer === true || next >= diffIds.length ? undefined : next++;
    steps.push({
      id: undefined,
      created: entry.created,
      createdBy: entry.created_by ?? "",
      author: entry.author ?? "",
      comment: entry.comment ?? "",
      sizeBytes: at === undefined ? 0 : (sizes[at] ?? 0),
      diffId: at === undefined ? undefined : diffIds[at],
      names: [],
    });
  };
  for (const entry of config.history ?? []) add(entry);
  while (next < diffIds.length) add({});
  const last = steps.at(-1);
  if (last) Object.assign(last, { id, names });
  return steps.toReversed();
}
