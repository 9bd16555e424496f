/** `tsbox exec -t`: a command with a terminal of its own. @module */
import type { Container, ExecOptions } from "../../containers/index.ts";
import { DetachKeys } from "../../terminal/index.ts";
import { print } from "../print.ts";
import { TERMINAL } from "../run-options.ts";
import { callersSize, checkTerminal, joinTerminals } from "../terminal.ts";
import { LEFT_ALONE } from "./foreground.ts";

interface Flags {
  interactive?: boolean;
  detachKeys?: string;
}

/** @returns the exit status */
export async function execAtTerminal(
  container: Container,
  command: string[],
  options: ExecOptions,
  { interactive = false, detachKeys }: Flags,
): Promise<number> {
  const keys = new DetachKeys(detachKeys);
  if (interactive) checkTerminal();
  const process = await container.exec(command, { ...options, terminal: { ...TERMINAL, ...callersSize() } });
  const isLeft = await joinTerminals(process, interactive, keys);
  if (!isLeft) return process.exited;
  process.leave();
  print(LEFT_ALONE, 2);
  return 0;
}
