/**
 * The terminal of a container's process: its master goes to a socket that an engine listens at, or, in the foreground,
 * to this process, which joins it to the terminal that somebody sits at.
 * @module
 */
import * as sys from "../../syscalls/index.ts";
import { TsboxError, type Descriptors } from "../../syscalls/index.ts";
import { bindPassing } from "../launch/index.ts";

/**
 * Binds what the master is passed over.
 * @param socket of the engine's; without one, it comes here
 * @returns this process's end, where it has one
 */
export function bindConsole(bound: Record<string, number>, opened: Descriptors, socket?: string): number | undefined {
  if (socket === undefined) return bindPassing(bound, opened);
  bound["pass-socket"] = opened.add(sys.connectSocket(socket));
  return undefined;
}

/** @throws TsboxError `invalid_option` */
export function checkConsole(terminal: boolean | undefined, detached: boolean, socket: string | undefined): void {
  const refused = (why: string) => new TsboxError(why, { code: "invalid_option" });
  if (terminal && detached && socket === undefined)
    throw refused("cannot allocate tty if tsbox will detach without setting console socket");
  if (socket !== undefined && !(terminal && detached))
    throw refused("cannot use console socket if tsbox will not detach or allocate tty");
}

/** Whether what a terminal shows comes here, and goes on to something that is none. */
export const isPiped = (socket: string | undefined): boolean =>
  socket === undefined && sys.terminalSize(1) === undefined;

/** Until the process has ended and all that it has shown has been written. */
export async function joinConsole(master: Promise<number | undefined>): Promise<void> {
  const { callersSize, joinTerminals, Terminal } = await import("../terminal/index.ts");
  const terminal = new Terminal({}, callersSize() ?? { cols: 80, rows: 24 }, (chunk) => chunk);
  terminal.attach(master);
  await joinTerminals(terminal, { interactive: true, show: (chunk) => void sys.write(1, chunk), gone: () => {} });
}
