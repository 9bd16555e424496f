/** What a supervisor can be asked. @module */
import * as sys from "../../syscalls/index.ts";
import { TsboxError } from "../../syscalls/index.ts";
import { hasWriter, isHeldOpen, openFifo } from "../state/index.ts";
import { parseExit } from "./exit-file.ts";
import type { Home } from "./home.ts";
import { ALIVE, EXIT, EXIT_BYTES, PIDFD_SOCKET, STDIN_SOCKET } from "./layout.ts";
import type { Ended } from "./record.ts";

/** How the last run ended, as its supervisor wrote it down. */
export interface Exit extends Ended {
  finishedAt: number;
  signal: number;
}

/** The FIFO that the supervisor has open for writing. */
const aliveOf = (home: Home, id: string): string => `${home.path(id)}/${ALIVE}`;

/** Whether there is a supervisor: the container runs, or waits to be restarted. */
export const isAlive = (home: Home, id: string): boolean => isHeldOpen(aliveOf(home, id));

const [BRIEFLY_US, LONGEST_MS] = [300, 20];

/** Once it has ended; at once where there is none. @throws the signal's reason */
export async function untilOver(home: Home, id: string, signal?: AbortSignal): Promise<void> {
  const fifo = openFifo(aliveOf(home, id));
  if (fifo < 0) return;
  try {
    sys.waitBriefly(fifo, BRIEFLY_US);
    for (let ms = 1; hasWriter(fifo); ms = Math.min(ms * 1.5, LONGEST_MS)) {
      signal?.throwIfAborted();
      await new Promise((resolve) => setTimeout(resolve, ms));
    }
  } finally {
    sys.close(fifo);
  }
}

/** A pidfd of init; undefined where it does not run. */
export const connectPidfd = (home: Home, id: string): number | undefined => connect(home, id, PIDFD_SOCKET);

/** The end of its stdin that is written to, or of its terminal; undefined where that is closed. */
export const connectStdin = (home: Home, id: string): number | undefined => connect(home, id, STDIN_SOCKET);

/** The supervisor answers at once, but it may not get the processor at once. */
const ANSWER_US = 10_000_000;

function connect(home: Home, id: string, name: string): number | undefined {
  using directory = home.directory(id);
  if (!directory) return undefined;
  let socket: number;
  try {
    // by way of its directory: a socket's path is short
    socket = sys.connectSocket(`/proc/self/fd/${directory.fd}/${name}`);
  } catch (error) {
    if (error instanceof TsboxError && ["ENOENT", "ECONNREFUSED"].includes(sys.errnoName(error.errno ?? 0)))
      return undefined;
    throw error;
  }
  sys.waitBriefly(socket, ANSWER_US);
  const passed = sys.receiveDescriptor(socket);
  sys.close(socket);
  return passed < 0 ? undefined : passed;
}

/** Undefined where it has written nothing: it was killed, or the machine was. */
export function readExit(home: Home, id: string): Exit | undefined {
  using directory = home.directory(id);
  const bytes = directory?.read(EXIT, EXIT_BYTES);
  return bytes && parseExit(bytes);
}
