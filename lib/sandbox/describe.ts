/** What a request comes to, without running anything. @module */
import { printPlan, TsboxError } from "../../syscalls/index.ts";
import { cgroupPlan } from "../cgroup/index.ts";
import { factsFor } from "../launch/index.ts";
import { compile } from "../plan/index.ts";
import type { Spec } from "../spec/index.ts";
import { checkCommand, checkRequest } from "./check-request.ts";
import { prepare } from "./image.ts";
import type { RunOptions } from "./options.ts";
import { specFor, type Requested } from "./request.ts";

function requested(given: string[], options: RunOptions): Requested {
  checkRequest(options);
  const { command, request, image } = prepare(given, options);
  try {
    checkCommand(command, image?.image.reference);
    return specFor(command, request);
  } finally {
    image?.release();
  }
}

export function specOf(command: string[], options: RunOptions): Spec {
  const { spec } = requested(command, options);
  try {
    return structuredClone(spec); // parts of it are those of other sandboxes too
  } catch (cause) {
    // all else in it was made here
    throw new TsboxError("use the seccomp profile: it is not only data", { code: "invalid_option", cause });
  }
}

export function planOf(command: string[], options: RunOptions): string {
  const { spec, beside } = requested(command, options);
  const { steps, membership } = cgroupPlan(spec.linux.resources ?? {}, spec.linux.cgroupsPath?.replace(/\/[^/]*$/, ""));
  return printPlan([...steps, ...compile(spec, beside, factsFor(spec, membership)).plan]);
}
