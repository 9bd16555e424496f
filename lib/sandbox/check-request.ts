/** What is wrong with a request whatever its specification would be. @module */
import { show, TsboxError } from "../../syscalls/index.ts";
import { checkBandwidth } from "./bandwidth.ts";
import { checkObject, checkSignal } from "../options/index.ts";
import { cpuTimeLimit, outputLimit, timeLimit } from "./group.ts";
import type { RunOptions, SandboxOptions } from "./options.ts";
import { checkStdio } from "./pipes.ts";

export function checkRequest(options: RunOptions): void {
  checkOptions(options);
  checkStdio(options);
}

/** What the specification does not say. */
export function checkOptions(options: SandboxOptions): void {
  checkObject("options", options);
  checkSignal(options.signal);
  [timeLimit, cpuTimeLimit, outputLimit, checkBandwidth].forEach((check) => check(options));
}

/** @param image that has none either */
export function checkCommand(command: string[], image?: string): void {
  if (Array.isArray(command) && command.length > 0) return;
  const why = image === undefined ? "none given" : `none given, and the image ${show(image)} has none of its own`;
  throw new TsboxError(`run a command: ${why}`, {
    code: "invalid_option",
    hint: 'an array of strings: ["echo", "hello"]',
  });
}
