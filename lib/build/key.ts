/**
 * What a step is called in the cache: by what it does, to which files, and on what. Never by when, or where. Pure.
 * @module
 */
import { Digester, type Digest } from "../image/index.ts";
import type { CopyOperation, DirectoryOperation, RunOperation } from "./step.ts";

/** Of all below; another version of the rules makes other keys. */
const RULES = 2;

/** What an operation uses besides the filesystem that it goes on from. */
export interface Uses {
  /** Of files, by the place in which they are used: digests of contents, or of layers. */
  files: readonly string[];
  /** Seconds; of all that has a time. */
  epoch: number | undefined;
}

/** @param parent the chainId of what is below */
export function stepKey(
  parent: Digest | undefined,
  operation: RunOperation | CopyOperation | DirectoryOperation,
  { files, epoch }: Uses,
): string {
  return keyOf({ rules: RULES, parent, operation: plain(operation), files, epoch });
}

/** Where files come from is told by what they are. */
function plain(operation: RunOperation | CopyOperation | DirectoryOperation): unknown {
  if (operation.kind === "directory") return operation;
  if (operation.kind === "copy") {
    const { source: _, ...rest } = operation;
    return rest;
  }
  const { mounts, env, ...rest } = operation;
  const sorted = env.toSorted(([a], [b]) => (a < b ? -1 : 1));
  const told = mounts.map((mount) => {
    const { files, from: _, ...others } = mount;
    // of a cache they may be left out: which of the mounts has the digests that follow
    return { ...others, hasFiles: files !== undefined };
  });
  return { ...rest, env: sorted, mounts: told };
}

/** The same for the same values, whatever the order of their names. */
export const keyOf = (value: unknown): string => new Digester().update(JSON.stringify(value, sorted)).digest();

function sorted(_: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
