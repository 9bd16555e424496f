/** What a caller asks of a command's terminal, as the specification's words. @module */
import { show } from "../../syscalls/index.ts";
import type { Process } from "../spec/index.ts";
import { sizeOf, type TerminalOptions } from "../terminal/index.ts";
import { checkChoice, checkKeys, checkText, invalid } from "../options/index.ts";
import type { RunOptions, SandboxOptions, SpawnOptions } from "./options.ts";

/** Undefined where there is none. @throws TsboxError `invalid_option` */
export function terminalOptions(terminal: SpawnOptions["terminal"]): TerminalOptions | undefined {
  if (terminal === undefined) return undefined;
  if (typeof terminal !== "object" || terminal === null)
    return checkChoice("terminal", terminal, false, true) ? {} : undefined;
  checkKeys("terminal", terminal, ["cols", "rows", "name", "data", "exit"]);
  for (const name of ["data", "exit"] as const) {
    const callback: unknown = terminal[name];
    if (callback !== undefined && typeof callback !== "function")
      throw invalid(`use the terminal's ${name} ${show(callback)}: not a function`);
  }
  sizeOf(terminal);
  return terminal;
}

interface OfTerminal {
  process: Pick<Process, "terminal" | "consoleSize">;
  env: Record<string, string>;
}
const NONE: OfTerminal = { process: {}, env: {} };

/** `process.terminal` and the like, and the environment that tells of it. @throws TsboxError `invalid_option` */
export function terminalOf(options: SpawnOptions | RunOptions, { namespaces }: SandboxOptions): OfTerminal {
  const terminal = terminalOptions(options.terminal);
  if (!terminal) return NONE;
  const other = (["stdin", "stdout", "stderr"] as const).find((name) => options[name] !== undefined);
  if (other) throw invalid(`use ${other} with a terminal: it is all three`, "write to `terminal`, and read from it");
  // nothing may lead a session there: it would get away from being killed
  if (namespaces?.pid === "host")
    throw invalid("use a terminal in the host's pid namespace: no session can be led there");
  const { cols, rows } = sizeOf(terminal);
  const name = checkText("terminal's name", terminal.name ?? "xterm-256color");
  return { process: { terminal: true, consoleSize: { width: cols, height: rows } }, env: { TERM: name } };
}
