/** Which extended attributes of files go with them. @module */
import { attributesOf, withImageIds, type ImageIds } from "../../layer/index.ts";

/** Of a build context: what a user gave it, and capabilities; lists of access name users of this machine. */
const OF_CONTEXTS = /^(?:user\.|security\.capability$)/;

export function keptAttributes(
  found: Map<string, Uint8Array> | undefined,
  where: string,
  ids: ImageIds,
  isContext: boolean,
): Map<string, Uint8Array> | undefined {
  const { xattrs } = attributesOf(found, where);
  if (!xattrs) return undefined;
  const kept = withImageIds(xattrs, ids);
  if (isContext) for (const key of kept.keys()) if (!OF_CONTEXTS.test(key)) kept.delete(key);
  return kept.size > 0 ? kept : undefined;
}

/** The same attributes are the same text. */
export const textOfAttributes = (xattrs: Map<string, Uint8Array> | undefined): string =>
  xattrs
    ? [...xattrs]
        .toSorted(([a], [b]) => (a < b ? -1 : 1))
        .map(([key, value]) => `\0${JSON.stringify(key)}=${Buffer.from(value).toString("hex")}`)
        .join("")
    : "";
