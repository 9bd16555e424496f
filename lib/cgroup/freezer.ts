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
import { removeAtExit } from "./owner.ts";

/** Below a group of version 2: what is frozen of it. */
const PAUSED = "paused";

const ESRCH = -3;
/** Of scans that find new processes: each leaves fewer that can make some. */
const MAX_SCANS = 1000;

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

  /** @param members of the sandbox now; who joins a frozen group is frozen */
  async freeze(members: () => number[]): Promise<void> {
    this.#set(true);
    try {
      for (let scan = 0; this.#take(members()) > 0; scan++) {
        if (scan === MAX_SCANS) throw failure("pause the sandbox: it makes processes too quickly");
      }
      if (!(await waitUntilStopped(this.#frozen))) throw failure("pause the sandbox: a process does not stop");
    } catch (error) {
      this.thaw();
      throw error;
    }
  }

  thaw(): void {
    this.#set(false);
  }

  /** @returns how many were not in it before */
  #take(pids: readonly number[]): number {
    const inside = new Set((sys.readKernelFile(`${this.path}/cgroup.procs`) ?? "").split("\n"));
    const outside = pids.filter((pid) => !inside.has(String(pid)));
    let taken = 0;
    for (const pid of outside) {
      const result = sys.writeKernelFile(`${this.path}/cgroup.procs`, String(pid));
      if (result >= 0) taken++;
      else if (result !== ESRCH) throw failure(`pause process ${pid}`, -result);
    }
    return taken;
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
