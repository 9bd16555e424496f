/**
 * Pausing: the processes of a sandbox, but for its init, in a group that is frozen.
 *
 * Init stays out so that it notices the end of its owner. In version 2 a frozen process can be killed, so that the
 * sandbox ends then; in version 1 it cannot, and the next owner that limits something thaws what is left.
 * @module
 * @see https://docs.kernel.org/admin-guide/cgroup-v1/freezer-subsystem.html
 */
import * as sys from "../../syscalls/index.ts";
import { errnoName, TsboxError } from "../../syscalls/index.ts";
import type { Directory } from "./counters.ts";
import { setFrozen, waitUntilStopped } from "./freezing.ts";
import { moveAll, type Look } from "./moving.ts";
import { removeAtExit } from "./owner.ts";

/** Below a group of version 2: what is frozen of it. */
const PAUSED = "paused";

export class Freezer {
  /** The directory of what is frozen. */
  readonly path: string;
  readonly #frozen: Directory;

  /** @param group of the sandbox: in version 2 a group below it is frozen, in version 1 the freezer's own */
  constructor({ version, path }: Directory) {
    this.path = version === "v2" ? `${path}/${PAUSED}` : path;
    this.#frozen = { version, path: this.path };
    if (version === "v1") return;
    const result = sys.makeDirectory(this.path);
    if (result < 0) throw failure(`make the control group "${this.path}"`, -result);
    removeAtExit([this.path]);
  }

  /** @param look at the members of the sandbox; who joins a frozen group is frozen @param isOver they are to be killed */
  async freeze(look: Look, isOver: () => boolean): Promise<void> {
    this.#set(true);
    try {
      moveAll("pause the sandbox", this.path, look);
      if (!(await waitUntilStopped(this.#frozen, isOver))) throw failure("pause the sandbox: a process does not stop");
    } catch (error) {
      this.thaw();
      throw error;
    }
  }

  thaw(): void {
    this.#set(false);
  }

  #set(frozen: boolean): void {
    const result = setFrozen(this.#frozen, frozen);
    if (frozen && result < 0) throw failure("pause the sandbox: freeze its control group", -result);
  }
}

const failure = (action: string, errno?: number) =>
  new TsboxError(errno === undefined ? action : `${action}: ${errnoName(errno)}`, {
    code: "limit_unavailable",
    ...(errno === undefined ? {} : { errno }),
  });
