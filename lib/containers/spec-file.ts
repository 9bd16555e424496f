/** The specification that a container runs by, for processes that join it. @module */
import type { Directory } from "../../syscalls/index.ts";
import type { Spec } from "../spec/index.ts";
import { SPEC } from "./layout.ts";

/** JSON has none. */
const INFINITY = "Infinity";
const MAX_BYTES = 16 * 1024 * 1024;

export function writeSpec(directory: Directory, spec: Spec): void {
  const text = JSON.stringify(spec, (_, value: unknown) => (value === Infinity ? INFINITY : value));
  directory.replace(SPEC, new TextEncoder().encode(text));
}

/** Undefined where it has never run. */
export function readSpec(directory: Directory): Spec | undefined {
  const bytes = directory.read(SPEC, MAX_BYTES);
  if (!bytes) return undefined;
  const { process, ...rest } = JSON.parse(new TextDecoder().decode(bytes)) as Spec;
  const amount = (value: unknown) => (value === INFINITY ? Infinity : (value as number));
  const rlimits = process.rlimits?.map((each) => ({ ...each, soft: amount(each.soft), hard: amount(each.hard) }));
  return { ...rest, process: { ...process, ...(rlimits && { rlimits }) } };
}
