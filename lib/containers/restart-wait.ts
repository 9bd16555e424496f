/** The time between the end of a container and its next start, in which there is no JavaScript. @module */
import * as sys from "../../syscalls/index.ts";
import { ARCH, Program } from "../../syscalls/index.ts";
import { restartWaitSteps } from "../plan/index.ts";
import type { Home } from "./home.ts";
import { ALIVE, WAKE } from "./layout.ts";

const O_RDWR = 2;
const [O_NONBLOCK, O_WRONLY_NONBLOCK] = [0o4000, 1 | 0o4000];
/** Above those that the image has in the end. */
const FROM = 100;

/** Becomes what waits, where it is let. Until then, and as long as it waits, the container is not over. */
export class RestartWait {
  readonly #alive: number;
  readonly #wake: number;

  constructor(home: Home, id: string) {
    const path = home.path(id);
    for (const name of [ALIVE, WAKE]) sys.makeFifo(`${path}/${name}`);
    // both ends: nobody has to be there
    this.#wake = sys.open(`${path}/${WAKE}`, O_RDWR | O_NONBLOCK);
    this.#alive = sys.open(`${path}/${ALIVE}`, O_RDWR | O_NONBLOCK);
  }

  /** @param next what is executed then, if nobody calls it off */
  begin(delayMs: number, next: { file: string; args: string[]; env: string[] }): never {
    const program = new Program(restartWaitSteps(delayMs, next), ARCH);
    const bound = {
      alive: sys.keptDescriptor(this.#alive, FROM),
      wake: sys.keptDescriptor(this.#wake, FROM),
    };
    return sys.becomeImage(sys.sealedFile("tsbox-restart", sys.elfImage(program, bound)));
  }
}

/** @returns whether somebody has waited */
export function callOffRestart(home: Home, id: string): boolean {
  const wake = sys.tryOpen(`${home.path(id)}/${WAKE}`, O_WRONLY_NONBLOCK);
  // ENXIO: nobody reads it
  if (wake < 0) return false;
  sys.writeNow(wake, new Uint8Array(1));
  sys.close(wake);
  return true;
}

/** What was passed on to this process, which goes on with the container and holds its lock by now. */
export function letGo(home: Home, id: string): void {
  const directory = sys.realPath(home.path(id));
  const held = [ALIVE, WAKE].map((name) => `${directory}/${name}`);
  for (const name of sys.namesIn("/proc/self/fd")) {
    const path = sys.readLink(`/proc/self/fd/${name}`);
    if (path !== undefined && held.includes(path)) sys.close(Number(name));
  }
}
