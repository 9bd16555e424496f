/** What a process tells of its start: why it fails, or that somebody is to have the listener of its filter. @module */
import { ARCH, type TsboxError } from "../../syscalls/index.ts";
import { failureOf, securityModules } from "../launch/index.ts";
import { FrameReader, startSteps, type StartableSpec } from "../plan/index.ts";
import { parseConfig } from "./config.ts";
import { withUsers } from "./default-users.ts";
import type { Container } from "./container.ts";
import { passListener, takeListener } from "./listener.ts";

export const specOf = ({ config }: Container) => parseConfig(config, withUsers).spec as StartableSpec;

/** @param agent a socket to who gets the listener @returns why it cannot be started, where that is what it tells */
export function understand(
  container: Container,
  socket: number,
  agent: number | undefined,
  bytes: Uint8Array,
): TsboxError | undefined {
  const [frame] = new FrameReader().take(bytes);
  if (frame?.kind === "failed") return explain(container, frame.report);
  if (frame?.kind === "passed" && agent !== undefined)
    passListener(takeListener(socket), agent, specOf(container).linux.seccomp, container.state("creating"));
  return undefined;
}

/** The steps after the start are the last ones of the plan. */
function explain(container: Container, report: DataView): TsboxError {
  const steps = startSteps(specOf(container), { arch: ARCH, modules: securityModules() });
  report.setUint32(0, report.getUint32(0, true) - container.record.steps + steps.length, true);
  return failureOf(report, steps);
}
